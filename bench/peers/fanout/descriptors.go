package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkDescriptors says what is missing for so many subscribers. Servers and
// subscribers are in processes of their own, each with the same limit, which Go raises
// to the hard one.
func checkDescriptors(subscribers int) error {
	const others = 64
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	most := int(min(l.Max, 1<<30)) * 95 / 100 // Headrace leaves a twentieth for other things
	if need := subscribers + others; need > most {
		return fmt.Errorf("%d subscribers need %d descriptors in each process, and the limit (ulimit -Hn) of %d allows %d",
			subscribers, need, l.Max, most)
	}
	return nil
}

package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Cores are those of a server and of who loads it.
type Cores struct{ Server, Client int }

// NoCores leaves everything to the system.
var NoCores = Cores{-1, -1}

// PickCores takes the first two that this process may use where none are named. With
// one alone it gives NoCores.
func PickCores(server, client int) (Cores, error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return NoCores, fmt.Errorf("which cores there are: %w", err)
	}
	picked := Cores{server, client}
	for cpu := range len(may) * 64 {
		switch {
		case !may.IsSet(cpu) || cpu == picked.Server || cpu == picked.Client:
		case picked.Server < 0:
			picked.Server = cpu
		case picked.Client < 0:
			picked.Client = cpu
		}
	}
	switch {
	case picked.Client < 0:
		return NoCores, nil
	case !may.IsSet(picked.Server) || !may.IsSet(picked.Client) || picked.Server == picked.Client:
		return NoCores, fmt.Errorf("cores %d and %d: not two that this process may use", server, client)
	}
	return picked, nil
}

// PinAll puts all threads of this process on one core. Those that are made later
// inherit it.
func PinAll(cpu int) error {
	var one unix.CPUSet
	one.Set(cpu)
	for range 2 { // one that is not pinned yet may make another meanwhile
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &one); err != nil && err != unix.ESRCH { //nolint:errorlint // an errno
				return fmt.Errorf("core %d: %w", cpu, err)
			}
		}
	}
	return nil
}

// StartOn starts a process that has one core; -1 is any. It inherits the core from the
// thread that starts it, so that a Go program counts one from the beginning.
func StartOn(cpu int, cmd *exec.Cmd) error {
	if cpu < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("core %d: %w", cpu, err)
	}
	defer unix.SchedSetaffinity(0, &before) //nolint:errcheck // it was so before
	return cmd.Start()
}

// CheckDescriptors says what is missing for so many connections. Servers and clients are
// in processes of their own, each with the same limit, which Go raises to the hard one.
func CheckDescriptors(conns int) error {
	const others = 64
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	most := int(min(l.Max, 1<<30)) * 95 / 100 // Headrace leaves a twentieth for other things
	if need := conns + others; need > most {
		return fmt.Errorf("%d connections need %d descriptors in each process, and the limit (ulimit -Hn) of %d allows %d",
			conns, need, l.Max, most)
	}
	return nil
}

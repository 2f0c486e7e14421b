package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/host"
)

// cpus is which processors to run on, by their numbers.
type cpus []int

// UnmarshalText reads "1" or "0,2-3", as taskset does.
func (c *cpus) UnmarshalText(text []byte) error {
	all, err := host.ParseCPUs(string(text))
	if err != nil {
		return errors.New("it must be the numbers of processors, such as 1 or 0,2-3")
	}
	*c = cpus(all)
	return nil
}

// pin has this process run there only, with as many threads of Go's at once. None means
// anywhere.
func (c cpus) pin() error {
	if len(c) == 0 {
		return nil
	}
	var want unix.CPUSet
	for _, n := range c {
		want.Set(n)
	}
	// A thread that is made meanwhile is like the one that has made it, so there are
	// none with another mask once a round has found nothing new.
	done := map[int]bool{}
	for found := true; found; {
		found = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || done[id] {
				continue
			}
			done[id], found = true, true
			if err := c.pinThread(id, &want); err != nil {
				return err
			}
		}
	}
	runtime.GOMAXPROCS(max(leastProcs, len(c)))
	return nil
}

func (c cpus) pinThread(id int, want *unix.CPUSet) error {
	err := unix.SchedSetaffinity(id, want)
	switch {
	case errors.Is(err, unix.ESRCH): // it has ended
		return nil
	case err != nil && !errors.Is(err, unix.EINVAL):
		return err
	}
	var is unix.CPUSet
	if err == nil {
		err = unix.SchedGetaffinity(id, &is)
	}
	for _, n := range c {
		if !is.IsSet(n) && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("there is no processor %d, or this process may not use it", n)
		}
	}
	return nil
}

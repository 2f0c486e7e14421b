package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CPUs are processors to run on, by number. None means any.
type CPUs []int

// ParseCPUs reads "0", "0,2" or "4-7".
func ParseCPUs(s string) (all CPUs, err error) {
	for word := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(word, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to >= MaxCPUs {
			return nil, fmt.Errorf("%q: processors are numbers, such as 0, 0,2 or 4-7", s)
		}
		for i := from; i <= to; i++ {
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// MaxCPUs is how many processors there can be: as many as the kernel's mask has here.
const MaxCPUs = len(unix.CPUSet{}) * 64

// Pin binds the calling thread, and what it starts, to the processors.
func (c CPUs) Pin() error {
	if len(c) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, i := range c {
		set.Set(i)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processors %v: %w", []int(c), err)
	}
	return nil
}

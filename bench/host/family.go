package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Members are the numbers of a process and, if it is looked at with all that it has
// started, of those that run now.
func (p Process) Members() []int {
	all := []int{p.pid}
	if !p.family {
		return all
	}
	children := childrenOf()
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// childrenOf gives the children of every process that runs now.
func childrenOf() map[int][]int {
	children := make(map[int][]int)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return children
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	return children
}

// parentOf reads who has started a process; ok false: it is gone.
func parentOf(pid int) (parent int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// "1234 (any name, with ) in it) S 1 …"
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process of this machine that is looked at: the server, by number.
type Process struct {
	pid    int
	family bool // with all that it has started
}

// FindProcess gives a process that runs here and may be looked at, with those that it
// has started, as a server with workers does.
func FindProcess(pid int) (Process, error) {
	p := Process{pid: pid, family: true}
	if unix.Kill(pid, 0) == unix.ESRCH {
		return p, fmt.Errorf("there is no process %d here", pid)
	}
	if _, err := p.CPU(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	if _, err := p.Resident(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	return p, nil
}

// Self gives this process, without those that it has started.
func Self() Process { return Process{pid: os.Getpid()} }

// PID is its number.
func (p Process) PID() int { return p.pid }

// CPU is how long all threads of the process and of its family have run so far. A member
// that has ended is not in it.
func (p Process) CPU() (sum time.Duration, err error) {
	if _, err := cpuOf(p.pid); err != nil {
		return 0, err
	}
	for _, used := range p.cpus() {
		sum += used
	}
	return sum, nil
}

// cpus is what each member has used.
func (p Process) cpus() map[int]time.Duration {
	each := make(map[int]time.Duration)
	for _, pid := range p.Members() {
		if used, err := cpuOf(pid); err == nil {
			each[pid] = used
		}
	}
	return each
}

// cpuOf is how long all threads of a process have run, from the scheduler's accounting.
func cpuOf(pid int) (time.Duration, error) {
	const sched = 2 // the kernel's CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// Resident is how many bytes of memory the process and its family have; what they share
// counts for each.
func (p Process) Resident() (sum uint64, err error) {
	for i, pid := range p.Members() {
		n, err := residentOf(pid)
		if err != nil && i == 0 {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func residentOf(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm reads %q", pid, b)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// Watch measures what a process uses from some moment on.
type Watch struct {
	process Process
	began   time.Time
	used    map[int]time.Duration // by each member until then
}

// Watch begins to. A process that is gone counts as idle.
func (p Process) Watch() Watch {
	return Watch{p, time.Now(), p.cpus()}
}

// Since gives the CPU since the beginning, and how many processors that is on average. A
// member that has ended since counts as idle.
func (w Watch) Since() (used time.Duration, cores float64) {
	for pid, now := range w.process.cpus() {
		used += max(0, now-w.used[pid])
	}
	return used, used.Seconds() / max(time.Since(w.began).Seconds(), 1e-9)
}

package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what the server's process used in the part of a run that counts.
type Usage struct {
	PID              int     `json:"pid"`
	Cores            float64 `json:"cores"`            // processors in use, on average
	MicrosPerMessage float64 `json:"microsPerMessage"` // CPU for each message that came back
	Memory           uint64  `json:"memory"`           // resident bytes at the end
	MemoryBefore     uint64  `json:"memoryBefore"`     // resident bytes before the first connection
	MemoryPerConn    float64 `json:"memoryPerConn"`    // of what was added, for each connection; 0: unknown, it has not grown

	cpu time.Duration
}

// Process is a process of this machine that is looked at: the server, by number.
type Process struct {
	pid    int
	family bool // with all that it has started
}

// FindProcess gives a process that runs here and may be looked at, with those that it
// has started, as a server with workers does.
func FindProcess(pid int) (Process, error) {
	p := Process{pid: pid, family: true}
	if _, err := p.CPU(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	if _, err := p.Resident(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	return p, nil
}

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
	for _, pid := range p.members() {
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
	for i, pid := range p.members() {
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

// processWatch measures what a process uses from some moment on.
type processWatch struct {
	process Process
	began   time.Time
	used    map[int]time.Duration // by each member until then
}

// watch begins. A process that is gone counts as idle.
func (p Process) watch() processWatch {
	return processWatch{p, time.Now(), p.cpus()}
}

// since gives the CPU since the beginning, and how many processors that is on average. A
// member that has ended since counts as idle.
func (w processWatch) since() (used time.Duration, cores float64) {
	for pid, now := range w.process.cpus() {
		used += max(0, now-w.used[pid])
	}
	return used, used.Seconds() / max(time.Since(w.began).Seconds(), 1e-9)
}

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
	MemoryPerConn    float64 `json:"memoryPerConn"`    // of what was added, for each connection

	cpu time.Duration
}

// Process is a process of this machine that is looked at: the server, by number.
type Process struct{ pid int }

// FindProcess gives a process that runs here and may be looked at.
func FindProcess(pid int) (Process, error) {
	p := Process{pid}
	if _, err := p.CPU(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	if _, err := p.Resident(); err != nil {
		return p, fmt.Errorf("process %d cannot be looked at: %w", pid, err)
	}
	return p, nil
}

// CPU is how long all threads of the process have run, from the scheduler's accounting.
func (p Process) CPU() (time.Duration, error) {
	const sched = 2 // the kernel's CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid<<3|sched), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// Resident is how many bytes of memory the process has.
func (p Process) Resident() (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm reads %q", p.pid, b)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// processWatch measures what a process uses from some moment on.
type processWatch struct {
	process Process
	began   time.Time
	used    time.Duration
}

// watch begins. A process that is gone counts as idle.
func (p Process) watch() processWatch {
	used, _ := p.CPU()
	return processWatch{p, time.Now(), used}
}

// since gives the CPU since the beginning, and how many processors that is on average.
func (w processWatch) since() (used time.Duration, cores float64) {
	now, err := w.process.CPU()
	if err != nil {
		return 0, 0
	}
	used = now - w.used
	return used, used.Seconds() / max(time.Since(w.began).Seconds(), 1e-9)
}

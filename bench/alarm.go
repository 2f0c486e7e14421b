package bench

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps as exactly as the kernel can, on a timer that Go's scheduler waits for as
// for a socket. Go's own timers may come a millisecond late in a program that is otherwise
// asleep. And a thread that sleeps in a system call has the scheduler's monitor look after
// it every 20 µs, which takes more than the sleeper's work.
type alarm struct {
	file *os.File
	wait syscall.RawConn
	look func(fd uintptr) bool // set, made once

	// the sleeper's
	at    unix.ItimerSpec
	isSet bool
}

// newAlarm makes one. close must be called.
func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "timer")
	wait, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	a := &alarm{file: f, wait: wait}
	a.look = a.set
	return a, nil
}

// sleep returns after a time, or when the alarm is closed. A timer that is set anew
// forgets that it has expired, so nobody has to read it.
func (a *alarm) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	a.at.Value, a.isSet = unix.NsecToTimespec(int64(d)), false
	_ = a.wait.Read(a.look)
}

// set sets the timer when it is called first, and says that it has expired when it is
// called again.
func (a *alarm) set(fd uintptr) (expired bool) {
	if a.isSet {
		return true
	}
	a.isSet = true
	return unix.TimerfdSettime(int(fd), 0, &a.at, nil) != nil
}

// close ends a sleep, and all that would follow. Safe from any goroutine.
func (a *alarm) close() { _ = a.file.Close() }

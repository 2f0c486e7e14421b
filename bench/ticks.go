package bench

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is a time.Ticker whose grain is finer than a millisecond in a process that has
// little to do too: the runtime of Go sleeps by the millisecond then, a timerfd does not.
// A tick that nobody waits for is left out.
type ticks struct {
	C    chan struct{}
	stop func() // may be called once; returns when the ticks have ended
}

func newTicks(every time.Duration) *ticks {
	t := &ticks{C: make(chan struct{}, 1)}
	if f, err := timerFile(every); err == nil {
		t.follow(f)
		return t
	}
	ticker := time.NewTicker(every)
	end := make(chan struct{})
	var run sync.WaitGroup
	run.Go(func() {
		for {
			select {
			case <-ticker.C:
				t.tick()
			case <-end:
				return
			}
		}
	})
	t.stop = func() { ticker.Stop(); close(end); run.Wait() }
	return t
}

// follow ticks whenever the file has something to read, until it is closed.
func (t *ticks) follow(f *os.File) {
	var run sync.WaitGroup
	run.Go(func() {
		var times [8]byte // how often it has expired
		for {
			if _, err := f.Read(times[:]); err != nil {
				return
			}
			t.tick()
		}
	})
	t.stop = func() { _ = f.Close(); run.Wait() }
}

func (t *ticks) tick() {
	select {
	case t.C <- struct{}{}:
	default:
	}
}

// timerFile gives a timerfd that the runtime polls.
func timerFile(every time.Duration) (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	spec := unix.ItimerSpec{Interval: unix.NsecToTimespec(int64(every)), Value: unix.NsecToTimespec(int64(every))}
	if err := unix.TimerfdSettime(fd, 0, &spec, nil); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "timerfd"), nil
}

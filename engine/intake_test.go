package engine

import (
	"errors"
	"math"
	"testing"
)

func TestIntake(t *testing.T) {
	var i intake
	steps := []struct {
		name  string
		n     int
		err   error
		bytes int
	}{
		{"anything goes into an empty one", 200, nil, 200},
		{"nothing more beyond the limit", 1, ErrSlowPeer, 200},
		{"nothing at all beyond 1 GiB", maxMaxQueue + 1, ErrTooLong, 200},
		{"no overflow near it", maxMaxQueue, ErrSlowPeer, 200},
		{"nor with the largest number", math.MaxInt, ErrTooLong, 200},
	}
	for _, s := range steps {
		if err := i.reserve(s.n, 100); !errors.Is(err, s.err) || i.bytes() != s.bytes {
			t.Errorf("%s: %v, %d bytes", s.name, err, i.bytes())
		}
	}
	i.add(-150)
	if err := i.reserve(50, 100); err != nil || i.bytes() != 100 {
		t.Errorf("up to the limit: %v, %d bytes", err, i.bytes())
	}
	if !i.close() || i.close() || i.open() {
		t.Error("close is true the first time only")
	}
	if err := i.reserve(1, 1000); !errors.Is(err, ErrClosed) || i.bytes() != 100 {
		t.Errorf("after close: %v, %d bytes", err, i.bytes())
	}
	i.add(20)
	i.add(-120)
	if i.bytes() != 0 || i.open() {
		t.Errorf("counting goes on after close: %d bytes, open %t", i.bytes(), i.open())
	}
}

package engine

import "sync/atomic"

// intake is the part of a connection that senders on all goroutines see: how many
// bytes were accepted and have not left, and, in the sign bit, whether anything
// more is. One word holds both, so that nothing is accepted once it is closed.
// Its methods are safe from any goroutine.
type intake struct{ word atomic.Int32 }

const intakeClosed = -1 << 31

// reserve accepts n bytes within the limit, or says why not. A message that finds
// nothing else waiting is always taken.
func (i *intake) reserve(n, limit int) error {
	if n > maxMaxQueue {
		return ErrTooLong
	}
	for {
		had := i.word.Load()
		switch {
		case had < 0:
			return ErrClosed
		case had > 0 && int64(had)+int64(n) > int64(limit):
			return ErrSlowPeer
		}
		if i.word.CompareAndSwap(had, had+int32(n)) {
			return nil
		}
	}
}

// add counts bytes that no limit holds back, and those that have left. It gives how
// many there are then.
func (i *intake) add(n int) int { return int(i.word.Add(int32(n)) &^ intakeClosed) }

// bytes gives how many were accepted and have not left.
func (i *intake) bytes() int { return int(i.word.Load() &^ intakeClosed) }

// open says whether more is accepted.
func (i *intake) open() bool { return i.word.Load() >= 0 }

// closeAt ends acceptance if it has not ended and n bytes wait, no more and no less.
func (i *intake) closeAt(n int) bool {
	return i.word.CompareAndSwap(int32(n), int32(n)|intakeClosed)
}

// close ends acceptance, and says whether it had not ended before.
func (i *intake) close() (first bool) { return i.word.Or(intakeClosed) >= 0 }

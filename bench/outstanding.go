package bench

import "time"

// outstanding is the messages of a connection that were sent and have not come back:
// a ring of the times from which their latency counts, by sequence number.
type outstanding struct {
	first uint32          // the oldest that has not come back
	next  uint32          // the one to send next
	at    []time.Duration // a power of two of them; returned: it has come back
	seen  uint32          // one more than the highest that has come back
}

const returned = -1

// oldest gives the one that waits longest.
func (o *outstanding) oldest() (seq uint32, at time.Duration, ok bool) {
	if o.first == o.next {
		return 0, 0, false
	}
	return o.first, o.at[int(o.first)&(len(o.at)-1)], true
}

// maxOutstanding is how many may be on their way on one connection.
const maxOutstanding = 1 << 16

// waiting is how many are on their way, or more where they come back out of order.
func (o *outstanding) waiting() int { return int(o.next - o.first) }

// add notes that the next message is on its way, and gives its number. ok false: there
// are too many.
func (o *outstanding) add(at time.Duration) (seq uint32, ok bool) {
	if o.waiting() == len(o.at) {
		if len(o.at) >= maxOutstanding {
			return 0, false
		}
		o.grow()
	}
	seq = o.next
	o.at[int(seq)&(len(o.at)-1)] = at
	o.next++
	return seq, true
}

func (o *outstanding) grow() {
	grown := make([]time.Duration, max(4, 2*len(o.at)))
	for seq := o.first; seq != o.next; seq++ {
		grown[int(seq)&(len(grown)-1)] = o.at[int(seq)&(len(o.at)-1)]
	}
	o.at = grown
}

// arrival is what a message that comes back turns out to be.
type arrival uint8

const (
	inOrder   arrival = iota // the next one, or a later one
	late                     // a later one has come before it
	duplicate                // it has come before
	unknown                  // it was not sent
)

// take notes that a message has come back, and gives the time from which its latency
// counts.
func (o *outstanding) take(seq uint32) (at time.Duration, how arrival) {
	switch {
	case int32(seq-o.next) >= 0:
		return 0, unknown
	case int32(seq-o.first) < 0:
		return 0, duplicate
	}
	slot := &o.at[int(seq)&(len(o.at)-1)]
	if *slot == returned {
		return 0, duplicate
	}
	at, *slot = *slot, returned
	for o.first != o.next && o.at[int(o.first)&(len(o.at)-1)] == returned {
		o.first++
	}
	if int32(seq-o.seen) < 0 {
		return at, late
	}
	o.seen = seq + 1
	return at, inOrder
}

// missing is how many have not come back.
func (o *outstanding) missing() int { return o.missingSince(0) }

// missingSince is how many of those whose latency counts from a time on, or a later one,
// have not come back.
func (o *outstanding) missingSince(from time.Duration) (n int) {
	for seq := o.first; seq != o.next; seq++ {
		if o.at[int(seq)&(len(o.at)-1)] >= max(from, 0) {
			n++
		}
	}
	return n
}

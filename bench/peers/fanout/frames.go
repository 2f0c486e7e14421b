package main

import (
	"fmt"

	"github.com/headrace/headrace/bench/peers/servers"
)

// frames checks what a subscriber receives: every message, once, in order, and nothing
// else. All frames have one length.
type frames struct {
	next uint64 // the number of the message that must come
	have int    // bytes of part
	part [servers.FrameSize]byte
}

// read takes what has arrived and gives how many messages that completes. heard, which
// may be nil, is told of each.
func (f *frames) read(p []byte, heard func(number uint64, due int64)) (messages int, err error) {
	for len(p) > 0 {
		whole := &f.part
		if f.have == 0 && len(p) >= servers.FrameSize {
			whole, p = (*[servers.FrameSize]byte)(p), p[servers.FrameSize:]
		} else {
			n := copy(f.part[f.have:], p)
			p = p[n:]
			if f.have += n; f.have < servers.FrameSize {
				break
			}
			f.have = 0
		}
		number, due, ok := servers.ParseFrame(whole)
		if !ok || number != f.next {
			return messages, fmt.Errorf("message %d should come, and this does: %q", f.next, whole[:])
		}
		f.next++
		messages++
		if heard != nil {
			heard(number, due)
		}
	}
	return messages, nil
}

package bench

import "math/bits"

// fanStream is what one subscriber has had of one publisher. Loop-only. There is one for
// each subscriber and each publisher that it hears: 24 bytes.
type fanStream struct {
	next  uint32 // one more than the highest number that has come
	got   uint32 // how many have come, each once
	early uint32 // of these, those of the warm-up
	seen  uint64 // of the numbers before next, which have come: bit 0 is next-1
}

// take notes that a number has come.
func (s *fanStream) take(n uint32, counts bool) arrival {
	how := inOrder
	if n >= s.next {
		ahead := n - s.next + 1
		s.seen = s.seen<<min(ahead, 64) | 1 // a shift by 64 leaves nothing
		s.next = n + 1
	} else {
		how = s.takeOld(s.next - 1 - n)
	}
	if how != duplicate {
		s.got++
		if !counts {
			s.early++
		}
	}
	return how
}

// takeOld notes a number that is so many behind the highest. What is more than 64
// behind counts as late where older ones are missing, else as a duplicate.
func (s *fanStream) takeOld(behind uint32) arrival {
	if behind >= 64 {
		if s.next-s.got > uint32(bits.OnesCount64(^s.seen)) {
			return late
		}
		return duplicate
	}
	if s.seen&(1<<behind) != 0 {
		return duplicate
	}
	s.seen |= 1 << behind
	return late
}

// missing tells what a subscriber lacks of the numbers from base to end: holes are
// before the last that has come, tail is behind it.
func (s *fanStream) missing(base, end uint32) (holes, tail uint32) {
	reached := min(max(s.next, base), end)
	return reached - base - min(s.got-s.early, reached-base), end - reached
}

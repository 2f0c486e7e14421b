package tlswire

import "sync"

// suspended are the handshakes that wait for their clients, the longest wait first.
// Its lock is taken inside a handshake's.
type suspended struct {
	mu             sync.Mutex
	oldest, newest *handshake
}

// first is the one that has waited longest, nil where none waits.
func (s *suspended) first() *handshake {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest
}

// add puts h at the end.
func (s *suspended) add(h *handshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.waits, h.before = true, s.newest
	if s.newest != nil {
		s.newest.after = h
	} else {
		s.oldest = h
	}
	s.newest = h
}

// remove takes h out, if it is there.
func (s *suspended) remove(h *handshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.waits {
		return
	}
	if h.before != nil {
		h.before.after = h.after
	} else {
		s.oldest = h.after
	}
	if h.after != nil {
		h.after.before = h.before
	} else {
		s.newest = h.before
	}
	h.waits, h.before, h.after = false, nil, nil
}

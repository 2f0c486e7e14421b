package servers

import "sync"

// members are the connections of a library that keeps no list of them.
type members[C any] struct {
	mu  sync.Mutex
	all []C
}

func (m *members[C]) add(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, c)
}

// each calls f for one after the other, to the first error.
func (m *members[C]) each(f func(C) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.all {
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

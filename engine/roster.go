package engine

// roster is all connections of a loop, each at its Conn.slot. It stands in pages: a
// list in one piece would be copied to grow, 8 MB in one turn of the loop with a million
// connections, and leave the old ones as garbage. Loop-only.
type roster struct {
	pages []*[rosterPage]*Conn
	len   int
}

const rosterPage = 512 // 4 KiB

func (r *roster) at(slot int) **Conn { return &r.pages[slot/rosterPage][slot%rosterPage] }

// add gives c its slot.
func (r *roster) add(c *Conn) {
	if r.len == len(r.pages)*rosterPage {
		r.pages = append(r.pages, new([rosterPage]*Conn))
	}
	c.slot = uint32(r.len)
	*r.at(r.len) = c
	r.len++
}

// remove gives c's slot to the last one. A page is kept beyond those that are needed.
func (r *roster) remove(c *Conn) {
	r.len--
	last := r.at(r.len)
	(*last).slot = c.slot
	*r.at(int(c.slot)), *last = *last, nil
	if spare := len(r.pages) - 1; r.len <= (spare-1)*rosterPage {
		r.pages[spare] = nil
		r.pages = r.pages[:spare]
	}
}

// all goes over those that are there. Those that are added meanwhile come too.
func (r *roster) all(yield func(*Conn) bool) {
	for slot := 0; slot < r.len; slot++ {
		if !yield(*r.at(slot)) {
			return
		}
	}
}

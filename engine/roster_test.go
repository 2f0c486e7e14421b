package engine

import (
	"math/rand/v2"
	"testing"
)

// Whoever is in a roster is at its slot, and pages go back when they are empty.
func TestRoster(t *testing.T) {
	var r roster
	there := map[*Conn]bool{}
	check := func() {
		t.Helper()
		seen := 0
		for c := range r.all {
			if !there[c] || int(c.slot) != seen {
				t.Fatalf("%p is at %d, thinks it is at %d; it should be there: %t", c, seen, c.slot, there[c])
			}
			seen++
		}
		if seen != len(there) || r.len != seen {
			t.Fatalf("%d of %d are listed, %d counted", seen, len(there), r.len)
		}
		if need := (r.len + rosterPage - 1) / rosterPage; len(r.pages) < need || len(r.pages) > need+1 {
			t.Fatalf("%d pages for %d connections", len(r.pages), r.len)
		}
	}
	for _, grow := range []int{3 * rosterPage, -2 * rosterPage, rosterPage / 2, -2 * rosterPage, 1, -1} {
		for range max(grow, 0) {
			c := new(Conn)
			there[c] = true
			r.add(c)
		}
		check()
		for range min(max(-grow, 0), len(there)) {
			c := *r.at(rand.IntN(r.len))
			delete(there, c)
			r.remove(c)
		}
		check()
	}
	if r.len != 0 || len(r.pages) > 1 {
		t.Errorf("%d connections and %d pages are left", r.len, len(r.pages))
	}
	c := new(Conn)
	r.add(c)
	for range r.all {
		break // a yield that has enough is not called again
	}
	r.remove(c)
}

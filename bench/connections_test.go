package bench

import (
	"strings"
	"testing"
)

func TestRefusalsAreDoubted(t *testing.T) {
	r := sample(noon, 3)
	r.Conns, r.Refused = 12, map[string]uint64{"no route": 2}
	if r.doubtOpened(); len(r.Doubts) != 1 || !strings.Contains(r.Doubts[0], "2 of 12 connections were refused") {
		t.Errorf("doubts: %q", r.Doubts)
	}
	few := sample(noon, 3)
	few.Conns, few.Refused = 1000, map[string]uint64{"no route": 10}
	if few.doubtOpened(); len(few.Doubts) != 0 {
		t.Errorf("1 %% is doubted: %q", few.Doubts)
	}
}

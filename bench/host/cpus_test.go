package host

import (
	"slices"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string]CPUs{"0": {0}, "0,2": {0, 2}, "4-7": {4, 5, 6, 7}, "3,1-2,2": {1, 2, 3}} {
		if got, err := ParseCPUs(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a", "-1", "3-1", "1,", "99999", "0-99999"} {
		if got, err := ParseCPUs(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseStart(t *testing.T) {
	here := time.FixedZone("here", 3600)
	now := time.Date(2026, 1, 31, 12, 0, 0, 5e8, here)
	for _, c := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"12:00:01", time.Date(2026, 1, 31, 12, 0, 1, 0, here)},
		{"23:59:59", time.Date(2026, 1, 31, 23, 59, 59, 0, here)},
		{"2026-01-31T11:00:01Z", time.Date(2026, 1, 31, 12, 0, 1, 0, here)},
		{"2026-02-01T00:00:00+01:00", time.Date(2026, 2, 1, 0, 0, 0, 0, here)},
		{"+30s", now.Add(30 * time.Second)},
		{"+1m30s", now.Add(90 * time.Second)},
		{text: "12:00:00"},
		{text: "2026-01-31T11:00:00Z"},
		{text: "+0s"},
		{text: "+-5s"},
		{text: "30s"},
		{text: "25:00:00"},
		{text: ""},
		{text: "12:30"},
	} {
		got, err := parseStart(c.text, now)
		switch {
		case c.want.IsZero() && (err == nil || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: %v, %v", c.text, got, err)
		case !c.want.IsZero() && (err != nil || !got.Equal(c.want)):
			t.Errorf("%q: %v, %v, want %v", c.text, got, err, c.want)
		}
	}
}

package main

import (
	"fmt"
	"strings"
	"time"
)

// startTime is a moment of today, of another day, or a while from now.
type startTime struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (s *startTime) UnmarshalText(b []byte) error {
	t, err := parseStart(string(b), time.Now())
	s.Time = t
	return err
}

// parseStart reads 2026-01-31T15:00:00Z, 15:00:00 of this day and place, or +30s.
func parseStart(s string, now time.Time) (time.Time, error) {
	if after, ok := strings.CutPrefix(s, "+"); ok {
		if d, err := time.ParseDuration(after); err == nil && d > 0 {
			return now.Add(d), nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		clock, clockErr := time.Parse(time.TimeOnly, s)
		if clockErr != nil {
			return t, fmt.Errorf("%q is no time: 15:04:05 (of today, here), 2006-01-02T15:04:05Z, or +30s", s)
		}
		y, m, d := now.Date()
		t = time.Date(y, m, d, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
	}
	if !t.After(now) {
		return t, fmt.Errorf("%q is past: it is %s", s, now.In(t.Location()).Format(time.DateTime))
	}
	return t, nil
}

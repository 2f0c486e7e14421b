package bench

import (
	"fmt"
	"time"
)

// Round gives a time with three digits or so, as people read it.
func Round(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

// FormatRate gives a rate with three digits at least.
func FormatRate(rate float64) string {
	if rate >= 100 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprintf("%.3g", rate)
}

// FormatBytes gives a number of bytes as people read it.
func FormatBytes(b float64) string {
	switch {
	case b >= 1e6 || b <= -1e6:
		return fmt.Sprintf("%.1f MB", b/1e6)
	case b >= 1e4 || b <= -1e4:
		return fmt.Sprintf("%.1f kB", b/1e3)
	}
	return fmt.Sprintf("%.0f B", b)
}

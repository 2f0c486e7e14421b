package engine

import (
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// TestMain plays the role that a test has started this binary in, if any, and fails the
// run when a test has left goroutines behind.
func TestMain(m *testing.M) {
	if played, code := playRole(); played {
		os.Exit(code)
	}
	poisonMessages = true
	code := m.Run()
	if code == 0 {
		code = checkLeaks()
	}
	os.Exit(code)
}

// checkLeaks waits a moment for goroutines of this project to end.
func checkLeaks() int {
	var left string
	for range 100 {
		if left = ourGoroutines(); left == "" {
			return 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "goroutines were left behind:\n%s\n", left)
	return 1
}

// ourGoroutines gives the stacks of goroutines that the engine or gnet has
// started.
func ourGoroutines() string {
	var all strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	var ours []string
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		_, below, _ := strings.Cut(stack, "\n") // without the test's own line
		if strings.Contains(below, "gnetwire") || strings.Contains(below, "tlswire") || strings.Contains(below, "gnet/v2.") || strings.Contains(below, "engine.(*workers)") {
			ours = append(ours, stack)
		}
	}
	return strings.Join(ours, "\n\n")
}

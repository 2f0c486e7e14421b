package bench

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// Of a server that is gone nothing is told as if it were measured.
func TestServerThatIsGone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := serve(t, onMessage(func(c *engine.Conn, op engine.Op, p []byte) {
		_ = cmd.Process.Kill() // with the first, so it was there when the run began
		echoes(c, op, p)
	}))
	r := run(t, Echo{Target: Target{URL: url, PID: cmd.Process.Pid}, Rate: 100, Duration: 400 * time.Millisecond})
	_ = cmd.Wait()
	if r.Server != nil || !strings.Contains(strings.Join(r.Doubts, "\n"), "was gone at the end") {
		t.Errorf("%+v, %q", r.Server, r.Doubts)
	}
	memory, _ := ParseThreshold("memory>4096")
	for name, of := range map[string]*Result{"gone": r, "not grown": {Server: &Usage{PID: 1, Memory: 5, MemoryBefore: 5}}} {
		if crossed, is := memory.Crossed(of); !crossed || !strings.Contains(is, "not measured") {
			t.Errorf("%s: %v, %q", name, crossed, is)
		}
	}
}

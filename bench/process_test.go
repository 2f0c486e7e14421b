package bench

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a process has started counts with it: here it waits, and its child does the work.
func TestFamilyIsLookedAt(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	p, err := FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	watch := p.watch()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if used, cores := watch.since(); used > 100*time.Millisecond {
			if cores <= 0 {
				t.Errorf("%v were used, and %v processors", used, cores)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("the child's work is not seen")
		}
	}
	if alone, err := cpuOf(p.pid); err != nil || alone > 50*time.Millisecond {
		t.Errorf("the process alone has used %v (%v)", alone, err)
	}
	all, err := p.Resident()
	alone, _ := residentOf(p.pid)
	if err != nil || all <= alone {
		t.Errorf("%d bytes, of which %d are the process's (%v)", all, alone, err)
	}
}

// Of a server that is gone nothing is told as if it were measured.
func TestServerThatIsGone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := serve(t, onMessage(echoes))
	time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
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

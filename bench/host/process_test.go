package host

import (
	"os/exec"
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
	watch := p.Watch()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if used, cores := watch.Since(); used > 100*time.Millisecond {
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

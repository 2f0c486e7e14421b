package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/host"
	"github.com/headrace/headrace/engine"
)

const actAsServer = "WSBENCH_TEST_SERVES"

// The process of a server, with a child of its own. It ignores SIGTERM if it is told so.
func TestActsAsServer(t *testing.T) {
	addr, ignores := strings.CutSuffix(os.Getenv(actAsServer), " for ever")
	if addr == "" {
		t.Skip("this is not that process")
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if ignores {
		ctx = context.Background()
	}
	srv, err := engine.New(engine.Config{Addr: addr, Loops: 1, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	srv.Handle("/", onMessage(echoes))
	if err := srv.Run(ctx); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// freeAddress is one that is free, and stays so: its port is none of those that the system
// gives to whoever asks for any, as other tests do meanwhile.
func freeAddress(t *testing.T) (addr string) {
	t.Helper()
	for range 1000 {
		addr = fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// asProcess is the command of such a server, and its target.
func asProcess(t *testing.T, how string) (Command, *Target) {
	t.Helper()
	addr := freeAddress(t)
	c := Command{
		Args:  []string{"env", actAsServer + "=" + addr + how, os.Args[0], "-test.run=^TestActsAsServer$"},
		Start: time.Minute, Stop: time.Minute,
	}
	return c, &Target{URL: "ws://" + addr + "/"}
}

// runs says whether a process is there and no zombie.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func mustBeGone(t *testing.T, pids []int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); slices.ContainsFunc(pids, runs); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of %v some still run", pids)
		}
	}
}

func TestServerIsStartedAndEnded(t *testing.T) {
	for how, limit := range map[string]time.Duration{"": time.Minute, " for ever": 50 * time.Millisecond} {
		c, target := asProcess(t, how)
		c.Stop = limit
		s, err := c.start(context.Background(), target)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.accepts(context.Background()); err != nil {
			t.Error(err)
		}
		family, err := host.FindProcess(s.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		pids := family.Members()
		if len(pids) != 2 {
			t.Errorf("its processes are %v", pids)
		}
		if err := s.died(); err != nil {
			t.Error(err)
		}
		_, err = c.start(context.Background(), target)
		if err == nil || !strings.Contains(err.Error(), "is answered before") {
			t.Errorf("a second one: %v", err)
		}
		s.end()
		mustBeGone(t, pids)
		killed := strings.Contains(fmt.Sprint(s.died()), "killed")
		if killed != (how != "") {
			t.Errorf("%q ended like this: %v", how, s.died())
		}
		s.end() // again does nothing
	}
}

func TestServerDiesEarly(t *testing.T) {
	target := &Target{URL: "ws://127.0.0.1:1/"}
	for wants, c := range map[string]Command{
		"exit status 3); it wrote:\n  the port is mine": {Args: []string{"sh", "-c", "echo the port is mine >&2; exit 3"}},
		"must stay in the foreground":                   {Args: []string{"true"}},
		"cannot be started":                             {Args: []string{"/nowhere/to/be found"}},
		"within 100ms":                                  {Args: []string{"sleep", "600"}, Start: 100 * time.Millisecond},
		"processors [1000]":                             {Args: []string{"true"}, CPUs: host.CPUs{1000}},
	} {
		if _, err := c.start(context.Background(), target); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("%q: %v", c.Args, err)
		}
	}
	c := Command{Args: []string{"sleep", "600"}}
	if _, err := c.start(canceled(), target); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestServerIsBound(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !allowed.IsSet(first) {
		first++
	}
	list := func(status string) string {
		b, err := os.ReadFile(status)
		if err != nil {
			return "" // the thread has ended
		}
		_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:\t")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	before := list("/proc/self/status")
	c, target := asProcess(t, "")
	c.CPUs = host.CPUs{first}
	s, err := c.start(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)); got != fmt.Sprint(first) {
		t.Errorf("it may use the processors %q", got)
	}
	s.end()
	// The thread that has started it is bound as well, and ends with it.
	bound := func() bool {
		threads, _ := filepath.Glob("/proc/self/task/*/status")
		return slices.ContainsFunc(threads, func(f string) bool { l := list(f); return l != "" && l != before })
	}
	for end := time.Now().Add(10 * time.Second); bound(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a thread of our own is still bound")
		}
	}
}

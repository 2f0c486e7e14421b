package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/peers/process"
)

// TestMain lets the servers be this program too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveRole {
		main()
		return
	}
	os.Exit(m.Run())
}

// contendersForTest leaves the bare loop out where nothing compiles it.
func contendersForTest(t *testing.T) []contender {
	t.Helper()
	t.Setenv("GORACE", "atexit_sleep_ms=0") // servers under the race detector wait a second before they end
	names := allNames()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Log("without the bare loop: ", err)
		names = names[1:]
	}
	found, clean, err := findContenders(names, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clean)
	return found
}

func TestEveryServerReachesEverySubscriber(t *testing.T) {
	const subscribers = 20
	for _, c := range contendersForTest(t) {
		t.Run(c.name, func(t *testing.T) {
			s, err := openStage(c, process.NoCores, subscribers, true)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for _, burst := range []int{1, 16, 1} {
				if err := s.publish(burst); err != nil {
					t.Fatalf("burst of %d: %v", burst, err)
				}
			}
			s.hasAll(t, 18)
			l, err := s.watch(1000, 50*time.Millisecond, process.Patience)
			if err != nil {
				t.Fatal(err)
			}
			if l.Delivered != 1 {
				t.Errorf("%g of the messages were delivered", l.Delivered)
			}
			if l.First.Max <= 0 || l.First.Max > l.Last.Max || l.Last.Max != l.All.Max || l.First.P50 > l.Median.P50 || l.Median.P50 > l.Last.P50 {
				t.Errorf("%+v: the first is not before the last", l)
			}
			s.hasAll(t, 18+3+50) // three to warm up
		})
	}
}

// hasAll fails unless every subscriber has had so many messages.
func (s *stage) hasAll(t *testing.T, want uint64) {
	t.Helper()
	for i := range s.audience.frames {
		if f := &s.audience.frames[i]; f.next != want || f.have != 0 {
			t.Errorf("subscriber %d has %d messages and %d bytes, want %d and none", i, f.next, f.have, want)
		}
	}
}

func TestServerThatEndsIsAnError(t *testing.T) {
	s, err := openStage(contendersForTest(t)[0], process.NoCores, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := unix.Kill(s.server.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.publish(1); err == nil {
		t.Error("a server that is dead has published")
	}
	if took := time.Since(begin); took >= process.Patience {
		t.Errorf("it took %v to see", took)
	}
}

func TestServerThatDoesNotUnderstandIsAnError(t *testing.T) {
	for _, c := range contendersForTest(t) {
		s, err := openStage(c, process.NoCores, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.server.Order("publsh 1"); err != nil {
			t.Error(err)
		}
		if err := s.done(); err == nil || !strings.Contains(err.Error(), "publsh") {
			t.Errorf("%s: %v", c.name, err)
		}
		s.close()
	}
}

func TestReportHasEveryServer(t *testing.T) {
	found := contendersForTest(t)
	p, err := parsePlan([]string{
		"-rounds=2", "-per=2ms", "-subscribers=3", "-bursts=2,5",
		"-latency-subscribers=3", "-latency-rates=500", "-latency-for=20ms",
	})
	if err != nil {
		t.Fatal(err)
	}
	rep := newReport(found, process.NoCores, p.procs)
	if err := p.throughput(rep, found, process.NoCores, 3); err != nil {
		t.Fatal(err)
	}
	if err := p.latency(rep, found, process.NoCores); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	rep.print(&text)
	for _, c := range found {
		rows := 0
		for line := range strings.Lines(text.String()) {
			if words := strings.Fields(line); len(words) > 0 && words[0] == c.name {
				rows++
			}
		}
		if rows != 3 { // two bursts, one rate
			t.Errorf("%s has %d rows in the tables:\n%s", c.name, rows, &text)
		}
	}
	file := filepath.Join(t.TempDir(), "x.json")
	if err := rep.writeJSON(file); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(file)
	var back report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Throughput) != 2 || len(back.Throughput[1].Servers) != len(found) || len(back.Throughput[1].Servers[0].Rounds) != 2 ||
		len(back.Latency) != 1 || len(back.Latency[0].Servers) != len(found) {
		t.Errorf("the file has not everything: %s", b)
	}
}

func TestPlanRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-servers=headrace":      "limit, then some of",
		"-servers=limit,limit":   "limit, then some of",
		"-servers=limit,uWS":     "limit, then some of",
		"-bursts=0":              "not a number from 1 on",
		"-bursts=2000":           "at most 1024",
		"-subscribers=900000000": "need 900000064 descriptors",
	} {
		if _, err := parsePlan([]string{args}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", args, err, want)
		}
	}
}

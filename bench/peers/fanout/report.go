package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/bench/peers/process"
	"github.com/headrace/headrace/bench/peers/servers"
)

// report is all that a run has found, as the JSON file has it.
type report struct {
	Machine    string
	Go         string
	Bytes      int               // in a message
	Procs      int               // GOMAXPROCS of the servers in Go
	Servers    map[string]string // their versions
	ServerCore int
	ClientCore int
	Throughput []*throughputResult `json:",omitempty"`
	Latency    []*latencyResult    `json:",omitempty"`
}

// throughputResult is one job on all servers.
type throughputResult struct {
	Subscribers, Burst int
	Servers            []*serverThroughput
}

type serverThroughput struct {
	Server string
	Rounds []throughput
	Ratios []float64 // of CPU to that of the limit in the same round
	Median struct{ Ratio, CPU, PerSecond, MessagesPerRead, ClientCPU float64 }
}

// latencyResult is one rate on all servers.
type latencyResult struct {
	Subscribers, Rate int
	Seconds           float64
	Servers           []latency
}

func newReport(contenders []contender, cores process.Cores, procs int) *report {
	r := &report{
		Machine: machine(), Go: runtime.Version(), Bytes: servers.MessageSize, Procs: procs, Servers: make(map[string]string),
		ServerCore: cores.Server, ClientCore: cores.Client,
	}
	for _, c := range contenders {
		r.Servers[c.name] = c.version
	}
	return r
}

// machine gives the processor and the kernel.
func machine() string {
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	return model + ", Linux " + unix.ByteSliceToString(u.Release[:])
}

// add takes the figures of a server's turn. The limit is the first of each round.
func (t *throughputResult) add(server string, round int, fig throughput) {
	if round == 0 {
		t.Servers = append(t.Servers, &serverThroughput{Server: server})
	}
	i := slices.IndexFunc(t.Servers, func(s *serverThroughput) bool { return s.Server == server })
	s := t.Servers[i]
	s.Rounds = append(s.Rounds, fig)
	s.Ratios = append(s.Ratios, fig.CPU/t.Servers[0].Rounds[round].CPU)
	s.Median.Ratio = median(s.Ratios)
	of := func(get func(throughput) float64) float64 {
		all := make([]float64, len(s.Rounds))
		for i, r := range s.Rounds {
			all[i] = get(r)
		}
		return median(all)
	}
	s.Median.CPU = of(func(t throughput) float64 { return t.CPU })
	s.Median.PerSecond = of(func(t throughput) float64 { return t.PerSecond })
	s.Median.MessagesPerRead = of(func(t throughput) float64 { return t.MessagesPerRead })
	s.Median.ClientCPU = of(func(t throughput) float64 { return t.ClientCPU })
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "\n%s, %s; messages of %d bytes; servers on %s, those in Go with GOMAXPROCS=%d; subscribers on %s\n",
		r.Machine, r.Go, r.Bytes, core(r.ServerCore), r.Procs, core(r.ClientCore))
	for _, t := range r.Throughput {
		t.print(to, r.Servers)
	}
	for _, l := range r.Latency {
		l.print(to)
	}
}

func (t *throughputResult) print(to io.Writer, versions map[string]string) {
	if len(t.Servers) == 0 {
		return
	}
	fmt.Fprintf(to, "\n%s, bursts of %d: median of %d rounds\n", number(t.Subscribers, "subscriber"), t.Burst, len(t.Servers[0].Rounds))
	w := table(to)
	fmt.Fprintln(w, "server\tCPU over limit\tleast..most\tns/delivery\tdeliveries/s\tmessages/read\tclient's core\t  version")
	for _, s := range t.Servers {
		m := s.Median
		fmt.Fprintf(w, "%s\t%.2f\t%.2f..%.2f\t%.0f\t%.0f\t%.1f\t%.0f %%\t  %s\n", s.Server, m.Ratio, slices.Min(s.Ratios), slices.Max(s.Ratios),
			m.CPU, m.PerSecond, m.MessagesPerRead, 100*m.ClientCPU, versions[s.Server])
	}
	_ = w.Flush()
}

func (l *latencyResult) print(to io.Writer) {
	fmt.Fprintf(to, "\n%s, %d messages/s for %g s: from the intended time to the receipt, ms (p50 p99 max)\n",
		number(l.Subscribers, "subscriber"), l.Rate, l.Seconds)
	w := table(to)
	fmt.Fprintln(w, "server\tdelivered\tfirst subscriber\tmedian subscriber\tlast subscriber\tall deliveries\tclient's core\t")
	late := false
	for _, s := range l.Servers {
		mark := ""
		if s.Delivered < 1 {
			mark, late = "*", true
		}
		fmt.Fprintf(w, "%s\t%.1f %%%s\t%s\t%s\t%s\t%s\t%.0f %%\t\n", s.Server, 100*s.Delivered, mark, s.First, s.Median, s.Last, s.All, 100*s.ClientCPU)
	}
	_ = w.Flush()
	if late {
		fmt.Fprintln(to, "* the rest had not come when the turn was over, and counts with the time that it had waited")
	}
}

func table(to io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
}

func core(n int) string {
	if n < 0 {
		return "any core"
	}
	return fmt.Sprintf("core %d", n)
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// String gives the three figures in milliseconds.
func (s spread) String() string { return inMS(s.P50) + " " + inMS(s.P99) + " " + inMS(s.Max) }

// inMS gives nanoseconds in milliseconds, with three digits that count.
func inMS(ns int64) string {
	ms := float64(ns) / 1e6
	switch {
	case ms < 1:
		return fmt.Sprintf("%.3f", ms)
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

func (r *report) writeJSON(name string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

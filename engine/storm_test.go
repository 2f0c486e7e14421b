package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// stormSources are how many addresses a storm comes from.
const stormSources = 50

// Five thousand clients connect at once to a server that must not let all of them in.
// Each has a whole answer; who is let in can talk; and the server has counted right.
func TestAdmissionInAStorm(t *testing.T) {
	n := 5000
	if raceDetector {
		n /= 5
	}
	if limit := descriptorLimit(); n > limit*3/8 { // both ends are here
		t.Logf("RLIMIT_NOFILE is %d: %d clients instead of %d", limit, limit*3/8, n)
		n = limit * 3 / 8
	}
	n -= n % stormSources
	for _, row := range []struct {
		name    string
		cfg     Config
		status  int
		reason  string
		refused func(Refusals) uint64
		granted func(took time.Duration) (least, most int)
	}{
		{
			"MaxConns",
			Config{MaxConns: n / 4},
			503, refuseFull.Body,
			func(r Refusals) uint64 { return r.Conns },
			func(time.Duration) (int, int) { return n / 4, n / 4 },
		},
		{
			"MaxConnsPerIP",
			Config{MaxConns: n, MaxConnsPerIP: n / stormSources / 2},
			429, refuseClient.Body,
			func(r Refusals) uint64 { return r.ConnsPerIP },
			func(time.Duration) (int, int) {
				each := n / stormSources / 2
				return each * stormSources, each * stormSources
			},
		},
		{
			"MaxHandshakeRate",
			Config{MaxConns: n, MaxHandshakeRate: n / 5},
			503, refuseRate.Body,
			func(r Refusals) uint64 { return r.HandshakeRate },
			func(took time.Duration) (int, int) { return n / 5, min(n, int(float64(n/5)*(1+took.Seconds()))+1) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := row.cfg
			cfg.Network = "tcp4"
			srv := startServer(t, cfg, serveEcho)
			all, took := storm(t, srv, n)
			granted := 0
			for _, a := range all {
				switch {
				case a.err != nil:
					t.Error(a.err)
				case a.status == 101:
					granted++
				case a.status != row.status || a.header.Get("Retry-After") == "" || a.body != row.reason+"\n":
					t.Errorf("answered with %d, %v, %q", a.status, a.header, a.body)
				}
				if t.Failed() {
					break
				}
			}
			refused := n - granted
			if least, most := row.granted(took); granted < least || granted > most {
				t.Errorf("%d of %d were let in within %v, want %d to %d", granted, n, took, least, most)
			}
			want := map[Outcome]uint64{OutcomeGranted: uint64(granted), Outcome(row.status): uint64(refused)}
			settle(t, srv, "counts that agree", func(s Stats) bool {
				return s.Accepted == uint64(n) && s.Connections == granted && s.WebSockets == granted && row.refused(s.Refused) == uint64(refused) &&
					s.Handshakes[OutcomeGranted] == want[OutcomeGranted] && s.Handshakes[Outcome(row.status)] == want[Outcome(row.status)]
			})
			t.Logf("%d let in, %d refused", granted, refused)
			for _, a := range all {
				if a.status != 101 {
					continue
				}
				if err := a.echo(codec.OpText, "let in"); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range all {
				if a.testClient != nil {
					_ = a.Close()
				}
			}
			settled(t, srv)
		})
	}
}

// stormAnswer is what became of one client. Those that were let in are open.
type stormAnswer struct {
	asked
	err error
}

// storm has n clients connect at once.
func storm(t *testing.T, srv *Server, n int) (all []stormAnswer, took time.Duration) {
	t.Helper()
	all = make([]stormAnswer, n)
	start := make(chan struct{})
	var clients sync.WaitGroup
	for i := range all {
		clients.Go(func() {
			<-start
			all[i].asked, all[i].err = stormClient(srv, i)
		})
	}
	began := time.Now()
	close(start)
	clients.Wait()
	return all, time.Since(began)
}

func stormClient(srv *Server, i int) (asked, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%stormSources))}
	conn, err := (&net.Dialer{Timeout: patience, LocalAddr: from}).Dial("tcp4", srv.Addr().String())
	if err != nil {
		return asked{}, err
	}
	a, err := tryAsk(conn, upgradeLines())
	if err != nil || a.status == 101 {
		return a, err
	}
	defer conn.Close() //nolint:errcheck // it was refused
	if length := a.header.Get("Content-Length"); length != fmt.Sprint(len(a.body)) || !strings.HasSuffix(a.body, "\n") {
		return a, fmt.Errorf("refused with %q, of %s bytes", a.body, length)
	}
	if b, err := a.r.ReadByte(); !errors.Is(err, io.EOF) {
		return a, fmt.Errorf("behind the refusal %d, %w", b, err)
	}
	return a, nil
}

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// hearing is an endpoint that keeps what it was asked for.
type hearing struct {
	mu   sync.Mutex
	seen []string
}

func (h *hearing) endpoint(say func(r *engine.Request) string) engine.Endpoint {
	ep := onMessage(echoes)
	ep.Subprotocols = []string{"a0", "a1"}
	ep.Admit = func(r *engine.Request) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.seen = append(h.seen, say(r))
		return nil
	}
	return ep
}

func (h *hearing) sorted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(slices.Values(h.seen))
}

// Each connection has its own number and line, in the URL, the headers and the
// subprotocols; and none of it is in the result.
func TestConnectionsHaveTheirOwnHandshakes(t *testing.T) {
	var h hearing
	url := serve(t, h.endpoint(func(r *engine.Request) string {
		return fmt.Sprintf("%s %s %s %s", r.RawQuery(), r.Header("Authorization"), r.Header("X-Plain"), r.Header("Sec-WebSocket-Protocol"))
	}))
	r := run(t, Echo{
		Target: Target{
			URL:          url + "?room={i%2}&token={line}",
			Header:       http.Header{"Authorization": {"Bearer {line}"}, "X-Plain": {`{"n":{i}}`}},
			Subprotocols: []string{"a{i%2}"},
			Lines:        []string{"secret/0", "secret+1 A", "secret&2"},
		},
		Conns: 4, InFlight: 1, Duration: 100 * time.Millisecond,
	})
	want := []string{
		`room=0&token=secret%262 Bearer secret&2 {"n":2} a0`,
		`room=0&token=secret%2F0 Bearer secret/0 {"n":0} a0`,
		`room=1&token=secret%2B1%20A Bearer secret+1 A {"n":1} a1`,
		`room=1&token=secret%2F0 Bearer secret/0 {"n":3} a1`,
	}
	if got := h.sorted(); !slices.Equal(got, want) {
		t.Errorf("the server has seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b, err := json.Marshal(r); err != nil || strings.Contains(string(b), "secret") || !strings.Contains(string(b), "{line}") {
		t.Errorf("the result has secrets, or not the template: %v %s", err, b)
	}
}

// What goes wrong with a connection is told without its secrets.
func TestErrorsHaveNoSecrets(t *testing.T) {
	for _, url := range []string{
		"ws://user:secret@127.0.0.1:1/?a={line}",
		"ws://user:secret@127.0.0.1:x/?a={line}",
		"ws://user:secret@127.0.0.1:1/%?a={line}",
		"http://user:secret@127.0.0.1:1/%20?a={line}",
	} {
		p := Echo{Target: Target{URL: url, Lines: []string{"secret"}}, Sizes: Sizes{Min: 20, Max: 20}, Conns: 1, Duration: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := p.Run(ctx, nil)
		cancel()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a socket")
	srv, err := engine.New(engine.Config{Network: "unix", Addr: path, Loops: 1, Logger: slog.New(slog.DiscardHandler), ShutdownTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var h hearing
	srv.Handle("/at", h.endpoint(func(r *engine.Request) string { return r.Path() + "?" + r.RawQuery() }))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Run(ctx) }()
	<-srv.Ready()
	t.Cleanup(func() { cancel(); <-done })
	for _, url := range []string{"ws+unix:" + path + ":/at?q={i}", "ws+unix://" + path + ":/at?q={i}"} {
		r := run(t, Echo{Target: Target{URL: url}, Conns: 2, InFlight: 1, Duration: 100 * time.Millisecond})
		if r.Counts.Errors() != 0 || r.Counts.Received == 0 || r.URL != url {
			t.Errorf("%s: %+v of %s", url, r.Counts, r.URL)
		}
	}
	if got, want := h.sorted(), []string{"/at?q=0", "/at?q=0", "/at?q=1", "/at?q=1"}; !slices.Equal(got, want) {
		t.Errorf("the server has seen %q", got)
	}
}

func TestSocketAndPath(t *testing.T) {
	for url, want := range map[string][2]string{
		"ws+unix:/run/x.sock:/a?b=c:d": {"/run/x.sock", "ws://localhost/a?b=c:d"},
		"ws+unix:///run/x.sock:/a":     {"/run/x.sock", "ws://localhost/a"},
		"wss+unix:./x{i}.sock:":        {"./x7.sock", "wss://localhost/"},
		"ws+unix:@abstract":            {"@abstract", "ws://localhost/"},
		"ws+unix:/{line}:/{line}":      {"/a b", "ws://localhost/a%20b"},
	} {
		target := Target{URL: url, Lines: []string{"a b"}}
		if err := target.check(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if name, _ := target.socket(7); name != want[0] || target.at(7) != want[1] {
			t.Errorf("%s is %q and %q", url, name, target.at(7))
		}
	}
}

func TestTargetsAreChecked(t *testing.T) {
	proxy := http.ProxyFromEnvironment
	for want, target := range map[string]Target{
		"no ws:// or wss://":              {URL: "http+unix:/x:/"},
		"names no unix socket":            {URL: "ws+unix::/x"},
		"at most 107 bytes, and this has": {URL: "ws+unix:/" + strings.Repeat("x", 107)},
		"not connected to from an":        {URL: "ws+unix:/x", LocalAddrs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		"not connected to through a":      {URL: "ws+unix:/x", Proxy: proxy},
		"no lines for {line}":             {URL: "ws://h/", Header: http.Header{"A": {"{line}"}}},
		"divided by 0":                    {URL: "ws://h/", Subprotocols: []string{"{i%0}"}},
		"line 2 for {line} is empty":      {URL: "ws://h/", Lines: []string{"a", ""}},
		"has control characters":          {URL: "ws://h/", Header: http.Header{"A": {"a\nb"}}},
		"cannot be the name of a header":  {URL: "ws://h/", Header: http.Header{"A B": {"a"}}},
		"made of the subprotocols":        {URL: "ws://h/", Header: http.Header{"Sec-Websocket-Protocol": {"a"}}},
		"made of what is offered":         {URL: "ws://h/", Header: http.Header{"Sec-Websocket-Extensions": {"a"}}},
		"is made for each handshake":      {URL: "ws://h/", Header: http.Header{"Upgrade": {"a"}}},
		"no address of this machine":      {URL: "ws://h/", LocalAddrs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(203, 0, 113, 1)}},
		"one is IPv4, the other IPv6":     {URL: "ws://[::1]/", LocalAddrs: []net.IP{net.IPv4(127, 0, 0, 1)}},
	} {
		if err := target.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", target, err, want)
		}
	}
}

// A line is hidden in whatever Dial says, wherever the target has it.
func TestDialErrorsHaveNoLines(t *testing.T) {
	target := &Target{URL: "ws://{line}.example/?t={line}", Lines: []string{"Secret Token", "Other&Token"}}
	for i, host := range []string{"Secret%20Token.example", "other&token.example"} {
		inner := &net.DNSError{Err: "no such host", Name: host}
		err := &dialError{fmt.Errorf("engine: dial ws://%s/?t=%s: %w", host, escapeLine(target.Lines[i]), inner), target, i}
		if got := err.Error(); got != "ws://{line}.example/?t={line}: lookup {line}.example: no such host" {
			t.Error(got)
		}
		if got := reason(err); got != "lookup {line}.example: no such host" {
			t.Error(got)
		}
	}
	target.Lines = []string{"secret", ""}
	for i, want := range []string{"{line} is no { line }", "secret is no { line }"} {
		if got := target.conceal(i, "secret is no {line}"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f, err := newFleet(&Target{URL: "ws://127.0.0.1:1/?t={line}", Lines: []string{"secret"}}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.Close()
	_, err = f.dial(t.Context(), 0, time.Now(), engine.HandlerFuncs{})
	if err == nil || strings.Contains(err.Error()+f.last.Error(), "secret") || kindOf(err) != refusedByTCP {
		t.Errorf("%v, %v", err, f.last)
	}
}

// A server that says again what it was sent tells no secret of the connection, nor a
// beginning of one where its words end.
func TestServersTellNoSecrets(t *testing.T) {
	long := strings.Repeat("eyJhbGciOiJIUzI1NiJ9.", 20)
	target := &Target{
		Lines: []string{long, "tok/2"},
		Header: http.Header{
			"Authorization": {"Bearer sk-0123456789"}, "Cookie": {"lang=en; sid=feedfacef00d"}, "X-Api-Key": {"key-for-{i}"},
			"Origin": {"http://a.example"},
		},
	}
	for _, c := range []struct {
		i          int
		text, want string
	}{
		{0, "no token " + long + " here", "no token {line} here"},
		{0, ("no token " + long)[:123], "no token {line}"},
		{0, "it begins with eyJ", "it begins with eyJ"},
		{1, "neither tok/2 nor tok%2F2", "neither {line} nor {line}"},
		{1, "Bearer sk-0123456789 is over", "Bearer {header} is over"},
		{1, "is over: sk-0123456", "is over: {header}"},
		{1, "sid=feedfacef00d in en", "sid={header} in en"},
		{1, "neither key-for-1 nor key-for-2", "neither {header} nor key-for-2"},
		{1, "not from http://a.example", "not from http://a.example"},
		{1, "not {line}, {header}", "not { line }, { header }"},
	} {
		if got := target.conceal(c.i, c.text); got != c.want {
			t.Errorf("%q became %q, want %q", c.text, got, c.want)
		}
	}
}

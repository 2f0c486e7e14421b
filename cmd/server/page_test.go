package main

import (
	"bufio"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, addr, method, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestPages(t *testing.T) {
	addr := startServer(t, nil)
	for _, tt := range []struct {
		method, path string
		status       int
		contentType  string
		says         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<title>Headrace</title>"},
		{"GET", "/style.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"GET", "/console/main.js", 200, "text/javascript; charset=utf-8", "new WebSocket("},
		{"GET", "/views.js", 200, "text/javascript; charset=utf-8", "hashchange"},
		{"GET", "/board/socket.js", 200, "text/javascript; charset=utf-8", "new WebSocketStream("},
		{"GET", "/icon.svg", 200, "image/svg+xml", "<svg"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"GET", "/healthz", 200, "text/plain; charset=utf-8", "ok\n"},
		{"GET", "/readyz", 200, "text/plain; charset=utf-8", "ready\n"},
		{"GET", "/metrics", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/debug/pprof/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/echo", 426, "text/plain; charset=utf-8", "/echo speaks WebSocket"},
		{"GET", "/hello?x=1", 426, "text/plain; charset=utf-8", "/hello speaks WebSocket"},
		{"GET", "/ws/chat", 426, "text/plain; charset=utf-8", "/ws/chat speaks WebSocket"},
		{"GET", "/board", 301, "text/html; charset=utf-8", `href="/#ticks"`},
		{"GET", "/board?websocket", 301, "text/html; charset=utf-8", `href="/?websocket#ticks"`},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/board/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/page/", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/ws", 404, "text/plain; charset=utf-8", "not found"},
		{"GET", "/echo/", 404, "text/plain; charset=utf-8", "not found"},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
	} {
		res, body := get(t, addr, tt.method, tt.path)
		h := res.Header
		if res.StatusCode != tt.status || h.Get("Content-Type") != tt.contentType || !strings.Contains(body, tt.says) {
			t.Errorf("%s %s: %d, %q, %.100q; want %d, %q, %q",
				tt.method, tt.path, res.StatusCode, h.Get("Content-Type"), body, tt.status, tt.contentType, tt.says)
		}
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: its headers lack the policy: %v", tt.method, tt.path, h)
		}
		if tt.status == 426 && (h.Get("Upgrade") != "websocket" || h.Get("Sec-Websocket-Version") != "13") {
			t.Errorf("%s %s: 426 must say what to upgrade to: %v", tt.method, tt.path, h)
		}
	}
}

// Whoever opens the page of a server that has ticks sees them move.
func TestTicksComeFirst(t *testing.T) {
	for want, market := range map[string]demo{consoleFirst: {}, ticksFirst: demoDefaults} {
		addr := startServer(t, func(o *options) { o.feed.demo = market })
		_, body := get(t, addr, "GET", "/")
		if n := strings.Count(body, "data-view="); n != 1 || !strings.Contains(body, want) {
			t.Errorf("with the market %+v the page lacks %s, or has another: %d", market, want, n)
		}
	}
	addr, hub := startFeed(t, nil)
	for _, tt := range []struct{ topic, want string }{{"room.ticks", consoleFirst}, {"ticks.acme", ticksFirst}} {
		publish(t, hub, tt.topic, "", `1`)
		if _, body := get(t, addr, "GET", "/"); !strings.Contains(body, tt.want) {
			t.Errorf("when %s is published the page lacks %s", tt.topic, tt.want)
		}
	}
}

// A WebSocket handshake for a path that is none.
func TestHandshakeElsewhere(t *testing.T) {
	addr := startServer(t, nil)
	for path, want := range map[string]int{"/": 200, "/nothing": 404} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", path, res, err, want)
		}
	}
}

func TestPolicyIsStrict(t *testing.T) {
	if !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Error("what is not named must be forbidden")
	}
	for _, loose := range []string{"unsafe", "*", "http", "ws:", "data:"} {
		if strings.Contains(policy, loose) {
			t.Errorf("the policy has %q", loose)
		}
	}
}

// The page works without a network: nothing in it comes from elsewhere, and
// nothing in it needs the policy loosened.
func TestAssetsAreOwn(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(?:https?|wss?):[/]{2}[a-z0-9]|(?:src|href)="//|url\(|@import`)
	inline := regexp.MustCompile(`(?i)<style|<script>|\sstyle=|\son[a-z]+=|javascript:`)
	files := 0
	err := fs.WalkDir(pageFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := pageFiles.ReadFile(name)
		text := strings.ReplaceAll(string(b), `xmlns="http://www.w3.org/2000/svg"`, "")
		if m := outside.FindString(text); m != "" {
			t.Errorf("%s refers to the outside: %q", name, m)
		}
		if m := inline.FindString(text); m != "" && strings.HasSuffix(name, ".html") {
			t.Errorf("%s has %q, which the policy forbids", name, m)
		}
		return err
	})
	if served := len(assets) + 1; err != nil || files != served { // and indexFile
		t.Errorf("%d files are embedded, %d are served: %v", files, served, err)
	}
}

// What the page and its modules load is there.
func TestAssetsAreLinked(t *testing.T) {
	addr := startServer(t, nil)
	assets := append([]struct{ pattern, file, contentType string }{{"GET /", indexFile, htmlType}}, assets...)
	link := regexp.MustCompile(`(?:src|href|from)[= ]"([^"]+)"`)
	for _, a := range assets {
		b, err := pageFiles.ReadFile(a.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			to, _, _ := strings.Cut(m[1], "#")
			if !path.IsAbs(to) {
				to = path.Join(path.Dir(strings.TrimPrefix(a.pattern, "GET ")), to)
			}
			if res, _ := get(t, addr, "GET", to); res.StatusCode != 200 {
				t.Errorf("%s leads to %s: %d", a.file, to, res.StatusCode)
			}
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// with gives the defaults with a change.
func with(change func(*options)) options {
	o := defaults()
	change(&o)
	return o
}

// sameOptions compares options, without where they come from.
func sameOptions(a, b options) bool {
	a.from, b.from = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestEverySettingByFlag(t *testing.T) {
	for _, tt := range []struct {
		args string
		want options
	}{
		{"", defaults()},
		{"--addr :9000", with(func(o *options) { o.addrs = []string{":9000"} })},
		{"--addr=[::1]:0 --addr :80 --loops 3", with(func(o *options) { o.addrs, o.config.Loops = []string{"[::1]:0", ":80"}, 3 })},
		{"--internal-addr :9", with(func(o *options) { o.internalAddr = ":9" })},
		{"--loops auto --max-conns 5", with(func(o *options) { o.config.MaxConns = 5 })},
		{"--max-message 16MiB", with(func(o *options) { o.endpoint.MaxMessage = 16 << 20 })},
		{"--max-frames 7", with(func(o *options) { o.endpoint.MaxFrames = 7 })},
		{"--max-queue 64KiB --when-full drop-oldest", with(func(o *options) { o.endpoint.MaxQueue, o.whenFull = 64<<10, "drop-oldest" })},
		{"--max-queue 5 --max-queue auto", defaults()},
		{"--max-tls-handshakes 9 --max-handshake-bytes 1KiB", with(func(o *options) {
			o.config.MaxTLSHandshakes, o.config.MaxHandshakeBytes = 9, 1<<10
		})},
		{"--handshake-timeout 1s --stall-timeout 2s --close-timeout 3s --shutdown-timeout 4s", with(func(o *options) {
			c := &o.config
			c.HandshakeTimeout, c.StallTimeout, c.CloseTimeout, c.ShutdownTimeout = time.Second, 2*time.Second, 3*time.Second, 4*time.Second
		})},
		{"--ping-interval 1m30s --pong-timeout 5s --idle-timeout 1h --max-age 24h", with(func(o *options) {
			e := &o.endpoint
			e.PingInterval, e.PongTimeout, e.IdleTimeout, e.MaxAge = 90*time.Second, 5*time.Second, time.Hour, 24*time.Hour
		})},
		{"--ping-interval 0", with(func(o *options) { o.endpoint.PingInterval = -1 })},
		{"--drain-window 2s --drain-code 1012", with(func(o *options) {
			o.config.DrainWindow, o.config.DrainCode = 2*time.Second, engine.CloseServiceRestart
		})},
		{"--drain-delay 5s", with(func(o *options) { o.drainDelay = 5 * time.Second })},
		{"--drain-window 0s", with(func(o *options) { o.config.DrainWindow = -1 })},
		{"--drain-window auto", defaults()},
		{"--allow-origin https://Example.com --allow-origin *", with(func(o *options) {
			o.endpoint.Origins = []string{"https://example.com", "*"}
		})},
		{"--log-level debug --log-format json", with(func(o *options) { o.logLevel, o.logFormat = slog.LevelDebug, "json" })},
		{"--tls-cert c.pem --tls-key k.pem", with(func(o *options) { o.tlsCert, o.tlsKey = "c.pem", "k.pem" })},
		{"--addr unix:/run/h.sock --unix-mode 0660 --proxy-protocol", with(func(o *options) {
			o.addrs, o.unixMode, o.proxyProto = []string{"unix:/run/h.sock"}, 0o660, true
		})},
		{"--reuse-port", with(func(o *options) { o.config.ReusePort = true })},
		{"--trusted-proxy 10.1.2.3/8 --trusted-proxy ::1 --trusted-proxy ::ffff:1.2.3.4 --forwarded-header Forwarded", with(func(o *options) {
			o.proxies, o.config.ForwardedHeader = []string{"10.0.0.0/8", "::1/128", "1.2.3.4/32"}, "Forwarded"
		})},
		{"--max-conns-per-ip 5 --max-handshake-rate 6 --max-message-rate 7 --max-byte-rate 8KiB --max-control-rate 9", with(func(o *options) {
			o.config.MaxConnsPerIP, o.config.MaxHandshakeRate = 5, 6
			o.endpoint.MaxMessageRate, o.endpoint.MaxByteRate, o.endpoint.MaxControlRate = 7, 8<<10, 9
		})},
		{"--max-control-rate 0", with(func(o *options) { o.endpoint.MaxControlRate = -1 })},
		{"--compression takeover", with(func(o *options) { o.compression = "takeover" })},
		{"--tls-self-signed", with(func(o *options) { o.tlsSelfSigned = true })},
		{"--tls-self-signed=false", defaults()},
		{"--feed-heartbeat 5s --feed-history 0 --feed-max-topics 9 --feed-max-subscriptions 8", with(func(o *options) {
			o.feed.heartbeat, o.feed.history, o.feed.maxTopics, o.feed.maxSubscriptions = 5*time.Second, pubsub.NoHistory, 9, 8
		})},
		{"--feed-heartbeat 0 --feed-publish room.* --feed-publish a.b.>", with(func(o *options) {
			o.feed.heartbeat, o.feed.publish = 0, []string{"room.*", "a.b.>"}
		})},
		{"--publish-token s3cret== --internal-addr :9", with(func(o *options) { o.feed.publishToken, o.internalAddr = "s3cret==", ":9" })},
		{"--publish-token-file /run/t --internal-addr :9", with(func(o *options) { o.feed.publishTokenFile, o.internalAddr = "/run/t", ":9" })},
		{"--demo-ticks symbols=5,rate=10", with(func(o *options) { o.feed.demo = demo{5, 10} })},
		{"--demo-ticks symbols=5 --demo-ticks=", defaults()},
	} {
		got, _, err := load(strings.Fields(tt.args), nil)
		if err != nil || !sameOptions(got, tt.want) {
			t.Errorf("%q gives %+v, %v; want %+v", tt.args, got, err, tt.want)
		}
	}
}

func TestCommands(t *testing.T) {
	for args, want := range map[string]command{
		"":                              {},
		"--version":                     {version: true},
		"--check-config":                {checkConfig: true},
		"--print-config --loops 1":      {printConfig: true},
		"--config=/dev/null":            {file: "/dev/null"},
		"--config a --config /dev/null": {file: "/dev/null"},
	} {
		if _, got, err := load(strings.Fields(args), nil); err != nil || got != want {
			t.Errorf("%q gives %+v, %v; want %+v", args, got, err, want)
		}
	}
	if _, _, err := load([]string{"--help"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help gives %v", err)
	}
}

// writeConfig writes a file of settings.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedence(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        []string
		args       string
		loops      int
		origins    []string
	}{
		{"nothing", "", nil, "", 0, nil},
		{"file", "loops: 1\nallow-origin: [https://f.example, \"*\"]", nil, "", 1, []string{"https://f.example", "*"}},
		{"file, one for a list", "allow-origin: https://f.example", nil, "", 0, []string{"https://f.example"}},
		{"env", "", []string{"HEADRACE_LOOPS=2", "HEADRACE_ALLOW_ORIGIN=https://e.example, *"}, "", 2, []string{"https://e.example", "*"}},
		{"env over file", "loops: 1\nallow-origin: ['*']", []string{"HEADRACE_LOOPS=2", "HEADRACE_ALLOW_ORIGIN=https://e.example"}, "", 2, []string{"https://e.example"}},
		{"flag over env", "", []string{"HEADRACE_LOOPS=2", "HEADRACE_ALLOW_ORIGIN=*"}, "--loops 3 --allow-origin https://g.example", 3, []string{"https://g.example"}},
		{"flag over file", "loops: 1\nallow-origin: ['*']", nil, "--loops 3 --allow-origin https://g.example", 3, []string{"https://g.example"}},
		{"flag over both", "loops: 1", []string{"HEADRACE_LOOPS=2"}, "--loops 3", 3, nil},
		{"each from another", "loops: 1", []string{"HEADRACE_ALLOW_ORIGIN=*"}, "--max-conns 4", 1, []string{"*"}},
		{"an empty list over another", "allow-origin: ['*']", []string{"HEADRACE_ALLOW_ORIGIN="}, "", 0, nil},
		{"an empty list in the file", "allow-origin: []", nil, "", 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeConfig(t, tt.file)
			byFlag, _, err := load(append(strings.Fields(tt.args), "--config", file), tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if byFlag.config.Loops != tt.loops || !reflect.DeepEqual(byFlag.endpoint.Origins, tt.origins) {
				t.Errorf("loops %d, origins %q; want %d, %q", byFlag.config.Loops, byFlag.endpoint.Origins, tt.loops, tt.origins)
			}
			byEnv, _, err := load(strings.Fields(tt.args), append(tt.env, "HEADRACE_CONFIG="+file))
			if err != nil || !reflect.DeepEqual(byEnv, byFlag) {
				t.Errorf("with HEADRACE_CONFIG it gives %+v, %v", byEnv, err)
			}
		})
	}
	file := writeConfig(t, "loops: 5")
	if o, _, err := load([]string{"--config", file}, []string{"HEADRACE_CONFIG=/nonexistent"}); err != nil || o.config.Loops != 5 {
		t.Errorf("--config does not win over HEADRACE_CONFIG: %+v, %v", o, err)
	}
}

// What other programs' variables say is not ours, nor what Kubernetes says of a
// service that has our name.
func TestEnvironOfOthers(t *testing.T) {
	o, _, err := load(nil, []string{
		"PATH=/bin", "LOOPS=7", "headrace_loops=7", "HEADRACES=1", "=C:=x",
		"HEADRACE_SERVICE_HOST=10.0.0.1", "HEADRACE_SERVICE_PORT=80", "HEADRACE_SERVICE_PORT_HTTP=80",
		"HEADRACE_PORT=tcp://10.0.0.1:80", "HEADRACE_PORT_80_TCP=tcp://10.0.0.1:80", "HEADRACE_PORT_80_TCP_ADDR=10.0.0.1",
		"HEADRACE_SERVER_SERVICE_HOST=10.0.0.1", "HEADRACE_SERVER_PORT_80_TCP_PROTO=tcp",
	})
	if err != nil || !sameOptions(o, defaults()) {
		t.Errorf("it gives %+v, %v", o, err)
	}
}

func TestRefusesFlags(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"--adr x", "unknown flag --adr; did you mean --addr?"},
		{"--zzz x", "unknown flag --zzz"},
		{"--addr", "there is no value after --addr"},
		{"--addr localhost", `--addr localhost: it must be host:port`},
		{"--addr :http", "it must be host:port"},
		{"--addr :65536", "it must be host:port"},
		{"--addr :80 --addr x", "--addr x: it must be host:port"},
		{"--addr unix:", "it must be host:port, such as localhost:8080 or :8080, or unix:/path"},
		{"--unix-mode 0888", "--unix-mode 0888: it must be permissions in octal"},
		{"--unix-mode 01777", "it must be permissions in octal"},
		{"--trusted-proxy example.com", "--trusted-proxy example.com: it must be a network such as 10.0.0.0/8"},
		{"--trusted-proxy ::ffff:1.2.3.4/100", "it must be a network"},
		{"--forwarded-header X-Real-IP", "it must be X-Forwarded-For or Forwarded"},
		{"--max-byte-rate 2GiB", "--max-byte-rate 2GiB: it must be a size from 0 to"},
		{"--internal-addr x", "--internal-addr x: it must be host:port"},
		{"--loops many", `--loops many: it must be a number from 0 to 256, or auto`},
		{"--loops -1", "from 0 to 256"},
		{"--loops 257", "from 0 to 256"},
		{"--max-conns -1", "--max-conns -1: it must be a number from 0 to"},
		{"--max-frames 0", "--max-frames 0: it must be a number from 1 to"},
		{"--max-frames auto", "--max-frames auto: it must be a number from 1 to"},
		{"--max-message 0", `--max-message 0: it must be a size from 1 to 1GiB`},
		{"--max-message 2GiB", "a size from 1 to 1GiB"},
		{"--max-message 1MB", "a size from 1 to 1GiB"},
		{"--max-message auto", "a size from 1 to 1GiB"},
		{"--max-queue 0", "--max-queue 0: it must be a size from 1 to 1GiB, such as 65536, 64KiB or 1MiB, or auto"},
		{"--max-handshake-bytes 511", "--max-handshake-bytes 511: it must be a size from 512 to 1MiB"},
		{"--handshake-timeout 0", "--handshake-timeout 0: it must be a time such as 500ms, 10s or 1h30m, more than 0, and at most 8760h"},
		{"--handshake-timeout 10", "it must be a time"},
		{"--ping-interval 21m", "--ping-interval 21m: it must be a time such as 500ms, 10s or 1h30m, at most 20m"},
		{"--max-age -1s", "--max-age -1s: it must be a time"},
		{"--max-age auto", "--max-age auto: it must be a time"},
		{"--drain-window soon", "--drain-window soon: it must be a time such as 500ms, 10s or 1h30m, at most 8760h, or auto"},
		{"--drain-delay 2h", "--drain-delay 2h: it must be a time such as 500ms, 10s or 1h30m, at most 1h"},
		{"--drain-window 8s", "drain-window 8s (--drain-window) must be shorter than shutdown-timeout 8s (the default)"},
		{"--close-timeout 9s", "close-timeout 9s (--close-timeout) must not be longer than shutdown-timeout 8s (the default)"},
		{"--drain-code 1000", "--drain-code 1000: it must be 1001 or 1012"},
		{"--when-full ask", "--when-full ask: it must be close, drop-newest or drop-oldest"},
		{"--allow-origin example.com", "it must be scheme://host[:port]"},
		{"--allow-origin https://example.com/", "it must be scheme://host[:port]"},
		{"--allow-origin https://user@example.com", "it must be scheme://host[:port]"},
		{"--log-level loud", "--log-level loud: it must be debug, info, warn or error"},
		{"--log-format xml", "--log-format xml: it must be text or json"},
		{"--version=maybe", `invalid value "maybe" for --version: it takes no value`},
		{"--tls-self-signed=maybe", "--tls-self-signed maybe: it must be true or false"},
		{"--compression best", "it must be off, history, takeover, single or full"},
		{"--tls-cert c.pem", "tls-cert c.pem (--tls-cert) needs tls-key"},
		{"--tls-key k.pem", "tls-key k.pem (--tls-key) needs tls-cert"},
		{"--tls-cert c.pem --tls-key k.pem --tls-self-signed", "leave it out, or tls-cert c.pem (--tls-cert) with its key"},
		{"--feed-heartbeat -1s", "--feed-heartbeat -1s: it must be a time"},
		{"--feed-history -1", "--feed-history -1: it must be a number from 0 to"},
		{"--feed-max-topics 0", "--feed-max-topics 0: it must be a number from 1 to"},
		{"--feed-max-subscriptions 0", "--feed-max-subscriptions 0: it must be a number from 1 to"},
		{"--feed-publish a..b", "--feed-publish a..b: it must be a topic or a pattern"},
		{"--feed-publish >.a", "it must be a topic or a pattern"},
		{"--feed-publish=", `--feed-publish "": it must be a topic or a pattern`},
		{"--publish-token t", "publish-token (set) (--publish-token) has no effect without internal-addr"},
		{"--publish-token-file f", "publish-token-file f (--publish-token-file) has no effect without internal-addr"},
		{"--internal-addr :9 --publish-token t --publish-token-file f", "leave one out"},
		{"--demo-ticks symbols=1001", "--demo-ticks symbols=1001: it must be such as symbols=50,rate=2000"},
		{"serve", `unexpected argument "serve"`},
	} {
		_, _, err := load(strings.Fields(tt.args), nil)
		wantLine(t, tt.args, err, tt.says)
	}
}

func TestRefusesEnviron(t *testing.T) {
	for _, tt := range []struct{ env, says string }{
		{"HEADRACE_LOOPS=many", "HEADRACE_LOOPS=many: it must be a number from 0 to 256"},
		{"HEADRACE_LOOPS=", `HEADRACE_LOOPS="": it must be a number`},
		{"HEADRACE_LOOPS=1,2", "HEADRACE_LOOPS=1,2: it must be a number"},
		{"HEADRACE_LOPS=1", "HEADRACE_LOPS: there is no such setting"},
		{"HEADRACE_=1", "HEADRACE_: there is no such setting"},
		{"HEADRACE_loops=1", "HEADRACE_loops: there is no such setting"},
		{"HEADRACE_MAX-CONNS=1", "HEADRACE_MAX-CONNS: there is no such setting"},
		{"HEADRACE_ALLOW_ORIGIN=*, x", "HEADRACE_ALLOW_ORIGIN=x: it must be scheme://host[:port]"},
		{"HEADRACE_TLS_SELF_SIGNED=1", "HEADRACE_TLS_SELF_SIGNED=1: it must be true or false"},
		{"HEADRACE_CONFIG=/nonexistent", "HEADRACE_CONFIG=/nonexistent: the file cannot be read: no such file"},
		{"HEADRACE_ADDR=", "addr (HEADRACE_ADDR) is empty: name at least one"},
	} {
		_, _, err := load(nil, []string{tt.env})
		wantLine(t, tt.env, err, tt.says)
	}
	_, _, err := load([]string{"--loops", "1"}, []string{"HEADRACE_LOOPS=many"})
	wantLine(t, "a bad variable under a good flag", err, "HEADRACE_LOOPS=many")
}

func TestRefusesFile(t *testing.T) {
	for _, tt := range []struct{ file, says string }{
		{"loops: 1\n\n# and\nlops: 2", "server.yaml:4: unknown key lops"},
		{"loops: many", "server.yaml:1: loops: many: it must be a number from 0 to 256"},
		{"loops: 1.5", "server.yaml:1: loops: 1.5: it must be a number"},
		{"loops: ''", `server.yaml:1: loops: "": it must be a number`},
		{"max-conns: 1\nloops:", "server.yaml:2: loops: it has no value; write one, or leave the line out"},
		{"loops: [1]", "server.yaml:1: loops: it takes one value, not a list"},
		{"loops: {n: 1}", "server.yaml:1: loops: it must be a plain value"},
		{"allow-origin:\n  - '*'\n  - [x]", "server.yaml:3: allow-origin: it must be a plain value"},
		{"allow-origin:\n  - '*'\n  - x", "server.yaml:1: allow-origin: x: it must be scheme://host[:port]"},
		{"loops: 1\nmax-conns: 1\nloops: 2", "server.yaml:3: loops: it is in line 1 already; leave one out"},
		{"loops: &n 1\nmax-conns: *n", "it must be a plain value"},
		{"<<: {loops: 1}", "unknown key"},
		{"- loops", "server.yaml:1: it must be one mapping"},
		{"loops", "server.yaml:1: it must be one mapping"},
		{"loops: 1\n---\nloops: 2", "server.yaml:3: it must be one mapping"},
		{"loops: \"1", "server.yaml:1: "},
		{"tls-self-signed: yes", "server.yaml:1: tls-self-signed: yes: it must be true or false"},
		{"config: other.yaml", "server.yaml:1: unknown key config"},
	} {
		_, _, err := load([]string{"--config", writeConfig(t, tt.file)}, nil)
		wantLine(t, tt.file, err, tt.says)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "null\n"} {
		if o, _, err := load([]string{"--config", writeConfig(t, empty)}, nil); err != nil || !sameOptions(o, defaults()) {
			t.Errorf("the file %q gives %v", empty, err)
		}
	}
}

// wantLine wants an error of one line with these words.
func wantLine(t *testing.T, given string, err error, says string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%q is accepted", given)
	case !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n"):
		t.Errorf("%q: %q; want one line with %q", given, err, says)
	}
}

// What --print-config prints is a file that says the same.
func TestPrintConfigRoundTrip(t *testing.T) {
	for _, args := range []string{
		"",
		"--addr [::1]:0 --addr :80 --internal-addr localhost:9 --loops 3 --max-conns 7 --allow-origin * --allow-origin https://a.example:8443",
		"--addr unix:/a:b --unix-mode 0600 --proxy-protocol --trusted-proxy ::/0 --trusted-proxy 10.0.0.1 --forwarded-header Forwarded",
		"--reuse-port --max-conns-per-ip 5 --max-handshake-rate 6 --max-message-rate 7 --max-byte-rate 8KiB --max-control-rate 0",
		"--tls-cert /a/ä#b:.pem --tls-key true --compression full --max-message 1000 --max-queue 64KiB --when-full drop-newest",
		"--ping-interval 0 --max-age 1h30m --idle-timeout 1m0.5s --drain-window 0 --drain-code 1012 --log-level warn --log-format json",
		"--tls-self-signed --drain-delay 1s --drain-window 1ns --handshake-timeout 90m --stall-timeout 60s",
	} {
		o, _, err := load(strings.Fields(args), nil)
		if err != nil {
			t.Fatal(err)
		}
		var printed, again bytes.Buffer
		printConfig(&printed, &o)
		back, _, err := load([]string{"--config", writeConfig(t, printed.String())}, nil)
		if err != nil || !sameOptions(back, o) {
			t.Errorf("%q is printed as\n%sand read back as %+v, %v", args, &printed, back, err)
		}
		printConfig(&again, &back)
		sources := regexp.MustCompile(`  # .*`)
		if a, b := sources.ReplaceAllString(printed.String(), ""), sources.ReplaceAllString(again.String(), ""); a != b {
			t.Errorf("the second print differs:\n%s\n%s", a, b)
		}
	}
}

// A token is never shown, be it right or wrong, and what stands in its place is none.
func TestTokenIsHidden(t *testing.T) {
	const token = "s3cret"
	var printed bytes.Buffer
	o, _, err := load([]string{"--internal-addr", ":9"}, []string{"HEADRACE_PUBLISH_TOKEN=" + token})
	if err != nil {
		t.Fatal(err)
	}
	printConfig(&printed, &o)
	if text := printed.String(); strings.Contains(text, token) || !strings.Contains(text, "publish-token: \"(set)\"  # HEADRACE_PUBLISH_TOKEN\n") {
		t.Errorf("it prints\n%s", text)
	}
	_, _, err = load([]string{"--config", writeConfig(t, printed.String())}, nil)
	wantLine(t, "the print as a file", err, "publish-token: (set): it must be of letters")
	_, _, err = load([]string{"--publish-token", token + " !"}, nil)
	wantLine(t, "a bad token", err, "--publish-token (set): it must be of letters")
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestPrintConfigSaysWhere(t *testing.T) {
	file := writeConfig(t, "max-frames: 5\n\nmax-conns: 9")
	o, _, err := load([]string{"--config", file, "--loops", "1"}, []string{"HEADRACE_MAX_QUEUE=2MiB"})
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	printConfig(&printed, &o)
	for _, want := range []string{
		"loops: 1  # --loops\n", "max-queue: 2MiB  # HEADRACE_MAX_QUEUE\n",
		"max-frames: 5  # " + file + ":1\n", "max-conns: 9  # " + file + ":3\n", "stall-timeout: 30s\n",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &printed)
		}
	}
}

// Every default may be given, and changes nothing.
func TestDefaultsAreValid(t *testing.T) {
	o := defaults()
	for i := range settings {
		s := &settings[i]
		v := s.at(&o)
		for _, text := range v.strings() {
			if l, ok := v.(list); ok {
				l.clear()
			}
			if err := v.set(text); err != nil {
				t.Errorf("%s: its default %q: %v", s.name, text, err)
			}
		}
	}
	if !sameOptions(o, defaults()) {
		t.Errorf("setting the defaults gives %+v", o)
	}
	if err := o.check(); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	help := usage()
	for i := range settings {
		if !strings.Contains(help, "  --"+settings[i].name+" ") {
			t.Errorf("--%s is missing", settings[i].name)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > helpWidth+1 {
			t.Errorf("this line is too long: %s", line)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "65536": 65536, "64KiB": 64 << 10, "1MiB": 1 << 20, "1mib": 1 << 20, "1 GiB": 1 << 30, "0": 0,
		"": -1, "MiB": -1, "-1": -1, "+1": -1, "1.5MiB": -1, "1MB": -1, "9223372036854775808": -1, "9007199254740992KiB": -1,
	} {
		n, ok := parseSize(s)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, n, ok, want)
		}
		if back, again := parseSize(formatSize(n)); ok && (!again || back != n) {
			t.Errorf("%d is written as %s", n, formatSize(n))
		}
	}
}

package main

import (
	"errors"
	"flag"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

func TestParseFlags(t *testing.T) {
	for _, tt := range []struct {
		args string
		want options
	}{
		{"", defaults()},
		{"--addr :9000", options{addr: ":9000", maxMessage: 1 << 20}},
		{"--addr=[::1]:0 --loops 3", options{addr: "[::1]:0", loops: 3, maxMessage: 1 << 20}},
		{"--max-message 16MiB", options{addr: "localhost:8080", maxMessage: 16 << 20}},
		{"--allow-origin https://Example.com --allow-origin *", options{
			addr: "localhost:8080", maxMessage: 1 << 20, allowOrigins: []string{"https://example.com", "*"},
		}},
		{"--log-level debug", options{addr: "localhost:8080", maxMessage: 1 << 20, logLevel: slog.LevelDebug}},
		{"--tls-cert c.pem --tls-key k.pem", options{addr: "localhost:8080", maxMessage: 1 << 20, tlsCert: "c.pem", tlsKey: "k.pem"}},
		{"--compression takeover", options{addr: "localhost:8080", maxMessage: 1 << 20, compression: compressions["takeover"]}},
		{"--compression off", options{addr: "localhost:8080", maxMessage: 1 << 20}},
		{"--tls-self-signed", options{addr: "localhost:8080", maxMessage: 1 << 20, tlsSelfSigned: true}},
		{"--version", options{addr: "localhost:8080", maxMessage: 1 << 20, version: true}},
	} {
		got, err := parseFlags(strings.Fields(tt.args))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q gives %+v, %v; want %+v", tt.args, got, err, tt.want)
		}
	}
}

func TestParseFlagsRefuses(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"--adr x", "unknown flag --adr"},
		{"--addr", "there is no value after --addr"},
		{"--addr localhost", `invalid value "localhost" for --addr: it must be host:port`},
		{"--addr :http", "it must be host:port"},
		{"--addr :65536", "it must be host:port"},
		{"--loops many", `invalid value "many" for --loops: it must be a number from 0 to 256`},
		{"--loops -1", "from 0 to 256"},
		{"--loops 257", "from 0 to 256"},
		{"--max-message 0", `invalid value "0" for --max-message: it must be a size from 1 to 1GiB`},
		{"--max-message 2GiB", "a size from 1 to 1GiB"},
		{"--max-message 1MB", "a size from 1 to 1GiB"},
		{"--allow-origin example.com", "it must be scheme://host[:port]"},
		{"--allow-origin https://example.com/", "it must be scheme://host[:port]"},
		{"--allow-origin https://user@example.com", "it must be scheme://host[:port]"},
		{"--log-level loud", "it must be debug, info, warn or error"},
		{"--version=maybe", `invalid value "maybe" for --version: it takes no value`},
		{"--compression best", "it must be off, history, takeover, single or full"},
		{"--tls-cert c.pem", "--tls-cert and --tls-key go together"},
		{"--tls-key k.pem", "--tls-cert and --tls-key go together"},
		{"--tls-cert c.pem --tls-key k.pem --tls-self-signed", "leave --tls-cert and --tls-key out"},
		{"serve", `unexpected argument "serve"`},
	} {
		_, err := parseFlags(strings.Fields(tt.args))
		switch {
		case err == nil:
			t.Errorf("%q is accepted", tt.args)
		case !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: %q; want one line with %q", tt.args, err, tt.says)
		}
	}
	if _, err := parseFlags([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help gives %v", err)
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
	}
}

// The help names every flag.
func TestUsageIsComplete(t *testing.T) {
	for _, name := range []string{"addr", "loops", "max-message", "allow-origin", "compression", "tls-cert", "tls-key", "tls-self-signed", "log-level", "version", "help"} {
		if !strings.Contains(usage, "--"+name) {
			t.Errorf("--%s is missing", name)
		}
	}
}

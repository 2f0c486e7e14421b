package bench

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

func TestAddrs(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.2":               "[127.0.0.2]",
		"127.0.0.254-127.0.1.1":   "[127.0.0.254 127.0.0.255 127.0.1.0 127.0.1.1]",
		"127.0.1.6/30":            "[127.0.1.4 127.0.1.5 127.0.1.6 127.0.1.7]",
		"::1":                     "[::1]",
		"fd00::fe/127, 127.0.0.1": "[fd00::fe fd00::ff 127.0.0.1]",
		"255.255.255.255":         "[255.255.255.255]",
		"0.0.0.0/16":              "",
	} {
		got, err := ParseAddrs(text)
		if err != nil || want != "" && fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                        "no IP address",
		"here":                    "no IP address",
		"127.0.0.2-":              "no IP address",
		"127.0.0.2/33":            "no IP address",
		"fe80::1%lo":              "no IP address",
		"127.0.0.9-127.0.0.2":     "the smaller one",
		"127.0.0.9-::1":           "the smaller one",
		"127.0.0.0/8":             "more than 65536",
		"::/0":                    "more than 65536",
		"127.0.0.0/16, 127.1.0.0": "more than 65536",
	} {
		if _, err := ParseAddrs(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestConnectionsComeFromTheAddressesInTurn(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	url := serve(t, engine.Endpoint{Handler: engine.HandlerFuncs{Message: echoes, Open: func(c *engine.Conn) {
		mu.Lock()
		defer mu.Unlock()
		host, _, _ := net.SplitHostPort(c.Remote().String())
		seen[host]++
	}}})
	addrs, err := ParseAddrs("127.0.0.2-127.0.0.3,127.9.0.0/31")
	if err != nil {
		t.Fatal(err)
	}
	run(t, Echo{Target: Target{URL: url, LocalAddrs: addrs}, Conns: 8, InFlight: 1, Duration: 50 * time.Millisecond})
	mu.Lock()
	defer mu.Unlock()
	for _, ip := range addrs {
		if seen[ip.String()] != 2 {
			t.Errorf("connections come from %v", seen)
		}
	}
}

// More connections than there are ports are refused before the first, with how many
// addresses they need.
func TestPortsAreCounted(t *testing.T) {
	ports, err := localPorts()
	if err != nil {
		t.Skip(err)
	}
	some := func(n int) (all []net.IP) {
		for i := range n {
			all = append(all, net.IPv4(127, 0, 0, byte(i+1)))
		}
		return all
	}
	for _, c := range []struct {
		url   string
		local int
		conns int
		need  int // 0: they suffice
	}{
		{"ws://127.0.0.1/", 0, ports, 0},
		{"ws://127.0.0.1/{i}", 0, ports + 1, 2},
		{"ws://127.0.0.1/", 3, 3 * ports, 0},
		{"ws://127.0.0.1/", 3, 10*ports - 1, 10},
		{"ws://127.0.0.1:808{i%4}/", 0, 4 * ports, 0},
		{"ws://127.0.0.1:808{i%4}/", 0, 4*ports + 1, 2},
		{"ws://127.0.0.1:808{i%4}/", 3, 12 * ports, 0},
		{"ws://127.0.0.1:808{i%4}/", 2, 8 * ports, 3}, // the even ones are never with the odd ones
		{"ws+unix:/x:/", 0, 100 * ports, 0},
	} {
		target := Target{URL: c.url, LocalAddrs: some(c.local)}
		err := target.checkPorts(c.conns)
		if want := fmt.Sprintf("connect from %d addresses", c.need); c.need == 0 && err != nil || c.need > 0 && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

package main

import (
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

// banner is what the start shows: everything that is served, at a glance.
// asked is the first address, whose host reads better than what it came to. s is "s"
// with TLS, as in https and wss, and note is what there is to say about it. internal
// is where metrics are, nil for nowhere.
func banner(asked string, bound net.Addr, s, note string, internal net.Addr) string {
	host := reachable(asked, bound)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", versionLine())
	if bound.Network() == "unix" {
		fmt.Fprintf(&b, "  On the unix socket %s; as curl --unix-socket has it:\n\n", bound)
		host = "localhost"
	}
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "  http%s://%s/\tthe page: try it here\n", s, host)
	for _, r := range routes() {
		fmt.Fprintf(table, "  ws%s://%s%s\t%s\n", s, host, r.path, r.does)
	}
	fmt.Fprintf(table, "  http%s://%s/healthz\tsays ok\n", s, host)
	if internal != nil {
		fmt.Fprintf(table, "  http://%s/metrics\tfor operators: /healthz, /readyz and /debug/pprof too\n", reachable(internal.String(), internal))
	}
	_ = table.Flush() // to a strings.Builder
	if note != "" {
		b.WriteString("\n" + note)
	}
	b.WriteString("\nCtrl-C closes everyone and ends.\n")
	return b.String()
}

// reachable is the host and port to type into a browser on this machine.
func reachable(asked string, bound net.Addr) string {
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return bound.String()
	}
	host, _, _ := net.SplitHostPort(asked)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// versionLine names the program, its version and Go's.
func versionLine() string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("%s %s, %s", program, version, runtime.Version())
}

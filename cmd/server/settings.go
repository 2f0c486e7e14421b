package main

import (
	"strings"

	"github.com/headrace/headrace/engine"
)

// setting is one thing that can be set: as the flag --name, as the environment
// variable HEADRACE_NAME, and as the key name of the file. Flags, variables, keys,
// the help, --print-config and the README's table are made from the table below.
type setting struct {
	name string
	arg  string // what its value is, for the help; "" is a switch
	help string
	at   func(o *options) value // its place
}

// flag and key are how the command line and the file name it.
func (s *setting) flag() string { return "--" + s.name }
func (s *setting) key() string  { return s.name }

// env is the name of its environment variable.
func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// isSwitch says whether the flag may stand without a value.
func (s *setting) isSwitch() bool { return s.arg == "" }

// settings are all settings, in groups of one thought, in the order of the help.
var settings = []setting{
	{
		"addr", "host:port", "where to listen; port 0 takes a free one; unix:/path is a unix socket, without TLS; may be repeated",
		func(o *options) value { return list{&o.addrs, listenAddress} },
	},
	{
		"unix-mode", "mode", "permissions of unix sockets, such as 0660; auto is what the umask gives",
		func(o *options) value { return permissions{&o.unixMode} },
	},
	{
		"reuse-port", "", "lets other processes of the same user listen on the same addresses",
		func(o *options) value { return toggle{&o.config.ReusePort} },
	},
	{
		"internal-addr", "host:port", "where to serve /metrics, /healthz, /readyz and /debug/pprof; empty for nowhere. Not for strangers",
		func(o *options) value { return text{&o.internalAddr, addressOrNone} },
	},
	{
		"loops", "n", "event loops; auto is one per processor, less one",
		func(o *options) value { return number{to: &o.config.Loops, auto: true, most: maxLoops} },
	},
	{
		"max-conns", "n", "connections that may be open at once; one more is answered with 503; auto is what the limit of descriptors allows",
		func(o *options) value { return number{to: &o.config.MaxConns, auto: true, most: 1 << 30} },
	},

	{
		"proxy-protocol", "", "every connection begins with a PROXY header, version 1 or 2, that says for whom it is",
		func(o *options) value { return toggle{&o.proxyProto} },
	},
	{
		"trusted-proxy", "network", "believes the peers of this network, such as 10.0.0.0/8 or ::1, for whom they speak; may be repeated",
		func(o *options) value { return list{&o.proxies, network} },
	},
	{
		"forwarded-header", "name", "where trusted proxies say that: X-Forwarded-For or Forwarded",
		func(o *options) value {
			return choice{&o.config.ForwardedHeader, []string{"X-Forwarded-For", "Forwarded"}}
		},
	},
	{
		"max-conns-per-ip", "n", "connections that one client may have open; one more is answered with 429; 0 for no limit",
		func(o *options) value { return number{to: &o.config.MaxConnsPerIP, most: 1 << 30} },
	},
	{
		"max-handshake-rate", "n", "opening handshakes that may begin in a second; one more is answered with 503; 0 for no limit",
		func(o *options) value { return number{to: &o.config.MaxHandshakeRate, most: maxRate} },
	},

	{
		"tls-cert", "file", "serves wss and https with this certificate (PEM, the chain behind it); read again when the file changes",
		func(o *options) value { return text{&o.tlsCert, anything} },
	},
	{
		"tls-key", "file", "its key (PEM)",
		func(o *options) value { return text{&o.tlsKey, anything} },
	},
	{
		"tls-self-signed", "", "serves wss and https with a certificate made at the start, for localhost and this machine's name; browsers warn of it",
		func(o *options) value { return toggle{&o.tlsSelfSigned} },
	},
	{
		"max-tls-handshakes", "n", "TLS handshakes under way at once; one more is refused",
		func(o *options) value { return number{to: &o.config.MaxTLSHandshakes, least: 1, most: 1 << 20} },
	},

	{
		"allow-origin", "origin", "lets pages of this origin connect too, such as https://example.com, or * for all; may be repeated. Without it only pages that come from this server may",
		func(o *options) value { return list{&o.endpoint.Origins, origin} },
	},
	{
		"handshake-timeout", "time", "from accept to the end of the opening handshake; then it is answered with 408",
		func(o *options) value { return duration{to: &o.config.HandshakeTimeout, least: 1} },
	},
	{
		"max-handshake-bytes", "size", "request line and headers; more is answered with 431",
		func(o *options) value { return size[int]{to: &o.config.MaxHandshakeBytes, least: 512, most: 1 << 20} },
	},

	{
		"max-message", "size", "longest message; a longer one is closed with 1009",
		func(o *options) value { return size[int64]{to: &o.endpoint.MaxMessage, least: 1, most: maxBytes} },
	},
	{
		"max-frames", "n", "frames that one message may have; more are closed with 1008",
		func(o *options) value { return number{to: &o.endpoint.MaxFrames, least: 1, most: 1 << 30} },
	},
	{
		"max-message-rate", "n", "messages that a peer may send in a second; more are closed with 1008; 0 for no limit",
		func(o *options) value { return number{to: &o.endpoint.MaxMessageRate, most: maxRate} },
	},
	{
		"max-byte-rate", "size", "the same for bytes; 0 for no limit",
		func(o *options) value { return size[int]{to: &o.endpoint.MaxByteRate, most: maxRate} },
	},
	{
		"max-control-rate", "n", "the same for pings and pongs; 0 for no limit",
		func(o *options) value { return number{to: &o.endpoint.MaxControlRate, none: -1, most: maxRate} },
	},
	{
		"compression", "mode", "permessage-deflate for clients that offer it: off; history, to the client with a history of 1 KB, from it none; takeover, from it too, with up to 32 KB; single, each message for itself; full, to it with a compressor of 1 MB for each connection",
		func(o *options) value { return choice{&o.compression, compressionModes} },
	},

	{
		"max-queue", "size", "what may wait for a peer that reads slowly; auto is four messages of the greatest size, 1MiB at least",
		func(o *options) value {
			return size[int]{to: &o.endpoint.MaxQueue, auto: true, least: 1, most: maxBytes}
		},
	},
	{
		"when-full", "policy", "what becomes of a message that does not fit: close, the connection with 1013; drop-newest; drop-oldest",
		func(o *options) value { return choice{&o.whenFull, fullPolicyNames} },
	},
	{
		"stall-timeout", "time", "how long a peer may take nothing of what waits for it, or leave a message unfinished",
		func(o *options) value { return duration{to: &o.config.StallTimeout, least: 1} },
	},

	{
		"ping-interval", "time", "silence after which a peer is asked whether it is there; 0 for never",
		func(o *options) value { return duration{to: &o.endpoint.PingInterval, none: -1, most: maxHeartbeat} },
	},
	{
		"pong-timeout", "time", "how long its answer may take; then it is closed with 1011",
		func(o *options) value { return duration{to: &o.endpoint.PongTimeout, least: 1, most: maxHeartbeat} },
	},
	{
		"idle-timeout", "time", "time without a message after which a connection is closed with 1001; 0 for never",
		func(o *options) value { return duration{to: &o.endpoint.IdleTimeout} },
	},
	{
		"max-age", "time", "age at which a connection is closed with 1001, or up to a tenth earlier; 0 for never",
		func(o *options) value { return duration{to: &o.endpoint.MaxAge} },
	},
	{
		"close-timeout", "time", "how long the end of a connection may take; then it is cut",
		func(o *options) value { return duration{to: &o.config.CloseTimeout, least: 1} },
	},

	{
		"drain-delay", "time", "from the signal, when /readyz turns to 503, until new clients are refused and the others closed; comes before shutdown-timeout",
		func(o *options) value { return duration{to: &o.drainDelay, most: maxDelay} },
	},
	{
		"shutdown-timeout", "time", "how long the end of the program may take; then what is left is cut",
		func(o *options) value { return duration{to: &o.config.ShutdownTimeout, least: 1} },
	},
	{
		"drain-window", "time", "over which the end spreads its Close frames; 0 for all at once; auto is a second for every 10000 connections, at most half of shutdown-timeout",
		func(o *options) value { return duration{to: &o.config.DrainWindow, none: -1, auto: true} },
	},
	{
		"drain-code", "code", "close code of the end: 1001, or 1012 with the reason {\"retry_after_ms\":7400}",
		func(o *options) value { return closeCode{&o.config.DrainCode} },
	},

	{
		"log-level", "level", "debug, info, warn or error",
		func(o *options) value { return level{&o.logLevel} },
	},
	{
		"log-format", "format", "text or json",
		func(o *options) value { return choice{&o.logFormat, []string{"text", "json"}} },
	},
}

// settingOf finds a setting by its name.
func settingOf(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	return nil
}

var (
	compressionModes = []string{"off", "history", "takeover", "single", "full"}
	compressions     = map[string]*engine.Compression{
		"off":      nil,
		"history":  {},
		"takeover": {PeerBits: 15},
		"single":   {History: engine.NoHistory},
		"full":     {History: engine.FullHistory, PeerBits: 15},
	}

	fullPolicyNames = []string{"close", "drop-newest", "drop-oldest"}
	fullPolicies    = map[string]engine.FullPolicy{
		"close":       engine.CloseSlow,
		"drop-newest": engine.DropNewest,
		"drop-oldest": engine.DropOldest,
	}
)

package main

import (
	"strings"

	"github.com/headrace/headrace/engine"
	"github.com/headrace/headrace/pubsub"
)

// setting is one thing that can be set: as the flag --name, as the environment
// variable HEADRACE_NAME, and as the key name of the file. Flags, variables, keys,
// the help and --print-config are made from the table below, and so are those of
// README.md and docs/operations.md:
//
//go:generate go test -run TestSettingsAreDocumented . -update
type setting struct {
	name string
	arg  string // what its value is, for the help; "" is a switch
	help string
	why  string                 // why its default is what it is, and when to change it
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
		"Nobody else reaches a server that is only being tried out. In production name the address that clients come to, such as :443, in a container :8080.",
		func(o *options) value { return list{&o.addrs, listenAddress} },
	},
	{
		"unix-mode", "mode", "permissions of unix sockets, such as 0660; auto is what the umask gives",
		"Who may connect is decided by whoever starts the server. Set 0660 for a proxy in front that is another user of the same group.",
		func(o *options) value { return permissions{&o.unixMode} },
	},
	{
		"reuse-port", "", "lets other processes of the same user listen on the same addresses",
		"Without it a second server on the port is told that it is taken, which finds a forgotten one. Set it to start a new version before the old one ends; who waits in the queue of the one that ends is cut.",
		func(o *options) value { return toggle{&o.config.ReusePort} },
	},
	{
		"internal-addr", "host:port", "where to serve /metrics, /healthz, /readyz and /debug/pprof; empty for nowhere. Not for strangers",
		"Metrics and profiles tell strangers too much, so they are nowhere until asked for. Set it in production, to an address that only operators, probes and Prometheus reach.",
		func(o *options) value { return text{&o.internalAddr, addressOrNone} },
	},
	{
		"loops", "n", "event loops; auto is one per processor, less one",
		"One processor is left for all else: TLS handshakes, net/http, the collector of garbage. Fewer leave more of the machine to other programs.",
		func(o *options) value { return number{to: &o.config.Loops, auto: true, most: maxLoops} },
	},
	{
		"max-conns", "n", "connections that may be open at once; one more is answered with 503; auto is what the limit of descriptors allows",
		"A full server answers 503 and never runs out of descriptors: it is RLIMIT_NOFILE less 5 %, or less 64 if that is more, and at most 996148. Set it lower where memory ends first, and for a million and more.",
		func(o *options) value { return number{to: &o.config.MaxConns, auto: true, most: 1 << 30} },
	},

	{
		"proxy-protocol", "", "every connection begins with a PROXY header, version 1 or 2, that says for whom it is",
		"Where nobody writes the header, clients would be cut. Set it behind a proxy that passes TCP on, such as a network load balancer or HAProxy with send-proxy-v2, and name that in trusted-proxy.",
		func(o *options) value { return toggle{&o.proxyProto} },
	},
	{
		"trusted-proxy", "network", "believes the peers of this network, such as 10.0.0.0/8 or ::1, for whom they speak; may be repeated",
		"X-Forwarded-For is anybody's to write. Name the networks of your own proxies and no more: the limits by address rest on it.",
		func(o *options) value { return list{&o.proxies, network} },
	},
	{
		"forwarded-header", "name", "where trusted proxies say that: X-Forwarded-For or Forwarded",
		"It is what nearly all proxies write. Choose Forwarded only where yours writes that: the other one is then not looked at.",
		func(o *options) value {
			return choice{&o.config.ForwardedHeader, []string{"X-Forwarded-For", "Forwarded"}}
		},
	},
	{
		"max-conns-per-ip", "n", "connections that one client may have open; one more is answered with 429; 0 for no limit",
		"An address may be a company, or a proxy that nobody has named. Set it to many times what one client opens, once trusted-proxy is right.",
		func(o *options) value { return number{to: &o.config.MaxConnsPerIP, most: 1 << 30} },
	},
	{
		"max-handshake-rate", "n", "opening handshakes that may begin in a second; one more is answered with 503; 0 for no limit",
		"What a machine bears depends on TLS and on how logins are checked. Set it to that, and a storm of clients that come back is told when to try again instead of slowing down those who are there.",
		func(o *options) value { return number{to: &o.config.MaxHandshakeRate, most: maxRate} },
	},

	{
		"tls-cert", "file", "serves wss and https with this certificate (PEM, the chain behind it); read again when the file changes",
		"Plain is for a proxy in front that ends TLS, or for this machine alone. The file is looked at once a second while handshakes come, so a renewal needs no restart.",
		func(o *options) value { return text{&o.tlsCert, anything} },
	},
	{
		"tls-key", "file", "its key (PEM)",
		"It goes with tls-cert, and is read again with it.",
		func(o *options) value { return text{&o.tlsKey, anything} },
	},
	{
		"tls-self-signed", "", "serves wss and https with a certificate made at the start, for localhost and this machine's name; browsers warn of it",
		"It is for trying out wss: it is valid for 14 days, and every start makes a new one. Not for production.",
		func(o *options) value { return toggle{&o.tlsSelfSigned} },
	},
	{
		"max-tls-handshakes", "n", "TLS handshakes under way at once; one more ends the one that waits longest for its client, or is refused",
		"Each takes 25 to 45 KB, so all of them 45 MB. When all are taken, the one that has waited longest for its client makes room. More let more clients back at once after an outage.",
		func(o *options) value { return number{to: &o.config.MaxTLSHandshakes, least: 1, most: 1 << 20} },
	},

	{
		"allow-origin", "origin", "lets pages of this origin connect too, such as https://example.com, or * for all; may be repeated. Without it only pages that come from this server may",
		"A page of another site could otherwise act with its visitor's cookies (RFC 6455 §10.2). Name the origins of your own pages; * only where cookies don't matter.",
		func(o *options) value { return list{&o.endpoint.Origins, origin} },
	},
	{
		"handshake-timeout", "time", "from accept to the end of the opening handshake; then it is answered with 408",
		"It is enough for a slow phone with TLS, and ends those that connect and say nothing. Shorten it under attack.",
		func(o *options) value { return duration{to: &o.config.HandshakeTimeout, least: 1} },
	},
	{
		"max-handshake-bytes", "size", "request line and headers; more is answered with 431",
		"A browser's request is 1 KB, and its cookies. Raise it for very large cookies or tokens: a connection in its handshake may take as much.",
		func(o *options) value { return size[int]{to: &o.config.MaxHandshakeBytes, least: 512, most: 1 << 20} },
	},

	{
		"max-message", "size", "longest message; a longer one is closed with 1009",
		"It has room for a chat or a document, and a thousand peers that leave one unfinished take no more than 1 GB. Set it to the longest message of your protocol.",
		func(o *options) value { return size[int64]{to: &o.endpoint.MaxMessage, least: 1, most: maxBytes} },
	},
	{
		"max-frames", "n", "frames that one message may have; more are closed with 1008",
		"A message in many tiny frames costs more than its bytes tell. No honest client comes near it.",
		func(o *options) value { return number{to: &o.endpoint.MaxFrames, least: 1, most: 1 << 30} },
	},
	{
		"max-message-rate", "n", "messages that a peer may send in a second; more are closed with 1008; 0 for no limit",
		"Only the application knows what is too much. Set it to several times what a client sends in its busiest second.",
		func(o *options) value { return number{to: &o.endpoint.MaxMessageRate, most: maxRate} },
	},
	{
		"max-byte-rate", "size", "the same for bytes; 0 for no limit",
		"As for max-message-rate. It bounds the traffic that one client can cause.",
		func(o *options) value { return size[int]{to: &o.endpoint.MaxByteRate, most: maxRate} },
	},
	{
		"max-control-rate", "n", "the same for pings and pongs; 0 for no limit",
		"Every ping has to be answered, and a client needs few. There is hardly a reason to change it.",
		func(o *options) value { return number{to: &o.endpoint.MaxControlRate, none: -1, most: maxRate} },
	},
	{
		"compression", "mode", "permessage-deflate for clients that offer it: off; history, to the client with a history of 1 KB, from it none; takeover, from it too, with up to 32 KB; single, each message for itself; full, to it with a compressor of 1 MB for each connection",
		"It costs processor time, and secrets must not be compressed together with what a stranger may choose (BREACH). history takes ticks and chats to a quarter for 1.1 KB a connection, single costs 0.1 KB; full is for few connections.",
		func(o *options) value { return choice{&o.compression, compressionModes} },
	},

	{
		"max-queue", "size", "what may wait for a peer that reads slowly; auto is four messages of the greatest size, 1MiB at least",
		"So much piles up when the network halts for a moment. Slow readers take at most this times their number: lower it where there are many of them.",
		func(o *options) value {
			return size[int]{to: &o.endpoint.MaxQueue, auto: true, least: 1, most: maxBytes}
		},
	},
	{
		"when-full", "policy", "what becomes of a message that does not fit: close, the connection with 1013; drop-newest; drop-oldest",
		"Nothing is missing in the middle: the client connects again and begins anew. drop-oldest is for what is soon out of date, such as prices, drop-newest for what needs its beginning.",
		func(o *options) value { return choice{&o.whenFull, fullPolicyNames} },
	},
	{
		"stall-timeout", "time", "how long a peer may take nothing of what waits for it, or leave a message unfinished",
		"A mobile network halts for seconds, hardly for half a minute. A shorter time frees the queues of dead readers sooner.",
		func(o *options) value { return duration{to: &o.config.StallTimeout, least: 1} },
	},

	{
		"ping-interval", "time", "silence after which a peer is asked whether it is there; 0 for never",
		"Many proxies and routers forget a connection after 60 s of silence: stay well below the shortest of their times. A longer one saves phones' batteries, and at a million connections most of 33,000 pings a second.",
		func(o *options) value { return duration{to: &o.endpoint.PingInterval, none: -1, most: maxHeartbeat} },
	},
	{
		"pong-timeout", "time", "how long its answer may take; then it is closed with 1011",
		"A phone that was asleep needs a few seconds. Who has vanished is found after ping-interval and this, by default after 40 s.",
		func(o *options) value { return duration{to: &o.endpoint.PongTimeout, least: 1, most: maxHeartbeat} },
	},
	{
		"idle-timeout", "time", "time without a message after which a connection is closed with 1001; 0 for never",
		"Many clients only listen. Set it where a connection without messages is of no use.",
		func(o *options) value { return duration{to: &o.endpoint.IdleTimeout} },
	},
	{
		"max-age", "time", "age at which a connection is closed with 1001, or up to a tenth earlier; 0 for never",
		"Nothing is wrong with an old connection. Set it to some hours, and clients move to servers that were added later.",
		func(o *options) value { return duration{to: &o.endpoint.MaxAge} },
	},
	{
		"close-timeout", "time", "how long the end of a connection may take; then it is cut",
		"One that was too slow for its queue has three times as long for each piece that it takes. It is half of shutdown-timeout, so that those that are closed last have time to answer. A longer one is for clients far away.",
		func(o *options) value { return duration{to: &o.config.CloseTimeout, least: 1} },
	},

	{
		"drain-delay", "time", "from the signal, when /readyz turns to 503, until new clients are refused and the others closed; comes before shutdown-timeout",
		"At a terminal nobody waits for a load balancer. Behind one set it to the time that it takes to notice: the probe's period times the failures it wants, and a second more.",
		func(o *options) value { return duration{to: &o.drainDelay, most: maxDelay} },
	},
	{
		"shutdown-timeout", "time", "how long the end of the program may take; then what is left is cut",
		"Docker kills what has not ended after 10 s. Kubernetes waits for 30 s and systemd for 90 s: with many clients raise it, and let them wait for longer than drain-delay and this together.",
		func(o *options) value { return duration{to: &o.config.ShutdownTimeout, least: 1} },
	},
	{
		"drain-window", "time", "over which the end spreads its Close frames; 0 for all at once; auto is a second for every 10000 connections, at most half of shutdown-timeout",
		"A few connections end at once, many as fast as other servers can take them: a million need 100 s, and a shutdown-timeout of 200 s.",
		func(o *options) value { return duration{to: &o.config.DrainWindow, none: -1, auto: true} },
	},
	{
		"drain-code", "code", "close code of the end: 1001, or 1012 with the reason {\"retry_after_ms\":7400}",
		"Every client knows 1001. 1012 tells those that read it when to come again, each at another moment.",
		func(o *options) value { return closeCode{&o.config.DrainCode} },
	},

	{
		"feed-heartbeat", "time", "how often /feed tells its clients that it is there; 0 for never",
		"A page cannot see pings; with this it can tell silence from a dead connection, and a proxy that ends silent connections keeps them. It counts as a message for idle-timeout. Set 0 where clients send pings of their own.",
		func(o *options) value { return duration{to: &o.feed.heartbeat} },
	},
	{
		"feed-history", "n", "messages of each topic that are kept for clients that come back; 0 for none",
		"Enough for a client that changes networks, at a few messages a second. More lets clients be away for longer, and takes their memory for every topic, up to 1 MiB.",
		func(o *options) value { return number{to: &o.feed.history, none: pubsub.NoHistory, most: 1 << 20} },
	},
	{
		"feed-max-topics", "n", "topics that there may be; rooms of the chat likewise",
		"A bound for what strangers can make up in the chat, or where feed-publish lets them. An empty topic takes some hundred bytes; one that nobody uses is forgotten.",
		func(o *options) value { return number{to: &o.feed.maxTopics, least: 1, most: 1 << 30} },
	},
	{
		"feed-max-subscriptions", "n", "subscriptions that a connection may have",
		"One with a pattern does for many topics. Set it higher for clients that watch a list of their own.",
		func(o *options) value { return number{to: &o.feed.maxSubscriptions, least: 1, most: 1 << 20} },
	},
	{
		"feed-publish", "pattern", "topics that every client of /feed may publish to, such as room.*; may be repeated",
		"Whoever can connect could speak for you. Name only topics whose readers expect strangers; your own servers publish with publish-token.",
		func(o *options) value { return list{&o.feed.publish, topicPattern} },
	},
	{
		"publish-token", "token", "who has it may publish by POST to /publish/topic on internal-addr; empty for nobody",
		"Without it the path does not exist. Give it by a file or a variable: everyone on the machine sees the flags of a process.",
		func(o *options) value { return secret{&o.feed.publishToken} },
	},
	{
		"publish-token-file", "file", "the file that holds the same token",
		"None, as for publish-token. It is read at the start; a new token needs a new start.",
		func(o *options) value { return text{&o.feed.publishTokenFile, anything} },
	},
	{
		"demo-ticks", "spec", "publishes prices of a made-up market as ticks.*, such as symbols=50,rate=2000 (ticks in a second); empty for none",
		"Nothing is published that nobody has asked for. Set it to see the tick board, which the page then shows first, or your own client, with something that moves.",
		func(o *options) value { return ticks{&o.feed.demo} },
	},

	{
		"log-level", "level", "debug, info, warn or error",
		"It is quiet in normal times. debug has two lines for each connection.",
		func(o *options) value { return level{&o.logLevel} },
	},
	{
		"log-format", "format", "text or json",
		"It is for people. json is for what collects logs.",
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

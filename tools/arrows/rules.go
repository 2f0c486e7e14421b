package main

// The table of who may import whom. A layer is a folder and all below it; the longest matching row holds.
//
// Test files obey the columns on our own packages and the owners below, so that no test builds an arrow upward, but may
// use any other library.

const module = "github.com/headrace/headrace"

const anyLibrary = "*"

type layer struct {
	tree      string // folder in this module; "." is the root package alone
	ours      string // folders of this module it may import besides its own
	libraries string // other modules' packages it may import; the standard library is free except for pure layers
}

var layers = []layer{
	// layer        may import of ours                              of other modules
	{".", "engine pubsub socketio sockjs", anyLibrary}, // the README's examples
	{"e2e", "engine pubsub socketio sockjs bench codec", anyLibrary},
	{"cmd/server", "engine pubsub socketio sockjs", anyLibrary},
	{"cmd/wsbench", "bench", anyLibrary},
	{"socketio", "engine", anyLibrary},
	{"sockjs", "engine", anyLibrary},
	{"pubsub", "engine", anyLibrary},
	{"bench", "engine codec", anyLibrary},
	{"bench/report", "bench", anyLibrary},
	{"bench/host", "", anyLibrary},
	{"engine", "codec", anyLibrary},
	{"codec", "", "github.com/gobwas/ws github.com/segmentio/asm/utf8 github.com/klauspost/compress/flate"},
}

// An owner is the one layer that may import a library.
type owner struct {
	library string
	layer   string // "" is nobody in this module
	instead string // what to do
}

var owners = []owner{
	// library                                 owner         anyone else
	{"github.com/panjf2000/gnet", "engine", "use what engine exports"},
	{"github.com/prometheus/client_golang", "cmd/server", "expose counters, and let cmd/server publish them"},
	{"github.com/HdrHistogram/hdrhistogram-go", "bench", "record through bench"},
	{"github.com/gorilla/websocket", "", "compare in the nested module bench/peers"},
	{"github.com/coder/websocket", "", "compare in the nested module bench/peers"},
	{"github.com/lxzan/gws", "", "compare in the nested module bench/peers"},
	{"github.com/lesismal/nbio", "", "compare in the nested module bench/peers"},
}

// A pure layer has no sockets, clocks, locks, files or hidden state.
type purity struct {
	layer   string
	never   string // trees of the standard library
	instead string
}

var pure = []purity{
	{
		"codec", "C context crypto/rand log net os sync syscall time",
		"take the value as a parameter; sockets, clocks, locks and randomness live in engine",
	},
}

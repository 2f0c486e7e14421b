package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

const (
	ours = module + "/"
	gnet = "github.com/panjf2000/gnet/v2"
)

func TestBreaks(t *testing.T) {
	for _, c := range []struct {
		file, imports string
		want          string // in the report; "" is no report
	}{
		{"codec/mask.go", "github.com/gobwas/ws", ""},
		{"codec/deflate.go", "github.com/klauspost/compress/flate", ""},
		{"codec/utf8.go", "unicode/utf8", ""},
		{"codec/utf8_amd64.go", "github.com/segmentio/asm/utf8", ""},
		{"codec/mask.go", "github.com/segmentio/asm/ascii", "codec -> the standard library"},
		{"codec/mask.go", "time", "codec/mask.go:3: codec imports time: codec must never import"},
		{"codec/mask.go", "net/http", "codec must never import"},
		{"codec/mask.go", "sync/atomic", "codec must never import"},
		{"codec/mask_windows.go", "os", "codec must never import"},
		{"codec/mask.go", "github.com/klauspost/compress/zstd", "codec -> the standard library, github.com/gobwas/ws"},
		{"codec/mask.go", ours + "engine", "codec -> nothing of ours"},
		{"codec/mask_test.go", "time", ""},
		{"codec/mask_test.go", ours + "engine", "codec -> nothing of ours"},
		{"codec/deep/er/x.go", "os", "codec/deep/er imports os"},

		{"engine/internal/loop/gnet.go", gnet, ""},
		{"engine/read.go", ours + "codec", ""},
		{"engine/client/dial.go", ours + "engine/internal/loop", ""},
		{"engine/read.go", ours + "pubsub", "engine -> codec;"},
		{"engine/read.go", ours + "socketio", "engine -> codec;"},
		{"engine/read.go", ours + "sockjs", "engine -> codec;"},
		{"engine/read.go", ours + "bench", "engine -> codec;"},
		{"engine/read.go", ours + "cmd/server", "nothing imports cmd"},
		{"engine/read.go", ours + "enginex", "engine -> codec;"},

		{"pubsub/topic.go", ours + "engine", ""},
		{"pubsub/topic.go", ours + "engine/client", ""},
		{"pubsub/topic.go", ours + "engine/internal/loop", "engine/internal is for engine alone"},
		{"socketio/server.go", ours + "engine/internal", "engine/internal is for engine alone"},
		{"sockjs/server.go", ours + "codec", "sockjs -> engine;"},
		{"pubsub/topic.go", gnet + "/pkg/logging", "only engine may"},
		{"pubsub/topic_test.go", gnet, "only engine may"},

		{"bench/plan.go", ours + "codec", ""},
		{"bench/plan.go", ours + "pubsub", "bench -> engine, codec;"},
		{"bench/plan.go", "github.com/gorilla/websocket", "bench/peers"},
		{"bench/report/page.go", ours + "bench", ""},
		{"bench/session.go", ours + "bench/host", ""},
		{"bench/host/process.go", ours + "bench", "bench/host -> nothing of ours"},
		{"bench/report/page.go", ours + "engine", "bench/report -> bench;"},
		{"bench/plan.go", "github.com/HdrHistogram/hdrhistogram-go", ""},
		{"cmd/server/main.go", ours + "sockjs", ""},
		{"cmd/server/main.go", ours + "cmd/server/internal/flags", ""},
		{"cmd/server/main.go", ours + "codec", "cmd/server -> engine, pubsub, socketio, sockjs;"},
		{"cmd/wsbench/main.go", ours + "bench", ""},
		{"cmd/wsbench/main.go", ours + "engine", "cmd/wsbench -> bench;"},
		{"example_test.go", ours + "engine", ""},
		{"example_test.go", ours + "cmd/server", "nothing imports cmd"},
		{"cluster/x.go", "fmt", "cluster has no row in the table"},

		{"bench/peers/gorilla/x.go", "github.com/gorilla/websocket", ""}, // a nested module
		{"codec/testdata/x.go", "os", ""},
	} {
		t.Run(c.file+"/"+c.imports, func(t *testing.T) {
			broken, err := check(tree(c.file, c.imports))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(broken, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want it to say %q", got, c.want)
			}
		})
	}
}

func TestWrongFolderFails(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"no go.mod":      {},
		"another module": {"go.mod": {Data: []byte("module example.com/x\n")}},
	} {
		if _, err := check(fsys); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

func TestUnparsableFileFails(t *testing.T) {
	fsys := tree("codec/x.go", "fmt")
	fsys["codec/x.go"] = &fstest.MapFile{Data: []byte("package x\nimport (")}
	if _, err := check(fsys); err == nil {
		t.Error("passed")
	}
}

// TestRowsAreReal keeps a typing error in the table from opening an arrow.
func TestRowsAreReal(t *testing.T) {
	known := map[string]bool{"": true}
	for _, l := range layers {
		known[l.tree] = true
	}
	for _, l := range layers {
		for to := range strings.FieldsSeq(l.ours) {
			if !known[to] {
				t.Errorf("%s -> %s: no such row", l.tree, to)
			}
		}
	}
	for _, o := range owners {
		if !known[o.layer] {
			t.Errorf("%s is owned by %s: no such row", o.library, o.layer)
		}
	}
	for _, p := range pure {
		if !known[p.layer] {
			t.Errorf("pure %s: no such row", p.layer)
		}
	}
}

func tree(file, imports string) fstest.MapFS {
	return fstest.MapFS{
		"go.mod":             {Data: []byte("module " + module + "\n")},
		"bench/peers/go.mod": {Data: []byte("module " + module + "/bench/peers\n")},
		file:                 {Data: []byte("package x\n\nimport \"" + imports + "\"\n")},
	}
}

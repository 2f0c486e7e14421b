package engine

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// A client's offers, and what comes of them. No answer is a handshake without
// compression, never one that fails.
func TestDeflateNegotiation(t *testing.T) {
	const own = "permessage-deflate"
	modes := map[string]Compression{"a": {}, "b": {PeerBits: 12}, "b15": {PeerBits: 15}, "c": {History: NoHistory}, "d": {History: FullHistory, PeerBits: 15}}
	srv := startServer(t, Config{}, func(s *Server) {
		for mode, z := range modes {
			s.Handle("/"+mode, Endpoint{Handler: echoHandler, Compression: &z})
		}
	})
	for _, c := range []struct {
		mode   string
		offers []string
		want   string
	}{
		{"a", nil, ""},
		{"a", []string{own}, own + "; client_no_context_takeover"},
		{"a", []string{own + "; client_max_window_bits"}, own + "; client_no_context_takeover"}, // browsers
		{"b", []string{own + "; client_max_window_bits"}, own + "; client_max_window_bits=12"},
		{"b", []string{own + "; client_max_window_bits=15"}, own + "; client_max_window_bits=12"},
		{"b", []string{own + "; client_max_window_bits=9"}, own + "; client_max_window_bits=9"},
		{"b", []string{own}, own + "; client_no_context_takeover"},
		{"b15", []string{own}, own},
		{"b15", []string{own + "; client_max_window_bits"}, own},
		{"b15", []string{own + "; client_max_window_bits=10"}, own + "; client_max_window_bits=10"},
		{"c", []string{own}, own + "; server_no_context_takeover; client_no_context_takeover"},
		{"d", []string{own + "; client_max_window_bits"}, own},
		{"d", []string{own + "; server_no_context_takeover"}, own + "; server_no_context_takeover"},
		{"a", []string{own + "; server_max_window_bits=8"}, own + "; client_no_context_takeover; server_max_window_bits=8"},
		{"d", []string{own + "; server_max_window_bits=15"}, own + "; server_max_window_bits=15"},
		{"a", []string{own + "; server_max_window_bits=\"10\""}, own + "; client_no_context_takeover; server_max_window_bits=10"},
		{"a", []string{own + ";server_no_context_takeover;client_no_context_takeover"}, own + "; server_no_context_takeover; client_no_context_takeover"},
		// RFC 7692 §7.1: several offers, the first that can be accepted
		{"a", []string{own + "; server_max_window_bits=16, " + own}, own + "; client_no_context_takeover"},
		{"a", []string{"x-webkit-deflate-frame, " + own}, own + "; client_no_context_takeover"},
		{"a", []string{"foo; bar=1", own + "; client_max_window_bits"}, own + "; client_no_context_takeover"},
		{"b", []string{own + "; client_max_window_bits=7", own + "; client_max_window_bits=10"}, own + "; client_max_window_bits=10"},
		// declined
		{"a", []string{own + "; server_max_window_bits"}, ""},
		{"a", []string{own + "; server_max_window_bits=7"}, ""},
		{"a", []string{own + "; server_max_window_bits=16"}, ""},
		{"a", []string{own + "; server_max_window_bits=08"}, ""},
		{"a", []string{own + "; server_max_window_bits=10; server_max_window_bits=10"}, ""},
		{"a", []string{own + "; client_max_window_bits=x"}, ""},
		{"a", []string{own + "; server_no_context_takeover=1"}, ""},
		{"a", []string{own + "; client_no_context_takeover; client_no_context_takeover"}, ""},
		{"a", []string{own + "; mystery"}, ""},
		{"a", []string{"permessage-bzip2"}, ""},
		{"a", []string{"Permessage-Deflate"}, ""}, // names are compared as they are
		// malformed: the whole list offers nothing
		{"a", []string{own + ";"}, ""},
		{"a", []string{own + "; ="}, ""},
		{"a", []string{own + "; client_max_window_bits=\"1"}, ""},
		{"a", []string{own + ", ;"}, ""},
		{"a", []string{own, ";;;"}, ""},
		{"a", []string{""}, ""},
	} {
		client, answers := dialDeflate(t, srv, "/"+c.mode, c.offers...)
		if got := strings.Join(answers, " | "); got != c.want {
			t.Errorf("%s: %q is answered with %q, want %q", c.mode, c.offers, got, c.want)
		}
		if err := client.echo(codec.OpText, "short"); err != nil {
			t.Errorf("%s: %q: %v", c.mode, c.offers, err)
		}
	}
	for bits := 8; bits <= 15; bits++ {
		offer := fmt.Sprintf("%s; server_max_window_bits=%d", own, bits)
		for mode := range modes {
			_, answers := dialDeflate(t, srv, "/"+mode, offer)
			if got := strings.Join(answers, " | "); !strings.Contains(got, fmt.Sprintf("server_max_window_bits=%d", bits)) {
				t.Errorf("%s: %q is answered with %q", mode, offer, got)
			}
		}
	}
	if _, answers := dialDeflate(t, startServer(t, Config{}, serveEcho), "/echo", own); len(answers) > 0 {
		t.Errorf("without Compression an offer is answered with %q", answers)
	}
}

// deflateModes are the ways of Compression, each with an offer that makes it work.
var deflateModes = []struct {
	name  string
	z     Compression
	offer string
}{
	{"a", Compression{}, "permessage-deflate; client_max_window_bits"},
	{"a/fresh", Compression{}, "permessage-deflate; server_no_context_takeover"},
	{"a/server=9", Compression{}, "permessage-deflate; server_max_window_bits=9"},
	{"a/32K", Compression{History: 32768}, "permessage-deflate"},
	{"a/100", Compression{History: 100, Level: 9, Threshold: 1}, "permessage-deflate"},
	{"b/8", Compression{PeerBits: 8}, "permessage-deflate; client_max_window_bits"},
	{"b/9", Compression{PeerBits: 9}, "permessage-deflate; client_max_window_bits"},
	{"b/12", Compression{PeerBits: 12}, "permessage-deflate; client_max_window_bits"},
	{"b/15", Compression{PeerBits: 15}, "permessage-deflate; client_max_window_bits"},
	{"b/15/server=10", Compression{PeerBits: 15}, "permessage-deflate; server_max_window_bits=10"},
	{"c", Compression{History: NoHistory}, "permessage-deflate"},
	{"c/8", Compression{History: NoHistory, PeerBits: 8}, "permessage-deflate; client_max_window_bits"},
	{"d", Compression{History: FullHistory, PeerBits: 15}, "permessage-deflate"},
	{"d/server=8", Compression{History: FullHistory, PeerBits: 15}, "permessage-deflate; server_max_window_bits=8"},
	{"d/level=1", Compression{History: FullHistory, PeerBits: 15, Level: 1, Threshold: 1}, "permessage-deflate"},
}

// deflateMessage makes message n of a stream: text or binary, of any size, of a kind
// that compresses well or not at all.
func deflateMessage(rng *rand.Rand, n int) (codec.Opcode, []byte) {
	size := rng.IntN(300)
	switch rng.IntN(20) {
	case 0:
		size = rng.IntN(200 << 10)
	case 1, 2, 3:
		size = rng.IntN(5000)
	}
	switch rng.IntN(4) {
	case 0: // what can't be compressed
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		return codec.OpBinary, p
	case 1: // one byte again and again
		return codec.OpText, bytes.Repeat([]byte{'a' + byte(n%26)}, size)
	default:
		var b bytes.Buffer
		for b.Len() < size {
			fmt.Fprintf(&b, `{"symbol":"KRW-%d","price":%d.%02d,"at":%d,"side":"매도"},`, rng.IntN(30), rng.IntN(90000), rng.IntN(100), 1700000000+n)
		}
		return codec.OpText, b.Bytes()
	}
}

// Every message comes back as it went, through every mode: from the loop and from
// another goroutine, whole and in fragments, with pings in between.
func TestDeflateEchoes(t *testing.T) {
	messages := 1500
	if raceDetector {
		messages = 200
	}
	for _, mode := range deflateModes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			type job struct {
				c  *Conn
				op Op
				p  []byte
			}
			jobs := make(chan job, 16)
			t.Cleanup(func() { close(jobs) }) // after the server has ended
			go func() {
				for j := range jobs {
					if err := j.c.Send(j.op, j.p); err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			}()
			n := 0
			h := HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
				if n++; (n-1)%20 < 10 {
					if err := c.Reply(op, p); err != nil {
						t.Error(err)
					}
				} else {
					jobs <- job{c, op, bytes.Clone(p)}
				}
			}}
			z := mode.z
			srv := startServer(t, Config{Loops: 1}, func(s *Server) { s.Handle("/x", Endpoint{Handler: h, Compression: &z, MaxQueue: 16 << 20}) })
			c, answers := dialDeflate(t, srv, "/x", mode.offer)
			if len(answers) != 1 {
				t.Fatal(answers)
			}
			out, in := newDeflateClient(t, answers[0]), newInflateClient()
			fresh := strings.Contains(answers[0], "server_no_context_takeover")
			rng := rand.New(rand.NewPCG(1, 2))
			plain, wire := 0, 0
			for round := 0; round < messages; round += 10 { // the two ways would overtake each other
				var want [][]byte
				var ops []codec.Opcode
				var frames []byte
				for i := range 10 {
					op, p := deflateMessage(rng, round+i)
					want, ops = append(want, p), append(ops, op)
					frames = append(frames, deflateFrames(rng, out, op, p)...)
				}
				go func() { _, _ = c.Write(frames) }()
				for i := range want {
					first, p, err := c.recvFirst()
					if err != nil {
						t.Fatal(err)
					}
					if codec.Opcode(first&0xF) == codec.OpClose {
						t.Fatalf("message %d: closed with %q", round+i, p)
					}
					plain, wire = plain+len(want[i]), wire+len(p)
					if first&0x40 != 0 {
						if fresh {
							in.window = nil
						}
						if p, err = in.inflate(p); err != nil {
							t.Fatalf("message %d: %v", round+i, err)
						}
					}
					if codec.Opcode(first&0xF) != ops[i] || !bytes.Equal(p, want[i]) {
						t.Fatalf("message %d: %d bytes came back as %d", round+i, len(want[i]), len(p))
					}
				}
			}
			t.Logf("%d bytes came back in %d", plain, wire)
		})
	}
}

// deflateFrames draws a message, compressed or not, in one frame or several, of which
// only the first has RSV1.
func deflateFrames(rng *rand.Rand, z *deflateClient, op codec.Opcode, p []byte) (frames []byte) {
	first := byte(op)
	if rng.IntN(5) > 0 {
		p = z.deflate(p)
		first |= 0x40
	}
	for rng.IntN(3) == 0 {
		n := rng.IntN(len(p) + 1)
		frames = append(frames, clientFrame(first, [4]byte{1, 2, 3, 4}, p[:n])...)
		first, p = wireContinuation, p[n:]
	}
	return append(frames, clientFrame(0x80|first, [4]byte{1, 2, 3, 4}, p)...)
}

// What a client may not send with compression, and the codes that it is closed with.
func TestDeflateRefuses(t *testing.T) {
	corrupt := compressedFrame(codec.OpBinary, []byte{0xFF, 0xFF, 0xFF})
	z := newDeflateClient(t, "client_no_context_takeover")
	good := z.deflate(bytes.Repeat([]byte("good "), 100))
	bomb := z.deflate(make([]byte, 1<<20+1))
	far := &deflateClient{takeover: true}
	far.writer, _ = flate.NewWriter(&far.out, 6)
	random := make([]byte, 200)
	for i := range random {
		random[i] = byte(i*i*7 + i>>3)
	}
	_ = far.deflate(random)
	refers := far.deflate(random) // to the message before
	for name, c := range map[string]struct {
		offer string
		bytes []byte
		code  codec.CloseCode
	}{
		"RSV1 without an agreement":  {"", compressedFrame(codec.OpText, good), codec.CloseProtocolError},
		"RSV1 after a declined one":  {"permessage-deflate; mystery", compressedFrame(codec.OpText, good), codec.CloseProtocolError},
		"RSV2":                       {"permessage-deflate", clientFrame(0x80|0x20|wireText, [4]byte{}, good), codec.CloseProtocolError},
		"RSV1 on a ping":             {"permessage-deflate", clientFrame(0x80|0x40|wirePing, [4]byte{}, nil), codec.CloseProtocolError},
		"RSV1 on a Close frame":      {"permessage-deflate", clientFrame(0x80|0x40|wireClose, [4]byte{}, nil), codec.CloseProtocolError},
		"RSV1 on a continuation":     {"permessage-deflate", append(clientFrame(0x40|wireText, [4]byte{}, good[:5]), clientFrame(0x80|0x40|wireContinuation, [4]byte{}, good[5:])...), codec.CloseProtocolError},
		"RSV1 on a later one":        {"permessage-deflate", append(clientFrame(wireText, [4]byte{}, []byte("a")), clientFrame(0x80|0x40|wireContinuation, [4]byte{}, good)...), codec.CloseProtocolError},
		"corrupt":                    {"permessage-deflate", corrupt, codec.CloseInvalidPayload},
		"cut":                        {"permessage-deflate", compressedFrame(codec.OpText, good[:len(good)-2]), codec.CloseInvalidPayload},
		"no UTF-8":                   {"permessage-deflate", compressedFrame(codec.OpText, z.deflate([]byte("\xc3\x28 and more"))), codec.CloseInvalidPayload},
		"half a code point":          {"permessage-deflate", compressedFrame(codec.OpText, z.deflate([]byte("abc\xed\x95"))), codec.CloseInvalidPayload},
		"a byte too long":            {"permessage-deflate", compressedFrame(codec.OpBinary, bomb), codec.CloseMessageTooBig},
		"far too long on the wire":   {"permessage-deflate", clientFrame(0x80|0x40|wireBinary, [4]byte{}, make([]byte, 1<<20+2048)), codec.CloseMessageTooBig},
		"refers to what is not kept": {"permessage-deflate", append(compressedFrame(codec.OpBinary, random), compressedFrame(codec.OpBinary, refers)...), codec.CloseInvalidPayload},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			heard := 0
			r.Message = func(*Conn, Op, []byte) { heard++ }
			srv := startServer(t, Config{}, func(s *Server) { s.Handle("/x", Endpoint{Handler: r, Compression: &Compression{}}) })
			var offers []string
			if c.offer != "" {
				offers = []string{c.offer}
			}
			client, _ := dialDeflate(t, srv, "/x", offers...)
			next(t, r.opened)
			go func() { _, _ = client.Write(c.bytes) }()
			info := next(t, closeOf(client, r))
			var protocol *codec.ProtocolError
			if info.Code != c.code || !errors.As(info.Err, &protocol) || heard > 0 {
				t.Errorf("it ended with %+v, %d messages were heard", info, heard)
			}
		})
	}
}

// closeOf reads to the end, and gives the end as the server saw it.
func closeOf(c *testClient, r *recorder) <-chan CloseInfo {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, c.r)
	_ = c.Conn.Close()
	return r.closed
}

// A message within MaxMessage that deflate has made longer is taken.
func TestDeflateMessageLongerOnTheWire(t *testing.T) {
	for _, size := range []int{1, 100, 1000, 64 << 10, 1 << 20} {
		got := make(chan int, 1)
		h := HandlerFuncs{Message: func(_ *Conn, _ Op, p []byte) { got <- len(p) }}
		srv := startServer(t, Config{}, func(s *Server) {
			s.Handle("/x", Endpoint{Handler: h, MaxMessage: int64(size), Compression: &Compression{}})
		})
		c, answers := dialDeflate(t, srv, "/x", "permessage-deflate")
		p := make([]byte, size)
		rng := rand.New(rand.NewPCG(3, 4))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		z := newDeflateClient(t, answers[0]).deflate(p)
		if len(z) <= size {
			t.Fatalf("%d bytes became %d", size, len(z))
		}
		go func() { _, _ = c.Write(compressedFrame(codec.OpBinary, z)) }()
		if n := next(t, got); n != size {
			t.Errorf("%d bytes came as %d", size, n)
		}
	}
}

// A bomb of 1 GiB in 1 MiB is refused, and takes no more memory than its limit.
func TestDeflateBomb(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("it compresses a GiB, and counts memory")
	}
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	zeros := make([]byte, 1<<20)
	for range 1 << 10 {
		_, _ = w.Write(zeros)
	}
	_ = w.Flush()
	bomb := compressedFrame(codec.OpBinary, bytes.TrimSuffix(out.Bytes(), []byte("\x00\x00\xff\xff")))
	if len(bomb) > 2<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	const limit = 2 << 20
	r := newRecorder()
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/x", Endpoint{Handler: r, MaxMessage: limit, Compression: &Compression{}})
	})
	c, _ := dialDeflate(t, srv, "/x", "permessage-deflate")
	next(t, r.opened)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() { _, _ = c.Write(bomb) }()
	info := next(t, closeOf(c, r))
	runtime.ReadMemStats(&after)
	if info.Code != codec.CloseMessageTooBig {
		t.Errorf("it ended with %+v", info)
	}
	took := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes on the wire, %d bytes allocated", len(bomb), took)
	// What is inflated, at most the limit, and what came: buffers double, so twice that.
	if took > limit+4*uint64(len(bomb)) {
		t.Errorf("a bomb of %d bytes took %d bytes, the limit is %d", len(bomb), took, limit)
	}
	if l := srv.loops[0]; l.mem.lent != 0 {
		t.Errorf("%d buffers are lent", l.mem.lent)
	}
}

// A message below Threshold goes as it is, and so does one that would become longer.
func TestDeflateThreshold(t *testing.T) {
	for _, c := range []struct {
		threshold, size int
		random          bool
		want            bool
	}{
		{0, 127, false, false},
		{0, 128, false, true},
		{1000, 999, false, false},
		{1000, 1000, false, true},
		{1, 40, false, true},
		{0, 1000, true, false},
	} {
		srv := startServer(t, Config{}, func(s *Server) {
			s.Handle("/x", Endpoint{Handler: echoHandler, Compression: &Compression{Threshold: c.threshold}})
		})
		client, _ := dialDeflate(t, srv, "/x", "permessage-deflate")
		p := bytes.Repeat([]byte("ab"), c.size)[:c.size]
		if c.random {
			rng := rand.New(rand.NewPCG(3, 4))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
		}
		if err := client.send(codec.OpBinary, p); err != nil {
			t.Fatal(err)
		}
		first, _, err := client.recvFirst()
		if got := first&0x40 != 0; err != nil || got != c.want {
			t.Errorf("%+v: compressed %t, %v", c, got, err)
		}
	}
}

// A client that wants no takeover gets a level that finds something in one message.
func TestDeflateOfFreshMessagesIsWorthIt(t *testing.T) {
	modes := map[string]Compression{"a": {}, "c": {History: NoHistory}, "d": {History: FullHistory}}
	srv := startServer(t, Config{}, func(s *Server) {
		for name, z := range modes {
			s.Handle("/"+name, Endpoint{Handler: echoHandler, Compression: &z})
		}
	})
	tick := []byte(`{"type":"trade","symbol":"KRW-BTC","price":91234000,"volume":0.0123,"side":"ASK","sequence":123456789,"prev_close":91230000,"change":"RISE","change_price":4000,"timestamp":1700000000123,"trade_timestamp":1700000000100}`)
	size := make(map[string]int)
	for name := range modes {
		c, answers := dialDeflate(t, srv, "/"+name, "permessage-deflate; server_no_context_takeover")
		_ = c.send(codec.OpText, tick)
		first, p, err := c.recvFirst()
		if err != nil {
			t.Fatal(err)
		}
		size[name] = len(p)
		t.Logf("mode %s, %q: %d bytes become %d, compressed: %t", name, answers, len(tick), len(p), first&0x40 != 0)
	}
	if size["a"] > size["c"]+10 || size["d"] > size["c"]+10 {
		t.Errorf("without takeover a tick of %d bytes takes %v", len(tick), size)
	}
}

func TestCompressionIsChecked(t *testing.T) {
	for _, z := range []Compression{
		{History: -3},
		{History: 32769},
		{PeerBits: 7},
		{PeerBits: 16},
		{PeerBits: -1},
		{Threshold: -1},
		{Level: -1},
		{Level: 10},
	} {
		if _, err := newEndpoint("/x", Endpoint{Handler: echoHandler, Compression: &z}); err == nil {
			t.Errorf("%+v is taken", z)
		}
	}
	mine := &Compression{}
	if _, err := newEndpoint("/x", Endpoint{Handler: echoHandler, Compression: mine}); err != nil || *mine != (Compression{}) {
		t.Errorf("the zero value: %v, and it is now %+v", err, *mine)
	}
}

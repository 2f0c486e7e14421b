package codec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// The four modes that the documentation names.
var (
	modeDictionary = DeflateOptions{SendHistory: 1024}
	modeBoth       = DeflateOptions{SendHistory: 1024, ReceiveBits: 12}
	modeNone       = DeflateOptions{}
	modeFull       = DeflateOptions{SendHistory: FullTakeover, ReceiveBits: 15}
)

// headers makes header values of lines that are parted by a bar.
func headers(s string) (values [][]byte) {
	for line := range strings.SplitSeq(s, "|") {
		values = append(values, []byte(line))
	}
	return values
}

func TestAppendAnswer(t *testing.T) {
	const pmd = "permessage-deflate"
	const (
		sFresh = "; server_no_context_takeover"
		cFresh = "; client_no_context_takeover"
		sBits  = "; server_max_window_bits"
		cBits  = "; client_max_window_bits"
	)
	for _, c := range []struct {
		name    string
		options DeflateOptions
		offer   string
		answer  string // "" for declined
		params  DeflateParams
	}{
		// What browsers send.
		{"chrome/a", modeDictionary, pmd + cBits, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"chrome/b", modeBoth, pmd + cBits, pmd + cBits + "=12", DeflateParams{1024, 15, 12}},
		{"chrome/c", modeNone, pmd + cBits, pmd + sFresh + cFresh, DeflateParams{0, 15, 0}},
		{"chrome/d", modeFull, pmd + cBits, pmd, DeflateParams{FullTakeover, 15, 15}},
		{"firefox and safari/a", modeDictionary, pmd, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"firefox and safari/b", modeBoth, pmd, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"firefox and safari/c", modeNone, pmd, pmd + sFresh + cFresh, DeflateParams{0, 15, 0}},
		{"firefox and safari/d", modeFull, pmd, pmd, DeflateParams{FullTakeover, 15, 15}},
		{"old safari", modeDictionary, "x-webkit-deflate-frame", "", DeflateParams{}},

		// What Autobahn's groups 13.3 to 13.7 offer, several at a time.
		{
			"autobahn/fresh, 9 bits", modeDictionary, pmd + sFresh + cBits + sBits + "=9",
			pmd + sFresh + cFresh + sBits + "=9",
			DeflateParams{0, 9, 0},
		},
		{
			"autobahn/9 bits", modeDictionary, pmd + cBits + sBits + "=9",
			pmd + cFresh + sBits + "=9",
			DeflateParams{512, 9, 0},
		},
		{
			"autobahn/15 bits", modeFull, pmd + cBits + sBits + "=15",
			pmd + sBits + "=15",
			DeflateParams{FullTakeover, 15, 15},
		},
		{
			"autobahn/fallbacks", modeBoth,
			pmd + sFresh + cBits + sBits + "=9, " + pmd + sFresh + cBits + ", " + pmd + cBits,
			pmd + sFresh + sBits + "=9" + cBits + "=12",
			DeflateParams{0, 9, 12},
		},

		// RFC 7692's own offers.
		{"7/example", modeFull, pmd + cBits + sBits + "=10", pmd + sBits + "=10", DeflateParams{FullTakeover, 10, 15}},
		{
			"7/example/fallback", modeFull, pmd + cBits + sBits + "=10, " + pmd + cBits,
			pmd + sBits + "=10",
			DeflateParams{FullTakeover, 10, 15},
		},

		{"7.1.1.1/asked", modeFull, pmd + sFresh, pmd + sFresh, DeflateParams{0, 15, 15}},
		{"7.1.1.2/hint", modeFull, pmd + cFresh, pmd + cFresh, DeflateParams{FullTakeover, 15, 0}},
		{"7.1.1.2/hint and bits", modeBoth, pmd + cFresh + cBits, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"7.1.2.1/8", modeDictionary, pmd + sBits + "=8", pmd + cFresh + sBits + "=8", DeflateParams{256, 8, 0}},
		{"7.1.2.1/quoted", modeDictionary, pmd + sBits + `="10"`, pmd + cFresh + sBits + "=10", DeflateParams{1024, 10, 0}},
		{"7.1.2.1/escaped", modeDictionary, pmd + sBits + `="1\0"`, pmd + cFresh + sBits + "=10", DeflateParams{1024, 10, 0}},
		{"7.1.2.2/less than we want", modeBoth, pmd + cBits + "=9", pmd + cBits + "=9", DeflateParams{1024, 15, 9}},
		{"7.1.2.2/more than we want", modeBoth, pmd + cBits + "=14", pmd + cBits + "=12", DeflateParams{1024, 15, 12}},
		{"7.1.2.2/less than everything", modeFull, pmd + cBits + "=9", pmd + cBits + "=9", DeflateParams{FullTakeover, 15, 9}},
		{"7.1.2.2/everything", modeFull, pmd + cBits + "=15", pmd, DeflateParams{FullTakeover, 15, 15}},

		// What is declined, with the next offer taken where there is one.
		{"7.1/unknown", modeDictionary, pmd + "; foo", "", DeflateParams{}},
		{"7.1/unknown, fallback", modeDictionary, pmd + "; foo=1, " + pmd, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"7.1/unknown, fallback in another line", modeDictionary, pmd + "; foo|x, " + pmd, pmd + cFresh, DeflateParams{1024, 15, 0}},
		{"7.1/twice/1", modeDictionary, pmd + sFresh + sFresh, "", DeflateParams{}},
		{"7.1/twice/2", modeDictionary, pmd + cFresh + cFresh, "", DeflateParams{}},
		{"7.1/twice/3", modeDictionary, pmd + sBits + "=9" + sBits + "=9", "", DeflateParams{}},
		{"7.1/twice/4", modeDictionary, pmd + cBits + cBits, "", DeflateParams{}},
		{"7.1/twice/5", modeDictionary, pmd + cBits + cBits + "=9", "", DeflateParams{}},
		{"7.1.1.1/value", modeDictionary, pmd + sFresh + "=1", "", DeflateParams{}},
		{"7.1.1.2/value", modeDictionary, pmd + cFresh + "=true", "", DeflateParams{}},
		{"7.1.2.1/no value", modeDictionary, pmd + sBits, "", DeflateParams{}},
		{"7.1.2.1/7", modeDictionary, pmd + sBits + "=7", "", DeflateParams{}},
		{"7.1.2.1/16", modeDictionary, pmd + sBits + "=16", "", DeflateParams{}},
		{"7.1.2.1/08", modeDictionary, pmd + sBits + "=08", "", DeflateParams{}},
		{"7.1.2.1/+9", modeDictionary, pmd + sBits + "=+9", "", DeflateParams{}},
		{"7.1.2.1/9.0", modeDictionary, pmd + sBits + "=9.0", "", DeflateParams{}},
		{"7.1.2.1/100", modeDictionary, pmd + sBits + "=100", "", DeflateParams{}},
		{"7.1.2.2/0", modeDictionary, pmd + cBits + "=0", "", DeflateParams{}},
		{"7.1.2.2/1", modeDictionary, pmd + cBits + "=1", "", DeflateParams{}},
		{"7.1.2.2/16", modeDictionary, pmd + cBits + "=16", "", DeflateParams{}},
		{"7.1.2.2/1:", modeDictionary, pmd + cBits + "=1:", "", DeflateParams{}},
		{"9.1/other extension", modeDictionary, "mux; permessage-deflate", "", DeflateParams{}},
		{"9.1/malformed/before", modeDictionary, "a b, " + pmd, "", DeflateParams{}},
		{"9.1/malformed/behind", modeDictionary, pmd + ", a=b", "", DeflateParams{}},
		{"9.1/malformed/other line", modeDictionary, pmd + "|a;", "", DeflateParams{}},
		{"9.1/malformed/in the offer", modeDictionary, pmd + cBits + "=", "", DeflateParams{}},
		{"9.1/empty", modeDictionary, "", "", DeflateParams{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, params, ok := c.options.AppendAnswer([]byte("X: "), headers(c.offer))
			if ok != (c.answer != "") || string(out) != "X: "+c.answer || params != c.params {
				t.Errorf("got %q, %+v, %v\nwant %q, %+v", out, params, ok, c.answer, c.params)
			}
		})
	}
	if _, _, ok := modeDictionary.AppendAnswer(nil, nil); ok {
		t.Error("accepted an offer that nobody made")
	}
}

func TestAppendOffer(t *testing.T) {
	for _, c := range []struct {
		name    string
		options DeflateOptions
		want    string
	}{
		{"a", modeDictionary, "permessage-deflate; server_no_context_takeover; client_max_window_bits"},
		{"b", modeBoth, "permessage-deflate; server_max_window_bits=12; client_max_window_bits"},
		{"c", modeNone, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"},
		{"d", modeFull, "permessage-deflate; client_max_window_bits"},
	} {
		t.Run("7.1/"+c.name, func(t *testing.T) {
			if got := c.options.AppendOffer(nil); string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckAnswer(t *testing.T) {
	const pmd = "permessage-deflate"
	for _, c := range []struct {
		name    string
		options DeflateOptions
		answer  string
		params  DeflateParams
		ok      bool
		err     error
	}{
		{"7.1/declined", modeBoth, "", DeflateParams{}, false, nil},
		{"7.1/plain", modeFull, pmd, DeflateParams{FullTakeover, 15, 15}, true, nil},
		{"7.1.1.1/agreed", modeDictionary, pmd + "; server_no_context_takeover", DeflateParams{1024, 15, 0}, true, nil},
		{"7.1.1.1/unasked", modeFull, pmd + "; server_no_context_takeover", DeflateParams{FullTakeover, 15, 0}, true, nil},
		{"7.1.1.1/not agreed", modeDictionary, pmd, DeflateParams{}, false, errDeflateAnswer},
		{"7.1.1.2/told", modeFull, pmd + "; client_no_context_takeover", DeflateParams{0, 15, 15}, true, nil},
		{"7.1.2.1/agreed", modeBoth, pmd + "; server_max_window_bits=12", DeflateParams{1024, 15, 12}, true, nil},
		{"7.1.2.1/less", modeBoth, pmd + "; server_max_window_bits=8", DeflateParams{1024, 15, 8}, true, nil},
		{"7.1.2.1/unasked", modeFull, pmd + "; server_max_window_bits=10", DeflateParams{FullTakeover, 15, 10}, true, nil},
		{"7.1.2.1/more", modeBoth, pmd + "; server_max_window_bits=13", DeflateParams{}, false, errDeflateAnswer},
		{"7.1.2.1/not agreed", modeBoth, pmd, DeflateParams{}, false, errDeflateAnswer},
		{"7.1.2.1/no value", modeFull, pmd + "; server_max_window_bits", DeflateParams{}, false, errDeflateAnswer},
		{"7.1.2.2/told", modeFull, pmd + "; client_max_window_bits=9", DeflateParams{FullTakeover, 9, 15}, true, nil},
		{
			"7.1.2.2/told, and history",
			DeflateOptions{1024, 15},
			pmd + "; client_max_window_bits=9",
			DeflateParams{512, 9, 15},
			true, nil,
		},
		{"7.1.2.2/no value", modeFull, pmd + "; client_max_window_bits", DeflateParams{}, false, errDeflateAnswer},
		{"7.1/unknown", modeFull, pmd + "; foo", DeflateParams{}, false, errDeflateAnswer},
		{"7.1/twice", modeFull, pmd + "; server_no_context_takeover; server_no_context_takeover", DeflateParams{}, false, errDeflateAnswer},
		{"7.1/value", modeFull, pmd + "; client_max_window_bits=16", DeflateParams{}, false, errDeflateAnswer},
		{"4.1/two", modeFull, pmd + ", " + pmd, DeflateParams{}, false, errNotOffered},
		{"4.1/two lines", modeFull, pmd + "|" + pmd, DeflateParams{}, false, errNotOffered},
		{"4.1/other", modeFull, "foo", DeflateParams{}, false, errNotOffered},
		{"4.1/another", modeFull, pmd + ", foo", DeflateParams{}, false, errNotOffered},
		{"9.1/malformed", modeFull, pmd + "; ", DeflateParams{}, false, errExtensionSyntax},
		{"9.1/malformed/behind", modeFull, pmd + "; server_max_window_bits=9 9", DeflateParams{}, false, errExtensionSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			params, ok, err := c.options.CheckAnswer(headers(c.answer))
			if params != c.params || ok != c.ok || err != c.err {
				t.Errorf("got %+v, %v, %v\nwant %+v, %v, %v", params, ok, err, c.params, c.ok, c.err)
			}
			var broken *ProtocolError
			if err != nil && (!errors.As(err, &broken) || broken.Code != CloseProtocolError) {
				t.Errorf("%v is no protocol error with 1002", err)
			}
		})
	}
}

// TestBothSidesAgree lets every client meet every server: what one sends is what the other can read, in both
// directions, and nobody keeps more than its options allow.
func TestBothSidesAgree(t *testing.T) {
	var all []DeflateOptions
	for _, history := range []int{FullTakeover, 0, 1, 256, 1024, 32768} {
		for _, bits := range []int{0, 8, 9, 12, 14, 15} {
			all = append(all, DeflateOptions{history, bits})
		}
	}
	for _, client := range all {
		for _, server := range all {
			t.Run(fmt.Sprintf("7.1/client=%v/server=%v", client, server), func(t *testing.T) {
				offer := client.AppendOffer(nil)
				answer, s, ok := server.AppendAnswer(nil, [][]byte{offer})
				if !ok {
					t.Fatalf("%q declined", offer)
				}
				c, ok, err := client.CheckAnswer([][]byte{answer})
				if !ok || err != nil {
					t.Fatalf("%q to %q: %v, %v", answer, offer, ok, err)
				}
				checkDirection(t, client, server, c, s)
				checkDirection(t, server, client, s, c)
			})
		}
	}
}

func checkDirection(t *testing.T, from, to DeflateOptions, send, receive DeflateParams) {
	t.Helper()
	switch {
	case send.SendHistory != 0 && receive.ReceiveBits == 0:
		t.Errorf("%+v takes over what %+v does not keep", send, receive)
	case receive.ReceiveBits != 0 && send.SendBits > receive.ReceiveBits:
		t.Errorf("%+v reaches further back than %+v", send, receive)
	case int(receive.ReceiveBits) > to.ReceiveBits:
		t.Errorf("%+v keeps more than %+v", receive, to)
	case from.SendHistory == FullTakeover && send.SendHistory > 0, from.SendHistory >= 0 && int(send.SendHistory) > from.SendHistory:
		t.Errorf("%+v keeps more than %+v", send, from)
	case receive.ReceiveHistory() != 0 && receive.ReceiveHistory() != 1<<receive.ReceiveBits:
		t.Errorf("%+v keeps %d bytes", receive, receive.ReceiveHistory())
	}
}

func TestDeflateOptionsValid(t *testing.T) {
	for _, c := range []struct {
		options DeflateOptions
		want    bool
	}{
		{DeflateOptions{}, true},
		{modeFull, true},
		{DeflateOptions{32768, 8}, true},
		{DeflateOptions{32769, 8}, false},
		{DeflateOptions{-2, 8}, false},
		{DeflateOptions{0, 7}, false},
		{DeflateOptions{0, 16}, false},
		{DeflateOptions{0, -1}, false},
	} {
		if got := c.options.Valid(); got != c.want {
			t.Errorf("%+v: %v", c.options, got)
		}
	}
}

func TestDeflateParamsSize(t *testing.T) {
	if size := unsafe.Sizeof(DeflateParams{}); size > 8 {
		t.Errorf("DeflateParams take %d bytes, the budget is 8", size)
	}
}

func TestAppendAnswerAllocatesNothing(t *testing.T) {
	offers := headers(`foo; bar="baz", permessage-deflate; x|permessage-deflate; client_max_window_bits; server_max_window_bits="10"`)
	dst := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, ok := modeBoth.AppendAnswer(dst, offers); !ok {
			t.Fatal("declined")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzNegotiate: whatever a client offers, the answer is one that a client with that offer would accept, it does not
// depend on how the offers are spread over lines, and what we promise is within what we are willing to do. Whatever a
// server answers, a client either refuses it or ends with lawful parameters.
func FuzzNegotiate(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits", int16(1024), uint8(0))
	f.Add("permessage-deflate; server_max_window_bits=9; foo, permessage-deflate; server_no_context_takeover", int16(-1), uint8(15))
	f.Add(`permessage-deflate; client_max_window_bits="1\0"`, int16(0), uint8(9))
	f.Fuzz(func(t *testing.T, in string, history int16, bits uint8) {
		o := DeflateOptions{max(int(history), FullTakeover), 0}
		if bits%9 != 0 {
			o.ReceiveBits = 7 + int(bits%9)
		}
		answer, p, ok := o.AppendAnswer(nil, [][]byte{[]byte(in)})
		if strings.IndexByte(in, '"') < 0 {
			again, q, okAgain := o.AppendAnswer(nil, headers(strings.ReplaceAll(strings.ReplaceAll(in, "|", ""), ",", "|")))
			want, wantP, wantOK := o.AppendAnswer(nil, [][]byte{[]byte(strings.ReplaceAll(in, "|", ""))})
			if string(again) != string(want) || q != wantP || okAgain != wantOK {
				t.Fatalf("%q: %q, %+v in one line, %q, %+v in many", in, want, wantP, again, q)
			}
		}
		if ok {
			checkAnswered(t, o, string(answer), p)
		}
		if p, ok, err := o.CheckAnswer([][]byte{[]byte(in)}); ok == (err != nil) && (ok || p != DeflateParams{}) {
			t.Fatalf("%q: %+v, %v, %v", in, p, ok, err)
		} else if ok {
			checkAnswered(t, o, in, p)
		}
	})
}

// checkAnswered holds what is true of every agreement.
func checkAnswered(t *testing.T, o DeflateOptions, answer string, p DeflateParams) {
	t.Helper()
	list, wellFormed := listExtensions(answer)
	switch {
	case !wellFormed || !strings.HasPrefix(list, deflateName):
		t.Fatalf("answer %q", answer)
	case p.SendBits < 8 || p.SendBits > 15 || p.ReceiveBits != 0 && p.ReceiveBits < 8 || int(p.ReceiveBits) > max(o.ReceiveBits, 0):
		t.Fatalf("%q: %+v with %+v", answer, p, o)
	case p.SendHistory > 1<<p.SendBits || p.SendHistory != 0 && (p.SendHistory < 0) != (o.SendHistory < 0):
		t.Fatalf("%q: %+v with %+v", answer, p, o)
	}
}

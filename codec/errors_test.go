package codec

import (
	"errors"
	"testing"
)

func TestProtocolError(t *testing.T) {
	_, _, err := ParseHeader([]byte{0x09})
	if want := "RFC 6455 §5.5: fragmented control frame, close 1002 (Protocol error)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	var broken *ProtocolError
	if !errors.As(err, &broken) || broken.Code != CloseProtocolError || broken.Rule != "RFC 6455 §5.5" {
		t.Errorf("got %+v", broken)
	}
}

func TestProtocolErrorAllocatesNothing(t *testing.T) {
	in := []byte{0x09}
	if n := testing.AllocsPerRun(100, func() { _, _, sinkError = ParseHeader(in) }); n != 0 {
		t.Errorf("%v allocations for an error, want 0", n)
	}
}

var sinkError error

package engine

import (
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/codec"
)

// Errors of a connection. They are compared with errors.Is.
var (
	// ErrClosed says that the connection has ended or is about to: nothing more
	// is accepted for sending.
	ErrClosed = errors.New("engine: connection is closed")
	// ErrSlowPeer says that a message found no room in the connection's queue
	// (Endpoint.MaxQueue), or that the peer took no byte of it for
	// Config.StallTimeout. The connection is closed with 1013.
	ErrSlowPeer = errors.New("engine: peer reads too slowly, its queue is full")
	// ErrDropped says that a message found no room in the connection's queue and was
	// dropped, as Endpoint.WhenFull wants it. The connection lives.
	ErrDropped = errors.New("engine: peer reads too slowly, the message was dropped")
	// ErrIdle says that no message came or went for Endpoint.IdleTimeout. The
	// connection is closed with 1001.
	ErrIdle = errors.New("engine: no message for too long")
	// ErrMaxAge says that the connection has reached Endpoint.MaxAge. It is closed
	// with 1001.
	ErrMaxAge = errors.New("engine: connection has reached its greatest age")
	// ErrStalled says that the peer left a message unfinished and sent nothing
	// for Config.StallTimeout. The connection is closed with 1008.
	ErrStalled = errors.New("engine: peer does not finish its message")
	// ErrRateLimited says that the peer has sent messages, bytes or control frames
	// faster than Endpoint.MaxMessageRate, MaxByteRate or MaxControlRate allows. The
	// connection is closed with 1008.
	ErrRateLimited = errors.New("engine: peer sends too fast")
	// ErrNoPong says that the peer was silent and did not answer a heartbeat
	// (Endpoint.PongTimeout). The connection is closed with 1011.
	ErrNoPong = errors.New("engine: peer does not answer a ping")
	// ErrCloseTimeout says that the peer did not finish the end of the
	// connection in time (Config.CloseTimeout), or has stopped taking what was sent
	// before.
	ErrCloseTimeout = errors.New("engine: peer did not finish the closing handshake in time")
	// ErrAborted says that Conn.Abort has ended the connection.
	ErrAborted = errors.New("engine: connection was aborted")
	// ErrShutdown says that the server ended the connection because it stops.
	ErrShutdown = errors.New("engine: server is shutting down")
	// ErrOtherLoop says that a burst was made for connections of another loop.
	ErrOtherLoop = errors.New("engine: the burst is for another loop")
	// ErrBadOp says that a message was to be sent with another kind than Text or
	// Binary.
	ErrBadOp = errors.New("engine: a message is Text or Binary")
	// ErrTooLong says that a message is longer than any queue may be (1 GiB).
	ErrTooLong = errors.New("engine: a message is at most 1 GiB long")
	// ErrControlTooLong says that a control frame's payload is over 125 bytes
	// (RFC 6455 §5.5).
	ErrControlTooLong = errors.New("engine: a control frame carries at most 125 bytes")
	// ErrBadClose says that a close code must not be sent (RFC 6455 §7.4), or
	// that the reason is no UTF-8.
	ErrBadClose = errors.New("engine: this close code must not be sent, or its reason is no UTF-8")
)

// PanicError is what a panic in a handler becomes.
type PanicError struct{ Value any }

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("engine: panic in a handler: %v", e.Value) }

// closeFor turns an error that ends a connection into the close code and the
// reason that the peer is told. Every failing path ends here. Errors of the
// network give 1006, which is never sent.
func closeFor(err error) (codec.CloseCode, string) {
	var protocol *codec.ProtocolError
	var panicked *PanicError
	switch {
	case errors.As(err, &protocol):
		return protocol.Code, protocol.What
	case errors.As(err, &panicked):
		return codec.CloseInternalError, "internal error"
	case errors.Is(err, ErrSlowPeer):
		return codec.CloseTryAgainLater, "reading too slowly"
	case errors.Is(err, ErrIdle):
		return codec.CloseGoingAway, "no message for too long"
	case errors.Is(err, ErrMaxAge):
		return codec.CloseGoingAway, "connected for long enough; connect again"
	case errors.Is(err, ErrNoPong):
		return codec.CloseInternalError, "no answer to a ping"
	case errors.Is(err, ErrStalled):
		return codec.ClosePolicyViolation, "message not finished in time"
	case errors.Is(err, ErrRateLimited):
		return codec.ClosePolicyViolation, "sending too fast"
	case errors.Is(err, ErrShutdown):
		return codec.CloseGoingAway, "server is shutting down"
	default:
		return codec.CloseAbnormal, ""
	}
}

// isProtocolError says whether the peer has broken the protocol.
func isProtocolError(err error) bool {
	var protocol *codec.ProtocolError
	return errors.As(err, &protocol)
}

// abnormal is the error of a connection that ended without a closing handshake.
func abnormal(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

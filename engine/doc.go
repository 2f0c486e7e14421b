// Package engine carries WebSocket connections (RFC 6455) on a handful of event
// loops, with no goroutine per connection.
//
//	srv, err := engine.New(engine.Config{Addr: "localhost:8080"})
//	srv.Handle("/echo", engine.Endpoint{Handler: echo{}})
//	err = srv.Run(ctx) // serves until ctx ends, then closes everyone in order
//
// # Goroutines
//
// A connection belongs to one loop for its whole life. All callbacks of its
// Handler run on that loop, in order, never two at once; what a handler keeps
// per connection needs no lock. A callback must not block: while it runs, the
// loop's other connections wait.
//
// Every method of Conn says one of two things:
//
//   - loop-only: call it from a callback of a connection of the same loop;
//   - safe from any goroutine.
//
// A *Conn may be kept for ever. After the connection's end its methods return
// ErrClosed; they never reach another connection.
//
// # Bytes
//
// Every method that takes or gives bytes says one of three things:
//
//   - valid until the callback returns: copy what you keep;
//   - does not retain p: p is yours again when the call returns;
//   - takes ownership of p: don't touch p any more.
//
// # Sending
//
// Conn.Reply is loop-only: the frames of one turn leave in one write(2).
// Conn.Send is safe from any goroutine. Both join the same queue, in the order
// in which one goroutine has called them. What a call has accepted is delivered,
// or the connection ends with a code that says why. The queue of a connection
// has a limit (Endpoint.MaxQueue). While half of it waits for the peer, the peer is
// not read from and its messages are not delivered, so a flood of questions cannot
// pile up answers. A message that doesn't fit, such as one of a feed that goes on
// whether or not the peer reads, closes the connection with 1013.
//
// # Ends
//
// OnOpen and OnClose are called exactly once each, OnClose last. CloseInfo says
// code, reason, who began it, whether both sides said goodbye, and the error if
// there was one. A protocol error is answered with its close code before the
// TCP connection ends, and the end is orderly, so that the peer can read it.
//
// A peer that takes no byte of what waits for it, or leaves a message unfinished,
// for Config.StallTimeout is closed with 1013 or 1008. A peer that is silent for
// Endpoint.PingInterval is asked with a ping whether it is there, and closed with
// 1011 when it sends nothing within Endpoint.PongTimeout. The pings of connections
// that were made together are spread over the interval. Timers are slots of a
// timing wheel per loop; there is no goroutine or runtime timer per connection.
//
// A panic in a callback closes that connection with 1011 and is logged with its
// stack.
package engine

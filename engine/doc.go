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
// loop's other connections wait. Where it has to, see Handlers that block.
//
// Every method of Conn says one of two things:
//
//   - loop-only: call it from a callback of that connection, or of another one of the
//     same loop if neither's endpoint has Workers;
//   - safe from any goroutine.
//
// A *Conn may be kept for ever. After the connection's end its methods return
// ErrClosed; they never reach another connection.
//
// # Handlers that block
//
// With Endpoint.Workers the callbacks of an endpoint run on a pool of at most so
// many goroutines instead of the loop, and may block: one that does holds up its own
// connection, and the others of its endpoint only when no worker is left. They still
// run in order for each connection, never two at once, with OnClose last. OnOpen,
// OnFull and Admit stay on the loop: they must not block, and OnFull, which may come
// during another callback, must leave alone what belongs to the connection's
// callbacks, such as Conn.User.
//
// Messages are copied for the workers. A connection for which more than 256 callbacks,
// or 256 KiB of payloads, wait is not read from until a quarter is left, and while more
// than Endpoint.HighWater waits for the peer, or PauseRead holds, none of its messages
// is delivered, as on the loop. What has been received when a connection ends is still
// delivered, before OnClose; only after Conn.Close or a panic it is not. Conn.Reply does
// what Conn.Send does.
//
// The end of a server waits for the callbacks that run, as long as
// Config.ShutdownTimeout or the context of Shutdown lets it. One that never returns is
// left behind, and the error says so.
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
// or the connection ends with a code that says why, or it is dropped by a policy
// that the endpoint has chosen, and counted.
//
// # Slow readers
//
// The queue of a connection has a limit (Endpoint.MaxQueue) and two marks in it.
// While more than Endpoint.HighWater waits for the peer, the peer is not read from
// and its messages are not delivered, so a flood of questions cannot pile up
// answers. When no more than Endpoint.LowWater is left, reading goes on, and a
// handler with OnDrain hears of it: who produces for that peer, and has looked at
// Conn.Buffered, may go on too.
//
// Endpoint.WhenFull says what becomes of a message that doesn't fit: the connection
// is closed with 1013 (CloseSlow, the default), the message is dropped (DropNewest),
// the messages that have waited longest are (DropOldest), or the handler's OnFull
// chooses. Conn.SendWithin gives one message a time after which it is not worth
// sending. Only whole messages are dropped, none that has begun to leave, and each
// is counted (Conn.Dropped). Compression happens when a message leaves, so dropping
// one never spoils the next.
//
// Conn.PauseRead and Conn.ResumeRead stop and go on reading for reasons of the
// user's own.
//
// # Compression
//
// An endpoint with a Compression negotiates permessage-deflate (RFC 7692) with the
// clients that offer it. What cannot be agreed on is declined, never a failed
// handshake. Each connection costs, on top of an idle plain one: 1.1 KB with the
// zero Compression; 1<<PeerBits bytes more where the client may refer to what it
// has sent; about 1 MB with FullHistory; and 0.1 KB with neither. Compressors and
// decompressors are shared by the connections of a loop, 1 to 9 MB for each. A
// message is inflated under the limit of MaxMessage: a bomb is refused with 1009
// having taken no more than that; and a loop that has inflated 4 MiB at a stretch
// looks at its other connections first. Don't compress secrets together with what a
// stranger may choose (see Compression).
//
// # TLS
//
// With Config.TLS an address speaks wss and https, and Config.Listeners adds others,
// plain or not. Handshakes run on a few goroutines of their own, at most
// Config.MaxTLSHandshakes at once; from then on the loop encrypts and decrypts. An
// idle connection takes about 3 KB more than without. Request.TLS tells of the
// client's certificate, in Admit and OnOpen. LoadCertificate reads a renewed
// certificate without a restart.
//
// # Who is there
//
// Conn.Remote is the peer, Conn.Client the client: the same address, unless the peer
// is one of Config.TrustedProxies, whose word in X-Forwarded-For or Forwarded
// (Config.ForwardedHeader) counts. It is read from the right, as far as trusted
// proxies have written it, so what a client puts there itself is never believed.
// Request.Secure says whether the client came by TLS, if only to the proxy.
//
// With Config.ProxyProtocol, or that of a Listener, connections begin with a PROXY
// header, version 1 or 2, before TLS. A Listener may be a unix socket, whose peers
// have no address. Config.ReusePort shares the port with other processes.
//
// # Who is let in
//
// Config.MaxConns and MaxTLSHandshakes bound what there is at once, MaxConnsPerIP the
// same for one client, and MaxHandshakeRate how many handshakes begin in a second.
// One more is answered with 503 or 429 and a Retry-After, when it is accepted, so
// before TLS, which ends with an alert; behind a trusted proxy, where the client is
// known later, it is answered then.
//
// Endpoint.MaxMessageRate, MaxByteRate and MaxControlRate bound how fast a peer may
// send. One that exceeds them is closed with 1008, and not listened to any more. The
// last is 100 a second unless it is set; the others are off.
//
// # HTTP, and other servers
//
// Server.HandleHTTP serves what is no WebSocket request on the same port, plain or
// TLS, by way of net/http: the descriptor moves there with the bytes already read, and
// comes back with a handshake for an endpoint, such as a proxy sends on a connection
// that it has kept. Server.Upgrade takes the connection of a WebSocket request over
// from any net/http server or router, onto the loops.
//
// # Outgoing connections
//
// A Client is the other role, on loops of its own: Dialer.Dial blocks until the
// opening handshake is done, and the connection has no goroutine from then on. Conn,
// Handler and the limits of Endpoint are the same. Origins and Admit have no meaning
// there. DialOptions.DialContext reaches a unix socket, or what else the caller makes.
//
//	client, err := engine.NewClient(engine.ClientConfig{})
//	dialer, err := client.Dialer("wss://example.com/feed", engine.DialOptions{
//		Endpoint: engine.Endpoint{Handler: feed{}},
//	})
//	conn, err := dialer.Dial(ctx)
//
// # Ends
//
// OnOpen and OnClose are called exactly once each, OnClose last. CloseInfo says
// code, reason, who began it, whether both sides said goodbye, and the error if
// there was one. A protocol error is answered with its close code before the
// TCP connection ends, and the end is orderly, so that the peer can read it.
//
// What was accepted before the Close frame arrives at a peer that reads, however slowly:
// Config.CloseTimeout, for its answer, begins when it has got everything, kernel buffers
// included. Until then it must take some within StallTimeout, as before; within
// CloseTimeout where the peer is itself the reason for the end, or takes nothing at all.
//
// A peer that takes no byte of what waits for it, or leaves a message unfinished,
// for Config.StallTimeout is closed with 1013 or 1008. A peer that is silent for
// Endpoint.PingInterval is asked with a ping whether it is there, and closed with
// 1011 when it sends nothing within Endpoint.PongTimeout. The pings of connections
// that were made together are spread over the interval. Endpoint.IdleTimeout ends
// connections without messages, and Endpoint.MaxAge old ones, spread likewise; both
// are off by default and close with 1001. Timers are slots of a timing wheel per
// loop; there is no goroutine or runtime timer per connection.
//
// A panic in a callback closes that connection with 1011 and is logged with its
// stack.
//
// # Shutdown
//
// When the context of Run ends, or with Shutdown, connections are closed in random
// order, spread evenly over Config.DrainWindow, with Config.DrainCode; until its turn
// each works as ever. What was accepted for sending goes before the Close frame and is
// not lost before the deadline, unless the peer takes nothing for StallTimeout; the
// error of Shutdown tells of that.
// Server.Draining says that it has begun.
//
// # Statistics
//
// Server.Stats counts connections, handshakes by outcome, ends by code and side,
// messages and bytes, drops, and what waits in queues. Config.Observer is told of what
// is rare, for histograms and logs. Both cost a message next to nothing.
package engine

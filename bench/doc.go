// Package bench measures WebSocket servers: it makes connections, sends messages at a
// rate, and says what came back, how late, and whether its own lateness is part of
// that. Command wsbench is its face.
//
// An open loop (Echo.Rate) sends whatever comes back, as users do, and counts latency
// from the moment at which a message was due: a server that stands still is charged for
// all who wait meanwhile. A closed loop (Echo.InFlight) waits for each answer; it
// measures capacity, and hides stalls.
//
// A scenario (Scenario) is an open loop whose rate and number of connections change in
// phases, with messages of several kinds, and with slow readers, resets and reconnect
// storms on purpose. What becomes of the connections that it disturbs is counted apart.
//
// Search finds the highest rate of an open loop at which a server keeps its SLOs, and
// Compare measures two servers in turns and says what differs.
//
// A Fanout has publishers and subscribers in one process, so that its latencies are one
// way: from when a publish was due to the first, half and all of the subscribers.
//
// Every byte of an echo is checked, and losses, repetitions and changes of order are
// counted as such. Result.Doubts says when the figures may be the client's rather than
// the server's. Package report shows a Result as text or as a page, and two side by side;
// package host looks at the machine and at the server's process.
package bench

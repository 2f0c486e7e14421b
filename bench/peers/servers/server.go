// Package servers has one job on several libraries: what is published goes to every
// connection.
package servers

// Server is the job on one library.
type Server interface {
	// Listen serves WebSockets on a free port of the loopback, and gives its address.
	Listen(on Events) (addr string, err error)
	// Publish sends messages to all, in order. They may leave after it has returned.
	// It takes ownership of them.
	Publish(messages [][]byte) error
}

// Events are what a server tells, from wherever its library calls it.
type Events struct {
	// Joined is called for each connection as soon as it gets what is published from
	// then on.
	Joined func()
	// Said is called for each message of a connection, which is an order. The server is
	// ready to obey it there and then, as one does that passes messages on. p is valid
	// until it returns.
	Said func(p []byte)
}

// Kind is a library to compare.
type Kind struct {
	Name   string
	Module string // that has the library
	New    func() Server
}

// Kinds are all there are, Headrace first.
var Kinds = []Kind{
	{Name: "headrace", Module: "github.com/headrace/headrace", New: func() Server { return new(headrace) }},
	{Name: "gorilla", Module: "github.com/gorilla/websocket", New: func() Server { return new(gorilla) }},
	{Name: "gws", Module: "github.com/lxzan/gws", New: func() Server { return new(gwsServer) }},
	{Name: "nbio", Module: "github.com/lesismal/nbio", New: func() Server { return new(nbio) }},
}

// Find gives a kind by its name, nil when there is none.
func Find(name string) *Kind {
	for i := range Kinds {
		if Kinds[i].Name == name {
			return &Kinds[i]
		}
	}
	return nil
}

package engine

import (
	"sync"
	"sync/atomic"
	"testing"
)

// stage is a server under test. It echoes, and records what each connection's
// handler was told.
type stage struct {
	srv      *Server
	sessions sync.Map // address of the client: *session
}

// session is what one connection's handler was told.
type session struct {
	conn   chan *Conn
	closed chan CloseInfo // room for a second OnClose, which must not come
	user   any            // what Admit has set; readable once conn has come
	pongs  chan string

	messages, pings, opens, closes atomic.Int32
}

// newStage starts a server with one loop, so that all its connections are
// neighbours. adapt may change the endpoint /echo and add others.
func newStage(tb testing.TB, cfg Config, adapt func(*Server, *Endpoint)) *stage {
	s := new(stage)
	cfg.Loops = 1
	s.srv = startServer(tb, cfg, func(srv *Server) {
		echo := Endpoint{Handler: s, MaxControlRate: -1} // barriers are pings
		if adapt != nil {
			adapt(srv, &echo)
		}
		srv.Handle("/echo", echo)
	})
	return s
}

func (s *stage) OnOpen(c *Conn) {
	v, ok := s.sessions.Load(c.Remote().String())
	if !ok {
		panic("a connection from " + c.Remote().String() + " that no test has made")
	}
	one := v.(*session)
	one.user = c.User()
	c.SetUser(one)
	one.opens.Add(1)
	one.conn <- c
}

func (s *stage) OnMessage(c *Conn, op Op, p []byte) {
	c.User().(*session).messages.Add(1)
	if string(p) == "panic" {
		panic("asked for")
	}
	_ = c.Reply(op, p)
}

func (s *stage) OnPing(c *Conn, _ []byte) { c.User().(*session).pings.Add(1) }

func (s *stage) OnPong(c *Conn, p []byte) {
	select {
	case c.User().(*session).pongs <- string(p):
	default:
	}
}

func (s *stage) OnClose(c *Conn, info CloseInfo) {
	one := c.User().(*session)
	one.closes.Add(1)
	one.closed <- info
}

// row runs a subtest next to a witness: another connection of the same loop, in
// the middle of a fragmented message all the while, that must not notice.
func (s *stage) row(t *testing.T, name string, f func(t *testing.T, witness *rawClient)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		witness := s.open(t)
		witness.send(sent(text("before"), begin(text("wit"))))
		witness.expect(text("before"))
		f(t, witness)
		witness.send(sent(last("ness")))
		witness.expect(text("witness"))
		witness.goodbye()
	})
}

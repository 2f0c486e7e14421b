package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process whose Client has used up all descriptors: Dial says so, the connections
// that are open live, slow ones too, and it dials again when there is one.
func TestDialOutOfDescriptors(t *testing.T) {
	paused := make(chan *Conn, 1)
	srv := startServer(t, Config{Loops: 1}, func(s *Server) {
		s.Handle("/paused", Endpoint{MaxQueue: 64 << 20, Handler: HandlerFuncs{
			Open: func(c *Conn) {
				c.PauseRead()
				paused <- c
			},
			Message: func(c *Conn, op Op, p []byte) { _ = c.Reply(op, p) },
		}})
		s.Handle("/echo", Endpoint{Handler: HandlerFuncs{Message: func(c *Conn, op Op, p []byte) {
			if string(p) == "go on" {
				(<-paused).ResumeRead()
			}
			_ = c.Reply(op, p)
		}}})
	})
	runStarving(t, "client "+srv.Addr().String())
}

// starvedClient is the Client of that process.
type starvedClient struct {
	client *Client
	dialer *Dialer
	echoes chan string
	opened atomic.Int32
	closed atomic.Int32
}

// starveClient runs the scenario in a process of its own.
func starveClient(addr string) error {
	lim := unix.Rlimit{Cur: 200, Max: 200}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	client, err := NewClient(ClientConfig{Loops: 1, MaxConns: 1 << 20, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	s := &starvedClient{client: client, echoes: make(chan string, 1)}
	if s.dialer, err = s.to(addr, "/echo"); err != nil {
		return err
	}
	if err := s.run(addr); err != nil {
		return err
	}
	if err := client.Close(); err != nil {
		return err
	}
	if opened, closed := s.opened.Load(), s.closed.Load(); opened != closed {
		return fmt.Errorf("%d opened, %d closed", opened, closed)
	}
	return nil
}

func (s *starvedClient) to(addr, path string) (*Dialer, error) {
	return s.client.Dialer("ws://"+addr+path, DialOptions{Endpoint: Endpoint{
		MaxQueue: 64 << 20,
		Handler: HandlerFuncs{
			Open:    func(*Conn) { s.opened.Add(1) },
			Close:   func(*Conn, CloseInfo) { s.closed.Add(1) },
			Message: func(_ *Conn, _ Op, p []byte) { s.echoes <- string(p) },
		},
	}})
}

func (s *starvedClient) run(addr string) error {
	slowly, err := s.to(addr, "/paused")
	if err != nil {
		return err
	}
	slow, err := slowly.Dial(context.Background())
	if err != nil {
		return err
	}
	var conns []*Conn
	for err == nil {
		var c *Conn
		if c, err = s.dialer.Dial(context.Background()); err == nil {
			conns = append(conns, c)
		}
	}
	had := openDescriptors()
	for range 50 {
		if !errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("without descriptors Dial gives %w", err)
		}
		_, err = s.dialer.Dial(context.Background())
	}
	if now := openDescriptors(); len(conns) < 100 || now != had || s.client.Connections() != len(conns)+1 {
		return fmt.Errorf("%d connections, %d descriptors; after failures %d and %d", len(conns)+1, had, s.client.Connections(), now)
	}
	for _, c := range conns {
		if err := s.echo(c, "still here"); err != nil {
			return err
		}
	}
	if err := s.sendSlowly(slow, conns[0]); err != nil {
		return fmt.Errorf("a slow connection without descriptors: %w", err)
	}
	if err := conns[0].Close(CloseNormal, ""); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c, err := s.dialer.Dial(context.Background())
		switch {
		case err == nil:
			return s.echo(c, "again")
		case !errors.Is(err, unix.EMFILE):
			return err
		}
	}
	return errors.New("it does not dial again")
}

func (s *starvedClient) echo(c *Conn, p string) error {
	if err := c.Send(Text, []byte(p)); err != nil {
		return err
	}
	select {
	case got := <-s.echoes:
		if got != p {
			return fmt.Errorf("%.20q came back as %.20q", p, got)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%.20q did not come back", p)
	}
}

// sendSlowly sends more than the sockets hold to a peer that doesn't read, and has it
// read then.
func (s *starvedClient) sendSlowly(slow, other *Conn) error {
	const messages, size = 40, 1 << 20
	for range messages {
		if err := slow.Send(Binary, make([]byte, size)); err != nil {
			return err
		}
	}
	turn(slow)
	if slow.Buffered() == 0 {
		return errors.New("nothing waits")
	}
	if err := s.echo(other, "go on"); err != nil {
		return err
	}
	for range messages {
		select {
		case p := <-s.echoes:
			if len(p) != size {
				return fmt.Errorf("%d bytes came back", len(p))
			}
		case <-time.After(patience):
			return errors.New("not all came back")
		}
	}
	return nil
}

// openDescriptors counts them without needing one.
func openDescriptors() (n int) {
	for fd := range 200 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

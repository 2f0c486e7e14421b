package servers

import (
	"bufio"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
)

const loopback = "127.0.0.1:0"

// Serve is the whole life of a server's process. It says "listening ADDRESS", and
// "ready" when so many connections are there. Then it obeys the lines of in, and answers
// "done" or "error ..." to each:
//
//	publish N      N messages to everybody, in one call of Publish; none when N is 0
//	pace RATE N    N messages, RATE of them a second; those that are due in one call
//
// It returns when in ends. bench/limit/limit.c does the same without a library.
func Serve(s Server, subscribers int, in io.Reader, out io.Writer) error {
	ready := make(chan struct{})
	var joined atomic.Int64
	addr, err := s.Listen(func() {
		if joined.Add(1) == int64(subscribers) {
			close(ready)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "listening", addr)
	go func() {
		<-ready
		fmt.Fprintln(out, "ready")
	}()
	p := publisher{server: s}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := p.obey(lines.Text()); err != nil {
			fmt.Fprintln(out, "error", err)
		} else {
			fmt.Fprintln(out, "done")
		}
	}
	return lines.Err()
}

// publisher numbers the messages of a server.
type publisher struct {
	server Server
	next   uint64
}

func (p *publisher) obey(line string) error {
	var rate, n int
	if _, err := fmt.Sscanf(line, "publish %d", &n); err == nil {
		return p.publish(n)
	}
	if _, err := fmt.Sscanf(line, "pace %d %d", &rate, &n); err == nil && rate > 0 {
		return p.pace(rate, n)
	}
	return fmt.Errorf("what is %q", line)
}

func (p *publisher) publish(n int) error {
	if n == 0 {
		return nil
	}
	messages, due := make([][]byte, n), clock.Now()
	for i := range messages {
		messages[i] = p.message(due)
	}
	return p.server.Publish(messages)
}

// pace publishes on time, whatever became of the messages before.
func (p *publisher) pace(rate, n int) error {
	start := clock.Now()
	dueAt := func(i int) int64 { return start + int64(i)*int64(time.Second)/int64(rate) }
	for sent := 0; sent < n; {
		time.Sleep(time.Duration(dueAt(sent) - clock.Now()))
		var messages [][]byte
		for now := clock.Now(); sent < n && dueAt(sent) <= now; sent++ {
			messages = append(messages, p.message(dueAt(sent)))
		}
		if err := p.server.Publish(messages); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) message(due int64) []byte {
	m := newMessage(p.next, due)
	p.next++
	return m
}

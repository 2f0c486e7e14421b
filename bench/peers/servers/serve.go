package servers

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/bench/peers/clock"
)

const loopback = "127.0.0.1:0"

// Serve is the whole life of a server's process. It says "listening ADDRESS", and
// "ready" when so many connections are there. Then it obeys orders:
//
//	publish N      N messages to everybody, in one call of Publish
//	pace RATE N    N messages, RATE of them a second; those that are due in one call
//
// The first comes as a message of a subscriber, and is obeyed where the library has read
// it, as a service does that passes messages on. The second is a line of in. To those it
// answers "done", and to what it can't obey "error ...". It returns when in ends.
// bench/limit/limit.c does the same without a library.
func Serve(s Server, subscribers int, in io.Reader, out io.Writer) error {
	ready := make(chan struct{})
	var joined atomic.Int64
	p := publisher{server: s}
	addr, err := s.Listen(Events{
		Joined: func() {
			if joined.Add(1) == int64(subscribers) {
				close(ready)
			}
		},
		Said: func(order []byte) {
			if err := p.obeySubscriber(string(order)); err != nil {
				fmt.Fprintln(out, "error", err)
			}
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "listening", addr)
	go func() {
		<-ready
		fmt.Fprintln(out, "ready")
	}()
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

// publisher numbers the messages of a server. Who gives an order waits until it is
// obeyed before the next.
type publisher struct {
	server Server
	made   atomic.Uint64
}

// obey does what a line of the input says.
func (p *publisher) obey(line string) error {
	var rate, n int
	if _, err := fmt.Sscanf(line, "pace %d %d", &rate, &n); err != nil || rate < 1 {
		return fmt.Errorf("what is %q", line)
	}
	return p.pace(rate, n)
}

// obeySubscriber does what a message says.
func (p *publisher) obeySubscriber(order string) error {
	number, ok := strings.CutPrefix(order, "publish ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return fmt.Errorf("what is %q", order)
	}
	return p.publish(n)
}

func (p *publisher) publish(n int) error {
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
	return newMessage(p.made.Add(1)-1, due)
}

package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/engine"
)

// Storm is a plan: opening handshakes, many of them, and what becomes of the
// connections.
type Storm struct {
	Target

	// Rate is how many handshakes begin in a second, whatever the server makes of them
	// (an open loop); their latency counts from when they were due. Poisson has them come
	// independently of each other. Zero is a closed loop: AtOnce clients (zero: 64), each
	// of which begins a handshake when its last one is decided, and, with Churn or Hold,
	// its connection has ended. It does that every 10 ms at most while it is refused.
	Rate    float64
	Poisson bool
	AtOnce  int

	// Churn has each connection send one message, check what comes back, and close with
	// 1000; the closing handshake is awaited. Hold is how long it stays open first;
	// without Churn, if not zero, it is closed after that time with nothing said. With
	// neither, connections stay to the end.
	Churn bool
	Hold  time.Duration
	Sizes Sizes // of the message; zero is 32 bytes
	Text  bool  // it is text; binary otherwise

	// MaxOpen is how many connections may be open or in their handshake at once. Zero
	// means 10000.
	MaxOpen int
	// MaxDialing is how many handshakes may be under way at once in an open loop. Zero
	// means 1000. What is due while a limit is reached is not begun, and counted as
	// that.
	MaxDialing int

	Warmup   time.Duration // handshakes due in it do not count, nor do their connections
	Duration time.Duration
	Grace    time.Duration // how long after that lives may still come to their end; zero means 2 s
	Loops    int           // event loops of the client; zero: one less than processors
}

// StormResult is what only Storm measures. Handshakes are those that were due, or began,
// in the part that counts, and connections are theirs.
type StormResult struct {
	Rate    float64       `json:"rate,omitempty"` // asked for; 0: closed loop
	Poisson bool          `json:"poisson,omitempty"`
	AtOnce  int           `json:"atOnce,omitempty"`
	Churn   bool          `json:"churn,omitempty"`
	Hold    time.Duration `json:"hold,omitempty"`

	Asked       uint64            `json:"asked"` // handshakes; the sum of the next four
	Opened      uint64            `json:"opened"`
	Refused     uint64            `json:"refused"`
	NotBegun    uint64            `json:"notBegun"`
	Interrupted uint64            `json:"interrupted"` // given up, because the run was ended
	NotBegunFor map[string]uint64 `json:"notBegunFor,omitempty"`
	PerSecond   float64           `json:"perSecond"` // opened

	Kinds      map[string]uint64 `json:"kinds,omitempty"` // of refusals: "status", "tcp", "timeout", "tls", "ports", "other"
	RetryAfter *RetryAfter       `json:"retryAfter,omitempty"`
	Refusal    Histogram         `json:"refusal"` // of handshakes that were answered with another status than 101

	Closed   uint64    `json:"closed"`   // by us with 1000, and answered; the sum of it and the next three is Opened
	Unclean  uint64    `json:"unclean"`  // by us, and the closing handshake did not come to its end
	Dropped  uint64    `json:"dropped"`  // by the server, or the network
	Left     uint64    `json:"left"`     // open, or being closed, at the end
	Closing  Histogram `json:"closing"`  // from our Close frame to the end of the connection, of Closed
	MostOpen int       `json:"mostOpen"` // at once, those of the warm-up included

	Ports Ports `json:"ports"`
}

// RetryAfter is what refusals have said about when to come back.
type RetryAfter struct {
	Seen uint64  `json:"seen"` // refusals that had the header
	Min  float64 `json:"min"`  // seconds
	Max  float64 `json:"max"`
}

// Defaults of Storm.
const (
	stormAtOnce  = 64
	stormOpen    = 10000
	stormDialing = 1000
	stormSize    = 32
)

// Check implements Job.
func (p Storm) Check() error {
	_, err := p.withDefaults()
	return err
}

func (p *Storm) withDefaults() (Storm, error) {
	e := *p
	if e.Rate == 0 && e.AtOnce == 0 {
		e.AtOnce = stormAtOnce
	}
	if e.MaxOpen == 0 {
		e.MaxOpen = stormOpen
	}
	if e.MaxDialing == 0 {
		e.MaxDialing = stormDialing
	}
	if e.Grace == 0 {
		e.Grace = 2 * time.Second
	}
	if e.Sizes == (Sizes{}) {
		e.Sizes = Sizes{Min: stormSize, Max: stormSize}
	}
	if err := e.Target.check(); err != nil {
		return e, err
	}
	return e, e.wrong()
}

// wrong says what is.
func (p *Storm) wrong() error {
	least := (&content{op: p.op()}).least()
	kept := p.Rate * (p.Warmup + p.Duration).Seconds()
	switch {
	case !isRate(p.Rate):
		return fmt.Errorf("a rate is 0 to %d handshakes a second", int(maxRate))
	case p.Rate > 0 && p.AtOnce > 0:
		return errors.New("either a rate (open loop) or a number at once (closed loop)")
	case p.Poisson && p.Rate == 0:
		return errors.New("handshakes come as in a Poisson process at a rate: give one")
	case p.AtOnce < 0 || p.MaxOpen < 0 || p.MaxDialing < 0:
		return errors.New("a number of connections is not negative")
	case p.AtOnce > p.MaxOpen:
		return fmt.Errorf("%d at once are more than may be open: %d", p.AtOnce, p.MaxOpen)
	case p.Duration <= 0 || p.Warmup < 0 || p.Hold < 0 || p.Grace < 0 || p.DialTimeout < 0:
		return errors.New("a duration must be more than 0, and a warm-up, a hold and a timeout not less")
	case p.Churn && (p.Sizes.Min < least || p.Sizes.Max > maxMessage):
		return fmt.Errorf("size %v: a message needs %d bytes to be known again, and has %d at most", p.Sizes, least, maxMessage)
	case !p.ends() && p.Rate > 0 && kept > float64(p.MaxOpen):
		return fmt.Errorf("that is %.0f connections which are kept, and %d may be open at once: have them close again (churn, or a hold), or shorten the run, or raise the limit", kept, p.MaxOpen)
	}
	return nil
}

// ends says whether connections end before the run does.
func (p *Storm) ends() bool { return p.Churn || p.Hold > 0 }

func (p *Storm) op() engine.Op { return opOf(p.Text) }

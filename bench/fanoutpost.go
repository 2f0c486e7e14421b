package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// checkPost says what is wrong with a URL to POST to.
func checkPost(at string) error {
	u, err := url.Parse((&Target{URL: at}).at(0))
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no http:// or https:// URL to POST to", at)
	}
	return nil
}

// postings are publishers that POST, each on a goroutine of its own, one request at a
// time.
type postings struct {
	job    *fanJob
	client *http.Client
	pulse  *pulse // nil: a closed loop
	turn   int    // the publisher that is next

	mu  sync.Mutex
	rec *recorder

	due    []chan time.Duration // open loop, for each publisher
	busy   atomic.Int32         // publishes that were handed out and are not through; closed loop: publishers at work
	cancel context.CancelFunc
	run    sync.WaitGroup
}

// maxPostsDue is how many publishes may wait for one publisher that posts.
const maxPostsDue = 1 << 12

func newPostings(j *fanJob) *postings {
	transport := &http.Transport{TLSClientConfig: j.plan.TLS, MaxIdleConnsPerHost: j.plan.Publishers}
	s := &postings{job: j, rec: newRecorder(), client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	for i := range j.publishers {
		j.publishers[i].woken = make(chan struct{}, 1)
		s.due = append(s.due, make(chan time.Duration, maxPostsDue))
	}
	return s
}

// begin starts the publishers.
func (s *postings) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for i := range s.job.publishers {
		s.run.Go(func() { s.publish(ctx, &s.job.publishers[i], s.due[i]) })
	}
}

// end stops them, and waits for them. What still waits for a publisher is not sent.
func (s *postings) end() {
	s.cancel()
	s.run.Wait()
	s.client.CloseIdleConnections()
	for _, due := range s.due {
		for len(due) > 0 {
			if s.job.counts(<-due) {
				s.rec.NotSent++
			}
		}
	}
}

// pace has publishes be due at a rate.
func (s *postings) pace(rate float64, poisson bool, start time.Duration) []*pulse {
	s.pulse = newPulse(s.handOut, newPacer(rate, poisson, 0, 4).Next, start)
	return []*pulse{s.pulse}
}

// handOut gives the publishers what is due. The metronome calls it.
func (s *postings) handOut() {
	s.pulse.each(s.job.now(), time.Duration(s.job.until.Load()), math.MaxInt, func(due time.Duration) {
		s.busy.Add(1)
		select {
		case s.due[s.turn%len(s.due)] <- due:
		default:
			s.busy.Add(-1)
			s.notSent(due)
		}
		s.turn++
	})
}

// notSent counts a publish that was due at a time.
func (s *postings) notSent(due time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job.counts(due) {
		s.rec.NotSent++
	}
}

// publish is one publisher's goroutine.
func (s *postings) publish(ctx context.Context, p *publisher, due <-chan time.Duration) {
	w := newFanWriter(s.job, uint64(p.number)|1<<32)
	look := time.NewTicker(tidyEvery)
	defer look.Stop()
	for {
		select {
		case at := <-due:
			if ctx.Err() != nil {
				s.notSent(at)
				return
			}
			s.send(ctx, p, w, at)
			s.busy.Add(-1)
			continue
		case <-p.woken:
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if s.pulse != nil {
			continue
		}
		gaveUp := p.tidy(s.job.now() - s.job.plan.Patience)
		s.mu.Lock()
		s.rec.fanned().gaveUp += gaveUp
		s.mu.Unlock()
		s.busy.Add(1) // before it looks whether the end has come
		for s.job.sends() && p.hasTurn(s.job) && s.send(ctx, p, w, s.job.now()) {
		}
		s.busy.Add(-1)
	}
}

// send posts one publish.
func (s *postings) send(ctx context.Context, p *publisher, w *fanWriter, due time.Duration) bool {
	s.mu.Lock()
	of, expected, ok := p.begin(s.rec, s.job, due)
	if ok && s.job.counts(due) {
		record(s.rec.lag, s.job.now()-due)
	}
	s.mu.Unlock()
	if !ok {
		return false
	}
	err := s.post(ctx, p.number, w.write(of))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.rec.fanned().refused++
		s.job.keepFirst(&s.job.refusal, p.number, []byte(err.Error()))
	}
	if !arrived(err) {
		return p.end(s.rec, s.job, of, expected, err)
	}
	return p.end(s.rec, s.job, of, expected, nil) && err == nil
}

// refusedError says that the server has answered, and not with 2xx.
type refusedError struct{ what string }

func (e *refusedError) Error() string { return e.what }

// arrived says whether the server may have taken a request that ended with err: then it
// is owed to the subscribers.
func arrived(err error) bool {
	var refused *refusedError
	var op *net.OpError
	return !errors.As(err, &refused) && !(errors.As(err, &op) && op.Op == "dial")
}

// post sends one request and reads its answer.
func (s *postings) post(ctx context.Context, number int, body []byte) error {
	at := (&Target{URL: s.job.plan.PublishHTTP}).at(number)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = s.job.plan.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if token := s.job.plan.Bearer; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if answer.StatusCode/100 != 2 {
		return &refusedError{fmt.Sprintf("answered with %s: %s", answer.Status, bytes.TrimSpace(text))}
	}
	return nil
}

// take gives what was recorded since the last call.
func (s *postings) take() *recorder {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.rec
	s.rec = newRecorder()
	return rec
}

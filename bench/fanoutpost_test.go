package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/engine"
)

// posted starts a server that sends what is posted to all members of a relay, and
// refuses 1 in so many; 0: none.
func posted(t *testing.T, s *relay, refuses uint64) (url string) {
	var n atomic.Uint64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/say/0" && r.URL.Path != "/say/1" || err != nil {
			http.Error(w, "go away", http.StatusForbidden)
			return
		}
		if refuses > 0 && n.Add(1)%refuses == 0 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		done := make(chan struct{})
		work := s.loop.Load().NewWork(func() bool {
			s.send(&attendee{}, engine.Text, body)
			close(done)
			return false
		})
		work.Ask()
		<-done
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestFanoutByPost(t *testing.T) {
	for name, plan := range map[string]Fanout{
		"open loop":   {Rate: 100, Publishers: 2, Warmup: 50 * time.Millisecond, Grace: ample},
		"closed loop": {InFlight: 1, Publishers: 2, Grace: ample, Patience: ample},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &relay{}
			plan.PublishHTTP, plan.Bearer = posted(t, s, 0)+"/say/{i}", "secret"
			if err := whole(fanout(t, s, plan), 5); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFanoutByPostRefused(t *testing.T) {
	t.Parallel()
	s := &relay{}
	plan := Fanout{Rate: 200, PublishHTTP: posted(t, s, 3) + "/say/{i}", Bearer: "secret", Grace: ample}
	r := fanout(t, s, plan)
	if f := r.Fanout; f.Refused < 1 || r.Counts.NotSent != f.Refused || r.Counts.Lost != 0 || r.Counts.Received != 5*r.Counts.Sent || !strings.Contains(f.Refusal, "503") || !strings.Contains(f.Refusal, "not now") {
		t.Errorf("%+v %+v", r.Counts, f)
	}
	s = &relay{}
	plan = Fanout{Rate: 200, PublishHTTP: posted(t, s, 0) + "/say/{i}", Bearer: "wrong"}
	if _, err := tryFanout(t, s, plan); err == nil || !strings.Contains(err.Error(), "403 Forbidden: go away") {
		t.Error(err)
	}
}

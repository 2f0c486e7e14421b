package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/headrace/headrace/pubsub"
)

// lag is a subscriber that is behind, as operators see it.
type lag struct {
	Remote  string  `json:"remote"`
	Client  string  `json:"client,omitempty"` // for whom a trusted proxy speaks, else as remote
	Path    string  `json:"path"`
	Pattern string  `json:"pattern"`
	Mode    string  `json:"mode"`
	Waiting int     `json:"waiting"` // messages
	Bytes   int     `json:"bytes"`   // in the connection's queue
	Age     float64 `json:"age"`     // of the oldest message, in seconds
}

// weight orders them, as in the hub.
func (l *lag) weight() int { return l.Bytes + 1024*l.Waiting }

const (
	slowShown = 20
	maxSlow   = 1000
)

// serveSlow adds the list of the slowest subscribers.
func (t *topics) serveSlow(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/slow", func(w http.ResponseWriter, r *http.Request) {
		n := slowShown
		if q := r.URL.Query(); q.Has("n") {
			var err error
			if n, err = strconv.Atoi(q.Get("n")); err != nil || n < 1 || n > maxSlow {
				say(w, http.StatusBadRequest, "n must be a number from 1 to "+strconv.Itoa(maxSlow))
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		to := json.NewEncoder(w)
		to.SetIndent("", "  ")
		_ = to.Encode(t.slowest(n)) // an error means that nobody listens any more
	})
}

// slowest gives the n subscribers of the feed and the chat for which most waits.
func (t *topics) slowest(n int) []lag {
	all := make([]lag, 0, n)
	for _, l := range append(t.feed.hub.Slowest(n), t.chat.hub.Slowest(n)...) {
		all = append(all, newLag(&l))
	}
	slices.SortStableFunc(all, func(a, b lag) int { return cmp.Compare(b.weight(), a.weight()) })
	return all[:min(n, len(all))]
}

func newLag(l *pubsub.Lag) lag {
	shown := lag{
		Remote: l.Conn.Remote().String(), Path: l.Conn.Path(), Pattern: l.Pattern, Mode: l.Mode.String(),
		Waiting: l.Waiting, Bytes: l.Bytes, Age: l.Age.Seconds(),
	}
	if ip := l.Conn.Client(); ip.IsValid() {
		shown.Client = ip.String()
	}
	return shown
}

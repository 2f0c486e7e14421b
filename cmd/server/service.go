package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/engine"
)

// service is the engine's server, and the first part of its end, which is the
// program's: for drain-delay it works as ever, and says that it is not ready. Whoever
// spreads clients over servers needs a moment to see that, and what he sends until
// then is still served. With it goes what the server does with topics.
type service struct {
	*engine.Server
	topics  *topics
	leaving atomic.Bool
}

// Draining says whether the end has begun, its first part included.
func (s *service) Draining() bool { return s.leaving.Load() || s.Server.Draining() }

// leave begins the end. It returns when the time has come to close everyone, or when
// ctx ends.
func (s *service) leave(ctx context.Context, delay time.Duration, logger *slog.Logger) {
	s.leaving.Store(true)
	if delay > 0 {
		logger.Info("not ready any more; a second Ctrl-C ends at once", "connections", s.Connections(), "drain_delay", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
	}
	logger.Info("closing everyone; a second Ctrl-C ends at once", "connections", s.Connections())
}

package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// internalSide is what operators see, on an address of its own: metrics, health,
// profiles, slow readers; and where other servers publish. It is net/http alone, so it answers when the loops don't, and until the
// end of a shutdown.
type internalSide struct {
	server   *http.Server
	listener net.Listener
	ended    chan struct{}
}

// startInternal listens, and serves until stop.
func startInternal(addr string, srv *service, metrics http.Handler, logger *slog.Logger) (*internalSide, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.New(explain(err, addr, "internal-addr"))
	}
	s := &internalSide{
		listener: listener,
		ended:    make(chan struct{}),
		server: &http.Server{
			Handler:           internalPages(srv, metrics),
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       60 * time.Second,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener)
	}()
	return s, nil
}

// internalPages are the paths of the internal address. A profile takes as long as it
// is asked to, so there is no timeout for answers.
func internalPages(srv *service, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	serveHealth(mux, srv)
	mux.Handle("GET /metrics", metrics)
	srv.topics.servePublish(mux)
	srv.topics.serveSlow(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return dotsAreTopics(mux)
}

func (s *internalSide) addr() net.Addr { return s.listener.Addr() }

func (s *internalSide) stop() {
	_ = s.server.Close()
	<-s.ended
}

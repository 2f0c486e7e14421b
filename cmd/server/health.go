package main

import (
	"io"
	"net/http"
)

// serveHealth adds what says how the server is. /healthz says that the process
// answers; /readyz whether to send it more clients: 503 before it listens, and from
// the first moment of its end. On the public address, once drain-delay is over, a new
// connection gets that 503 from the engine, whatever it asks for: probes belong on the
// internal address.
func serveHealth(mux *http.ServeMux, srv *service) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case srv.Draining():
			say(w, http.StatusServiceUnavailable, "shutting down")
		case !listens(srv):
			say(w, http.StatusServiceUnavailable, "starting")
		default:
			say(w, http.StatusOK, "ready")
		}
	})
}

func listens(srv *service) bool {
	select {
	case <-srv.Ready():
		return true
	default:
		return false
	}
}

func say(w http.ResponseWriter, status int, what string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, what+"\n")
}

package main

import (
	"embed"
	"fmt"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// assets are the page's files: where they are served, and as what.
var assets = []struct{ pattern, file, contentType string }{
	{"GET /{$}", "page/index.html", "text/html; charset=utf-8"},
	{"GET /style.css", "page/style.css", "text/css; charset=utf-8"},
	{"GET /app.js", "page/app.js", "text/javascript; charset=utf-8"},
	{"GET /icon.svg", "page/icon.svg", "image/svg+xml"},
}

// policy lets the page load and connect to nothing but its own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages serves all that is no WebSocket.
func pages(routes []route, srv *service) http.Handler {
	mux := http.NewServeMux()
	for _, a := range assets {
		mux.HandleFunc(a.pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", a.contentType)
			http.ServeFileFS(w, r, pageFiles, a.file)
		})
	}
	serveHealth(mux, srv)
	for _, r := range routes {
		mux.HandleFunc(r.path, upgradeRequired)
	}
	return withHeaders(mux)
}

// withHeaders adds what every answer has.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// upgradeRequired answers a plain request to a WebSocket path (RFC 9110
// §15.5.22).
func upgradeRequired(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-WebSocket-Version", "13")
	scheme := "ws"
	if r.TLS != nil {
		scheme = "wss"
	}
	http.Error(w, fmt.Sprintf("%s speaks WebSocket, and this was a plain %s request.\n"+
		"Open it with new WebSocket(\"%s://…%s\"), or visit / for a page that does.", r.URL.Path, r.Method, scheme, r.URL.Path),
		http.StatusUpgradeRequired)
}

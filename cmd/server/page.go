package main

import (
	"bytes"
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

//go:embed page
var pageFiles embed.FS

const (
	htmlType = "text/html; charset=utf-8"
	cssType  = "text/css; charset=utf-8"
	jsType   = "text/javascript; charset=utf-8"
	svgType  = "image/svg+xml"
)

// assets are the page's files: where they are served, and as what.
var assets = []struct{ pattern, file, contentType string }{
	{"GET /style.css", "page/style.css", cssType},
	{"GET /board.css", "page/board.css", cssType},
	{"GET /console.css", "page/console.css", cssType},
	{"GET /status.js", "page/status.js", jsType},
	{"GET /views.js", "page/views.js", jsType},
	{"GET /words.js", "page/words.js", jsType},
	{"GET /icon.svg", "page/icon.svg", svgType},
	{"GET /board/ends.js", "page/board/ends.js", jsType},
	{"GET /board/feed.js", "page/board/feed.js", jsType},
	{"GET /board/figures.js", "page/board/figures.js", jsType},
	{"GET /board/main.js", "page/board/main.js", jsType},
	{"GET /board/meter.js", "page/board/meter.js", jsType},
	{"GET /board/notes.js", "page/board/notes.js", jsType},
	{"GET /board/prices.js", "page/board/prices.js", jsType},
	{"GET /board/recovery.js", "page/board/recovery.js", jsType},
	{"GET /board/row.js", "page/board/row.js", jsType},
	{"GET /board/slow.js", "page/board/slow.js", jsType},
	{"GET /board/socket.js", "page/board/socket.js", jsType},
	{"GET /board/spark.js", "page/board/spark.js", jsType},
	{"GET /console/log.js", "page/console/log.js", jsType},
	{"GET /console/main.js", "page/console/main.js", jsType},
	{"GET /console/trips.js", "page/console/trips.js", jsType},
}

// The page at /. It shows the view that the address names behind the #, else the one
// that stands in indexFile.
const (
	indexFile    = "page/index.html"
	consoleFirst = `data-view="console"`
	ticksFirst   = `data-view="ticks"`
)

// policy lets the page load and connect to nothing but its own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages serves all that is no WebSocket.
func pages(routes []route, srv *service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveIndex(srv.topics.hasTicks))
	mux.HandleFunc("GET /board", toBoard)
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

// serveIndex serves the page; where there are ticks they are what it shows first.
func serveIndex(hasTicks func() bool) http.HandlerFunc {
	console, err := pageFiles.ReadFile(indexFile)
	if err != nil {
		panic(err) // it is embedded
	}
	ticks := bytes.Replace(console, []byte(consoleFirst), []byte(ticksFirst), 1)
	return func(w http.ResponseWriter, r *http.Request) {
		page := console
		if hasTicks() {
			page = ticks
		}
		w.Header().Set("Content-Type", htmlType)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
	}
}

// toBoard leads to the tick board, which was a page of its own.
func toBoard(w http.ResponseWriter, r *http.Request) {
	to := url.URL{Path: "/", RawQuery: r.URL.RawQuery, Fragment: "ticks"}
	http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
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

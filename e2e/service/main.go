// Command service is an HTTP service that has its port from the engine: its handlers
// take bodies and stream answers, beside a WebSocket endpoint.
//
//	service -cert cert.pem -key key.pem
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/headrace/headrace/engine"
)

func main() {
	cert := flag.String("cert", "", "certificate (PEM), for https and wss")
	key := flag.String("key", "", "its key (PEM)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *cert, *key); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, cert, key string) error {
	config := engine.Config{Addr: "127.0.0.1:0"}
	scheme := "http"
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		scheme = "https"
	}
	srv, err := engine.New(config)
	if err != nil {
		return err
	}
	srv.Handle("/echo", engine.Endpoint{Handler: engine.HandlerFuncs{
		Message: func(c *engine.Conn, op engine.Op, p []byte) { _ = c.Reply(op, p) },
	}})
	srv.HandleHTTP(handlers())
	go func() {
		<-srv.Ready()
		fmt.Printf("%s://%s/\n", scheme, srv.Addr())
	}()
	return srv.Run(ctx)
}

func handlers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", r.Proto, r.RemoteAddr)
	})
	// What came comes back, once it is whole.
	mux.HandleFunc("POST /body", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			log.Print(err) // of a test that has failed
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Header().Set("Seen-Length", fmt.Sprint(r.ContentLength))
		_, _ = w.Write(body)
	})
	mux.HandleFunc("POST /refused", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not here", http.StatusRequestEntityTooLarge)
	})
	// Every step of /stream waits for a POST to /next.
	next := make(chan struct{})
	mux.HandleFunc("POST /next", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case next <- struct{}{}:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	return mux
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/headrace/headrace/bench"
)

// target is where to connect to, and how.
type target struct {
	URL string `arg:"" help:"ws://host:port/path or wss://…; {i} is the number of the connection."`
	connection
}

// bench gives the target in the words of the library.
func (t *target) bench() (bench.Target, error) { return t.connection.to(t.URL) }

// connection is how to connect to a server that may be looked at.
type connection struct {
	PID int `group:"connection" name:"pid" help:"The server's process, if it runs here: its CPU and memory are reported, with those of what it has started."`
	handshake
}

// to gives a target in the words of the library.
func (t *connection) to(url string) (bench.Target, error) {
	b, err := t.handshake.bench()
	b.URL, b.PID = url, t.PID
	return b, err
}

// handshake is how connections are made.
type handshake struct {
	Header      []string `group:"connection" short:"H" help:"A header of the handshake, 'Name: value'; may be repeated." sep:"none"`
	Subprotocol []string `group:"connection" help:"A subprotocol to offer; may be repeated." sep:"none"`
	Compress    bool     `group:"connection" help:"Offer permessage-deflate."`
	Insecure    bool     `group:"connection" help:"Accept any certificate."`
	CA          string   `group:"connection" help:"Believe the certificates in this file (PEM)." type:"existingfile"`
	Cert        string   `group:"connection" help:"The client's certificate (PEM)." type:"existingfile"`
	Key         string   `group:"connection" help:"Its key (PEM)." type:"existingfile"`
	ServerName  string   `group:"connection" help:"The name that the certificate must have (SNI)."`
	LocalAddr   []string `group:"connection" help:"Connect from this address, or in turn from several; may be repeated."`
}

// bench gives a target without its URL.
func (t *handshake) bench() (bench.Target, error) {
	b := bench.Target{Header: http.Header{}, Subprotocols: t.Subprotocol, Compress: t.Compress}
	for _, h := range t.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return b, fmt.Errorf("--header %q: it must be 'Name: value'", h)
		}
		b.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for _, a := range t.LocalAddr {
		ip := net.ParseIP(a)
		if ip == nil {
			return b, fmt.Errorf("--local-addr %q is no IP address", a)
		}
		b.LocalAddrs = append(b.LocalAddrs, ip)
	}
	var err error
	b.TLS, err = t.tls()
	return b, err
}

// tls gives the settings for wss.
func (t *handshake) tls() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.Insecure, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s holds no certificate", t.CA)
		}
	}
	switch {
	case (t.Cert == "") != (t.Key == ""):
		return nil, fmt.Errorf("--cert and --key go together")
	case t.Cert != "":
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// opening is how connections are opened.
type opening struct {
	ConnectRate float64 `group:"connection" help:"Connections opened in a second; without it as fast as the server takes them."`
	Loops       int     `group:"connection" help:"Event loops of the client; without it one less than processors."`
}

func (o *opening) bench() bench.Opening { return bench.Opening{Rate: o.ConnectRate} }

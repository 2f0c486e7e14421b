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

// target is where to connect to, and how; all commands have it.
type target struct {
	URL string `arg:"" help:"ws://host:port/path or wss://…; {i} is the number of the connection."`

	Header      []string `group:"connection" short:"H" help:"A header of the handshake, 'Name: value'; may be repeated." sep:"none"`
	Subprotocol []string `group:"connection" help:"A subprotocol to offer; may be repeated." sep:"none"`
	Compress    bool     `group:"connection" help:"Offer permessage-deflate."`
	Insecure    bool     `group:"connection" help:"Accept any certificate."`
	CA          string   `group:"connection" help:"Believe the certificates in this file (PEM)." type:"existingfile"`
	Cert        string   `group:"connection" help:"The client's certificate (PEM)." type:"existingfile"`
	Key         string   `group:"connection" help:"Its key (PEM)." type:"existingfile"`
	ServerName  string   `group:"connection" help:"The name that the certificate must have (SNI)."`
	PID         int      `group:"connection" name:"pid" help:"The server's process, if it runs here: its CPU and memory are reported."`
	LocalAddr   []string `group:"connection" help:"Connect from this address, or in turn from several; may be repeated."`
}

// bench gives the target in the words of the library.
func (t *target) bench() (bench.Target, error) {
	b := bench.Target{URL: t.URL, Header: http.Header{}, Subprotocols: t.Subprotocol, Compress: t.Compress, PID: t.PID}
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
func (t *target) tls() (*tls.Config, error) {
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
	ConnectRate float64   `group:"connection" help:"Connections opened in a second; without it as fast as the server takes them."`
	StartAt     startTime `group:"connection" placeholder:"TIME" help:"Open the connections, and begin the load (with its warm-up) at this time: 15:04:05, 2006-01-02T15:04:05Z or +30s. So several machines begin together."`
	Loops       int       `group:"connection" help:"Event loops of the client; without it one less than processors."`
}

func (o *opening) bench() bench.Opening {
	return bench.Opening{Rate: o.ConnectRate, StartAt: o.StartAt.Time}
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/headrace/headrace/bench"
)

// target is where to connect to, and how.
type target struct {
	URL string `arg:"" help:"ws://host:port/path, wss://…, or ws+unix:/file.sock:/path for a unix socket. {i} in it is the number of the connection, {i%10} that modulo 10, {line} its line of --lines. Reports have the URL as it is given here."`
	connection
}

// bench gives the target in the words of the library.
func (t *target) bench() (bench.Target, error) { return t.connection.to(t.URL) }

// connection is how to connect to a server that may be looked at.
type connection struct {
	PID int `group:"connection" name:"pid" placeholder:"PID" help:"The server's process, if it runs here: its CPU and memory are reported, with those of what it has started."`
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
	Header      []string `group:"connection" short:"H" placeholder:"HEADER" help:"A header of the handshake, 'Name: value', with {i} and {line} as in the URL; may be repeated. Reports don't have it." sep:"none"`
	Subprotocol []string `group:"connection" placeholder:"NAME" help:"A subprotocol to offer, with {i} and {line} likewise; may be repeated." sep:"none"`
	Lines       string   `group:"connection" help:"A file with a line for each connection, such as its token: {line}. The lines come again from the first when there are no more." type:"existingfile" placeholder:"FILE"`
	Compress    bool     `group:"connection" help:"Offer permessage-deflate."`
	Insecure    bool     `group:"connection" help:"Accept any certificate."`
	CA          string   `group:"connection" help:"Believe the certificates in this file (PEM)." type:"existingfile" placeholder:"FILE"`
	Cert        string   `group:"connection" help:"The client's certificate, a file (PEM)." type:"existingfile" placeholder:"FILE"`
	Key         string   `group:"connection" help:"Its key, a file (PEM)." type:"existingfile" placeholder:"FILE"`
	ServerName  string   `group:"connection" help:"The name that the certificate must have (SNI)." placeholder:"NAME"`
	LocalAddr   []string `group:"connection" help:"Connect from this address, or in turn from several: 127.0.0.2-127.0.0.9, 10.0.0.0/28, or a list. Each has some 28,000 ports for one address of a server." placeholder:"ADDR"`
	Proxy       string   `group:"connection" help:"Connect through this http proxy, http://[user:password@]host:port; env: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say." placeholder:"URL"`
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
		addrs, err := bench.ParseAddrs(a)
		if err != nil {
			return b, fmt.Errorf("--local-addr %w", err)
		}
		b.LocalAddrs = append(b.LocalAddrs, addrs...)
	}
	var err error
	if b.Lines, err = readLines(t.Lines); err != nil {
		return b, fmt.Errorf("--lines: %w", err)
	}
	if b.Proxy, err = proxy(t.Proxy); err != nil {
		return b, err
	}
	b.TLS, err = t.tls()
	return b, err
}

// readLines reads the lines of a file; no name is none.
func readLines(name string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines, nil
}

// proxy gives what the flag asks for.
func proxy(flag string) (func(*http.Request) (*url.URL, error), error) {
	switch flag {
	case "":
		return nil, nil
	case "env":
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(flag)
	if err != nil || u.Scheme != "http" || u.Host == "" { // what it is may have a password
		return nil, errors.New("--proxy must be http://[user:password@]host:port, or env")
	}
	return http.ProxyURL(u), nil
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
	ConnectRate float64   `group:"connection" placeholder:"N" help:"Connections opened in a second; without it as fast as the server takes them."`
	StartAt     startTime `group:"connection" placeholder:"TIME" help:"Open the connections, and begin the load (with its warm-up) at this time: 15:04:05, 2006-01-02T15:04:05Z or +30s. So several machines begin together."`
	Loops       int       `group:"connection" placeholder:"N" help:"Event loops of the client; without it one less than processors."`
	CPUs        cpus      `group:"connection" name:"cpus" help:"Run on these processors only, such as 1 or 0,2-3: the others are for the server. Loops follow." placeholder:"LIST"`
}

// AfterApply is called by kong when the flags are read: before there are loops.
func (o *opening) AfterApply() error {
	if err := o.CPUs.pin(); err != nil {
		return fmt.Errorf("--cpus: %w", err)
	}
	return spareProc(o.Loops)
}

func (o *opening) bench() bench.Opening {
	return bench.Opening{Rate: o.ConnectRate, StartAt: o.StartAt.Time}
}

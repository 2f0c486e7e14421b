package engine

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connect makes the connection, through a proxy where there is one.
func (d *Dialer) connect(ctx context.Context) (net.Conn, error) {
	dial := d.dialer()
	proxy, err := d.proxy()
	switch {
	case err != nil:
		return nil, err
	case proxy == nil:
		return dial(ctx, "tcp", d.host)
	case proxy.Scheme != "http":
		return nil, fmt.Errorf("the proxy %s is none that speaks http", proxy.Redacted())
	}
	conn, err := dial(ctx, "tcp", withPort(proxy))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := d.tunnel(conn, proxy); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return conn, nil
}

// dialer gives what makes a connection to an address.
func (d *Dialer) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.opts.DialContext != nil {
		return d.opts.DialContext
	}
	dialer := net.Dialer{KeepAlive: -1}
	if from := d.opts.LocalAddr; from != nil {
		dialer.LocalAddr = from
		if from.Port == 0 {
			dialer.Control = bindWithoutPort
		}
	}
	return dialer.DialContext
}

// bindWithoutPort has bind(2) leave the port open until connect(2), which knows the
// other end. So the address has all its ephemeral ports for each address that is
// dialed, not once for all of them, and bind does not look for a port that nobody has.
func bindWithoutPort(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// A kernel that does not know this takes a port at once, as it always did.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}

func (d *Dialer) proxy() (*url.URL, error) {
	if d.opts.Proxy == nil {
		return nil, nil
	}
	asked := *d.url
	asked.Scheme = strings.Replace(asked.Scheme, "ws", "http", 1)
	return d.opts.Proxy(&http.Request{URL: &asked, Header: http.Header{}})
}

// tunnel asks a proxy for a connection to the host (RFC 9110 §9.3.6).
func (d *Dialer) tunnel(conn net.Conn, proxy *url.URL) error {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: d.host}, Host: d.host, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	// One byte at a time: what follows the answer is not the proxy's.
	answer, err := readAnswer(bufio.NewReaderSize(&singly{conn, maxAnswer}, 16), r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

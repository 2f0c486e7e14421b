package process

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	accepted = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // what the key asks for (RFC 6455 §1.3)
)

// Dial opens so many connections to a server, some of them at once. The caller closes
// what it gets, also with an error.
func Dial(addr string, n int) (fds []int, err error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	to := &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	const atOnce = 64
	for len(fds) < n {
		first := len(fds)
		for range min(atOnce, n-first) {
			fd, err := ask(to)
			if err != nil {
				return fds, fmt.Errorf("connection %d: %w", len(fds)+1, err)
			}
			fds = append(fds, fd)
		}
		for i, fd := range fds[first:] {
			if err := hearAnswer(fd); err != nil {
				return fds, fmt.Errorf("connection %d: %w", first+i+1, err)
			}
		}
	}
	return fds, nil
}

// ask connects and sends the request of the opening handshake.
func ask(to unix.Sockaddr) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	within := unix.NsecToTimeval(int64(Patience))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &within),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &within),
		// A close resets, so that no port is kept for a minute.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err == nil {
		err = again(func() error { return unix.Connect(fd, to) })
	}
	if err == nil {
		_, err = unix.Write(fd, []byte(request))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// hearAnswer reads the answer to the request. Nothing comes behind it, because nothing
// is published before all are there.
func hearAnswer(fd int) error {
	answer, buf := []byte(nil), make([]byte, 4096)
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		n := 0
		err := again(func() (err error) {
			n, err = unix.Read(fd, buf)
			return err
		})
		if err != nil || n == 0 {
			return fmt.Errorf("no answer to the handshake (%v) behind %q", err, answer) //nolint:errorlint // it may be nil
		}
		answer = append(answer, buf[:n]...)
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) || !bytes.Contains(answer, []byte(accepted)) {
		return fmt.Errorf("the handshake is answered with %q", answer)
	}
	return unix.SetNonblock(fd, true)
}

// again calls f until no signal interrupts it.
func again(f func() error) error {
	for {
		switch err := f(); err { //nolint:errorlint // an errno
		case unix.EINTR:
		case unix.EISCONN: // of a connect that was interrupted
			return nil
		default:
			return err
		}
	}
}

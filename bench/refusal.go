package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine"
)

// The kinds of refusals.
const (
	refusedByStatus = "status"  // answered with another status than 101, or in a way that is none
	refusedByTCP    = "tcp"     // nobody listens, or the connection was reset or ended
	refusedTimeout  = "timeout" // no answer in time
	refusedByTLS    = "tls"
	refusedPorts    = "ports" // no local port was free: our own doing
	refusedFiles    = "files" // no descriptor was free: our own doing
	refusedOther    = "other"
)

// kindOf says what kind of refusal an error of Dial is.
func kindOf(err error) string {
	var status *engine.HandshakeError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var network *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &status):
		return refusedByStatus
	case outOfPorts(err):
		return refusedPorts
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		return refusedFiles
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return refusedTimeout
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &alert), errors.As(err, &record),
		errors.As(err, &network) && (network.Op == "remote error" || network.Op == "local error"):
		return refusedByTLS
	case isHangUp(err) || errors.As(err, &network):
		return refusedByTCP
	}
	return refusedOther
}

// retryAfter gives the time that a refusal has asked for (RFC 9110 §10.2.3).
func retryAfter(err error) (wait time.Duration, ok bool) {
	var refused *engine.HandshakeError
	if !errors.As(err, &refused) {
		return 0, false
	}
	says := refused.Response.Header.Get("Retry-After")
	if n, err := strconv.Atoi(says); err == nil && n >= 0 {
		return time.Duration(min(n, 1e6)) * time.Second, true
	}
	if at, err := http.ParseTime(says); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}

// isHangUp says whether the other side has ended the connection.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ENOTCONN)
}

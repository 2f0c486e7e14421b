package codec

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CloseCode says why a connection ended, RFC 6455 §7.4 and the IANA registry that it founded.
type CloseCode uint16

// Codes with their names in the IANA registry. NoStatus, Abnormal and TLSHandshake tell a local reader what happened
// and never stand in a frame.
const (
	CloseNormal             CloseCode = 1000
	CloseGoingAway          CloseCode = 1001
	CloseProtocolError      CloseCode = 1002
	CloseUnsupportedData    CloseCode = 1003
	CloseNoStatus           CloseCode = 1005
	CloseAbnormal           CloseCode = 1006
	CloseInvalidPayload     CloseCode = 1007
	ClosePolicyViolation    CloseCode = 1008
	CloseMessageTooBig      CloseCode = 1009
	CloseMandatoryExtension CloseCode = 1010
	CloseInternalError      CloseCode = 1011
	CloseServiceRestart     CloseCode = 1012
	CloseTryAgainLater      CloseCode = 1013
	CloseBadGateway         CloseCode = 1014
	CloseTLSHandshake       CloseCode = 1015
)

// MaxCloseReason is the longest reason in bytes: a control payload less the code.
const MaxCloseReason = MaxControlPayload - 2

// closeNames begins at 1000. 1014 has a sentence instead of a name in the registry; HTTP calls the same thing so.
var closeNames = [...]string{
	"Normal Closure", "Going Away", "Protocol error", "Unsupported Data", "Reserved", "No Status Rcvd",
	"Abnormal Closure", "Invalid frame payload data", "Policy Violation", "Message Too Big", "Mandatory Ext.",
	"Internal Error", "Service Restart", "Try Again Later", "Bad Gateway", "TLS handshake",
}

// String gives number and name: "1001 (Going Away)".
func (c CloseCode) String() string {
	name := "unassigned"
	switch {
	case c >= 1000 && int(c) < 1000+len(closeNames):
		name = closeNames[c-1000]
	case c >= 3000 && c <= 3999:
		name = "registered"
	case c >= 4000 && c <= 4999:
		name = "private use"
	}
	return strconv.Itoa(int(c)) + " (" + name + ")"
}

// MayReceive reports whether c may stand in a Close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999. The codes from
// 1012 are younger than RFC 6455 but registered; those to 2999 that nobody has registered are refused.
func (c CloseCode) MayReceive() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
		return true
	}
	return false
}

// MaySend reports whether AppendClose writes c: the same set as MayReceive.
func (c CloseCode) MaySend() bool { return c.MayReceive() }

// ParseClose reads the payload of a Close frame, RFC 6455 §5.5.1. An empty one is CloseNoStatus. reason points into p
// and is nil when there is none; ParseClose itself does not retain p.
func ParseClose(p []byte) (code CloseCode, reason []byte, err error) {
	switch len(p) {
	case 0:
		return CloseNoStatus, nil, nil
	case 1:
		return 0, nil, errCloseTruncated
	}
	code = CloseCode(binary.BigEndian.Uint16(p))
	if !code.MayReceive() {
		return 0, nil, errCloseCode
	}
	if len(p) == 2 {
		return code, nil, nil
	}
	if !ValidUTF8(p[2:]) {
		return 0, nil, errReasonNotUTF8
	}
	return code, p[2:], nil
}

// AppendClose appends the payload of a Close frame, without its header. A code that MaySend refuses, CloseNoStatus
// among them, appends nothing: a payload cannot begin with a reason. The reason is cut to MaxCloseReason bytes between
// two code points, and bytes in it that are not UTF-8 become U+FFFD, so that the peer never fails us for it.
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	if !code.MaySend() {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, cutReason(strings.ToValidUTF8(reason, "\uFFFD"))...)
}

// cutReason takes valid UTF-8 and drops what is over the limit.
func cutReason(s string) string {
	if len(s) <= MaxCloseReason {
		return s
	}
	n := MaxCloseReason
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

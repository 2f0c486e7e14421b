package engine

import (
	"bytes"
	"strings"
)

// A request head is the request line and the header fields, up to and with the
// empty line (RFC 9112 §3, §5). This file takes it apart, strictly: what two
// parsers could read in two ways is refused, so that a proxy in front and the
// engine never disagree about where a request ends or whom it is for.

// requestHead is a request head, as slices into the bytes it was parsed from.
type requestHead struct {
	method, target, version []byte
	fields                  []field
}

// field is one header field. The value has no white space around it.
type field struct{ name, value []byte }

// maxFields is how many header fields a request may have.
const maxFields = 128

// endOfHead looks for the empty line that ends a head, from the beginning of the
// line at from on. Three outcomes:
//
//	end > 0                   the head is b[:end]
//	end == 0, bad == nil      more is needed; look again from next
//	bad != nil                no head begins like this
func endOfHead(b []byte, from int) (end, next int, bad *refusal) {
	if len(b) > 0 && !isTokenByte(b[0]) {
		return 0, 0, refuseNotHTTP
	}
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from, nil
		}
		if i == 0 || b[from+i-1] != '\r' {
			return 0, 0, refuseBareLF
		}
		if i == 1 && from > 0 {
			return from + 2, 0, nil
		}
		from += i + 1
	}
}

// parse takes a whole head apart. Its slices point into b.
func (h *requestHead) parse(b []byte) *refusal {
	h.fields = h.fields[:0]
	line, rest, _ := bytes.Cut(b, crlf)
	if bad := h.parseRequestLine(line); bad != nil {
		return bad
	}
	for {
		line, rest, _ = bytes.Cut(rest, crlf)
		if len(line) == 0 {
			return nil
		}
		if len(h.fields) == maxFields {
			return refuseTooManyFields
		}
		f, bad := parseField(line)
		if bad != nil {
			return bad
		}
		h.fields = append(h.fields, f)
	}
}

var crlf = []byte("\r\n")

// parseRequestLine takes "method SP target SP version" apart (RFC 9112 §3).
func (h *requestHead) parseRequestLine(line []byte) *refusal {
	var ok1, ok2 bool
	h.method, line, ok1 = bytes.Cut(line, []byte{' '})
	h.target, h.version, ok2 = bytes.Cut(line, []byte{' '})
	switch {
	case !ok1 || !ok2 || !isToken(h.method) || len(h.target) == 0:
		return refuseRequestLine
	case !isVisible(h.target):
		return refuseRequestLine
	case !isHTTPVersion(h.version):
		return refuseRequestLine
	}
	return nil
}

// parseField takes "name: value" apart (RFC 9112 §5).
func parseField(line []byte) (field, *refusal) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return field{}, refuseFolding
	case !ok || !isToken(name): // with it, white space before the colon
		return field{}, refuseField
	}
	value = bytes.Trim(value, " \t")
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7F {
			return field{}, refuseField
		}
	}
	return field{name, value}, nil
}

// get gives the value of a field that may come once, and how often it came.
// name is in lower case.
func (h *requestHead) get(name string) (value []byte, count int) {
	for _, f := range h.fields {
		if equalFold(f.name, name) {
			value = f.value
			count++
		}
	}
	return value, count
}

// hasToken says whether a comma-separated list, over all fields of that name,
// has the token. Both are compared without regard to case.
func (h *requestHead) hasToken(name, token string) bool {
	for _, f := range h.fields {
		if !equalFold(f.name, name) {
			continue
		}
		for list := f.value; len(list) > 0; {
			var one []byte
			one, list, _ = bytes.Cut(list, []byte{','})
			if equalFold(bytes.Trim(one, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// equalFold compares ASCII text with a lower-case constant.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isHTTPVersion says whether b is "HTTP/digit.digit".
func isHTTPVersion(b []byte) bool {
	return len(b) == 8 && string(b[:5]) == "HTTP/" && isDigit(b[5]) && b[6] == '.' && isDigit(b[7])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isVisible says whether b is printable ASCII without spaces.
func isVisible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7F {
			return false
		}
	}
	return true
}

// isHost says whether b has the bytes of host[:port] (RFC 9110 §7.2), and some.
func isHost(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte("-._~%!$&'()*+,;=:[]", c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// isToken says whether b is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !isTokenByte(c) {
			return false
		}
	}
	return len(b) > 0
}

func isTokenByte(c byte) bool { return tokenBytes[c] }

var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

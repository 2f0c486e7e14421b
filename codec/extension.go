package codec

// extensions reads one value of a Sec-WebSocket-Extensions header, RFC 6455 §9.1:
//
//	extension-list  = 1#extension
//	extension       = extension-token *( ";" extension-param )
//	extension-param = token [ "=" (token | quoted-string) ]
//
// A list may have empty elements (RFC 9110 §5.6.1), and white space may stand around every separator, as in the RFC
// 2616 that this grammar was written for. Call next for each extension and param for each of its parameters; what is
// not asked for is read over. The names and values point into the header, except for a quoted one with a backslash.
//
// malformed says, once next has answered false, that the value breaks the grammar somewhere.
type extensions struct {
	rest      []byte
	inside    bool // an extension's parameters have not all been read
	malformed bool
}

// next moves to the next extension and gives its name.
func (e *extensions) next() (name []byte, ok bool) {
	for e.inside {
		e.param()
	}
	for e.space(); e.take(','); e.space() {
	}
	if e.malformed || len(e.rest) == 0 {
		return nil, false
	}
	name = e.token()
	e.inside = !e.malformed
	return name, e.inside
}

// param gives the next parameter of the extension that next moved to. An empty value says that there is none: neither
// a token nor a quoted one can be empty.
func (e *extensions) param() (name, value []byte, ok bool) {
	if !e.inside {
		return nil, nil, false
	}
	e.space()
	if !e.take(';') {
		e.inside = false
		e.malformed = e.malformed || len(e.rest) > 0 && e.rest[0] != ','
		return nil, nil, false
	}
	e.space()
	name = e.token()
	e.space()
	if e.take('=') {
		e.space()
		value = e.value()
	}
	e.inside = !e.malformed
	return name, value, e.inside
}

// space reads over optional white space.
func (e *extensions) space() {
	for e.take(' ') || e.take('\t') {
	}
}

// take reads c, if that is what comes next.
func (e *extensions) take(c byte) bool {
	if len(e.rest) == 0 || e.rest[0] != c {
		return false
	}
	e.rest = e.rest[1:]
	return true
}

// token reads one character or more.
func (e *extensions) token() []byte {
	n := 0
	for n < len(e.rest) && isTokenByte[e.rest[n]] {
		n++
	}
	e.malformed = e.malformed || n == 0
	t := e.rest[:n]
	e.rest = e.rest[n:]
	return t
}

// value reads a token, or a quoted string that is a token between its quotes: §9.1 demands that "the value after
// quoted-string unescaping MUST conform to the 'token' ABNF".
func (e *extensions) value() []byte {
	if !e.take('"') {
		return e.token()
	}
	v, escaped := e.rest[:0], false
	for n := 0; n < len(e.rest); n++ {
		switch c := e.rest[n]; {
		case c == '"' && len(v) > 0:
			e.rest = e.rest[n+1:]
			return v
		case c == '\\' && n+1 < len(e.rest) && isTokenByte[e.rest[n+1]]:
			if !escaped {
				v, escaped = append([]byte(nil), v...), true
			}
			n++
			v = append(v, e.rest[n])
		case !isTokenByte[c]:
			e.malformed = true
			return nil
		case escaped:
			v = append(v, c)
		default:
			v = e.rest[:n+1]
		}
	}
	e.malformed = true // no closing quote
	return nil
}

// isTokenByte is tchar of RFC 9110 §5.6.2.
var isTokenByte = func() (is [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		is[c] = true
	}
	return is
}()

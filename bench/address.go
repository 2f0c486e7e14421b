package bench

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// at gives the URL of a connection, as the engine takes it. One to a unix socket is
// that of a server on this machine.
func (t *Target) at(i int) string {
	if scheme, _, ok := t.unix(); ok {
		_, path := t.socket(i)
		return scheme + "://localhost" + path
	}
	return t.fill(t.URL, i, escapeLine)
}

// unix gives the scheme of a URL to a unix socket without its "+unix", and what follows.
func (t *Target) unix() (scheme, rest string, ok bool) {
	scheme, rest, _ = strings.Cut(t.URL, ":")
	scheme, ok = strings.CutSuffix(scheme, "+unix")
	return scheme, rest, ok
}

// socket gives the unix socket of a connection, and the path that is asked for there:
// those of ws+unix:/run/app.sock:/path?query, as others write it too. Nothing is
// escaped in the name of the socket, and it has no colon.
func (t *Target) socket(i int) (name, path string) {
	_, rest, _ := t.unix()
	name, path, _ = strings.Cut(rest, ":")
	if after, ok := strings.CutPrefix(name, "//"); ok && strings.HasPrefix(after, "/") {
		name = after
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return t.fill(name, i, asItIs), t.fill(path, i, escapeLine)
}

// maxSocket is how many bytes the name of a unix socket has at most (unix(7)).
const maxSocket = 107

// checkAddress says what is wrong with the URL.
func (t *Target) checkAddress() error {
	if !strings.Contains(t.URL, ":/") && !strings.Contains(t.URL, "+unix:") { // else Go says how it was read as a path
		return fmt.Errorf("%q is no ws:// or wss:// URL", t.shown())
	}
	u, err := url.Parse(t.at(0))
	if failed := (*url.Error)(nil); errors.As(err, &failed) { // it has the URL, and that may have a secret
		if strings.Contains(t.URL, "@") {
			return errors.New("the URL is malformed")
		}
		return fmt.Errorf("%q: %s", t.URL, t.conceal(0, failed.Err.Error()))
	}
	name, _ := t.socket(0)
	_, _, local := t.unix()
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "":
		return fmt.Errorf("%q is no ws:// or wss:// URL", t.shown())
	case u.Fragment != "":
		return errors.New("the URL of a WebSocket has no #fragment (RFC 6455 §3)")
	case local && name == "":
		return fmt.Errorf("%q names no unix socket: it must be such as ws+unix:/run/app.sock:/path", t.shown())
	case local && len(name) > maxSocket:
		return fmt.Errorf("the unix socket %q: a name has at most %d bytes, and this has %d", name, maxSocket, len(name))
	case local && len(t.LocalAddrs) > 0:
		return errors.New("a unix socket is not connected to from an address")
	case local && t.Proxy != nil:
		return errors.New("a unix socket is not connected to through a proxy")
	}
	return nil
}

var password = regexp.MustCompile(`^([^/?#]*//[^/?#@]*:)[^/?#]*@`)

// shown is the URL as reports have it: the template, without the lines, and without a
// password.
func (t *Target) shown() string { return withoutPassword(t.URL) }

func withoutPassword(url string) string { return password.ReplaceAllString(url, "${1}xxxxx@") }

// fill gives a text for a connection. check has seen to it that it can be read.
func (t *Target) fill(text string, i int, escape func(string) string) string {
	template, err := ParseTemplate(text)
	if err != nil {
		return ""
	}
	if len(t.Lines) > 0 && template.HasLine() {
		template = template.WithLines([]string{escape(t.Lines[i%len(t.Lines)])})
	}
	return string(template.AppendTo(nil, i, 0, nil))
}

// escapeLine escapes a line for any place in a URL.
func escapeLine(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func asItIs(s string) string { return s }

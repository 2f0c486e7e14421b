package engine

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// answer is an HTTP answer.
type answer struct {
	status int
	line   string
	fields []string // "Name: value"
	body   string
}

// get gives the values of a field.
func (a answer) get(name string) (values []string) {
	for _, f := range a.fields {
		if n, v, _ := strings.Cut(f, ": "); strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

// has says whether a comma-separated field has the token.
func (a answer) has(name, token string) bool {
	list := strings.Split(strings.Join(a.get(name), ","), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), token) })
}

// answer reads the head of an HTTP answer.
func (p *rawClient) answer() (a answer) {
	p.tb.Helper()
	var lines []string
	for {
		line, err := p.in.ReadString('\n')
		if err != nil || !strings.HasSuffix(line, "\r\n") {
			p.tb.Fatalf("after the lines %q of an HTTP answer: %q, %v", lines, line, err)
		}
		line = line[:len(line)-2]
		if line == "" {
			break
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		p.tb.Fatal("an HTTP answer without a status line")
	}
	a.line, a.fields = lines[0], lines[1:]
	if _, err := fmt.Sscanf(a.line, "HTTP/1.1 %3d ", &a.status); err != nil {
		p.tb.Fatalf("status line %q: %v", a.line, err)
	}
	return a
}

// refused reads a refusal to its end and checks what each of them owes.
func (p *rawClient) refused(method string) answer {
	p.tb.Helper()
	a := p.answer()
	if a.status < 300 {
		p.tb.Fatalf("answered with %q, want a refusal", a.line)
	}
	body, err := io.ReadAll(p.in)
	if err != nil {
		p.tb.Fatalf("after %q: %v; want an orderly end", a.line, err)
	}
	a.body = string(body)
	p.expectEnd()
	length := a.get("Content-Length")
	switch {
	case len(length) != 1 || length[0] == "0":
		p.tb.Errorf("Content-Length is %q", length)
	case method == "HEAD" && a.body != "":
		p.tb.Errorf("the answer to a HEAD has the body %q", a.body)
	case method != "HEAD" && length[0] != fmt.Sprint(len(a.body)):
		p.tb.Errorf("Content-Length is %s, and the body is %q", length[0], a.body)
	case !a.has("Connection", "close"):
		p.tb.Errorf("Connection is %q, without close", a.get("Connection"))
	case len(a.get("Upgrade")) > 0 && !a.has("Connection", "Upgrade"):
		p.tb.Error("Upgrade without Connection: Upgrade (RFC 9110 §7.8)")
	case len(a.get("Content-Type")) != 1 || len(a.get("Date")) != 1:
		p.tb.Errorf("Content-Type is %q, Date %q; want one of each", a.get("Content-Type"), a.get("Date"))
	case len(a.get("Sec-WebSocket-Accept"))+len(a.get("Sec-WebSocket-Protocol")) > 0:
		p.tb.Errorf("a refusal that accepts: %q", a.fields)
	case p.session.opens.Load() != 0:
		p.tb.Error("OnOpen was called for a refused handshake")
	}
	_ = p.tcp.Close()
	return a
}

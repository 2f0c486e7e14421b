package bench

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/engine"
)

// conceal gives a text about connection i, in which a server may have a say, as results
// and errors have it: in one line, without what could steer a terminal, and with {line}
// and {header} where it has the connection's line or credentials.
func (t *Target) conceal(i int, text string) string {
	var words []string
	all := t.secrets(i)
	for _, s := range all {
		words = append(words, escapeLine(s.text), s.name, s.text, s.name, strings.ToLower(s.text), s.name)
	}
	words = append(words, "{line}", notLine, "{header}", "{ header }")
	text = strings.NewReplacer(words...).Replace(text)
	for _, s := range all {
		text = withoutBeginning(text, s)
	}
	return printable(text)
}

// secret is what no text may have, and what stands there instead.
type secret struct{ text, name string }

// secrets are those of connection i.
func (t *Target) secrets(i int) (all []secret) {
	if len(t.Lines) > 0 {
		if line := t.Lines[i%len(t.Lines)]; line != "" {
			all = append(all, secret{line, "{line}"})
		}
	}
	for name, values := range t.Header {
		if !isCredential(name) {
			continue
		}
		for _, value := range t.filled(values, i) {
			for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(` ;,="`, r) }) {
				if len(word) >= leastSecret {
					all = append(all, secret{word, "{header}"})
				}
			}
		}
	}
	return all
}

// leastSecret is how many bytes a secret in a header, or the beginning of one, has at
// least: shorter words may stand in a text for what they mean.
const leastSecret = 8

// isCredential says whether a header carries what nobody else may know.
func isCredential(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"auth", "cookie", "key", "pass", "secret", "session", "token"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// withoutBeginning conceals the beginning of a secret at the end of a text: the reason of
// a Close frame ends after 123 bytes, and many tokens are longer.
func withoutBeginning(text string, s secret) string {
	for n := min(len(text), len(s.text)-1); n >= leastSecret; n-- {
		if before, ok := strings.CutSuffix(text, s.text[:n]); ok {
			return before + s.name
		}
	}
	return text
}

// ending says in a few words how connection i ended.
func (t *Target) ending(i int, info engine.CloseInfo) string {
	if info.Code == engine.CloseAbnormal && info.Err != nil {
		return t.conceal(i, info.Err.Error())
	}
	return fmt.Sprintf("closed with %d %s", info.Code, t.conceal(i, info.Reason))
}

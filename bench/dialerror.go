package bench

import (
	"cmp"
	"errors"
	"strings"
)

// dialError says why connection i was not opened. Errors of Dial have its URL, and those
// of a host's name the name; so either may hold a line, which is secret. Its words have
// the target as reports have it.
type dialError struct {
	err    error
	target *Target
	i      int
}

// Error implements error.
func (e *dialError) Error() string {
	why := cmp.Or(errors.Unwrap(e.err), e.err) // without what the engine puts before it: the URL
	return e.target.shown() + ": " + e.target.conceal(e.i, why.Error())
}

// Unwrap gives what Dial has said, with its secrets.
func (e *dialError) Unwrap() error { return e.err }

// conceal puts {line} where a text has connection i's line, as it is or escaped. A server
// may have a say in the text: see said.
func (t *Target) conceal(i int, text string) string {
	if len(t.Lines) == 0 {
		return printable(text)
	}
	words := []string{"{line}", notLine}
	if line := t.Lines[i%len(t.Lines)]; line != "" {
		words = append([]string{escapeLine(line), "{line}", line, "{line}", strings.ToLower(line), "{line}"}, words...)
	}
	return printable(strings.NewReplacer(words...).Replace(text))
}

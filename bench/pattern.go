package bench

import (
	"bytes"
	"fmt"
	"regexp"
)

// Pattern is what a message must hold: a text, or what a regular expression matches.
// The zero value is no pattern, and holds for nothing.
type Pattern struct {
	text string
	want []byte
	form *regexp.Regexp
}

// literal is a Pattern that is a text.
func literal(text string) Pattern { return Pattern{text: text, want: []byte(text)} }

// ParsePattern reads one: a regular expression between slashes, or a text.
func ParsePattern(s string) (Pattern, error) {
	p := literal(s)
	if len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' {
		form, err := regexp.Compile(s[1 : len(s)-1])
		if err != nil {
			return p, fmt.Errorf("%q: %w", s, err)
		}
		p.form = form
	}
	return p, nil
}

// In says whether a message holds it.
func (p Pattern) In(message []byte) bool {
	switch {
	case p.form != nil:
		return p.form.Match(message)
	case p.text == "":
		return false
	}
	return bytes.Contains(message, p.want)
}

// String gives the text that was read.
func (p Pattern) String() string { return p.text }

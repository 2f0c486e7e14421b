package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What ValidTopic and ValidPattern wrap.
var (
	ErrBadTopic   = errors.New("pubsub: bad topic")
	ErrBadPattern = errors.New("pubsub: bad pattern")
)

// Limits of topics and patterns. The lookups recurse once per token, so the second
// bounds their stack too.
const (
	maxNameBytes  = 255
	maxNameTokens = 16
)

// The tokens of a pattern that stand for others.
const (
	anyToken = "*" // one token, whatever it is
	anyRest  = ">" // one token or more, up to the end
)

// ValidTopic returns nil for the name of a topic: 1 to 16 tokens between dots, in at
// most 255 bytes. A token is not empty, is UTF-8, and has no space, no control or format
// character (one that has no width, such as U+200B), no * and no >. The error wraps ErrBadTopic and names the token.
func ValidTopic(name string) error { return checkTopic(name) }

// ValidPattern returns nil for a pattern: the same as a topic, but whole tokens may be
// *, which stands for one token, and the last one may be >, which stands for one or
// more. The error wraps ErrBadPattern.
func ValidPattern(p string) error { return checkPattern(p) }

// Match reports whether topic is one of those that pattern stands for. It is false
// where either is not valid, so for a pattern in the place of the topic too. It never
// panics, and allocates only where one is not valid.
func Match(pattern, topic string) bool {
	return checkPattern(pattern) == nil && checkTopic(topic) == nil && matches(pattern, topic)
}

func checkTopic(name string) error {
	if flaw := nameFlaw(name, false); flaw != "" {
		return fmt.Errorf("%w: %s", ErrBadTopic, flaw)
	}
	return nil
}

func checkPattern(p string) error {
	if flaw := nameFlaw(p, true); flaw != "" {
		return fmt.Errorf("%w: %s", ErrBadPattern, flaw)
	}
	return nil
}

// nameFlaw says what is wrong with a name, "" for nothing. The limits come first, so
// that a long name costs no more than a short one, and no flaw quotes one.
func nameFlaw(name string, pattern bool) string {
	if len(name) > maxNameBytes {
		return fmt.Sprintf("%d bytes, at most %d", len(name), maxNameBytes)
	}
	if n := strings.Count(name, ".") + 1; n > maxNameTokens {
		return fmt.Sprintf("%d tokens, at most %d", n, maxNameTokens)
	}
	for i, more := 1, true; more; i++ {
		var token string
		token, name, more = strings.Cut(name, ".")
		if pattern && (token == anyToken || token == anyRest && !more) {
			continue
		}
		if flaw := tokenFlaw(token, pattern); flaw != "" {
			return fmt.Sprintf("token %d, %q, %s", i, token, flaw)
		}
	}
	return ""
}

// tokenFlaw is the same for a token that is no wildcard in its place.
func tokenFlaw(token string, pattern bool) string {
	switch {
	case token == "":
		return "is empty"
	case token == anyRest && pattern:
		return "is not the last one"
	case !utf8.ValidString(token):
		return "is not UTF-8"
	}
	for _, r := range token {
		switch {
		case r == '*' || r == '>':
			if pattern {
				return "has a wildcard beside other characters"
			}
			return "has a wildcard"
		case unicode.IsSpace(r):
			return "has a space"
		case unicode.IsControl(r):
			return "has a control character"
		case unicode.Is(unicode.Cf, r):
			return "has a format character"
		}
	}
	return ""
}

// isLiteral reports whether a valid pattern is a topic's name.
func isLiteral(pattern string) bool { return !strings.ContainsAny(pattern, "*>") }

// matches reports whether a valid pattern stands for a valid topic. A topic is a
// pattern that stands for itself alone.
func matches(pattern, topic string) bool { return overlaps(pattern, topic) }

// overlaps reports whether there is a topic that two valid patterns both stand for. It
// allocates nothing. It doesn't count bytes: two patterns whose only common topics are
// over 255 bytes overlap.
func overlaps(a, b string) bool {
	for moreA, moreB := true, true; moreA && moreB; {
		var x, y string
		x, a, moreA = strings.Cut(a, ".")
		y, b, moreB = strings.Cut(b, ".")
		if x == anyRest || y == anyRest {
			return true
		}
		if x != y && x != anyToken && y != anyToken || moreA != moreB {
			return false
		}
	}
	return true
}

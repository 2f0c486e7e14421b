package bench

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Template is a text with places that each connection and message fills in:
//
//	{i}      the number of the connection, from 0 on
//	{i%10}   that modulo a number: the same for every tenth connection
//	{n}      the number of the message on its connection, from 0 on
//	{time}   milliseconds since 1970
//	{line}   the line for this connection, of those that WithLines was given: line i
//	         for connection i, and from the first on again when there are no more
//	{stamp}  what the load tester knows a message by when it comes back
//
// Any other brace stands for itself, so JSON can be written as it is.
type Template struct {
	text  string
	parts []part
	lines []string
}

// part is a piece of literal text, or a place.
type part struct {
	literal string
	place   place
	modulus int
}

type place uint8

const (
	placeNone place = iota
	placeConn
	placeNumber
	placeTime
	placeLine
	placeStamp
)

var places = regexp.MustCompile(`\{(i(?:%[0-9]{1,9})?|n|time|line|stamp)\}`)

// ParseTemplate reads one.
func ParseTemplate(text string) (Template, error) {
	t := Template{text: text}
	at := 0
	for _, m := range places.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			t.parts = append(t.parts, part{literal: text[at:m[0]]})
		}
		p := part{}
		switch word := text[m[2]:m[3]]; word[0] {
		case 'i':
			p.place = placeConn
			if len(word) > 1 {
				p.modulus, _ = strconv.Atoi(word[2:])
				if p.modulus == 0 {
					return t, fmt.Errorf("%q: nothing can be divided by 0", text)
				}
			}
		case 'n':
			p.place = placeNumber
		case 't':
			p.place = placeTime
		case 'l':
			p.place = placeLine
		default:
			p.place = placeStamp
		}
		t.parts = append(t.parts, p)
		at = m[1]
	}
	if at < len(text) {
		t.parts = append(t.parts, part{literal: text[at:]})
	}
	return t, nil
}

// String gives the text that was read.
func (t *Template) String() string { return t.text }

// WithLines gives the template with lines for {line}. Without, it stands for itself. It
// retains lines.
func (t Template) WithLines(lines []string) Template {
	t.lines = lines
	return t
}

// HasStamp says whether there is a place for a stamp.
func (t *Template) HasStamp() bool { return t.has(placeStamp) }

// HasLine says whether there is a place for a line.
func (t *Template) HasLine() bool { return t.has(placeLine) }

func (t *Template) has(what place) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.place == what })
}

// AppendTo appends the text for a message. It does not retain stamp.
func (t *Template) AppendTo(dst []byte, conn int, n uint64, stamp []byte) []byte {
	for i := range t.parts {
		switch p := &t.parts[i]; p.place {
		case placeNone:
			dst = append(dst, p.literal...)
		case placeConn:
			number := conn
			if p.modulus > 0 {
				number %= p.modulus
			}
			dst = strconv.AppendInt(dst, int64(number), 10)
		case placeNumber:
			dst = strconv.AppendUint(dst, n, 10)
		case placeTime:
			dst = strconv.AppendInt(dst, time.Now().UnixMilli(), 10)
		case placeLine:
			if len(t.lines) == 0 {
				dst = append(dst, "{line}"...)
			} else {
				dst = append(dst, t.lines[conn%len(t.lines)]...)
			}
		case placeStamp:
			dst = append(dst, stamp...)
		}
	}
	return dst
}

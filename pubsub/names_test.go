package pubsub

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	long := strings.Repeat("a", maxNameBytes)
	deep := strings.Repeat("a.", maxNameTokens-1) + "a"
	for _, c := range []struct {
		name           string
		in             string
		topic, pattern string // what the error says; "": none
	}{
		{"one token", "ticks", "", ""},
		{"tokens", "ticks.acme.bid", "", ""},
		{"not ASCII", "börse.日本", "", ""},
		{"punctuation", "a-b_c/d:e$", "", ""},
		{"replacement character", "\uFFFD", "", ""},
		{"bytes/most", long, "", ""},
		{"bytes/one more", long + "a", "256 bytes, at most 255", "256 bytes, at most 255"},
		{"tokens/most", deep, "", ""},
		{"tokens/one more", deep + ".a", "17 tokens, at most 16", "17 tokens, at most 16"},
		{"empty", "", `token 1, "", is empty`, `token 1, "", is empty`},
		{"empty/first", ".a", `token 1, "", is empty`, `token 1, "", is empty`},
		{"empty/middle", "a..b", `token 2, "", is empty`, `token 2, "", is empty`},
		{"empty/last", "a.", `token 2, "", is empty`, `token 2, "", is empty`},
		{"UTF-8", "a.\xff", `token 2, "\xff", is not UTF-8`, `token 2, "\xff", is not UTF-8`},
		{"UTF-8/across a dot", "\xc3.\xa4", `token 1, "\xc3", is not UTF-8`, `token 1, "\xc3", is not UTF-8`},
		{"space", "a b", `"a b", has a space`, `"a b", has a space`},
		{"space/tab", "a\tb", `"a\tb", has a space`, `"a\tb", has a space`},
		{"space/no-break", "a\u00a0", `has a space`, `has a space`},
		{"space/line separator", "a\u2028", `has a space`, `has a space`},
		{"control/NUL", "a\x00", `"a\x00", has a control character`, `"a\x00", has a control character`},
		{"control/DEL", "a\x7f", `has a control character`, `has a control character`},
		{"control/C1", "a\u0080", `has a control character`, `has a control character`},
		{"format/no width", "a\u200bb", `has a format character`, `has a format character`},
		{"format/byte order mark", "\ufeffa", `has a format character`, `has a format character`},
		{"wildcard/one token", "ticks.*.bid", `token 2, "*", has a wildcard`, ""},
		{"wildcard/the rest", "ticks.>", `token 2, ">", has a wildcard`, ""},
		{"wildcard/everything", ">", `token 1, ">", has a wildcard`, ""},
		{"wildcard/both", "*.*.>", `token 1, "*", has a wildcard`, ""},
		{"wildcard/not last", "a.>.b", `token 2, ">", has a wildcard`, `token 2, ">", is not the last one`},
		{"wildcard/* in a token", "a.b*", `token 2, "b*", has a wildcard`, `token 2, "b*", has a wildcard beside`},
		{"wildcard/> in a token", "a.>b", `token 2, ">b", has a wildcard`, `token 2, ">b", has a wildcard beside`},
		{"wildcard/twice", "**", `token 1, "**", has a wildcard`, `token 1, "**", has a wildcard beside`},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantFlaw(t, ValidTopic(c.in), ErrBadTopic, c.topic)
			wantFlaw(t, ValidPattern(c.in), ErrBadPattern, c.pattern)
			if c.pattern == "" && isLiteral(c.in) != (c.topic == "") {
				t.Errorf("isLiteral is %v", isLiteral(c.in))
			}
		})
	}
}

func wantFlaw(t *testing.T, err, kind error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("got %v, want none", err)
	case says != "" && (!errors.Is(err, kind) || !strings.Contains(err.Error(), says)):
		t.Errorf("got %v, want %v: %s", err, kind, says)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "aa", false},
		{"a", "a.a", false},
		{"a.b", "a", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"*.b", "a.b", true},
		{"*.b", "a.c", false},
		{"a.*", "a", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.b.c", false},
		{">", "a", true},
		{">", "a.b.c", true},
		{"a.>", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.>", "b.b", false},
		{"*.>", "a", false},
		{"*.>", "a.b.c", true},
		// What is not valid matches nothing, and a pattern is no topic.
		{"", "", false},
		{"a..b", "a..b", false},
		{"a.", "a.", false},
		{">.b", "a.b", false},
		{"a*", "a*", false},
		{"*", "*", false},
		{"a.*", "a.>", false},
		{">", "a.", false},
	} {
		t.Run(c.pattern+" "+c.topic, func(t *testing.T) {
			if got := Match(c.pattern, c.topic); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestOverlaps compares with the definition: all patterns of up to three tokens over
// an alphabet in which every topic with which they can meet has a place.
func TestOverlaps(t *testing.T) {
	topics := namesOf([]string{"a", "b", "c"}, 4)
	patterns := slices.DeleteFunc(namesOf([]string{"a", "b", anyToken, anyRest}, 3), func(p string) bool {
		return checkPattern(p) != nil
	})
	if len(patterns) != 52 { // 4 + 3·4 + 3·3·4
		t.Fatalf("%d patterns", len(patterns))
	}
	for _, a := range patterns {
		for _, b := range patterns {
			want := slices.ContainsFunc(topics, func(topic string) bool {
				return refMatch(tokensOf(a), tokensOf(topic)) && refMatch(tokensOf(b), tokensOf(topic))
			})
			if overlaps(a, b) != want {
				t.Errorf("%s and %s: got %v", a, b, !want)
			}
		}
	}
}

// namesOf is every name of 1 to depth tokens.
func namesOf(tokens []string, depth int) []string {
	names := slices.Clone(tokens)
	for last := names; depth > 1; depth-- {
		var longer []string
		for _, name := range last {
			for _, token := range tokens {
				longer = append(longer, name+"."+token)
			}
		}
		names, last = append(names, longer...), longer
	}
	return names
}

func tokensOf(name string) []string { return strings.Split(name, ".") }

// refMatch is the rule in its plainest form.
func refMatch(pattern, topic []string) bool {
	switch {
	case len(pattern) == 0 || len(topic) == 0:
		return len(pattern) == len(topic)
	case pattern[0] == anyRest:
		return true
	case pattern[0] != anyToken && pattern[0] != topic[0]:
		return false
	}
	return refMatch(pattern[1:], topic[1:])
}

// FuzzMatch compares matches, overlaps, trie and topicTree with refMatch.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("\x00\x0f\x0e\x06\x0c"), []byte("\x00\x08\x09"))
	f.Add([]byte("\x04\x04\x0c\x06\x04\x01\x0a\x08"), []byte("\x00\x01\x0a\x02\x03\x08"))
	f.Fuzz(func(t *testing.T, patternBytes, topicBytes []byte) {
		patterns := drawNames(patternBytes, []string{"a", "b", "aa", "c", anyToken, anyToken, anyRest, anyRest})
		topics := drawNames(topicBytes, []string{"a", "b", "aa", "c", "a", "a", "b", "b"})
		checkMatches(t, patterns, topics)
		checkLookups(t, patterns, topics)
	})
}

// drawNames makes distinct names: the low 3 bits of a byte choose a token, the fourth
// ends the name, as > does.
func drawNames(draw []byte, tokens []string) (names []string) {
	var name []string
	for _, b := range draw[:min(len(draw), 200)] {
		name = append(name, tokens[b&7])
		if b&8 == 0 && tokens[b&7] != anyRest && len(name) < maxNameTokens {
			continue
		}
		if whole := strings.Join(name, "."); !slices.Contains(names, whole) {
			names = append(names, whole)
		}
		name = name[:0]
	}
	return names
}

func checkMatches(t *testing.T, patterns, topics []string) {
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			t.Fatal(err)
		}
		for _, topic := range topics {
			if want := refMatch(tokensOf(p), tokensOf(topic)); matches(p, topic) != want || Match(p, topic) != want {
				t.Errorf("%s matches %s: want %v", p, topic, want)
			}
		}
		for _, q := range patterns {
			common := slices.ContainsFunc(topics, func(topic string) bool {
				return refMatch(tokensOf(p), tokensOf(topic)) && refMatch(tokensOf(q), tokensOf(topic))
			})
			if got := overlaps(p, q); got != overlaps(q, p) || common && !got {
				t.Errorf("%s overlaps %s: %v, and the other way %v", p, q, got, overlaps(q, p))
			}
		}
	}
}

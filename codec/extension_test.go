package codec

import (
	"fmt"
	"strings"
	"testing"
)

// listExtensions writes what the parser finds in one line: "name;param=value;param,name".
func listExtensions(value string) (string, bool) {
	e := extensions{rest: []byte(value)}
	var found []string
	for name, ok := e.next(); ok; name, ok = e.next() {
		s := string(name)
		for name, value, ok := e.param(); ok; name, value, ok = e.param() {
			s += ";" + string(name)
			if len(value) > 0 {
				s += "=" + string(value)
			}
		}
		found = append(found, s)
	}
	return strings.Join(found, ","), !e.malformed
}

func TestExtensions(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
	}{
		{"one", "foo", "foo"},
		{"two", "foo, bar", "foo,bar"},
		{"rfc/1", "foo, bar; baz=2", "foo,bar;baz=2"},
		{"rfc/2", "deflate-stream", "deflate-stream"},
		{"rfc/3", "mux; max-channels=4; flow-control, deflate-stream", "mux;max-channels=4;flow-control,deflate-stream"},
		{"rfc/4", "private-extension", "private-extension"},
		{"no space", "a;b=c;d,e", "a;b=c;d,e"},
		{"much space", " \ta ;\tb = c\t; d , e ", "a;b=c;d,e"},
		{"quoted", `a; b="c"; d="10"`, "a;b=c;d=10"},
		{"quoted/escapes", `a; b="c\d\10"; e="\1"`, "a;b=cd10;e=1"},
		{"all of a token", "!#$%&'*+-.^_`|~09azAZ", "!#$%&'*+-.^_`|~09azAZ"},
		{"same twice", "a;b;b, a", "a;b;b,a"},
		{"empty", "", ""},
		{"empty elements", " ,, a ,\t, b,,", "a,b"},
		{"only commas", " , ,", ""},
	} {
		t.Run("6455-9.1/"+c.name, func(t *testing.T) {
			if got, ok := listExtensions(c.in); !ok || got != c.want {
				t.Errorf("got %q, %v; want %q", got, ok, c.want)
			}
		})
	}
	for _, in := range []string{
		";", "=", "a;", "a;;b", "a; b=", "a; b=;c", "a; =b", "a b", "a; b c", "a; b=c d", "a=b", "a;b==c", "(a)", "a; b=c/d",
		`a; b="`, `a; b="c`, `a; b=""`, `a; b="c d"`, `a; b="c,d"`, `a; b="c"d`, `a; b="c""d"`, `a; b="c\"`, `a; b="c\`,
		`a; b="c\"d"`, `a; "b"`, `"a"`, "a\x00", "a;\xec", "a, b\x7f", "a\r\n", "a;b=c\v",
	} {
		t.Run(fmt.Sprintf("6455-9.1/malformed/%q", in), func(t *testing.T) {
			if got, ok := listExtensions(in); ok {
				t.Errorf("accepted as %q", got)
			}
			if got, ok := listExtensions("ok;x=1, " + in); ok || got == "" {
				t.Errorf("behind a good one: %q, %v", got, ok)
			}
		})
	}
}

// TestExtensionsSkip: what a caller does not ask for is still held against the grammar.
func TestExtensionsSkip(t *testing.T) {
	e := extensions{rest: []byte("a; b=1; c, d; e=, f")}
	for name, ok := e.next(); ok; name, ok = e.next() {
		if string(name) == "f" {
			t.Error("went on behind what is malformed")
		}
	}
	if !e.malformed {
		t.Error("malformed parameter not noticed")
	}
}

// FuzzExtensions holds the parser against one that splits by hand, and against its own output.
func FuzzExtensions(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits")
	f.Add(`a; b="c\d" ,, e;f = g`)
	f.Add(`a; b="`)
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := listExtensions(in)
		if want, wantOK := splitExtensions(in); ok != wantOK || ok && got != want {
			t.Fatalf("%q: got %q, %v; want %q, %v", in, got, ok, want, wantOK)
		}
		if !ok {
			return
		}
		if again, ok := listExtensions(got); !ok || again != got {
			t.Fatalf("%q: %q became %q", in, got, again)
		}
	})
}

// splitExtensions is the plain parser: it may split at every separator, for a quoted value cannot hold one.
func splitExtensions(in string) (string, bool) {
	isToken := func(s string) bool {
		return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	}
	var found []string
	for element := range strings.SplitSeq(in, ",") {
		if strings.Trim(element, " \t") == "" {
			continue
		}
		parts := strings.Split(element, ";")
		for i, part := range parts {
			name, value, has := strings.Cut(part, "=")
			name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
			if len(value) > 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = unescape(value[1 : len(value)-1])
			}
			if !isToken(name) || has && (!isToken(value) || i == 0) {
				return "", false
			}
			parts[i] = name
			if has {
				parts[i] += "=" + value
			}
		}
		found = append(found, strings.Join(parts, ";"))
	}
	return strings.Join(found, ","), true
}

// unescape takes the backslashes out, or gives what is no token.
func unescape(s string) string {
	out := ""
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				return ""
			}
		}
		out += s[i : i+1]
	}
	return out
}

package engine_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// All Go code that README.md shows stands in an Example, so that it compiles, and does
// what its Output says.
func TestREADMEShowsExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	files, _ := filepath.Glob("../*/example*_test.go")
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples.Write(source)
	}
	shown := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(shown) < 3 {
		t.Errorf("README.md shows %d pieces of Go, and should show a server and both ways beside net/http", len(shown))
	}
	for _, m := range shown {
		code := m[1]
		if _, body, ok := strings.Cut(code, "func main() {\n"); ok {
			code, _, _ = strings.Cut(body, "\n}\n") // the body of an Example
		} else {
			code = indent(code)
		}
		if code == "" || !strings.Contains(examples.String(), code) {
			t.Errorf("this is in README.md and in no Example:\n%s", m[1])
		}
	}
}

// indent moves code into a function.
func indent(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line != "\n" {
			b.WriteByte('\t')
		}
		b.WriteString(line)
	}
	return b.String()
}

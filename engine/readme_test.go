package engine_test

import (
	"os"
	"strings"
	"testing"
)

// TestREADMEShowsTheExample keeps the server in README.md the one that
// compiles here.
func TestREADMEShowsTheExample(t *testing.T) {
	source, err1 := os.ReadFile("example_test.go")
	readme, err2 := os.ReadFile("../README.md")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	_, body, _ := strings.Cut(string(source), "func Example() {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	if body == "" || !strings.Contains(string(readme), "func main() {\n"+body+"\n}\n") {
		t.Error("the server in README.md is not the one in example_test.go")
	}
}

package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// usageError says that the flags contradict each other or the target.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// seeHelp says where the help for a command line is. at is as far as it could be read;
// nil is not at all.
func seeHelp(at *kong.Context) string {
	if at != nil {
		if words := strings.Fields(at.Command()); len(words) > 0 {
			return fmt.Sprintf("(see wsbench %s --help)", words[0])
		}
	}
	return "(see wsbench --help)"
}

// Words of the parser that speak of how it works, and what they mean to who has typed it.
var plainer = []struct {
	found *regexp.Regexp
	says  string
}{
	{regexp.MustCompile(`expected \S+ value but got "EOL" \(<EOL>\)`), "its value is missing"},
	{regexp.MustCompile(`expected duration but got ("[^"]*").*`), "$1 is no time, such as 500ms, 10s or 1m30s"},
	{regexp.MustCompile(`expected a float but got ("[^"]*").*`), "$1 is no number"},
	{regexp.MustCompile(`expected a valid \d+ bit (?:int|uint) but got ("[^"]*").*`), "$1 is no whole number, or out of range"},
	{regexp.MustCompile(`^expected "(.*)"$`), "$1 is missing"},
}

// wrongUsage says what is wrong with a command line that cannot be parsed.
func wrongUsage(args []string, err error) string {
	said := err.Error()
	for _, p := range plainer {
		said = p.found.ReplaceAllString(said, p.says)
	}
	if strings.HasPrefix(said, "unknown flag -") && !strings.HasPrefix(said, "unknown flag --") {
		for _, a := range args {
			if oneDash.MatchString(a) {
				return fmt.Sprintf("unknown flag %s: names of flags have two dashes, -%s", a, a)
			}
		}
	}
	return said
}

var oneDash = regexp.MustCompile(`^-[a-z]{2,}`)

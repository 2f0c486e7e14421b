package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
)

// printConfig writes the options as a file that says the same. Behind a setting that
// was given stands where. A secret is not shown: what stands in its place is no value
// of it, so that it cannot become one by mistake.
func printConfig(w io.Writer, o *options) {
	for i := range settings {
		s := &settings[i]
		v := s.at(o)
		from := ""
		if at := o.from[s.name]; at != "" {
			from = "  # " + at
		}
		many, isList := v.(list)
		switch {
		case !isList:
			fmt.Fprintf(w, "%s: %s%s\n", s.name, yamlScalar(v.strings()[0]), from)
		case len(many.strings()) == 0:
			fmt.Fprintf(w, "%s: []%s\n", s.name, from)
		default:
			fmt.Fprintf(w, "%s:%s\n", s.name, from)
			for _, one := range many.strings() {
				fmt.Fprintf(w, "  - %s\n", yamlScalar(one))
			}
		}
	}
}

// yamlScalar writes a string so that YAML reads the same: in quotes, unless it is
// harmless.
func yamlScalar(s string) string {
	if harmless.MatchString(s) && !ambiguous[s] {
		return s
	}
	quoted, _ := json.Marshal(s) // a string of JSON is one of YAML
	return string(quoted)
}

// ambiguous are words that older readers of YAML take for true or false.
var ambiguous = map[string]bool{"on": true, "off": true, "yes": true, "no": true}

var harmless = regexp.MustCompile(`^[A-Za-z0-9/.]([A-Za-z0-9_/.:+-]*[A-Za-z0-9_/.+-])?$`)

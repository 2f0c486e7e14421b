package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Regression is a change that must not be: "p99>+10%", "rate<-5%", "errors>+0".
type Regression struct {
	text    string
	of      difference
	greater bool
	by      float64
	percent bool
}

var regressionForm = regexp.MustCompile(`^\s*([a-z][a-z0-9.-]*)\s*([<>])\s*([+-][0-9.]+)\s*(%?)\s*$`)

// ParseRegression reads one.
func ParseRegression(s string) (Regression, error) {
	m := regressionForm.FindStringSubmatch(s)
	if m == nil {
		return Regression{}, fmt.Errorf("%q: a change is like p99>+10%%, rate<-5%% or errors>+0", s)
	}
	r := Regression{text: strings.TrimSpace(s), greater: m[2] == ">", percent: m[4] == "%"}
	var names []string
	for _, f := range differences() {
		names = append(names, f.name)
		if f.name == m[1] {
			r.of = f
		}
	}
	if r.of.of == nil {
		return r, fmt.Errorf("%q: %q is none of %s", s, m[1], strings.Join(names, ", "))
	}
	var err error
	if r.by, err = strconv.ParseFloat(m[3], 64); err != nil {
		return r, fmt.Errorf("%q: %q is no number", s, m[3])
	}
	if !r.percent && !slices.Contains([]string{"errors", "refused", "gaps"}, r.of.name) {
		return r, fmt.Errorf("%q: a change of %s is told in percent", s, m[1])
	}
	return r, nil
}

// Crossed says whether b, against a, has what must not be, and in words what it has. A
// figure that one of them lacks is an error: nobody can say whether it is worse.
func (r Regression) Crossed(d *Diff) (crossed bool, is string, err error) {
	a, inA := r.of.of(d.A)
	b, inB := r.of.of(d.B)
	if !inA || !inB {
		return false, "", fmt.Errorf("%s: not both results have it", r.text)
	}
	limit := a + r.by
	if r.percent {
		limit = a * (1 + r.by/100)
	}
	is = fmt.Sprintf("%s: it was %s and is %s", r.text, r.of.shown(a), r.of.shown(b))
	return r.greater && b > limit || !r.greater && b < limit, is, nil
}

package bench

import "fmt"

// Threshold is something that must not be: "p99>10ms", "errors>0", "rate<5000".
type Threshold struct{ condition }

// ParseThreshold reads one.
func ParseThreshold(s string) (Threshold, error) {
	c, err := parseCondition(s, "p99>10ms, max>1s, errors>0, lost>0.1%, dropped>0, refused>0 or rate<5000")
	return Threshold{c}, err
}

// Crossed says whether a result has what must not be, and in words what it has.
func (t Threshold) Crossed(r *Result) (crossed bool, is string) {
	v, is := t.value(r)
	return t.holds(v), fmt.Sprintf("%s: it is %s", t.text, is)
}

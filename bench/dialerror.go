package bench

import (
	"cmp"
	"errors"
)

// dialError says why connection i was not opened. Errors of Dial have its URL, and those
// of a host's name the name; so either may hold a line, which is secret. Its words have
// the target as reports have it.
type dialError struct {
	err    error
	target *Target
	i      int
}

// Error implements error.
func (e *dialError) Error() string {
	why := cmp.Or(errors.Unwrap(e.err), e.err) // without what the engine puts before it: the URL
	return e.target.shown() + ": " + e.target.conceal(e.i, why.Error())
}

// Unwrap gives what Dial has said, with its secrets.
func (e *dialError) Unwrap() error { return e.err }

//go:build race

package codec

// raceEnabled: sync.Pool, which the library uses, drops at random what it is given.
const raceEnabled = true

//go:build !race

package pubsub

// raceDetector says that counts of memory and allocations mean nothing here.
const raceDetector = false

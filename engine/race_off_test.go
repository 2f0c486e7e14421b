//go:build !race

package engine

// raceDetector says that counts of memory and allocations mean nothing here.
const raceDetector = false

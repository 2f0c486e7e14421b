//go:build race

package echoes

const raceDetector = true

//go:build race

package upstream

// The race detector adds allocations of its own.
const raceDetector = true

package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// A summary says what the rounds of one measurement have in common. Its zero
// value is no measurement at all.
type summary struct {
	n                int
	median, min, max float64
}

func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return summary{n: len(sorted), median: median, min: sorted[0], max: sorted[len(sorted)-1]}
}

// percentile is the smallest value that at least p of 100 values do not exceed
// (nearest rank). It is NaN without values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// String is the median, with the ends when there are several rounds.
func (s summary) String() string {
	switch s.n {
	case 0:
		return "void"
	case 1:
		return number(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.median), number(s.min), number(s.max))
}

// number shows three figures that count, and all of a larger whole number,
// with its thousands apart.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	size := math.Abs(v)
	switch {
	case size >= 99.95:
		digits := strconv.FormatFloat(math.Round(size), 'f', 0, 64)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		if v < 0 {
			return "-" + digits
		}
		return digits
	case size >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// ratios divides round by round, so that what slowed a whole round cancels
// out. Rounds that are void on either side are left out.
func ratios(over, under []*float64) []float64 {
	var all []float64
	for i := range min(len(over), len(under)) {
		if over[i] != nil && under[i] != nil && *under[i] > 0 {
			all = append(all, *over[i] / *under[i])
		}
	}
	return all
}

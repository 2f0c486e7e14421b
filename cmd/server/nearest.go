package main

import "strings"

// didYouMean names the setting whose name is most like one that there is not, if one
// is. nameOf is how the source names a setting, prefix what all those names begin with.
func didYouMean(name, prefix string, nameOf func(*setting) string) string {
	best, least := "", 3
	for i := range settings {
		candidate := nameOf(&settings[i])
		d := distance(strings.ToLower(name), strings.ToLower(candidate))
		if d < least && d < len(candidate)-len(prefix)-1 {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is how many bytes must be added, removed or changed to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // for the part of a before i
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

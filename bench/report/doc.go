// Package report shows finished results of package bench: as text, as a page with plots
// that needs nothing else, second by second as CSV, or as a percentile log. A Diff puts
// two side by side, and a Regression says whether the second is worse than it may be.
//
// It measures nothing, and has no figure that is not in a bench.Result: what a run has
// written as JSON gives the same reports years later (bench.LoadResult).
package report

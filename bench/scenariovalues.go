package bench

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The values of a scenario's file. An error says what is allowed, for behind the value
// itself.

func parseText(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", errors.New("it is empty")
	}
	return s, nil
}

// parseURL reads one whose lines, if it has a place for them, come later.
func parseURL(s string) (string, error) {
	if err := checkPlaces(s); err != nil {
		return s, err
	}
	return s, (&Target{URL: s, Lines: []string{"1"}}).check()
}

var bracedWord = regexp.MustCompile(`\{[A-Za-z][\w%-]*\}`)

// checkPlaces says whether a URL has something like a place that is none. In messages
// any brace may stand for itself; here it cannot (RFC 3986 §2).
func checkPlaces(url string) error {
	for _, word := range bracedWord.FindAllString(url, -1) {
		if !places.MatchString(word) {
			return fmt.Errorf("%s is no place that is filled in; there are {i}, {i%%10}, {n}, {time} and {line} (write %%7B for a brace)", word)
		}
	}
	return nil
}

func parseSeed(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, errors.New("it must be a number from 1 to 4294967295")
	}
	return n, nil
}

// newSeed takes one by chance.
func newSeed() uint64 { return 1 + uint64(rand.Uint32N(math.MaxUint32)) }

func parseArrivals(s string) (random bool, err error) {
	if s != "even" && s != "random" {
		return false, errors.New("it must be even, or random (as independent users send)")
	}
	return s == "random", nil
}

func parseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("it must be a time of more than 0, such as 500ms, 10s or 2m")
	}
	return d, nil
}

func parseDelay(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("it must be a time, such as 0s (all at once), 500ms or 10s")
	}
	return d, nil
}

func parseBackoff(s string) (Backoff, error) {
	from, to, isRange := strings.Cut(s, "..")
	least, err := parseTime(from)
	most := least
	if err == nil && isRange {
		most, err = parseTime(to)
	}
	if err != nil {
		return Backoff{}, errors.New("it must be a time such as 100ms, or two such as 100ms..5s: the first, and the longest after it has doubled")
	}
	return Backoff{least, most}, nil
}

func parseWeight(s string) (float64, error) {
	w, err := strconv.ParseFloat(s, 64)
	if err != nil || !(w > 0) || math.IsInf(w, 0) {
		return 0, errors.New("it must be a number of more than 0, such as 3 or 0.5")
	}
	return w, nil
}

// parseSpan reads a number, or two with .. between.
func parseSpan(s string) (Span, error) {
	from, to, isRange := strings.Cut(s, "..")
	if !isRange {
		to = from
	}
	a, err1 := strconv.ParseFloat(from, 64)
	b, err2 := strconv.ParseFloat(to, 64)
	if err := errors.Join(err1, err2); err != nil {
		return Span{}, err
	}
	if bad := func(v float64) bool { return !(v >= 0) || math.IsInf(v, 0) }; bad(a) || bad(b) {
		return Span{}, strconv.ErrRange
	}
	return Span{a, b}, nil
}

func parseCounts(s string) (Span, error) {
	v, err := parseSpan(s)
	if err != nil || v.From != math.Trunc(v.From) || v.To != math.Trunc(v.To) {
		return Span{}, errors.New("it must be a number of connections such as 500, or two such as 0..500: at the beginning and the end of the phase")
	}
	return v, nil
}

func parseRates(s string) (Span, error) {
	v, err := parseSpan(s)
	if err != nil {
		return Span{}, errors.New("it must be a number of messages a second such as 2000, or two such as 0..2000: at the beginning and the end of the phase")
	}
	return v, nil
}

func parseShare(s string) (float64, error) {
	if s == "all" {
		return 1, nil
	}
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v > 0) || v > 100 {
		return 0, errors.New("it must be a share of the connections such as 10%, of more than 0% and at most 100%, or all")
	}
	return v / 100, nil
}

// parseReading gives bytes a second.
func parseReading(s string) (int, error) {
	if s == "nothing" {
		return 0, nil
	}
	size, ok := strings.CutSuffix(s, "/s")
	n, err := parseSize(size)
	if !ok || err != nil || n == 0 {
		return 0, errors.New("it must be nothing, or bytes a second such as 500/s or 1KiB/s")
	}
	return n, nil
}

func parseMessageSizes(s string) (Sizes, error) {
	sizes, err := ParseSizes(s)
	if err != nil {
		return sizes, errors.New("it must be a number of bytes such as 200, 4KiB, or 100-4000")
	}
	return sizes, nil
}

func parseAs(s string) (text bool, err error) {
	if s != "text" && s != "binary" {
		return false, errors.New("it must be text or binary")
	}
	return s == "text", nil
}

func parseContains(s string) (Expectation, error) {
	if s == "" {
		return Expectation{}, errors.New("it is empty")
	}
	return ExpectContains(s), nil
}

func parseMatches(s string) (Expectation, error) {
	e, err := ExpectMatches(s)
	if err != nil {
		return e, fmt.Errorf("it is no regular expression: %w", err)
	}
	return e, nil
}

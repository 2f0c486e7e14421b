package bench

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Sizes are the lengths of messages, in bytes: evenly spread from Min to Max, unless
// ParseSizes has read another distribution.
type Sizes struct {
	Min, Max int
	shape    shape // nil: evenly
}

// shape is how sizes are spread. What it gives outside of the bounds counts as the
// bound.
type shape interface {
	draw(rng *rand.Rand) float64
	// text is what ParseSizes reads, for these bounds.
	text(bounds string) string
}

// ParseSizes reads how long messages are:
//
//	20, 4KiB, 1MiB                 all the same
//	100-4000                       evenly spread
//	exp:500                        exponential, by its mean
//	lognormal:200,1.2              log-normal, by its median and the sigma of its logarithm
//	lognormal:200,1.2@50-64KiB     within these bounds; 16-1MiB unless they are given
//	20:90%,100-4000:9%,64KiB:1%    several, each with its share
//
// What exp and lognormal give outside of their bounds counts as the bound.
func ParseSizes(s string) (Sizes, error) {
	sizes, err := parseSizes(s)
	if err != nil {
		return Sizes{}, fmt.Errorf("size %q: %w", s, err)
	}
	return sizes, nil
}

func parseSizes(s string) (Sizes, error) {
	name, rest, named := strings.Cut(s, ":")
	switch {
	case strings.Contains(s, "%"):
		return parseMix(s)
	case named && name == "exp":
		return parseShape(rest, 1, func(n []float64) shape { return exponential{n[0]} })
	case named && name == "lognormal":
		return parseShape(rest, 2, func(n []float64) shape { return logNormal{n[0], n[1]} })
	case named:
		return Sizes{}, errors.New("a distribution is exp:MEAN, lognormal:MEDIAN,SIGMA, or a list such as 20:90%,4KiB:10%")
	}
	return parseRange(s)
}

// parseRange reads "20" or "100-4000".
func parseRange(s string) (Sizes, error) {
	from, to, isRange := strings.Cut(s, "-")
	low, err := parseSize(from)
	high := low
	if err == nil && isRange {
		high, err = parseSize(to)
	}
	switch {
	case err != nil:
		return Sizes{}, err
	case low > high:
		return Sizes{}, errors.New("the first is the smaller one")
	}
	return Sizes{Min: low, Max: high}, nil
}

func parseSize(s string) (int, error) {
	unit := 1
	for suffix, n := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "K": 1 << 10, "M": 1 << 20} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, n
			break
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxMessage/unit {
		return 0, fmt.Errorf("it must be a number of bytes up to %d MiB, such as 20, 4KiB or 100-4000", maxMessage>>20)
	}
	return n * unit, nil
}

// parseShape reads the parameters of a distribution: sizes, and as the second a sigma.
func parseShape(s string, count int, with func([]float64) shape) (Sizes, error) {
	s, bounds, bounded := strings.Cut(s, "@")
	sizes := Sizes{Min: minText, Max: 1 << 20}
	var err error
	if bounded {
		if sizes, err = parseRange(bounds); err != nil {
			return Sizes{}, err
		}
	}
	words := strings.Split(s, ",")
	if len(words) != count {
		return Sizes{}, errors.New("it must be exp:MEAN or lognormal:MEDIAN,SIGMA, such as exp:500 or lognormal:200,1.2@16-64KiB")
	}
	center, err := parseSize(words[0])
	if err != nil {
		return Sizes{}, err
	}
	numbers := []float64{float64(center)}
	if count == 2 {
		sigma, err := strconv.ParseFloat(words[1], 64)
		if err != nil || !(sigma >= 0 && sigma <= maxSigma) {
			return Sizes{}, fmt.Errorf("sigma is a number from 0 to %d, such as 1.2", maxSigma)
		}
		numbers = append(numbers, sigma)
	}
	if center < sizes.Min || center > sizes.Max {
		return Sizes{}, fmt.Errorf("%d is not within the bounds %s", center, sizes.bounds())
	}
	sizes.shape = with(numbers)
	return sizes, nil
}

const maxSigma = 10

// parseMix reads a list with shares.
func parseMix(s string) (Sizes, error) {
	m, all := &mix{}, Sizes{Min: maxMessage}
	total := 0.0
	for one := range strings.SplitSeq(s, ",") {
		what, share, ok := strings.Cut(one, ":")
		share, percent := strings.CutSuffix(share, "%")
		weight, err := strconv.ParseFloat(share, 64)
		if !ok || !percent || err != nil || !(weight > 0 && weight <= 100) {
			return Sizes{}, fmt.Errorf("%q: each of a list has its share, such as 20:90%%,4KiB:10%%", one)
		}
		sizes, err := parseRange(what)
		if err != nil {
			return Sizes{}, err
		}
		all.Min, all.Max = min(all.Min, sizes.Min), max(all.Max, sizes.Max)
		total += weight
		m.parts = append(m.parts, mixPart{sizes, weight, total})
	}
	if math.Abs(total-100) > 1e-6 {
		return Sizes{}, fmt.Errorf("the shares add up to %.6g%%, not to 100%%", total)
	}
	all.shape = m
	return all, nil
}

// of gives the length of one message.
func (s Sizes) of(rng *rand.Rand) int {
	switch {
	case s.shape != nil:
		return int(min(max(s.shape.draw(rng), float64(s.Min)), float64(s.Max)))
	case s.Min == s.Max:
		return s.Min
	}
	return s.Min + rng.IntN(s.Max-s.Min+1)
}

// String gives what ParseSizes reads.
func (s Sizes) String() string {
	if s.shape != nil {
		return s.shape.text(s.bounds())
	}
	if s.Min == s.Max {
		return strconv.Itoa(s.Min)
	}
	return s.bounds()
}

func (s Sizes) bounds() string { return fmt.Sprintf("%d-%d", s.Min, s.Max) }

// exponential is by its mean, before there are bounds.
type exponential struct{ mean float64 }

func (e exponential) draw(rng *rand.Rand) float64 { return rng.ExpFloat64() * e.mean }
func (e exponential) text(bounds string) string   { return fmt.Sprintf("exp:%.0f@%s", e.mean, bounds) }

// logNormal is by its median, and the standard deviation of its logarithm.
type logNormal struct{ median, sigma float64 }

func (l logNormal) draw(rng *rand.Rand) float64 {
	return l.median * math.Exp(rng.NormFloat64()*l.sigma)
}

func (l logNormal) text(bounds string) string {
	return fmt.Sprintf("lognormal:%.0f,%v@%s", l.median, l.sigma, bounds)
}

// mix is several sizes with their shares.
type mix struct{ parts []mixPart }

type mixPart struct {
	Sizes
	percent float64
	upTo    float64 // the percents up to here
}

func (m *mix) draw(rng *rand.Rand) float64 {
	at := rng.Float64() * 100
	for i := range m.parts {
		if at < m.parts[i].upTo {
			return float64(m.parts[i].of(rng))
		}
	}
	return float64(m.parts[len(m.parts)-1].of(rng))
}

func (m *mix) text(string) string {
	var all []string
	for _, p := range m.parts {
		all = append(all, fmt.Sprintf("%v:%v%%", p.Sizes, p.percent))
	}
	return strings.Join(all, ",")
}

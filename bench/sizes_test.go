package bench

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"20":                         "20",
		"16KiB":                      "16384",
		"100-4000":                   "100-4000",
		"100-4K":                     "100-4096",
		"exp:500":                    "exp:500@16-1048576",
		"exp:1KiB@20-2MiB":           "exp:1024@20-2097152",
		"lognormal:200,1.2":          "lognormal:200,1.2@16-1048576",
		"lognormal:200,0@200":        "lognormal:200,0@200-200",
		"20:90%,1KiB:9.5%,64K:0.5%":  "20:90%,1024:9.5%,65536:0.5%",
		"16-100:50%,20:50%":          "16-100:50%,20:50%",
		"20:33.4%,30:33.3%,40:33.3%": "20:33.4%,30:33.3%,40:33.3%",
	} {
		sizes, err := ParseSizes(text)
		if err != nil || sizes.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, sizes, err, want)
			continue
		}
		if again, err := ParseSizes(want); err != nil || !reflect.DeepEqual(again, sizes) {
			t.Errorf("%q: is %+v, and read again %+v, %v", text, sizes, again, err)
		}
	}
}

func TestSizesThatMakeNoSense(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "number of bytes",
		"big":                        "number of bytes",
		"-1":                         "number of bytes",
		"65MiB":                      "up to 64 MiB",
		"9-3":                        "the first is the smaller one",
		"normal:5,2":                 "a distribution is",
		"exp:":                       "number of bytes",
		"exp:0":                      "not within the bounds",
		"exp:500,2":                  "it must be exp:MEAN",
		"exp:500@600-700":            "not within the bounds",
		"exp:500@700-600":            "the first is the smaller one",
		"lognormal:200":              "it must be exp:MEAN",
		"lognormal:200,x":            "sigma",
		"lognormal:200,NaN":          "sigma",
		"lognormal:200,11":           "sigma",
		"20:90%,30":                  "each of a list has its share",
		"20:90%,30:9%":               "add up to 99%",
		"20:90%,30:11%":              "add up to 101%",
		"20:100%,30:0%":              "each of a list has its share",
		"20:NaN%":                    "each of a list has its share",
		"x:100%":                     "number of bytes",
		"exp:5:100%":                 "each of a list has its share",
		"20:50%,lognormal:2,1@2:50%": "each of a list has its share",
	} {
		if got, err := ParseSizes(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}

// The shares of what is drawn are those of the distribution, within five standard
// deviations of the draw; the seed is fixed.
func TestSizesAreSpreadAsAsked(t *testing.T) {
	const draws = 100_000
	within := func(from, to int) func(int) bool { return func(n int) bool { return n >= from && n <= to } }
	for _, c := range []struct {
		text  string
		in    func(int) bool
		share float64
	}{
		{"20", within(20, 20), 1},
		{"100-299", within(100, 149), 0.25},
		{"100-299", within(299, 299), 1.0 / 200},
		{"20:90%,1KiB:9%,64KiB:1%", within(20, 20), 0.9},
		{"20:90%,1KiB:9%,64KiB:1%", within(1024, 1024), 0.09},
		{"20:90%,1KiB:9%,64KiB:1%", within(65536, 65536), 0.01},
		{"20:90%,100-199:10%", within(100, 149), 0.05},
		{"exp:5000@16-1MiB", within(0, 4999), 1 - math.Exp(-1)},
		{"exp:5000@16-1MiB", within(10000, 1<<20), math.Exp(-2)},
		{"exp:5000@1000-5000", within(5000, 5000), math.Exp(-1)},      // what is above
		{"exp:5000@1000-5000", within(1000, 1000), 1 - math.Exp(-.2)}, // what is below
		{"lognormal:10000,1.2", within(0, 9999), 0.5},
		{"lognormal:10000,1.2", within(33202, 1<<20), 0.158655}, // a sigma above: 10000 e^1.2 = 33201.2
		{"lognormal:10000,0", within(10000, 10000), 1},
	} {
		sizes, err := ParseSizes(c.text)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		hits := 0
		for range draws {
			n := sizes.of(rng)
			if n < sizes.Min || n > sizes.Max {
				t.Fatalf("%s gives %d", c.text, n)
			}
			if c.in(n) {
				hits++
			}
		}

		slack := 5*math.Sqrt(c.share*(1-c.share)/draws) + 3e-4
		if got := float64(hits) / draws; math.Abs(got-c.share) > slack {
			t.Errorf("%s: a share of %.4f, want %.4f ± %.4f", c.text, got, c.share, slack)
		}
	}
}

// Every byte of every size that is drawn is checked.
func TestEchoOfSizesByDistribution(t *testing.T) {
	url := serve(t, onMessage(echoes))
	for _, text := range []string{"lognormal:200,1.2@16-8KiB", "16:80%,300-9000:20%"} {
		sizes, err := ParseSizes(text)
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, Echo{Target: Target{URL: url}, InFlight: 2, Sizes: sizes, Text: true, Duration: 300e6})
		if r.Counts.Errors() != 0 || r.Counts.Received == 0 || r.Sizes != sizes.String() {
			t.Errorf("%s: %+v of %s", text, r.Counts, r.Sizes)
		}
		if each := float64(r.Counts.Bytes) / float64(r.Counts.Received); each <= float64(sizes.Min) || each >= float64(sizes.Max) {
			t.Errorf("%s: messages have %.1f bytes on average", text, each)
		}
	}
}

// What is read is written so that it is read as the same, and keeps to its bounds.
func FuzzSizes(f *testing.F) {
	for _, seed := range []string{"20", "100-4K", "exp:500@1-1MiB", "lognormal:200,1.2", "20:90%,1KiB-2KiB:10%"} {
		f.Add(seed, uint64(1))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		sizes, err := ParseSizes(text)
		if err != nil {
			return
		}
		if again, err := ParseSizes(sizes.String()); err != nil || !reflect.DeepEqual(again, sizes) {
			t.Errorf("%q is %v, and read again %v, %v", text, sizes, again, err)
		}
		if n := sizes.of(rand.New(rand.NewPCG(seed, 0))); n < sizes.Min || n > sizes.Max || n < 0 || n > maxMessage {
			t.Errorf("%q gives %d", text, n)
		}
	})
}

package bench

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// LoadResult reads a file that a run has written as JSON. The error names the file.
func LoadResult(name string) (*Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := ReadResult(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// ReadResult reads a result as JSON. What it gives can be reported whatever the file
// held: a damaged one, or one that is somebody's trap, is an error.
func ReadResult(from io.Reader) (*Result, error) {
	b, err := io.ReadAll(io.LimitReader(from, maxResultFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxResultFile {
		return nil, fmt.Errorf("it has more than %d MiB, so it is no result of wsbench", maxResultFile>>20)
	}
	var head struct {
		Version *int    `json:"version"`
		Job     *string `json:"job"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("it is no result of wsbench, as --json writes it, or it is damaged: %w", err)
	}
	if head.Version == nil || head.Job == nil {
		return nil, errors.New("it is JSON, but no result of wsbench, as --json writes it")
	}
	if *head.Version != resultVersion {
		return nil, fmt.Errorf("its format is version %d, and this wsbench reads version %d", *head.Version, resultVersion)
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the result is damaged: %w", err)
	}
	for _, h := range []*Histogram{&r.Latency, &r.Lag, &r.Handshake} {
		if h.Histogram == nil {
			h.Histogram = newHistogram()
		}
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("the result is damaged: %w", err)
	}
	return r, nil
}

const (
	maxResultFile = 64 << 20
	maxSeconds    = 1e6 // of a run: eleven days
	maxConns      = 1e8
	maxCores      = 1e6
)

// check finds what would make a report nonsense, or endless.
func (r *Result) check() error {
	switch {
	case !within(r.Seconds, maxSeconds):
		return fmt.Errorf("it counts %v seconds", r.Seconds)
	case !within(r.Rate, maxRate*maxConns) || r.InFlight < 0 || !within(float64(r.Conns), maxConns) || !within(float64(r.Opened), maxConns):
		return errors.New("its load cannot be")
	case !within(r.Client.Cores, maxCores) || !within(float64(r.Client.Loops), maxCores) || !within(float64(r.Client.Allowed), maxCores):
		return errors.New("what the client has used cannot be")
	case !slices.IsSortedFunc(r.Series, func(a, b Point) int { return cmp.Compare(a.At, b.At) }):
		return errors.New("its seconds are in no order")
	}
	all := 0.0
	for i := range r.Series {
		p := &r.Series[i]
		all += p.Seconds
		if !within(p.At, maxSeconds) || !within(p.Seconds, maxSeconds) || !within(float64(p.Conns), maxConns) {
			return fmt.Errorf("second %d of its series cannot be", i+1)
		}
	}
	if all > maxSeconds {
		return errors.New("its seconds are too long")
	}
	for i := range r.Tables {
		for _, row := range r.Tables[i].Rows {
			if len(row) > len(r.Tables[i].Columns) {
				return fmt.Errorf("a row of table %d has more cells than there are columns", i+1)
			}
		}
	}
	for i := range r.Plots {
		for j := range r.Plots[i].Lines {
			if l := &r.Plots[i].Lines[j]; len(l.X) != len(l.Y) {
				return fmt.Errorf("line %d of plot %d has %d x and %d y", j+1, i+1, len(l.X), len(l.Y))
			}
		}
	}
	return nil
}

// within says whether 0 <= x <= most; NaN is not.
func within(x, most float64) bool { return x >= 0 && x <= most }

// Limits of histograms that are read.
const (
	mostDigits = 4
	mostTime   = int64(24 * time.Hour)
	mostValues = int64(1) << 53
)

// checkHistogram looks at the header of an encoded histogram: Decode makes room for all
// the values that the header speaks of.
func checkHistogram(encoded string) error {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	const outer = 8 // cookie and length
	if len(raw) < outer {
		return io.ErrUnexpectedEOF
	}
	z, err := zlib.NewReader(bytes.NewReader(raw[outer:]))
	if err != nil {
		return err
	}
	defer z.Close()
	var head struct {
		Cookie, Length, Offset, Digits int32
		Least, Most                    int64
		Ratio                          float64
	}
	if err := binary.Read(z, binary.BigEndian, &head); err != nil {
		return err
	}
	if head.Digits < 1 || head.Digits > mostDigits || head.Least < 1 || head.Most < 2*head.Least || head.Most > mostTime {
		return fmt.Errorf("it has %d digits from %d to %d ns", head.Digits, head.Least, head.Most)
	}
	return nil
}

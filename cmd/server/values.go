package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/engine"
)

// value is the place of a setting in the options: what it may be, and how it is
// written. What strings gives can be set again.
type value interface {
	set(s string) error
	strings() []string
}

const (
	maxLoops     = 256
	maxBytes     = 1 << 30
	maxRate      = 1_000_000_000
	maxHeartbeat = 20 * time.Minute
	maxDelay     = time.Hour
	maxTime      = 365 * 24 * time.Hour
	automatic    = "auto"
)

// list is a setting that may be given more than once. A source replaces what another
// has said, so each begins with clear.
type list struct {
	to   *[]string
	read func(s string) (string, error)
}

func (v list) clear()            { *v.to = nil }
func (v list) strings() []string { return *v.to }

func (v list) set(s string) error {
	s, err := v.read(s)
	if err == nil {
		*v.to = append(*v.to, s)
	}
	return err
}

// text is a string of some shape.
type text struct {
	to   *string
	read func(s string) (string, error)
}

func (v text) strings() []string { return []string{*v.to} }

func (v text) set(s string) (err error) {
	*v.to, err = v.read(s)
	return err
}

func anything(s string) (string, error) { return s, nil }

func address(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return "", errors.New("it must be host:port, such as localhost:8080 or :8080")
	}
	return s, nil
}

// listenAddress is an address, or the path of a unix socket.
func listenAddress(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, unixPrefix); ok && path != "" {
		if len(path) > maxUnixPath || strings.ContainsAny(path, "?#\x00") {
			return "", fmt.Errorf("the path of a unix socket has at most %d bytes, and none of ? and #", maxUnixPath)
		}
		return s, nil
	}
	if _, err := address(s); err != nil {
		return "", fmt.Errorf("%w, or unix:/path", err)
	}
	return s, nil
}

const (
	unixPrefix  = "unix:"
	maxUnixPath = 107 // what the kernel's address of a socket holds
)

// network is a prefix of addresses, or one address.
func network(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()).String(), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return "", errors.New("it must be a network such as 10.0.0.0/8 or fd00::/8, or an address")
	}
	return p.Masked().String(), nil
}

func addressOrNone(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return address(s)
}

func origin(s string) (string, error) {
	u, err := url.Parse(s)
	if s != "*" && (err != nil || u.Scheme == "" || u.Host == "" || s != u.Scheme+"://"+u.Host || strings.Contains(u.Host, "*")) {
		return "", errors.New("it must be scheme://host[:port], such as https://example.com, or * alone for all")
	}
	return strings.ToLower(s), nil
}

// toggle is a switch.
type toggle struct{ to *bool }

func (v toggle) strings() []string { return []string{strconv.FormatBool(*v.to)} }

func (v toggle) set(s string) error {
	switch strings.ToLower(s) {
	case "true", "false":
		*v.to = strings.EqualFold(s, "true")
		return nil
	}
	return errors.New("it must be true or false")
}

// choice is one of a few words.
type choice struct {
	to *string
	of []string
}

func (v choice) strings() []string { return []string{*v.to} }

func (v choice) set(s string) error {
	if !slices.Contains(v.of, s) {
		last := len(v.of) - 1
		return errors.New("it must be " + strings.Join(v.of[:last], ", ") + " or " + v.of[last])
	}
	*v.to = s
	return nil
}

// number counts something. With auto, "auto" and 0 are the engine's choice. 0 is kept
// as none, which is what the engine takes for it.
type number struct {
	to          *int
	none        int
	auto        bool
	least, most int
}

func (v number) strings() []string {
	if v.auto && *v.to == 0 {
		return []string{automatic}
	}
	return []string{strconv.Itoa(max(0, *v.to))}
}

func (v number) set(s string) error {
	if v.auto && s == automatic {
		s = "0"
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < v.least || n > v.most {
		return fmt.Errorf("it must be a number from %d to %d%s", v.least, v.most, orAuto(v.auto))
	}
	if n == 0 {
		n = v.none
	}
	*v.to = n
	return nil
}

func orAuto(auto bool) string {
	if auto {
		return ", or " + automatic
	}
	return ""
}

// size is a number of bytes. With auto, "auto" is zero.
type size[T int | int64] struct {
	to          *T
	auto        bool
	least, most int64
}

func (v size[T]) strings() []string {
	if v.auto && *v.to == 0 {
		return []string{automatic}
	}
	return []string{formatSize(int64(*v.to))}
}

func (v size[T]) set(s string) error {
	if v.auto && s == automatic {
		*v.to = 0
		return nil
	}
	n, ok := parseSize(s)
	if !ok || n < v.least || n > v.most {
		return fmt.Errorf("it must be a size from %s to %s, such as 65536, 64KiB or 1MiB%s",
			formatSize(v.least), formatSize(v.most), orAuto(v.auto))
	}
	*v.to = T(n)
	return nil
}

var units = []string{"", "KiB", "MiB", "GiB"}

// parseSize reads a number of bytes: digits, and KiB, MiB or GiB behind them,
// of which the case doesn't count.
func parseSize(s string) (int64, bool) {
	shift := 0
	for i, unit := range units[1:] {
		if digits, ok := strings.CutSuffix(strings.ToLower(s), strings.ToLower(unit)); ok {
			s, shift = strings.TrimSpace(digits), 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return int64(n << shift), true
}

func formatSize(n int64) string {
	i := 0
	for ; n > 0 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// duration is a time. 0 is kept as none, which is what the engine takes for it; with
// auto, "auto" is zero there.
type duration struct {
	to          *time.Duration
	none        time.Duration
	auto        bool
	least, most time.Duration // most: 0 is a year
}

func (v duration) strings() []string {
	switch {
	case v.auto && *v.to == 0:
		return []string{automatic}
	case *v.to <= 0:
		return []string{"0s"}
	}
	return []string{formatDuration(*v.to)}
}

func (v duration) set(s string) error {
	if v.auto && s == automatic {
		*v.to = 0
		return nil
	}
	most := v.most
	if most == 0 {
		most = maxTime
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < v.least || d > most {
		bounds := "at most " + formatDuration(most)
		if v.least > 0 {
			bounds = "more than 0, and " + bounds
		}
		return fmt.Errorf("it must be a time such as 500ms, 10s or 1h30m, %s%s", bounds, orAuto(v.auto))
	}
	if d == 0 {
		d = v.none
	}
	*v.to = d
	return nil
}

// formatDuration leaves out the zeros that Duration.String writes at the end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

// permissions are those of a file. "auto" is zero.
type permissions struct{ to *fs.FileMode }

func (v permissions) strings() []string {
	if *v.to == 0 {
		return []string{automatic}
	}
	return []string{fmt.Sprintf("0%o", *v.to)}
}

func (v permissions) set(s string) error {
	if s == automatic {
		*v.to = 0
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil || n == 0 || n > uint64(fs.ModePerm) {
		return errors.New("it must be permissions in octal, such as 0660, or auto")
	}
	*v.to = fs.FileMode(n)
	return nil
}

// closeCode is a close code for the end of the program.
type closeCode struct{ to *engine.CloseCode }

func (v closeCode) strings() []string { return []string{strconv.Itoa(int(*v.to))} }

func (v closeCode) set(s string) error {
	switch s {
	case "1001":
		*v.to = engine.CloseGoingAway
	case "1012":
		*v.to = engine.CloseServiceRestart
	default:
		return errors.New("it must be 1001 or 1012")
	}
	return nil
}

// level is how much is logged.
type level struct{ to *slog.Level }

func (v level) strings() []string { return []string{strings.ToLower(v.to.String())} }

func (v level) set(s string) error {
	switch strings.ToLower(s) {
	case "debug", "info", "warn", "error":
		return v.to.UnmarshalText([]byte(s))
	}
	return errors.New("it must be debug, info, warn or error")
}

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// demo is the setting demo-ticks: how many symbols a made-up market has, and how many
// ticks come of it in a second. The zero demo is off.
type demo struct{ symbols, rate int }

const (
	maxSymbols  = 1000
	maxTickRate = 1_000_000
)

// demoDefaults stand in for what a setting leaves out.
var demoDefaults = demo{symbols: 50, rate: 2000}

func (d demo) on() bool { return d.rate > 0 }

// ticks is the value of the setting.
type ticks struct{ to *demo }

func (v ticks) strings() []string {
	if !v.to.on() {
		return []string{""}
	}
	return []string{fmt.Sprintf("symbols=%d,rate=%d", v.to.symbols, v.to.rate)}
}

func (v ticks) set(s string) error {
	if s == "" {
		*v.to = demo{}
		return nil
	}
	d := demoDefaults
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(s, ",") {
		name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		to, most := &d.symbols, maxSymbols
		if name == "rate" {
			to, most = &d.rate, maxTickRate
		}
		n, err := strconv.Atoi(text)
		if name != "symbols" && name != "rate" || seen[name] || err != nil || n < 1 || n > most {
			return errTicks
		}
		seen[name], *to = true, n
	}
	*v.to = d
	return nil
}

var errTicks = errors.New("it must be such as symbols=50,rate=2000, with 1 to 1000 symbols and a rate of 1 to 1000000 in a second, or empty for none")

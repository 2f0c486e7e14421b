package bench

import (
	"fmt"
	"slices"
	"time"
)

// Ended is the connections that the server, or the network, has ended for one reason.
type Ended struct {
	Why   string `json:"why"`
	Conns int    `json:"conns"`
	// How long they had been open, in seconds.
	AgeMin float64 `json:"ageMin"`
	AgeP50 float64 `json:"ageP50"`
	AgeMax float64 `json:"ageMax"`
	// When it was, in seconds since the first that counts; negative while others were
	// still being opened.
	First float64 `json:"first"`
	Last  float64 `json:"last"`
}

// endings are the ends of connections, by reason. Loop-only.
type endings map[string]*endedConns

// endedConns is when they ended, since the run began, and how old they were.
type endedConns struct{ at, age []time.Duration }

// maxReasons bounds how many reasons are told apart: a server may give each connection
// another one.
const maxReasons = 1000

const otherReasons = "for other reasons"

func (e endings) add(why string, at, age time.Duration) {
	if e[why] == nil {
		if len(e) >= maxReasons {
			why = otherReasons
		}
		if e[why] == nil {
			e[why] = &endedConns{}
		}
	}
	one := e[why]
	one.at, one.age = append(one.at, at), append(one.age, age)
}

func (e endings) merge(more endings) {
	for why, x := range more {
		if e[why] == nil {
			e[why] = &endedConns{}
		}
		e[why].at, e[why].age = append(e[why].at, x.at...), append(e[why].age, x.age...)
	}
}

// list gives the reasons, the most frequent first. Times count from the time from on.
func (e endings) list(from time.Duration) (all []Ended) {
	for why, x := range e {
		slices.Sort(x.at)
		slices.Sort(x.age)
		last := len(x.age) - 1
		all = append(all, Ended{
			Why: why, Conns: len(x.age),
			AgeMin: x.age[0].Seconds(), AgeP50: x.age[last/2].Seconds(), AgeMax: x.age[last].Seconds(),
			First: (x.at[0] - from).Seconds(), Last: (x.at[last] - from).Seconds(),
		})
	}
	slices.SortFunc(all, func(a, b Ended) int {
		if a.Conns != b.Conns {
			return b.Conns - a.Conns
		}
		if a.Why < b.Why {
			return -1
		}
		return 1
	})
	return all
}

// maxRows is how many reasons a table shows.
const maxRows = 20

// endedTable shows them.
func endedTable(all []Ended) Table {
	t := Table{Title: "Connections that ended", Columns: []string{"why", "connections", "age min", "p50", "max", "first at", "last at"}}
	rest, restConns := 0, 0
	for i, e := range all {
		if i >= maxRows {
			rest++
			restConns += e.Conns
			continue
		}
		t.Rows = append(t.Rows, []string{
			e.Why, fmt.Sprint(e.Conns), inSeconds(e.AgeMin), inSeconds(e.AgeP50), inSeconds(e.AgeMax), inSeconds(e.First), inSeconds(e.Last),
		})
	}
	if rest > 0 {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("and for %d other reasons", rest), fmt.Sprint(restConns), "", "", "", "", ""})
	}
	return t
}

func inSeconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

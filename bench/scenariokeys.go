package bench

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// The keys of a scenario's file. ScenarioExample shows all of them, with what they mean.

// scenario are the keys of the whole.
func (f *scenarioFile) scenario(s *Scenario) []field {
	return []field{
		{"url", false, value(f, &s.URL, parseURL)},
		{"seed", false, value(f, &s.Seed, parseSeed)},
		{"arrivals", false, value(f, &s.Random, parseArrivals)},
		{"backoff", false, value(f, &s.Backoff, parseBackoff)},
		{"messages", true, func(n ast.Node, path string) error {
			return f.list(n, path, func(item ast.Node, path string) error {
				s.Messages = append(s.Messages, Message{})
				return f.message(item, path, &s.Messages[len(s.Messages)-1])
			})
		}},
		{"phases", true, func(n ast.Node, path string) error {
			return f.list(n, path, func(item ast.Node, path string) error {
				var before *Stage
				if len(s.Phases) > 0 {
					before = &s.Phases[len(s.Phases)-1]
				}
				p, err := f.phase(item, path, before)
				s.Phases = append(s.Phases, p)
				return err
			})
		}},
		{"fail if", false, f.conditions(&s.FailIf)},
	}
}

// message reads one kind of message.
func (f *scenarioFile) message(n ast.Node, path string, m *Message) error {
	m.Expect.kind = expectNothing
	return f.fields(n, path, []field{
		{"name", true, value(f, &m.Name, parseText)},
		{"send", true, func(n ast.Node, path string) error { return f.send(n, path, m) }},
		{"expect", true, func(n ast.Node, path string) error { return f.expect(n, path, m) }},
		{"within", false, value(f, &m.Within, parseTime)},
		{"weight", false, value(f, &m.Weight, parseWeight)},
	})
}

// send reads what is sent: a text, or how long random bytes are.
func (f *scenarioFile) send(n ast.Node, path string, m *Message) error {
	if _, ok := n.(ast.MapNode); !ok {
		return value(f, &m.Template, ParseTemplate)(n, path)
	}
	m.Sizes = new(Sizes)
	return f.fields(n, path, []field{
		{"size", true, value(f, m.Sizes, parseMessageSizes)},
		{"as", false, value(f, &m.Text, parseAs)},
	})
}

// expect reads what is to come back.
func (f *scenarioFile) expect(n ast.Node, path string, m *Message) error {
	if _, ok := n.(ast.MapNode); !ok {
		return value(f, &m.Expect, parseExpectation)(n, path)
	}
	count := 0
	one := func(read func(ast.Node, string) error) func(ast.Node, string) error {
		return func(n ast.Node, path string) error {
			if count++; count > 1 {
				return f.wrong(n, path, "it is either contains or matches, not both")
			}
			return read(n, path)
		}
	}
	err := f.fields(n, path, []field{
		{"contains", false, one(value(f, &m.Expect, parseContains))},
		{"matches", false, one(value(f, &m.Expect, parseMatches))},
	})
	if err == nil && count == 0 {
		return f.wrong(n, path, "it is empty; it must be echo, nothing, {contains: text} or {matches: regular expression}")
	}
	return err
}

// phase reads one phase. What it doesn't say of connections and rate is as the one before
// has left it.
func (f *scenarioFile) phase(n ast.Node, path string, before *Stage) (Stage, error) {
	var p Stage
	if before != nil {
		p.Conns, p.Rate = Span{before.Conns.To, before.Conns.To}, Span{before.Rate.To, before.Rate.To}
	}
	return p, f.fields(n, path, []field{
		{"name", true, value(f, &p.Name, parseText)},
		{"for", true, value(f, &p.For, parseTime)},
		{"connections", before == nil, value(f, &p.Conns, parseCounts)},
		{"rate", false, value(f, &p.Rate, parseRates)},
		{"slow readers", false, func(n ast.Node, path string) error {
			p.Slow = new(Slow)
			return f.fields(n, path, []field{
				{"share", true, value(f, &p.Slow.Share, parseShare)},
				{"read", true, value(f, &p.Slow.Rate, parseReading)},
			})
		}},
		{"resets", false, func(n ast.Node, path string) error {
			return f.fields(n, path, []field{{"share", true, value(f, &p.Resets, parseShare)}})
		}},
		{"reconnect", false, func(n ast.Node, path string) error {
			p.Reconnect = new(Reconnect)
			return f.fields(n, path, []field{
				{"share", true, value(f, &p.Reconnect.Share, parseShare)},
				{"within", true, value(f, &p.Reconnect.Within, parseDelay)},
			})
		}},
		{"fail if", false, f.conditions(&p.FailIf)},
	})
}

// conditions reads a list of thresholds.
func (f *scenarioFile) conditions(to *[]Threshold) func(ast.Node, string) error {
	return func(n ast.Node, path string) error {
		return f.list(n, path, func(item ast.Node, _ string) error {
			s, ok := scalar(item)
			if !ok {
				return f.wrong(item, "fail if", "it must be a plain value, such as p99>50ms")
			}
			t, err := ParseThreshold(s)
			if err != nil {
				return f.wrong(item, "fail if", "%v", err)
			}
			if len(*to) == maxConditions {
				return f.wrong(item, "fail if", "at most %d conditions", maxConditions)
			}
			*to = append(*to, t)
			return nil
		})
	}
}

const maxConditions = 20

// parseExpectation reads what is no mapping.
func parseExpectation(s string) (Expectation, error) {
	switch s {
	case "echo":
		return ExpectEcho(), nil
	case "nothing":
		return ExpectNothing(), nil
	}
	return Expectation{}, fmt.Errorf("it must be echo (the same comes back), nothing, {contains: text} or {matches: regular expression}")
}

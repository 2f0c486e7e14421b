package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxScenarioFile is how long a scenario's file may be, in bytes.
const MaxScenarioFile = 1 << 20

// ParseScenario reads a scenario from the text of a YAML file. An error is one line that
// begins with name and the number of the line. Target.URL may be empty.
func ParseScenario(name string, text []byte) (*Scenario, error) {
	if len(text) > MaxScenarioFile {
		return nil, fmt.Errorf("%s: it is longer than %d MiB, and cannot be a scenario", name, MaxScenarioFile>>20)
	}
	f := &scenarioFile{name: name, lines: make(map[string]int)}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // those are ours to refuse
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%s:%d: it is no YAML: %s", name, syntax.GetToken().Position.Line, syntax.GetMessage())
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := new(Scenario)
	for i, doc := range file.Docs {
		switch {
		case i > 0 && doc.Body != nil:
			return nil, fmt.Errorf("%s:%d: it must be one document, without ---", name, line(doc.Body))
		case i == 0 && doc.Body != nil:
			err = f.fields(doc.Body, "", f.scenario(s))
		}
		if err != nil {
			return nil, err
		}
	}
	return s, f.place(s.check())
}

// scenarioFile reads the nodes of a file, and keeps the lines of what it has read. A path
// is like phases[2].rate.
type scenarioFile struct {
	name  string
	lines map[string]int
}

// field is one key of a mapping, and what reads its value.
type field struct {
	key      string
	required bool
	read     func(n ast.Node, path string) error
}

func line(n ast.Node) int {
	if m, ok := n.(ast.MapNode); ok {
		if entry := m.MapRange(); entry.Next() {
			return entry.Key().GetToken().Position.Line
		}
	}
	return n.GetToken().Position.Line
}

// wrong says what is wrong with a node.
func (f *scenarioFile) wrong(n ast.Node, path, format string, a ...any) error {
	where := fmt.Sprintf("%s:%d: ", f.name, line(n))
	if path != "" {
		where += lastKey(path) + ": "
	}
	return fmt.Errorf("%s%s", where, fmt.Sprintf(format, a...))
}

// lastKey is how people call a path: its last key.
func lastKey(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}

// place gives what is wrong with the whole the line that it comes from.
func (f *scenarioFile) place(err error) error {
	var wrong *wrongError
	if !errors.As(err, &wrong) {
		return err
	}
	at, ok := 0, false
	for path := wrong.where; !ok && path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		at, ok = f.lines[path]
	}
	return fmt.Errorf("%s:%d: %s: %s", f.name, max(at, 1), lastKey(wrong.where), wrong.what)
}

// fields reads a mapping that may have these keys and no others.
func (f *scenarioFile) fields(n ast.Node, path string, allowed []field) error {
	keys := make([]string, 0, len(allowed))
	for _, k := range allowed {
		keys = append(keys, k.key)
	}
	entries, ok := n.(ast.MapNode)
	if !ok {
		return f.wrong(n, path, "it must be a mapping with the keys %s", strings.Join(keys, ", "))
	}
	if path != "" {
		path += "."
	}
	seen := make(map[string]int)
	for entry := entries.MapRange(); entry.Next(); {
		key, value := entry.Key().GetToken().Value, entry.Value()
		at := entry.Key().GetToken().Position.Line
		i := slices.Index(keys, key)
		switch first, twice := seen[key]; {
		case i < 0:
			return fmt.Errorf("%s:%d: unknown key %q; there are %s", f.name, at, key, strings.Join(keys, ", "))
		case twice:
			return fmt.Errorf("%s:%d: %s: it is in line %d already; leave one out", f.name, at, key, first)
		case value.Type() == ast.NullType:
			return fmt.Errorf("%s:%d: %s: it has no value; write one, or leave the line out", f.name, at, key)
		}
		seen[key] = at
		f.lines[path+key] = at
		if err := allowed[i].read(value, path+key); err != nil {
			return err
		}
	}
	for _, k := range allowed {
		if _, ok := seen[k.key]; k.required && !ok {
			return f.wrong(n, "", "%s is missing%s", k.key, inOf(path))
		}
	}
	return nil
}

// inOf says where something is missing.
func inOf(path string) string {
	switch {
	case strings.HasPrefix(path, "phases["):
		return " in this phase"
	case strings.HasPrefix(path, "messages["):
		return " in this message"
	}
	return ""
}

// list reads a list, item by item.
func (f *scenarioFile) list(n ast.Node, path string, each func(item ast.Node, path string) error) error {
	items, ok := n.(*ast.SequenceNode)
	if !ok {
		return f.wrong(n, path, "it must be a list, each item after a dash")
	}
	for i, item := range items.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		f.lines[at] = line(item)
		if err := each(item, at); err != nil {
			return err
		}
	}
	return nil
}

// scalar gives a plain value as it is written.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// value reads a plain value with parse, whose error says what is allowed.
func value[V any](f *scenarioFile, to *V, parse func(string) (V, error)) func(ast.Node, string) error {
	return func(n ast.Node, path string) error {
		s, ok := scalar(n)
		if !ok {
			return f.wrong(n, path, "it must be one plain value; a text with braces stands in quotes")
		}
		v, err := parse(s)
		if err != nil {
			return f.wrong(n, path, "%q: %v", s, err)
		}
		*to = v
		return nil
	}
}

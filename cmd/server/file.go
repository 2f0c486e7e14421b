package main

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// parseFile reads the settings of a YAML file: one mapping, whose keys are the names of
// settings, and whose values are what the flags take, or lists of that. Errors name
// the line.
func parseFile(name string, contents []byte) ([]given, error) {
	file, err := parser.ParseBytes(contents, 0, parser.AllowDuplicateMapKey()) // those are ours to refuse
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%s:%d: it is no YAML: %s; write one setting on each line, as name: value", name, syntax.GetToken().Position.Line, syntax.GetMessage())
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var all []given
	seen := make(map[string]int) // the line of each key
	for i, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		entries, ok := doc.Body.(ast.MapNode)
		if !ok || i > 0 {
			return nil, fmt.Errorf("%s:%d: it must be one mapping, with a setting on each line, as name: value", name, line(doc.Body))
		}
		for entry := entries.MapRange(); entry.Next(); {
			g, err := parseEntry(name, entry.KeyValue())
			if err != nil {
				return nil, err
			}
			at := line(entry.KeyValue().Key)
			if first, ok := seen[g.name]; ok {
				return nil, fmt.Errorf("%s:%d: %s: it is in line %d already; leave one out", name, at, g.name, first)
			}
			seen[g.name] = at
			all = append(all, g)
		}
	}
	return all, nil
}

func parseEntry(file string, entry *ast.MappingValueNode) (given, error) {
	at := fmt.Sprintf("%s:%d", file, line(entry.Key))
	key := entry.Key.GetToken().Value
	s := settingOf(key)
	if s == nil {
		return given{}, fmt.Errorf("%s: unknown key %s%s", at, visible(key), didYouMean(key, "", (*setting).key))
	}
	g := given{setting: s, where: at + ": " + key + ": ", source: at}
	nodes := []ast.Node{entry.Value}
	if many, ok := entry.Value.(*ast.SequenceNode); ok {
		if _, ok := s.at(new(options)).(list); !ok {
			return given{}, fmt.Errorf("%s: %s: it takes one value, not a list", at, key)
		}
		nodes = many.Values
	}
	for _, node := range nodes {
		v, ok := scalar(node)
		switch {
		case node.Type() == ast.NullType:
			return given{}, fmt.Errorf("%s:%d: %s: it has no value; write one, or leave the line out", file, line(node), key)
		case !ok:
			return given{}, fmt.Errorf("%s:%d: %s: it must be a plain value, such as a flag takes", file, line(node), key)
		}
		g.values = append(g.values, v)
	}
	return g, nil
}

// scalar gives a value as it is written.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

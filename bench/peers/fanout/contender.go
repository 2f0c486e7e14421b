package main

import (
	"os"
	"runtime/debug"
	"strconv"

	"github.com/headrace/headrace/bench/peers/bare"
	"github.com/headrace/headrace/bench/peers/servers"
)

const (
	limitName = "limit"
	serveRole = "serve"
)

// contender is a server that can be started.
type contender struct {
	name    string
	version string
	command []string // the number of subscribers comes behind
	environ []string
}

// findContenders gives those with these names. clean removes what it has built.
func findContenders(names []string, procs int) (found []contender, clean func(), err error) {
	clean = func() {}
	for _, name := range names {
		var c contender
		if name == limitName {
			c, clean, err = buildLimit()
		} else {
			c, err = thisProgram(servers.Find(name), procs)
		}
		if err != nil {
			clean()
			return nil, nil, err
		}
		found = append(found, c)
	}
	return found, clean, nil
}

// thisProgram is a contender that this program itself is, in another role.
func thisProgram(k *servers.Kind, procs int) (contender, error) {
	self, err := os.Executable()
	if err != nil {
		return contender{}, err
	}
	return contender{
		name: k.Name, version: versionOf(k.Module), command: []string{self, serveRole, k.Name},
		environ: append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs)),
	}, nil
}

// versionOf gives the version of a module that this program was built with.
func versionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		switch {
		case m.Path == module && m.Replace != nil:
			return "this tree"
		case m.Path == module:
			return m.Version
		}
	}
	return ""
}

// buildLimit compiles the bare loop.
func buildLimit() (c contender, clean func(), err error) {
	clean = func() {}
	dir, err := os.MkdirTemp("", "fanout-")
	if err != nil {
		return c, clean, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	program, err := bare.Build(limitName, dir)
	return contender{name: limitName, version: bare.Compiler, command: []string{program}}, clean, err
}

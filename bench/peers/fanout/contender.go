package main

import (
	"os"
	"strconv"

	"github.com/headrace/headrace/bench/peers/process"
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
		name: k.Name, version: process.VersionOf(k.Module), command: []string{self, serveRole, k.Name},
		environ: append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs)),
	}, nil
}

// buildLimit compiles the bare loop.
func buildLimit() (c contender, clean func(), err error) {
	program, clean, err := process.BuildC("limit.c")
	return contender{name: limitName, version: "cc -O2", command: []string{program}}, clean, err
}

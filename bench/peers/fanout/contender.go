package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"

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
	source, err := findAbove(filepath.Join("bench", "limit", "limit.c"))
	if err != nil {
		return c, clean, err
	}
	dir, err := os.MkdirTemp("", "fanout-")
	if err != nil {
		return c, clean, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	program := filepath.Join(dir, limitName)
	if out, err := exec.Command("cc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
		return c, clean, fmt.Errorf("the bare loop needs a C compiler: cc %s: %w\n%s", source, err, out)
	}
	return contender{name: limitName, version: "cc -O2", command: []string{program}}, clean, nil
}

// findAbove finds a file of the repository from anywhere in it.
func findAbove(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		full := filepath.Join(at, name)
		if _, err := os.Stat(full); err == nil {
			return full, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no %s in %s or above: run it inside the repository", name, dir)
		}
	}
}

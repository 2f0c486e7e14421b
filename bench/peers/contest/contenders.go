package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/bench/peers/echoes"
	"github.com/headrace/headrace/bench/peers/process"
)

const (
	rawName = "raw" // bytes go back as they come: what no server can do with less
	cName   = "c"   // a minimal WebSocket server in C
	// echoes.Floor is the same as raw, on gnet
)

// contender is a server that can be started.
type contender struct {
	name    string
	version string
	of      family
	program []string // how it is started; what it has to do comes behind
	environ []string // nil: that of this process
	masks   bool     // it sends frames back as they came
	does    func(j *job) bool
}

type family string

const (
	familyC     family = "C"
	familyGo    family = "Go"
	familyFloor family = "Go, bytes"
	familyOther family = "JavaScript"
)

// field is all contenders, and what they need.
type field struct {
	all    []contender
	client string // the load in C
	cert   string // files, for wss
	key    string
	clean  []func()
}

func (f *field) close() {
	for _, c := range f.clean {
		c()
	}
}

// gather finds the contenders with these names; none means all that this machine can
// have. absent says which it can't.
func gather(names []string, procs int) (f *field, absent []string, err error) {
	f = &field{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if err := f.prepare(); err != nil {
		return f, nil, err
	}
	for _, name := range allNames() {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		c, err := f.find(name, procs)
		switch {
		case err == nil:
			f.all = append(f.all, c)
		case len(names) > 0:
			return f, nil, err
		default:
			absent = append(absent, err.Error())
		}
	}
	for _, name := range names {
		if !slices.Contains(allNames(), name) {
			return f, nil, fmt.Errorf("there is no server %q: there are %s", name, strings.Join(allNames(), ", "))
		}
	}
	return f, absent, nil
}

func allNames() []string {
	names := []string{rawName, cName, echoes.Floor.Name}
	for i := range echoes.Kinds {
		names = append(names, echoes.Kinds[i].Name)
	}
	return append(names, "node", "bun")
}

// prepare makes the load in C and a certificate.
func (f *field) prepare() error {
	client, clean, err := process.BuildC("client.c")
	if err != nil {
		return err
	}
	f.client, f.clean = client, append(f.clean, clean)
	dir, err := os.MkdirTemp("", "contest-")
	if err != nil {
		return err
	}
	f.clean = append(f.clean, func() { _ = os.RemoveAll(dir) })
	f.cert, f.key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return writeCertificate(f.cert, f.key)
}

func (f *field) find(name string, procs int) (contender, error) {
	switch name {
	case rawName, cName:
		return f.inC(name)
	case "node":
		return inJavaScript(name, []string{"node"}, "node.mjs", "ws")
	case "bun":
		return inJavaScript(name, []string{filepath.Join("node_modules", ".bin", "bun")}, "bun.mjs", "bun")
	}
	self, err := os.Executable()
	if err != nil {
		return contender{}, err
	}
	k := echoes.Find(name)
	c := contender{
		name: name, version: process.VersionOf(k.Module), of: familyGo, program: []string{self, serveRole, name},
		environ: append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs)),
		does:    func(j *job) bool { return k.Does(j.options()) },
	}
	if k == &echoes.Floor {
		c.of, c.masks, c.does = familyFloor, true, isPlainEcho
	}
	return c, nil
}

func isPlainEcho(j *job) bool { return j.Kind == kindEcho && !j.TLS && !j.deflates() }

func (f *field) inC(name string) (contender, error) {
	program, clean, err := process.BuildC("echo.c")
	if err != nil {
		return contender{}, err
	}
	f.clean = append(f.clean, clean)
	c := contender{name: name, version: "cc -O2", of: familyC, program: []string{program}}
	c.does = func(j *job) bool {
		return isPlainEcho(j) && (name == rawName || j.Bytes <= 64<<10) || j.Kind == kindShakes && name == cName
	}
	if name == rawName {
		c.program, c.masks = append(c.program, "raw"), true
	}
	return c, nil
}

// inJavaScript is a contender of bench/peers/js, in which npm install has been run.
func inJavaScript(name string, runtime []string, script, module string) (c contender, err error) {
	path, err := process.FindAbove(filepath.Join("bench", "peers", "js", script))
	if err != nil {
		return c, err
	}
	dir := filepath.Dir(path)
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", module, "package.json"))
	if err != nil {
		return c, fmt.Errorf("%s: run npm install --no-package-lock in bench/peers/js first (%w)", name, errors.Unwrap(err))
	}
	var pack struct{ Version string }
	if err := json.Unmarshal(b, &pack); err != nil {
		return c, err
	}
	command := runtime[0]
	if strings.Contains(command, "/") {
		command = filepath.Join(dir, command)
	} else if command, err = exec.LookPath(command); err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	version := pack.Version
	if name == "node" {
		out, err := exec.Command(command, "--version").Output()
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		version = "ws " + version + ", Node " + strings.TrimSpace(strings.TrimPrefix(string(out), "v"))
	}
	return contender{
		name: name, version: version, of: familyOther, program: []string{command, path},
		does: func(*job) bool { return true },
	}, nil
}

// start starts a contender for a job.
func (f *field) start(c *contender, j *job, cpu int) (*process.Server, error) {
	command := slices.Clone(c.program)
	if c.of != familyC {
		command = append(command, string(j.options().Deflate))
		if j.TLS {
			command = append(command, f.cert, f.key)
		}
	}
	s, err := process.StartServer(command, c.environ, cpu)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return s, nil
}

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// VersionOf gives the version of a module that this program was built with.
func VersionOf(module string) string {
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

// BuildC compiles a program of bench/limit. clean removes it.
func BuildC(source string) (program string, clean func(), err error) {
	clean = func() {}
	path, err := FindAbove(filepath.Join("bench", "limit", source))
	if err != nil {
		return "", clean, err
	}
	dir, err := os.MkdirTemp("", "limit-")
	if err != nil {
		return "", clean, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	program = filepath.Join(dir, strings.TrimSuffix(source, ".c"))
	if out, err := exec.Command("cc", "-O2", "-o", program, path).CombinedOutput(); err != nil {
		clean()
		return "", func() {}, fmt.Errorf("the bare loop needs a C compiler: cc %s: %w\n%s", path, err, out)
	}
	return program, clean, nil
}

// FindAbove finds a file of the repository from anywhere in it.
func FindAbove(name string) (string, error) {
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

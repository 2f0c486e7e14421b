// Package bare compiles the programs in bench/limit: the least that a job costs.
package bare

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Compiler is how they are compiled.
const Compiler = "cc -O2"

// Build compiles one of them into a folder, and gives the program.
func Build(name, dir string) (program string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	source, program := filepath.Join(root, "bench", "limit", name+".c"), filepath.Join(dir, name)
	if out, err := exec.Command("cc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the bare loop needs a C compiler: cc %s: %w\n%s", source, err, out)
	}
	return program, nil
}

// Root is the folder of the repository, from anywhere in it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "bench", "limit")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no bench/limit in %s or above: run it inside the repository", dir)
		}
	}
}

package host

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where the load came from.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"` // that this process may use
	Kernel     string `json:"kernel"`
	Memory     uint64 `json:"memory"` // bytes
	Go         string `json:"go"`
	Version    string `json:"version"` // of this program
}

// ThisMachine looks around.
func ThisMachine() Machine {
	m := Machine{Processors: Processors(), Go: runtime.Version(), Processor: runtime.GOARCH, Version: Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	return m
}

// Version is that of the module this program is built from, with the commit where the
// build knows it.
func Version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Version == "" {
		return "unknown"
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" && build.Main.Version == "(devel)" {
			return s.Value
		}
	}
	return build.Main.Version
}

// Processors is how many this process may use.
func Processors() int {
	var may unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil {
		return runtime.NumCPU()
	}
	return may.Count()
}

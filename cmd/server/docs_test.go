package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

var update = flag.Bool("update", false, "write the tables of the settings anew")

const (
	root       = "../.."
	operations = "docs/operations.md"
)

// important are the settings that README.md shows.
var important = []string{
	"addr", "internal-addr", "tls-cert", "tls-key", "allow-origin", "trusted-proxy", "max-conns", "max-conns-per-ip",
	"max-message", "max-queue", "ping-interval", "drain-delay", "shutdown-timeout",
}

// What the documentation says of the settings is made from the settings.
func TestSettingsAreDocumented(t *testing.T) {
	for file, table := range map[string]string{operations: settingsTable(), "README.md": importantTable()} {
		name := filepath.Join(root, file)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		after, err := between(string(before), table)
		switch {
		case err != nil:
			t.Errorf("%s: %v", file, err)
		case after == string(before):
		case !*update:
			t.Errorf("the settings in %s are out of date; run: go generate ./cmd/server", file)
		default:
			if err := os.WriteFile(name, []byte(after), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

// The marks in a file between which a table is made.
const (
	tableBegins = "<!-- made from cmd/server/settings.go by: go generate ./cmd/server -->\n"
	tableEnds   = "<!-- end of what is made -->\n"
)

// between puts a table between the marks.
func between(text, table string) (string, error) {
	head, rest, ok1 := strings.Cut(text, tableBegins)
	_, tail, ok2 := strings.Cut(rest, tableEnds)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("the marks %q and %q are missing", tableBegins, tableEnds)
	}
	return head + tableBegins + "\n" + table + "\n" + tableEnds + tail, nil
}

// settingsTable has all settings, with their reasons.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| setting | default | does | why so, and when to change it |\n|---|---|---|---|\n")
	o := defaults()
	for i := range settings {
		s := &settings[i]
		fmt.Fprintf(&b, "| `%s`%s<br>`%s` | %s | %s | %s |\n", s.name, cell(strings.TrimSuffix(" "+s.arg, " ")), s.env(), shownDefault(s, &o), cell(s.help), cell(s.why))
	}
	return b.String()
}

// importantTable has those that most people need.
func importantTable() string {
	var b strings.Builder
	b.WriteString("| setting | default | does |\n|---|---|---|\n")
	o := defaults()
	for i := range settings {
		if s := &settings[i]; slices.Contains(important, s.name) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, shownDefault(s, &o), cell(s.help))
		}
	}
	return b.String()
}

func shownDefault(s *setting, o *options) string {
	if def := strings.Join(s.at(o).strings(), ", "); def != "" {
		return "`" + def + "`"
	}
	return "none"
}

// cell keeps text from being taken for Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}

func TestEverySettingHasItsReason(t *testing.T) {
	for i := range settings {
		if s := &settings[i]; len(s.why) < 20 || !strings.HasSuffix(s.why, ".") {
			t.Errorf("%s: why is %q: it must be a sentence for %s", s.name, s.why, operations)
		}
	}
	for _, name := range important {
		if settingOf(name) == nil {
			t.Errorf("README.md is to show %s, which is no setting", name)
		}
	}
}

// Whatever can be scraped is explained.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, operations))
	if err != nil {
		t.Fatal(err)
	}
	addr, internal := startMeasured(t, nil)
	dial(t, addr, "/echo").send(ws.OpClose, nil)
	wantSample(t, internal, "headrace_closes_total", "code=1005,initiator=remote", 1) // there is none before
	for name := range scrape(t, internal) {
		if strings.HasPrefix(name, "headrace_") && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s does not name the metric %s", operations, name)
		}
	}
}

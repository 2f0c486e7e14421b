package engine

import (
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every setting of the engine stands in docs/operations.md, with the default that the
// code gives it and a reason; and nothing else does.
func TestSettingsAreDocumented(t *testing.T) {
	const doc = "../docs/operations.md"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	config, err1 := Config{}.withDefaults()
	made, err2 := newEndpoint("/", Endpoint{Handler: HandlerFuncs{}})
	compression, err3 := new(Compression).withDefaults()
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	client := ClientConfig{ // what NewClient makes of the zero value
		HandshakeTimeout: config.HandshakeTimeout, StallTimeout: config.StallTimeout, CloseTimeout: config.CloseTimeout,
		ShutdownTimeout: config.ShutdownTimeout, ReadBuffer: config.ReadBuffer,
	}
	for section, settings := range map[string]any{
		"Config": config, "Listener": Listener{}, "Endpoint": made.Endpoint, "Compression": *compression,
		"ClientConfig": client, "DialOptions": DialOptions{},
	} {
		rows := rowsOf(string(text), section)
		v := reflect.ValueOf(settings)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			row, ok := rows[name]
			if !ok {
				t.Errorf("%s, section %s: a row for `%s` is missing", doc, section, name)
				continue
			}
			delete(rows, name)
			if want := shownDefault(v.Type(), name, v.Field(i)); want != "" && !strings.Contains(row.def, want) {
				t.Errorf("%s, section %s: the default of `%s` is %s, and should be %s", doc, section, name, row.def, want)
			}
			if row.why == "" && !strings.Contains(row.def, "must be set") {
				t.Errorf("%s, section %s: `%s` has no reason", doc, section, name)
			}
		}
		for name := range rows {
			t.Errorf("%s, section %s: there is no field %s", doc, section, name)
		}
	}
}

type settingRow struct{ def, why string }

// rowsOf reads the table of a section, by the field's name.
func rowsOf(text, section string) map[string]settingRow {
	_, text, _ = strings.Cut(text, "\n### "+section+"\n")
	text, _, _ = strings.Cut(text, "\n#")
	rows := make(map[string]settingRow)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) \\| (.*?) ?\\|$").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = settingRow{m[2], m[3]}
	}
	return rows
}

// shownDefault is how a default is written, "" for one that is in words: it is no
// number, depends on the machine, or follows from another setting.
func shownDefault(of reflect.Type, name string, v reflect.Value) string {
	switch name {
	case "Loops", "MaxConns", "MaxQueue", "HighWater", "LowWater", "Level", "Mode", "History":
		return ""
	}
	switch d := v.Interface().(type) {
	case time.Duration:
		if d == 0 && of != reflect.TypeFor[Config]() {
			return "no limit"
		}
		if d == 0 {
			return ""
		}
		return d.String()
	case FullPolicy:
		return ""
	}
	if !v.CanInt() {
		return ""
	}
	n := v.Int()
	switch {
	case n == 0 && strings.HasPrefix(name, "Max"):
		return "no limit"
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + " MiB"
	case n >= 1<<10 && n%(1<<10) == 0 && n != 1<<10 && n != 16384 || name == "MaxHandshakeBytes":
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n, 10)
}

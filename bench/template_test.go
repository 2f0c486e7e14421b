package bench

import (
	"regexp"
	"testing"
)

func TestTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"plain":                       "plain",
		"/room/{i%10}?u={i}":          "/room/7?u=127",
		`{"type":"x","n":{n},"a":{}}`: `{"type":"x","n":5,"a":{}}`,
		"{stamp}{stamp}":              "SS",
		"{unknown}{i%}{I}{":           "{unknown}{i%}{I}{",
	} {
		template, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := string(template.AppendTo(nil, 127, 5, []byte("S"))); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		} else if template.String() != text {
			t.Errorf("%q says that it is %q", text, template.String())
		}
	}
	if _, err := ParseTemplate("{i%0}"); err == nil {
		t.Error("a modulus of 0 is taken")
	}
	now, _ := ParseTemplate("{time}")
	if got := now.AppendTo(nil, 0, 0, nil); !regexp.MustCompile(`^\d{13}$`).Match(got) {
		t.Errorf("the time is %q", got)
	}
	line, _ := ParseTemplate("a{line}")
	if got := string(line.AppendTo(nil, 7, 0, nil)); got != "a{line}" || !line.HasLine() || now.HasLine() {
		t.Errorf("a line without lines is %q", got)
	}
	for i, want := range []string{"ax", "ay", "az", "ax"} {
		with := line.WithLines([]string{"x", "y", "z"})
		if got := string(with.AppendTo(nil, i, 0, nil)); got != want {
			t.Errorf("line %d is %q", i, got)
		}
	}
	if has, _ := ParseTemplate("a{stamp}"); !has.HasStamp() || now.HasStamp() {
		t.Error("HasStamp is wrong")
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is wrong with a configuration is said in one line, before anything listens: which
// setting, where it comes from, and what to do. The program itself is asked.
func TestWrongConfigurations(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, time.Now())
	_, otherKey := writePair(t, time.Now())
	inDir := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	noPEM := inDir("no.pem", "this is no certificate")
	huge := inDir("huge.yaml", strings.Repeat("# nothing\n", 1<<17))
	const config = "CONFIG" // in what is wanted, the name of the file

	for name, tt := range map[string]struct {
		file string   // its text; "" is no file
		env  []string // HEADRACE_ is left out
		args []string
		want []string // all of them
	}{
		// a name that there is not
		"flag/unknown":         {args: []string{"--max-conn", "5"}, want: []string{"unknown flag --max-conn", "did you mean --max-conns?"}},
		"flag/one dash":        {args: []string{"-lops=1"}, want: []string{"unknown flag --lops", "did you mean --loops?"}},
		"flag/argument":        {args: []string{"server.yaml"}, want: []string{`"server.yaml"`, "every setting is a flag"}},
		"environment/unknown":  {env: []string{"PING_INTERVALL=3s"}, want: []string{"HEADRACE_PING_INTERVALL: there is no such setting", "did you mean HEADRACE_PING_INTERVAL?"}},
		"file/unknown key":     {file: "loops: 1\n\nmax_conns: 5\n", want: []string{config + ":3: unknown key max_conns", "did you mean max-conns?"}},
		"file/key upper case":  {file: "Loops: 1\n", want: []string{config + ":1: unknown key Loops", "did you mean loops?"}},
		"file/key of no name":  {file: "frobnicate: 1\n", want: []string{config + ":1: unknown key frobnicate (see"}},
		"file/command as key":  {file: "check-config: true\n", want: []string{config + ":1: unknown key check-config"}},
		"file/another section": {file: "server:\n  loops: 1\n", want: []string{config + ":1: unknown key server"}},

		// a value of the wrong type, or none
		"flag/no value":           {args: []string{"--loops"}, want: []string{"there is no value after --loops"}},
		"flag/empty":              {args: []string{"--loops="}, want: []string{`--loops ""`, "it must be a number from 0 to 256, or auto"}},
		"flag/number":             {args: []string{"--max-conns", "1e6"}, want: []string{"--max-conns 1e6", "it must be a number"}},
		"environment/switch":      {env: []string{"TLS_SELF_SIGNED=1"}, want: []string{"HEADRACE_TLS_SELF_SIGNED=1", "it must be true or false"}},
		"environment/two lines":   {env: []string{"LOOPS=1\n2"}, want: []string{`HEADRACE_LOOPS="1\n2"`, "it must be a number"}},
		"environment/space":       {env: []string{"ADDR=:80 :81"}, want: []string{`HEADRACE_ADDR=":80 :81"`, "it must be host:port"}},
		"file/empty value":        {file: "loops: 1\nmax-conns:\n", want: []string{config + ":2: max-conns: it has no value", "leave the line out"}},
		"file/list for one":       {file: "loops: [1, 2]\n", want: []string{config + ":1: loops: it takes one value, not a list"}},
		"file/mapping for one":    {file: "max-queue:\n  size: 1MiB\n", want: []string{config + ":2: max-queue: it must be a plain value"}},
		"file/switch":             {file: "reuse-port: yes\n", want: []string{config + ":1: reuse-port: yes: it must be true or false"}},
		"file/duration of digits": {file: "ping-interval: 30\n", want: []string{config + ":1: ping-interval: 30: it must be a time such as 500ms, 10s or 1h30m"}},

		// settings that do not go together
		"demo/too few topics": {args: []string{"--feed-max-topics", "10", "--demo-ticks", "symbols=50,rate=1"}, want: []string{"demo-ticks symbols=50,rate=1", "feed-max-topics 10", "name fewer symbols"}},

		// a value that cannot be
		"flag/out of range":         {args: []string{"--loops", "257"}, want: []string{"--loops 257", "from 0 to 256"}},
		"flag/negative":             {args: []string{"--max-age", "-1s"}, want: []string{"--max-age -1s", "it must be a time"}},
		"flag/heartbeat too long":   {args: []string{"--ping-interval", "1h"}, want: []string{"--ping-interval 1h", "at most 20m"}},
		"environment/size":          {env: []string{"MAX_MESSAGE=1MB"}, want: []string{"HEADRACE_MAX_MESSAGE=1MB", "it must be a size", "1MiB"}},
		"environment/duration":      {env: []string{"DRAIN_WINDOW=soon"}, want: []string{"HEADRACE_DRAIN_WINDOW=soon", "it must be a time", "or auto"}},
		"environment/network":       {env: []string{"TRUSTED_PROXY=10.0.0.0/8,proxy.example"}, want: []string{"HEADRACE_TRUSTED_PROXY=proxy.example", "it must be a network"}},
		"file/origin with path":     {file: "allow-origin:\n  - https://a.example\n  - https://b.example/app\n", want: []string{config + ":1: allow-origin: https://b.example/app: it must be scheme://host[:port]"}},
		"file/origin with pattern":  {file: "allow-origin: https://*.example.com\n", want: []string{config + ":1: allow-origin: https://*.example.com: it must be scheme://host[:port]", "* alone"}},
		"file/word":                 {file: "when-full: drop\n", want: []string{config + ":1: when-full: drop: it must be close, drop-newest or drop-oldest"}},
		"flag/permissions":          {args: []string{"--unix-mode", "rw"}, want: []string{"--unix-mode rw", "octal"}},
		"flag/path of a socket":     {args: []string{"--addr", "unix:/" + strings.Repeat("a", 107)}, want: []string{"--addr unix:/aaa", "at most 107 bytes"}},
		"flag/address without port": {args: []string{"--addr", "localhost"}, want: []string{"--addr localhost", "it must be host:port"}},
		"flag/name of no machine":   {args: []string{"--addr", "nowhere.invalid:80", "--addr", "nor.invalid:81"}, want: []string{"addr nowhere.invalid:80, nor.invalid:81 (--addr)", "no address of a machine", "nowhere.invalid"}},

		// settings against each other
		"certificate without key":       {args: []string{"--tls-cert", certFile}, want: []string{"tls-cert " + certFile + " (--tls-cert)", "needs tls-key"}},
		"key without certificate":       {env: []string{"TLS_KEY=" + keyFile}, want: []string{"tls-key " + keyFile + " (HEADRACE_TLS_KEY)", "needs tls-cert"}},
		"two certificates":              {args: []string{"--tls-self-signed"}, env: []string{"TLS_CERT=" + certFile, "TLS_KEY=" + keyFile}, want: []string{"tls-self-signed true (--tls-self-signed)", "leave it out, or tls-cert " + certFile + " (HEADRACE_TLS_CERT)"}},
		"TLS on a unix socket":          {args: []string{"--tls-self-signed", "--addr", "unix:/tmp/s"}, want: []string{"tls-self-signed true (--tls-self-signed) has no effect", "add host:port to addr unix:/tmp/s (--addr)"}},
		"window longer than the end":    {file: "drain-window: 20s\n", args: []string{"--shutdown-timeout", "10s"}, want: []string{"drain-window 20s (" + config + ":1) must be shorter than shutdown-timeout 10s (--shutdown-timeout)"}},
		"close longer than the end":     {env: []string{"CLOSE_TIMEOUT=9s"}, want: []string{"close-timeout 9s (HEADRACE_CLOSE_TIMEOUT) must not be longer than shutdown-timeout 8s (the default)"}},
		"shared port and unix socket":   {args: []string{"--reuse-port", "--addr", "unix:/tmp/s"}, want: []string{"reuse-port true (--reuse-port) cannot be had beside a unix socket", "leave it out"}},
		"header without a proxy":        {args: []string{"--proxy-protocol", "--forwarded-header", "Forwarded"}, want: []string{"forwarded-header Forwarded (--forwarded-header) has no effect without trusted-proxy"}},
		"no address":                    {file: "addr: []\n", want: []string{"addr (" + config + ":1) is empty", "name at least one"}},
		"an address twice":              {args: []string{"--addr", ":8000", "--addr", "127.0.0.1:8000"}, want: []string{"(--addr)", ":8000 and 127.0.0.1:8000 cannot both be listened on", "leave one out"}},
		"the internal address is taken": {env: []string{"INTERNAL_ADDR=:8080"}, want: []string{"internal-addr :8080 (HEADRACE_INTERNAL_ADDR)", "127.0.0.1:8080 and :8080 cannot both be listened on"}},
		"a socket twice":                {args: []string{"--addr", "unix:/tmp/s", "--addr", "unix:/tmp/s"}, want: []string{"(--addr)", "/tmp/s and /tmp/s cannot both be listened on"}},

		// files
		"file/missing":               {args: []string{"--config", "/nonexistent.yaml"}, want: []string{"--config /nonexistent.yaml: the file cannot be read: no such file"}},
		"file/missing, environment":  {env: []string{"CONFIG=/nonexistent.yaml"}, want: []string{"HEADRACE_CONFIG=/nonexistent.yaml: the file cannot be read: no such file"}},
		"file/directory":             {args: []string{"--config", dir}, want: []string{"--config " + dir + ": the file cannot be read: is a directory"}},
		"file/unreadable":            {args: []string{"--config", "/proc/self/mem"}, want: []string{"--config /proc/self/mem: the file cannot be read: input/output error"}},
		"file/too long":              {args: []string{"--config", huge}, want: []string{"--config " + huge, "longer than 1 MiB"}},
		"file/no name":               {args: []string{"--config="}, want: []string{"--config: it must name a file"}},
		"file/no name, environment":  {env: []string{"CONFIG="}, want: []string{"HEADRACE_CONFIG is empty: it must name a file"}},
		"file/key twice":             {file: "loops: 1\nmax-conns: 5\nloops: 2\n", want: []string{config + ":3: loops: it is in line 1 already; leave one out"}},
		"file/tab":                   {file: "loops: 1\n\tmax-conns: 5\n", want: []string{config + ":2: it is no YAML", "write one setting on each line"}},
		"file/quotation mark":        {file: "loops: 1\nlog-level: \"info\n", want: []string{config + ":2: it is no YAML", "write one setting on each line"}},
		"file/words":                 {file: "loops 1\n", want: []string{config + ":1: it must be one mapping", "name: value"}},
		"file/two documents":         {file: "loops: 1\n---\nloops: 2\n", want: []string{config + ":3: it must be one mapping"}},
		"certificate/missing":        {args: []string{"--tls-cert", "/nonexistent.pem", "--tls-key", keyFile}, want: []string{"tls-cert /nonexistent.pem (--tls-cert): the file cannot be read: no such file"}},
		"certificate/key missing":    {file: "tls-cert: " + certFile + "\ntls-key: /nonexistent.pem\n", want: []string{"tls-key /nonexistent.pem (" + config + ":2): the file cannot be read: no such file"}},
		"certificate/directory":      {args: []string{"--tls-cert", dir, "--tls-key", keyFile}, want: []string{"tls-cert " + dir + " (--tls-cert): the file cannot be read: is a directory"}},
		"certificate/no PEM":         {args: []string{"--tls-cert", noPEM, "--tls-key", keyFile}, want: []string{"tls-cert " + noPEM + " (--tls-cert)", "they must be PEM", "certificate input"}},
		"certificate/another's key":  {args: []string{"--tls-cert", certFile, "--tls-key", otherKey}, want: []string{"tls-key " + otherKey + " (--tls-key)", "the key that of the certificate", "does not match"}},
		"environment/bad under flag": {env: []string{"LOOPS=many"}, args: []string{"--loops", "1"}, want: []string{"HEADRACE_LOOPS=many", "it must be a number"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--check-config"}, tt.args...)
			file := ""
			if tt.file != "" {
				file = writeConfig(t, tt.file)
				args = append([]string{"--config", file}, args...)
			}
			cmd := exec.Command(binary, args...)
			for _, v := range tt.env {
				cmd.Env = append(cmd.Env, envPrefix+v)
			}
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run()
			line, after, _ := strings.Cut(stderr.String(), "\n")
			if code := cmd.ProcessState.ExitCode(); code != exitUsage || stdout.Len() > 0 || after != "" ||
				!strings.HasPrefix(line, program+": ") || !strings.HasSuffix(line, " (see "+program+" --help)") {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d, and one line on stderr", code, &stdout, &stderr, exitUsage)
			}
			for _, want := range tt.want {
				if want = strings.ReplaceAll(want, config+":", file+":"); !strings.Contains(line, want) {
					t.Errorf("%q is missing in %q", want, line)
				}
			}
		})
	}
}

// A hint is for slips of the finger, not for every name that there is not.
func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{
		"loops": "; did you mean loops?", "lop": "; did you mean loops?", "maxconns": "; did you mean max-conns?",
		"max-messages": "; did you mean max-message?", "timeout": "", "": "", "x": "", "config": "", "verbose": "",
	} {
		if got := didYouMean(name, "", (*setting).key); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// More connections than descriptors are no error: another machine may have more.
func TestWarnsOfDescriptors(t *testing.T) {
	cmd := exec.Command(binary, "--check-config", "--max-conns", "1000000000")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), "limit of descriptors") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("%v, %q", err, &stderr)
	}
}

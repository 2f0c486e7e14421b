package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// writePair writes a self-signed certificate of that day, and its key.
func writePair(t *testing.T, made time.Time) (certFile, keyFile string) {
	t.Helper()
	cert, err := selfSigned(made)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestSecureServer(t *testing.T) {
	certFile, keyFile := writePair(t, time.Now())
	for name, change := range map[string]func(*options){
		"self-signed": func(o *options) { o.tlsSelfSigned = true },
		"files":       func(o *options) { o.tlsCert, o.tlsKey = certFile, keyFile },
	} {
		t.Run(name, func(t *testing.T) {
			addr := startServer(t, change)
			config := &tls.Config{InsecureSkipVerify: true}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: patience}
			defer client.CloseIdleConnections()
			for path, says := range map[string]string{"/": "<title>Headrace</title>", "/echo": `new WebSocket("wss://`} {
				res, err := client.Get("https://" + addr + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || !strings.Contains(string(body), says) {
					t.Errorf("%s: %.100q, %v", path, body, err)
				}
			}
			d := ws.Dialer{Timeout: patience, TLSConfig: config, Header: ws.HandshakeHeaderHTTP{"Origin": {"https://" + addr}}}
			conn, _, _, err := d.Dial(t.Context(), "wss://"+addr+"/echo")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // a test's end
			c := overConn(t, conn)
			c.say("hello")
			c.hear("hello")
		})
	}
}

// overConn is a client on a connection that is there.
func overConn(t *testing.T, conn net.Conn) *client { return &client{t: t, conn: conn, r: conn} }

func TestSelfSigned(t *testing.T) {
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, name := range names {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if note := selfSignedNote(cert); strings.Count(note, ":") < 31 || !strings.Contains(note, "browsers warn") {
		t.Errorf("it says %q", note)
	}
}

func TestSecureRefuses(t *testing.T) {
	certFile, keyFile := writePair(t, time.Now())
	_, otherKey := writePair(t, time.Now())
	for _, tt := range []struct{ cert, key, says string }{
		{certFile, otherKey, "private key does not match public key"},
		{certFile, "/nonexistent/key.pem", "no such file"},
		{"/nonexistent/cert.pem", keyFile, "no such file"},
		{keyFile, keyFile, "failed to find"},
	} {
		_, _, err := secure(&options{tlsCert: tt.cert, tlsKey: tt.key}, testLogger(t))
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "tls-") {
			t.Errorf("%s, %s: %v; want %q", tt.cert, tt.key, err, tt.says)
		}
	}
}

// What the engine says of a renewed certificate is in the program's log, in its format.
func TestRenewalIsLogged(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writePair(t, time.Now())
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0", "--log-format", "json", "--tls-cert", certFile, "--tls-key", keyFile)
	read, write := io.Pipe()
	cmd.Stderr = write
	p := startCommand(t, cmd)
	logged := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			select {
			case logged <- lines.Text():
			default: // one is enough; the rest is read so that nobody waits
			}
		}
	}()
	if err := os.WriteFile(certFile, []byte("half of a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	shake := func() {
		if conn, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
			_ = conn.Close() // it is the old certificate
		} else {
			t.Error(err)
		}
	}
	for end := time.After(patience); ; {
		select {
		case line := <-logged:
			var entry struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "ERROR" || !strings.Contains(entry.Msg, "the old one stays in use") {
				t.Errorf("the log says %s", line)
			}
			return
		case <-time.After(50 * time.Millisecond): // it looks once a second
			shake()
		case <-end:
			t.Fatal("nothing was logged")
		}
	}
}

func TestSecureWarnsOfDates(t *testing.T) {
	for _, tt := range []struct {
		made time.Time
		says string
	}{
		{time.Now().Add(-2 * selfSignedFor), "has expired"},
		{time.Now().Add(24 * time.Hour), "is not valid yet"},
		{time.Now(), ""},
	} {
		certFile, keyFile := writePair(t, tt.made)
		var log bytes.Buffer
		if _, _, err := secure(&options{tlsCert: certFile, tlsKey: keyFile}, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), tt.says) || tt.says == "" && log.Len() > 0 {
			t.Errorf("the log says %q, want %q", &log, tt.says)
		}
	}
}

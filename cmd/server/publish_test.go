package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// askHTTP makes a request as another server would.
func askHTTP(t *testing.T, method, url, authorization, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestPublishByHTTP(t *testing.T) {
	addr, internal := startMeasured(t, func(o *options) {
		o.feed.publishToken, o.feed.heartbeat, o.feed.maxTopics = "s3cret+/=", 0, 2
		o.endpoint.MaxMessage = 100
	})
	c := dial(t, addr, "/feed")
	c.subscribe(">")
	base := "http://" + internal + "/publish/"
	const token = "Bearer s3cret+/="

	res, body := askHTTP(t, "POST", base+"prices.acme?key=b%22id", token, " { \"x\" : 1 } \n")
	m := c.read()
	if want := fmt.Sprintf(`{"topic":"prices.acme","epoch":%d,"seq":1}`+"\n", m.Epoch); res.StatusCode != 200 || body != want || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d, %q, %s; want %s", res.StatusCode, res.Header.Get("Content-Type"), body, want)
	}
	if m.Type != "update" || m.Topic != "prices.acme" || m.Key != `b"id` || string(m.Data) != `{"x":1}` {
		t.Errorf("the subscriber gets %+v", m)
	}
	res, body = askHTTP(t, "DELETE", base+"prices.acme?key=b%22id", "bearer s3cret+/=", "")
	if want := fmt.Sprintf(`{"topic":"prices.acme","epoch":%d,"seq":2}`+"\n", m.Epoch); res.StatusCode != 200 || body != want {
		t.Errorf("DELETE: %d, %s; want %s", res.StatusCode, body, want)
	}
	c.hear(`{"type":"update","topic":"prices.acme","key":"b\"id","seq":2,"deleted":true}`)

	if res, _ := askHTTP(t, "POST", base+"second", token, "1"); res.StatusCode != 200 {
		t.Errorf("a second topic: %d", res.StatusCode)
	}
	for _, tt := range []struct {
		method, path, authorization, body string
		status                            int
	}{
		{"POST", "third", token, "1", 429},
		{"POST", "second", "", "1", 401},
		{"POST", "second", "Bearer wrong", "1", 401},
		{"POST", "second", "Bearer ", "1", 401},
		{"POST", "second", "Basic s3cret+/=", "1", 401},
		{"POST", "second", token + "x", "nonsense", 401},
		{"DELETE", "second", "", "", 401},
		{"POST", "second", token, "", 400},
		{"POST", "second", token, "{", 400},
		{"POST", "second", token, "1 2", 400},
		{"POST", "second", token, "\"\xff\"", 400},
		{"POST", "second", token, `{"a":"\ud800"}`, 400},
		{"POST", "second", token, `{"a\ud83c\udf0a":"\\ud800"}`, 200},
		{"POST", "a..b", token, "1", 400},
		{"POST", "second?kee=a", token, "1", 400},
		{"POST", "second?key=a&key=b", token, "1", 400},
		{"POST", "second?key=%zz", token, "1", 400},
		{"DELETE", "second?kee=a", token, "", 400},
		{"POST", "a.*", token, "1", 400},
		{"POST", ".", token, "1", 400},
		{"POST", "..", token, "1", 400},
		{"POST", "%2e%2e", token, "1", 400},
		{"POST", "...", token, "1", 400},
		{"DELETE", "..?key=a", token, "", 400},
		{"POST", "..", "", "1", 401},
		{"GET", "..", token, "", 405},
		{"POST", "a%2Fb%20c", token, "1", 400},
		{"DELETE", "a..b", token, "", 400},
		{"POST", "second?key=%FF", token, "1", 400},
		{"POST", "second?key=" + strings.Repeat("k", 256), token, "1", 400},
		{"POST", "second", token, `"` + strings.Repeat("x", 98) + `"`, 200},
		{"POST", "second", token, `"` + strings.Repeat("x", 99) + `"`, 413},
		{"GET", "second", token, "", 405},
		{"POST", "", token, "1", 404},
	} {
		res, body := askHTTP(t, tt.method, base+tt.path, tt.authorization, tt.body)
		if res.StatusCode != tt.status {
			t.Errorf("%s %s with %q: %d, %q; want %d", tt.method, tt.path, tt.authorization, res.StatusCode, body, tt.status)
		}
		if strings.HasPrefix(tt.path, ".") && tt.status == 400 && body != "token 1, \"\", is empty\n" {
			t.Errorf("%s %s says %q", tt.method, tt.path, body)
		}
		if tt.status == 401 && res.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("401 with %v", res.Header)
		}
	}
}

// A body that comes in pieces of unknown number is cut at the limit too.
func TestPublishCutsChunkedBody(t *testing.T) {
	_, internal := startMeasured(t, func(o *options) {
		o.feed.publishToken, o.endpoint.MaxMessage = "t", 100
	})
	req, err := http.NewRequest("POST", "http://"+internal+"/publish/a", io.MultiReader(strings.NewReader(`"`), strings.NewReader(strings.Repeat("x", 1<<16))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t")
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil || res.StatusCode != 413 {
		t.Fatalf("%v, %v", res, err)
	}
	_ = res.Body.Close()
}

// Without a token there is no such path, and on the public address there never is.
func TestPublishIsOff(t *testing.T) {
	_, internal := startMeasured(t, nil)
	for _, topic := range []string{"a", ".."} {
		if res, _ := askHTTP(t, "POST", "http://"+internal+"/publish/"+topic, "Bearer ", "1"); res.StatusCode != 404 {
			t.Errorf("without a token: %d for %s, want 404", res.StatusCode, topic)
		}
	}
	addr, _ := startMeasured(t, func(o *options) { o.feed.publishToken = "t" })
	if res, _ := askHTTP(t, "POST", "http://"+addr+"/publish/a", "Bearer t", "1"); res.StatusCode != 404 && res.StatusCode != 405 {
		t.Errorf("on the public address: %d", res.StatusCode)
	}
}

func TestPublishTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	o := defaults()
	o.feed.publishTokenFile = file
	for text, want := range map[string]struct{ token, says string }{
		"abc\n":    {"abc", ""},
		" a-b==":   {"a-b==", ""},
		"\n":       {"", "the file is empty"},
		"a b":      {"", "it must be of letters"},
		"(set)":    {"", "it must be of letters"},
		"abc\ndef": {"", "it must be of letters"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := publishToken(&o)
		if want.says != "" {
			wantLine(t, text, err, "publish-token-file "+file+" (the default): "+want.says)
		} else if err != nil || got != want.token {
			t.Errorf("%q gives %q, %v; want %q", text, got, err, want.token)
		}
		if err != nil && len(text) > 1 && strings.Contains(err.Error(), text) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	o.feed.publishTokenFile = file + "x"
	_, err := publishToken(&o)
	wantLine(t, "no file", err, "the file cannot be read: no such file")
}

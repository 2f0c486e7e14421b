package main

import (
	"net"
	"strings"
	"testing"
)

func TestBanner(t *testing.T) {
	got := banner("localhost:0", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8123}, "", "", nil)
	for _, want := range []string{
		"http://localhost:8123/ ", "ws://localhost:8123/echo ", "ws://localhost:8123/feed ", "ws://localhost:8123/ws/chat ",
		"ws://localhost:8123/hello ", "http://localhost:8123/healthz ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestBannerWithTLS(t *testing.T) {
	got := banner("localhost:0", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8123}, "s", "Mind the gap.\n", nil)
	for _, want := range []string{
		"https://localhost:8123/ ", "wss://localhost:8123/echo ", "https://localhost:8123/healthz ", "\nMind the gap.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "http://") || strings.Contains(got, "ws://") {
		t.Errorf("it names a plain address:\n%s", got)
	}
}

func TestBannerWithInternal(t *testing.T) {
	got := banner(":80", &net.TCPAddr{Port: 80}, "", "", &net.TCPAddr{IP: net.IPv6unspecified, Port: 9100})
	if !strings.Contains(got, "  http://localhost:9100/metrics ") {
		t.Errorf("it does not say where the metrics are:\n%s", got)
	}
}

func TestReachable(t *testing.T) {
	bound := &net.TCPAddr{IP: net.IPv6unspecified, Port: 81}
	for asked, want := range map[string]string{
		":0": "localhost:81", "0.0.0.0:81": "localhost:81", "[::]:81": "localhost:81",
		"[::1]:81": "[::1]:81", "10.0.0.7:0": "10.0.0.7:81", "box.example:81": "box.example:81",
	} {
		if got := reachable(asked, bound); got != want {
			t.Errorf("reachable(%q) = %q, want %q", asked, got, want)
		}
	}
}

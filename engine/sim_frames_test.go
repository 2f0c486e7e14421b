package engine

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The simulated peer's own idea of RFC 6455, written from the RFC, slow and
// plain, and sharing nothing with package codec.

const (
	wireContinuation = 0x0
	wireText         = 0x1
	wireBinary       = 0x2
	wireClose        = 0x8
	wirePing         = 0x9
	wirePong         = 0xA
)

// clientFrame draws a frame of a client: first is the first byte, FIN, RSV and
// opcode (§5.2).
func clientFrame(first byte, key [4]byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// wireReader takes the server's bytes apart: one HTTP answer, then frames, and
// nothing behind a Close frame.
type wireReader struct {
	buf     []byte
	status  int               // of the answer; 0 until it has come
	headers map[string]string // by lower-case name
	body    []byte            // of an answer that refuses
	closed  bool              // a Close frame has come
	deflate *simDeflate       // nil without permessage-deflate
	frame   func(op byte, payload []byte) error
}

// feed takes bytes. The reader keeps no reference to p.
func (r *wireReader) feed(p []byte) error {
	r.buf = append(r.buf, p...)
	if r.status == 0 {
		if err := r.readHead(); err != nil || r.status == 0 {
			return err
		}
	}
	if r.status != 101 {
		r.body = append(r.body, r.buf...)
		r.buf = nil
		return nil
	}
	for len(r.buf) > 0 {
		n, err := r.readFrame(r.buf)
		if n == 0 || err != nil {
			return err
		}
		r.buf = r.buf[n:]
	}
	r.buf = nil
	return nil
}

func (r *wireReader) readHead() error {
	head, rest, ok := bytes.Cut(r.buf, []byte("\r\n\r\n"))
	if !ok {
		return nil
	}
	r.buf = rest
	lines := strings.Split(string(head), "\r\n")
	words := strings.SplitN(lines[0], " ", 3)
	if len(words) != 3 || words[0] != "HTTP/1.1" {
		return fmt.Errorf("status line %q", lines[0])
	}
	status, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	r.headers = make(map[string]string)
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return fmt.Errorf("header line %q", line)
		}
		r.headers[strings.ToLower(name)] = value
	}
	r.status = status
	r.deflate, err = newSimDeflate(r.headers["sec-websocket-extensions"])
	return err
}

// readFrame takes one frame (§5.2): unmasked, minimal in length, whole.
func (r *wireReader) readFrame(b []byte) (n int, err error) {
	if r.closed {
		return 0, fmt.Errorf("%d bytes behind a Close frame: %.32x", len(b), b)
	}
	if len(b) < 2 {
		return 0, nil
	}
	first, length, at := b[0], int(b[1]), 2
	switch {
	case b[1]&0x80 != 0:
		return 0, errors.New("the server masks")
	case first&0x80 == 0:
		return 0, errors.New("the server fragments")
	case first&0x30 != 0 || first&0x40 != 0 && first&0xF != wireText && first&0xF != wireBinary:
		return 0, fmt.Errorf("reserved bits in %#x", first)
	case length >= 126:
		bytesOfLength := 2
		if length == 127 {
			bytesOfLength = 8
		}
		if first&0x8 != 0 {
			return 0, errors.New("a long control frame")
		}
		if len(b) < at+bytesOfLength {
			return 0, nil
		}
		length = 0
		for _, c := range b[at : at+bytesOfLength] {
			length = length<<8 | int(c)
		}
		at += bytesOfLength
		if length < 126 || bytesOfLength == 8 && length <= 0xFFFF || length > 1<<30 {
			return 0, fmt.Errorf("%d is written in %d bytes", length, bytesOfLength)
		}
	}
	if len(b) < at+length {
		return 0, nil
	}
	op, payload := first&0xF, b[at:at+length]
	if first&0x40 != 0 {
		if payload, err = r.deflate.inflate(payload); err != nil {
			return 0, err
		}
	}
	switch op {
	case wireText, wireBinary, wirePing, wirePong:
	case wireClose:
		r.closed = true
	default:
		return 0, fmt.Errorf("opcode %#x", op)
	}
	return at + length, r.frame(op, payload)
}

// readClose takes the payload of a Close frame apart (§5.5.1): 1005 if it has no
// code.
func readClose(p []byte) (code int, reason string, err error) {
	switch {
	case len(p) == 0:
		return 1005, "", nil
	case len(p) == 1:
		return 0, "", errors.New("a Close frame with one byte")
	case !utf8.Valid(p[2:]):
		return 0, "", errors.New("a reason that is not UTF-8")
	}
	code = int(p[0])<<8 | int(p[1])
	if code < 1000 || code == 1004 || code == 1005 || code == 1006 || code == 1015 || code >= 5000 {
		return 0, "", fmt.Errorf("close code %d must not be sent", code)
	}
	return code, string(p[2:]), nil
}

// acceptKey is the answer to a Sec-WebSocket-Key (§4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

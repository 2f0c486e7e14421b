package engine

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
)

// dialDeflate connects with these offers of extensions, one header each, and gives
// the server's answer to them.
func dialDeflate(tb testing.TB, srv *Server, path string, offers ...string) (*testClient, []string) {
	tb.Helper()
	c, answers, err := shakeDeflate(srv.Addr().String(), path, offers...)
	if err != nil {
		tb.Fatal("dial:", err)
	}
	tb.Cleanup(func() { _ = c.Conn.Close() })
	return c, answers
}

// shakeDeflate is dialDeflate for a process without a test.
func shakeDeflate(addr, path string, offers ...string) (*testClient, []string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	var request strings.Builder
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", path)
	request.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n")
	for _, o := range offers {
		fmt.Fprintf(&request, "Sec-WebSocket-Extensions: %s\r\n", o)
	}
	request.WriteString("\r\n")
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request.String()); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("the handshake is answered with %s", answer.Status)
	}
	return &testClient{Conn: conn, r: r}, answer.Header.Values("Sec-WebSocket-Extensions"), nil
}

// inflateClient decompresses what a server sends: the standard library's inflate,
// with the 32 KB before it as its dictionary.
type inflateClient struct {
	window []byte
	reader io.ReadCloser
}

func newInflateClient() *inflateClient {
	return &inflateClient{reader: flate.NewReader(strings.NewReader(""))}
}

func (z *inflateClient) inflate(p []byte) ([]byte, error) {
	in := io.MultiReader(bytes.NewReader(p), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	if err := z.reader.(flate.Resetter).Reset(in, z.window); err != nil {
		return nil, err
	}
	out, err := io.ReadAll(z.reader)
	z.window = append(z.window, out...)
	z.window = z.window[max(0, len(z.window)-32<<10):]
	return out, err
}

// recvFirst reads one frame, and gives its first byte.
func (c *testClient) recvFirst() (first byte, p []byte, err error) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b, err := c.r.Peek(1)
	if err != nil {
		return 0, nil, err
	}
	first = b[0]
	_, p, err = c.recv()
	return first, p, err
}

// deflateClient compresses for a server: the standard library's deflate, whose
// distances reach 32 KB, or messages that stand for themselves.
type deflateClient struct {
	out      bytes.Buffer
	writer   *flate.Writer
	takeover bool
	blocks   *codec.Deflater // for a window below 32 KB
	bits     uint8
	history  []byte
}

// newDeflateClient keeps to what the server has answered.
func newDeflateClient(tb testing.TB, answer string) *deflateClient {
	z := &deflateClient{takeover: !strings.Contains(answer, "client_no_context_takeover"), bits: 15}
	if _, bits, ok := strings.Cut(answer, "client_max_window_bits="); ok {
		bits, _, _ = strings.Cut(bits, ";")
		n, err := strconv.Atoi(strings.TrimSpace(bits))
		if err != nil {
			tb.Fatal(answer)
		}
		z.bits, z.blocks = uint8(n), codec.NewDeflater(3)
	}
	z.writer, _ = flate.NewWriter(&z.out, 6)
	return z
}

func (z *deflateClient) deflate(p []byte) []byte {
	if z.blocks != nil {
		out := z.blocks.Append(nil, p, z.bits, z.history)
		if z.takeover {
			z.history = append(z.history, p...)
			z.history = z.history[max(0, len(z.history)-1<<z.bits):]
		}
		return out
	}
	z.out.Reset()
	if !z.takeover {
		z.writer.Reset(&z.out)
	}
	_, _ = z.writer.Write(p)
	_ = z.writer.Flush()
	return bytes.Clone(bytes.TrimSuffix(z.out.Bytes(), []byte("\x00\x00\xff\xff")))
}

// compressedFrame draws a client's frame with RSV1 in its first byte.
func compressedFrame(op codec.Opcode, payload []byte) []byte {
	return clientFrame(0x80|0x40|byte(op), [4]byte{9, 1, 8, 2}, payload)
}

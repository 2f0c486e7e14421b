package echoes

import (
	"bufio"
	"compress/flate"
	"errors"
	"io"
	"net"
	"unicode/utf8"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// gobwasEcho is a loop by hand on the library's frames, as its documentation shows it:
// a goroutine for each connection, a buffered reader, and one write for each message,
// header and payload together.
type gobwasEcho struct {
	conn    net.Conn
	in      *bufio.Reader
	payload []byte
	message []byte // of several frames
	out     []byte
	flate   bool
}

var errText = errors.New("text is not UTF-8")

func listenGobwas(o Options) (addr string, err error) {
	l, err := o.listen()
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				e := &gobwasEcho{conn: conn}
				if e.upgrade(o.Deflate == Single) == nil {
					_ = e.run()
				}
			}()
		}
	}()
	return l.Addr().String(), nil
}

func (e *gobwasEcho) upgrade(deflate bool) error {
	var up ws.Upgrader
	extension := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
	if deflate {
		up.Negotiate = func(o httphead.Option) (httphead.Option, error) { return extension.Negotiate(o) }
	}
	if _, err := up.Upgrade(e.conn); err != nil {
		return err
	}
	_, e.flate = extension.Accepted()
	e.in = bufio.NewReaderSize(e.conn, 4096)
	return nil
}

func (e *gobwasEcho) run() error {
	var kind ws.OpCode
	var packed bool
	for {
		h, err := ws.ReadHeader(e.in)
		if err != nil {
			return err
		}
		if h.Length > largest {
			return ws.ErrHeaderLengthUnexpected
		}
		if e.payload = sized(e.payload, int(h.Length)); h.Length > 0 {
			if _, err := io.ReadFull(e.in, e.payload); err != nil {
				return err
			}
			ws.Cipher(e.payload, h.Mask, 0)
		}
		switch {
		case h.OpCode == ws.OpClose:
			return e.write(ws.OpClose, e.payload, false)
		case h.OpCode == ws.OpPing:
			err = e.write(ws.OpPong, e.payload, false)
		case h.OpCode == ws.OpPong:
		case h.Fin && h.OpCode != ws.OpContinuation:
			err = e.echo(h.OpCode, e.payload, h.Rsv1())
		default:
			if h.OpCode != ws.OpContinuation {
				kind, packed, e.message = h.OpCode, h.Rsv1(), e.message[:0]
			}
			if e.message = append(e.message, e.payload...); h.Fin {
				err = e.echo(kind, e.message, packed)
			}
		}
		if err != nil {
			return err
		}
	}
}

func sized(p []byte, n int) []byte {
	if cap(p) < n {
		return make([]byte, n)
	}
	return p[:n]
}

var flateHelper = wsflate.Helper{
	Compressor: func(w io.Writer) wsflate.Compressor {
		f, _ := flate.NewWriter(w, Level)
		return f
	},
	Decompressor: func(r io.Reader) wsflate.Decompressor { return flate.NewReader(r) },
}

// echo sends a message back, compressed if the connection is.
func (e *gobwasEcho) echo(kind ws.OpCode, p []byte, packed bool) (err error) {
	if packed {
		if p, err = flateHelper.Decompress(p); err != nil {
			return err
		}
	}
	if kind == ws.OpText && !utf8.Valid(p) {
		return errText
	}
	if e.flate {
		if p, err = flateHelper.Compress(p); err != nil {
			return err
		}
	}
	return e.write(kind, p, e.flate)
}

func (e *gobwasEcho) write(kind ws.OpCode, p []byte, packed bool) error {
	h := ws.Header{Fin: true, OpCode: kind, Length: int64(len(p))}
	if packed {
		h.Rsv = ws.Rsv(true, false, false)
	}
	e.out = append(appendHeader(e.out[:0], h), p...)
	_, err := e.conn.Write(e.out)
	return err
}

// appendHeader is ws.WriteHeader without a writer.
func appendHeader(dst []byte, h ws.Header) []byte {
	w := sliceWriter(dst)
	_ = ws.WriteHeader(&w, h)
	return w
}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

package echoes

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Floor is no WebSocket server: behind the handshake it sends bytes back as they come, on
// gnet alone. It is what Headrace cannot do with less than, as long as gnet carries it.
var Floor = Kind{Name: "gnet", Module: "github.com/panjf2000/gnet/v2", Listen: listenFloor}

// floor is gnet's handler.
type floor struct {
	gnet.BuiltinEventEngine
	booted chan gnet.Engine
}

// OnBoot implements gnet.EventHandler.
func (f *floor) OnBoot(e gnet.Engine) gnet.Action {
	f.booted <- e
	return gnet.None
}

// silent keeps gnet from writing to where the server tells its address.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

// granted answers the key of bench/limit/client.c, which asks for nothing else.
var granted = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")

// OnTraffic implements gnet.EventHandler. Writing past gnet's buffer, and past Go's
// scheduler, is what the engine does too. A socket that takes no more gets the rest by
// way of gnet.
func (f *floor) OnTraffic(c gnet.Conn) gnet.Action {
	p, err := c.Next(-1)
	if err != nil || len(p) == 0 {
		return gnet.None
	}
	if bytes.HasPrefix(p, []byte("GET ")) {
		p = granted
	}
	n := 0
	if c.OutboundBuffered() == 0 {
		w, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.Fd()), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno == 0 {
			n = int(w)
		}
	}
	if n < len(p) {
		_, _ = c.Write(p[n:])
	}
	return gnet.None
}

func listenFloor(Options) (addr string, err error) {
	f := &floor{booted: make(chan gnet.Engine, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- gnet.Run(f, "tcp4://"+loopback, gnet.WithNumEventLoop(1), gnet.WithReadBufferCap(256<<10),
			gnet.WithTCPNoDelay(gnet.TCPNoDelay), gnet.WithLogger(silent{}))
	}()
	select {
	case e := <-f.booted:
		fd, err := e.Dup()
		if err != nil {
			return "", err
		}
		defer unix.Close(fd) //nolint:errcheck // a duplicate
		at, err := unix.Getsockname(fd)
		if err != nil {
			return "", err
		}
		in, ok := at.(*unix.SockaddrInet4)
		if !ok {
			return "", fmt.Errorf("gnet listens at %T", at)
		}
		return fmt.Sprintf("127.0.0.1:%d", in.Port), nil
	case err := <-ended:
		return "", err
	}
}

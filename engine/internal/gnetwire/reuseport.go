package gnetwire

import (
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// gnet takes its ReusePort option for two things: it sets SO_REUSEPORT, which lets
// other processes listen on the same port, and it has each loop listen and accept
// for itself. Only the first is wanted. In the second an accept that fails makes
// the loop spin, and acceptRescue knows of one listener only. gnet looks at the
// option for the one when it makes the listeners, and for the other when it starts
// the loops; OnBoot comes between the two.

// sharePort is a gnet.Option. It keeps gnet's options, for acceptAlone.
func (b *Backend) sharePort(o *gnet.Options) {
	if b.opts.ReusePort {
		o.ReusePort = true
		b.options = o
	}
}

// acceptAlone has gnet accept in one place after all.
func (b *Backend) acceptAlone() {
	if b.options != nil {
		b.options.ReusePort = false
	}
}

// bindShared binds a socket to an address that others may have too, and doesn't
// listen: what listens gets connections, and loses them when it is closed.
func bindShared(at Listener) (fd int, err error) {
	sa, family, addr, only6, err := socket.GetTCPSockAddr(at.Network, at.Addr)
	if err != nil {
		return 0, err
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil && only6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, &net.OpError{Op: "listen", Net: at.Network, Addr: addr, Err: os.NewSyscallError("bind", err)}
	}
	return fd, nil
}

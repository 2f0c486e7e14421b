package gnetwire

import (
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// Listener is an address to listen on.
type Listener struct {
	Network string // "tcp", "tcp4", "tcp6" or "unix"
	Addr    string // host:port with a port in digits, or a path

	Mode fs.FileMode // permissions of a unix socket; 0 leaves what the umask gives
}

// bound is a listener that listens.
type bound struct {
	addr     net.Addr      // with the port that the kernel has chosen
	sockaddr unix.Sockaddr // what connections to it are bound to
	file     fs.FileInfo   // of a unix socket
	rescue   *acceptRescue
}

// tryAll listens on all addresses for a moment. gnet leaves those that it has
// bound open when a later one cannot be, and doesn't say which one that was.
func tryAll(listeners []Listener, reusePort bool) error {
	for _, at := range listeners {
		switch {
		case at.Network == "unix":
			if err := checkPath(at.Addr); err != nil {
				return err
			}
		case len(listeners) == 1: // gnet says it all
		case reusePort:
			fd, err := bindShared(at)
			if err != nil {
				return err
			}
			defer unix.Close(fd) //nolint:errcheck // it was only bound
		default:
			ln, err := net.Listen(at.Network, at.Addr)
			if err != nil {
				return err
			}
			defer ln.Close() //nolint:errcheck // nobody has connected
		}
	}
	return nil
}

// distinct gives the addresses as gnet wants them. It finds a listener again by
// what was asked for, so two that ask for the same, such as a free port, need
// spellings of their own: port 0 is 00 too. A unix socket has a hidden name at first.
func distinct(listeners []Listener) []string {
	all := make([]string, len(listeners))
	for i, at := range listeners {
		all[i] = at.Network + "://" + spelling(i, at)
	}
	return all
}

func spelling(i int, at Listener) string {
	colon := strings.LastIndexByte(at.Addr, ':')
	switch {
	case at.Network == "unix":
		return hiddenPath(at.Addr)
	case colon < 0:
		return at.Addr
	}
	return at.Addr[:colon+1] + strings.Repeat("0", i) + at.Addr[colon+1:]
}

// readBack finds a listener in gnet, which knows it by name, and gives it the address
// that was asked for. Its descriptor tells the port behind ":0".
func readBack(e gnet.Engine, name string, asked Listener, logger *slog.Logger) (bound, error) {
	network, spelled, _ := strings.Cut(name, "://")
	if strings.HasPrefix(network, "tcp") {
		network = "tcp" // what gnet calls all three
	}
	fd, err := e.DupListener(network, spelled)
	if err != nil {
		return bound{}, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return bound{}, os.NewSyscallError("getsockname", err)
	}
	at := bound{addr: socket.SockaddrToTCPOrUnixAddr(sa), sockaddr: sa}
	if asked.Network == "unix" {
		at.addr = &net.UnixAddr{Name: asked.Addr, Net: "unix"}
		if at.file, err = asked.show(spelled); err != nil {
			_ = unix.Close(fd)
			return bound{}, err
		}
	}
	at.rescue = newAcceptRescue(fd, at.addr, logger)
	return at, nil
}

// listenerOf gives the index of the listener that has accepted c. gnet gives all
// connections of a listener one and the same address, which is the one that was
// asked for, so the first of them has to be looked up.
func (l *loop) listenerOf(c gnet.Conn) int {
	i, known := l.listeners[c.LocalAddr()]
	if !known {
		sa, err := unix.Getsockname(c.Fd())
		if err != nil {
			return 0 // the peer has reset it already
		}
		i = l.backend.boundTo(sa)
		l.listeners[c.LocalAddr()] = i
	}
	return i
}

// boundTo gives the index of the listener that accepts connections to local.
func (b *Backend) boundTo(local unix.Sockaddr) int {
	for i, at := range b.bound {
		if accepts(at.sockaddr, local) {
			return i
		}
	}
	return 0
}

// accepts says whether a listener bound to one address has a connection to the
// other. Listeners of one family and port are bound to different addresses, none
// of them to all.
func accepts(listener, local unix.Sockaddr) bool {
	switch at := listener.(type) {
	case *unix.SockaddrInet4:
		to, ok := local.(*unix.SockaddrInet4)
		return ok && to.Port == at.Port && (to.Addr == at.Addr || at.Addr == [4]byte{})
	case *unix.SockaddrInet6:
		to, ok := local.(*unix.SockaddrInet6)
		return ok && to.Port == at.Port && (to.Addr == at.Addr && to.ZoneId == at.ZoneId || at.Addr == [16]byte{})
	case *unix.SockaddrUnix:
		to, ok := local.(*unix.SockaddrUnix)
		return ok && to.Name == at.Name
	default:
		return false
	}
}

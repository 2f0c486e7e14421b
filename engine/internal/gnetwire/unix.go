package gnetwire

import (
	"errors"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

var errNoSocket = errors.New("there is a file that is no socket")

// checkPath sees to it that a unix socket can be made at path: that nothing is
// there, or a socket at which nobody listens any more. gnet removes whatever it
// finds.
func checkPath(path string) error {
	taken := func(err error) error {
		return &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return taken(err)
	case info.Mode().Type() != fs.ModeSocket:
		return taken(errNoSocket)
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return taken(os.NewSyscallError("bind", unix.EADDRINUSE))
	case errors.Is(err, unix.ECONNREFUSED): // it is left over
		return nil
	default:
		return taken(err)
	}
}

// setMode sets the permissions of a unix socket. Zero leaves them.
func (at Listener) setMode() error {
	if at.Network != "unix" || at.Mode == 0 {
		return nil
	}
	return os.Chmod(at.Addr, at.Mode)
}

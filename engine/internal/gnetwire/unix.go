package gnetwire

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var errNoSocket = errors.New("there is a file that is no socket")

// checkPath sees to it that a unix socket can be made at path: that nothing is
// there, or a socket at which nobody listens any more.
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

// A unix socket gets its name when all else is ready: gnet binds it to another one
// beside it, and show moves it. So nobody finds it there with other permissions than
// it is to have; and what gnet removes, after it has stopped listening, is not what a
// successor has made at the path by then.

// hiddenPath is a name beside path that nobody else uses.
func hiddenPath(path string) string { return path + "." + strings.ToLower(rand.Text()[:hiddenMore-1]) }

const (
	hiddenMore = 6 // by how many bytes a hidden name is longer

	// MaxUnixPath is how many bytes the path of a unix socket may have: what a
	// sockaddr_un holds, less its final zero.
	MaxUnixPath = len(unix.RawSockaddrUnix{}.Path) - 1 - hiddenMore
)

// show gives the socket that listens at hidden its permissions and its name, in place
// of one that is left over.
func (at Listener) show(hidden string) (fs.FileInfo, error) {
	if at.Mode != 0 {
		if err := os.Chmod(hidden, at.Mode); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(hidden, at.Addr); err != nil {
		return nil, err
	}
	return os.Lstat(at.Addr)
}

// withdraw takes the name of a unix socket away, while it still answers: whoever wants
// to listen there finds a server or nothing. What has taken its place is left alone.
func (at bound) withdraw() {
	if at.file == nil {
		return
	}
	path := at.addr.String()
	if there, err := os.Lstat(path); err == nil && os.SameFile(there, at.file) {
		_ = os.Remove(path)
	}
}

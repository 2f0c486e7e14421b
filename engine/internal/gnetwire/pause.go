package gnetwire

import (
	"errors"
	"os"
	"reflect"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/engine/internal/wire"
)

// errNoPause says that gnet's layout is not the one that epollOf knows.
var errNoPause = errors.New("gnetwire: this version of gnet hides its epoll descriptor: reading cannot be paused")

// PauseRead implements wire.Loop. gnet has no such call, so the interest set of
// the descriptor is emptied behind its back. That is safe because gnet itself
// changes the set only when its own outbound buffer is used, which never
// happens here. Errors and hang-ups are still reported.
func (l *loop) PauseRead(s wire.Socket) error { return l.modify(s, 0) }

// ResumeRead implements wire.Loop.
func (l *loop) ResumeRead(s wire.Socket) error { return l.modify(s, unix.EPOLLIN|unix.EPOLLPRI) }

// LimitUnsent implements wire.Loop. A stream without that limit, such as a unix socket,
// goes without.
func (l *loop) LimitUnsent(s wire.Socket, n int) {
	_ = unix.SetsockoptInt(int(s.FD), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
}

// ResetOnClose implements wire.Loop. A unix socket ends as it always does.
func (l *loop) ResetOnClose(s wire.Socket) {
	_ = unix.SetsockoptLinger(int(s.FD), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (l *loop) modify(s wire.Socket, events uint32) error {
	epfd, err := epollOf(l.gnet)
	if err != nil {
		return err
	}
	ev := unix.EpollEvent{Fd: s.FD, Events: events}
	return os.NewSyscallError("epoll_ctl mod", unix.EpollCtl(epfd, unix.EPOLL_CTL_MOD, int(s.FD), &ev))
}

// epollOf reads the epoll descriptor out of a gnet event loop. It only reads,
// and it refuses when a field is not where it was in gnet v2.10.0.
func epollOf(g gnet.EventLoop) (int, error) {
	el := reflect.ValueOf(g)
	if el.Kind() != reflect.Pointer || el.Elem().Kind() != reflect.Struct {
		return 0, errNoPause
	}
	poller := el.Elem().FieldByName("poller")
	if !poller.IsValid() || poller.Kind() != reflect.Pointer || poller.Elem().Kind() != reflect.Struct {
		return 0, errNoPause
	}
	fd := poller.Elem().FieldByName("fd")
	if !fd.IsValid() || fd.Kind() != reflect.Int {
		return 0, errNoPause
	}
	return int(fd.Int()), nil
}

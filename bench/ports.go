package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A connection takes a local port until it is over, and, at the side whose half of the
// stream ended first, 60 s longer (TIME_WAIT, RFC 9293 §3.3.2). So a client that always
// ends first has ports for some 470 connections a second to one address, and no more.

// Ports is what this machine has of them.
type Ports struct {
	Low       int `json:"low"` // net.ipv4.ip_local_port_range
	High      int `json:"high"`
	Reuse     int `json:"reuse"`     // net.ipv4.tcp_tw_reuse: 0 never, 1 after a second, 2 that on loopback only
	Addresses int `json:"addresses"` // that connections come from
	// Sockets in TIME_WAIT on the whole machine, of the server too if it runs here;
	// negative: the kernel does not say.
	WaitingBefore int `json:"waitingBefore"`
	WaitingAfter  int `json:"waitingAfter"`
}

// lookAtPorts asks the kernel; what it does not say is 0.
func lookAtPorts(addresses int) Ports {
	p := Ports{Addresses: max(1, addresses), WaitingBefore: socketsWaiting(), WaitingAfter: -1}
	if f := fieldsOf("/proc/sys/net/ipv4/ip_local_port_range"); len(f) == 2 {
		p.Low, _ = strconv.Atoi(f[0])
		p.High, _ = strconv.Atoi(f[1])
	}
	if f := fieldsOf("/proc/sys/net/ipv4/tcp_tw_reuse"); len(f) == 1 {
		p.Reuse, _ = strconv.Atoi(f[0])
	}
	return p
}

// each is how many ports each address has for one address of the server.
func (p Ports) each() int { return max(0, p.High-p.Low+1) }

func fieldsOf(name string) []string {
	b, _ := os.ReadFile(name)
	return strings.Fields(string(b))
}

// socketsWaiting is how many are in TIME_WAIT on this machine, or -1.
func socketsWaiting() int {
	b, _ := os.ReadFile("/proc/net/sockstat")
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) == 0 || f[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == "tw" {
				n, err := strconv.Atoi(f[i+1])
				if err == nil {
					return n
				}
			}
		}
	}
	return -1
}

const noPorts = "no local port is free (EADDRNOTAVAIL)"

// outOfPorts says whether a connection failed for want of a local port. From an address
// of our choice that shows when the socket is bound, and there EADDRNOTAVAIL is an
// address that this machine does not have.
func outOfPorts(err error) bool {
	var call *os.SyscallError
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || !errors.As(err, &call) {
		return false
	}
	if call.Syscall == "bind" {
		return errors.Is(call.Err, unix.EADDRINUSE)
	}
	return errors.Is(call.Err, unix.EADDRNOTAVAIL)
}

// portAdvice says what to do about it.
func portAdvice(addresses int) string {
	p := lookAtPorts(addresses)
	return fmt.Sprintf("this machine was the limit. Connect from more addresses (--local-addr, repeated; now %d), "+
		"widen the range (sysctl net.ipv4.ip_local_port_range, now %d to %d), "+
		"or let ports be used again sooner (sysctl net.ipv4.tcp_tw_reuse=1, now %d)", p.Addresses, p.Low, p.High, p.Reuse)
}

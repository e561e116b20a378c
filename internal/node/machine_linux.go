package node

// This file answers: what does this machine allow, on Linux?

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// inspectMachine asks the kernel, as this process.
func inspectMachine() machine {
	m := machine{}
	m.RecvBuffer, m.SendBuffer = udpBuffers()
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		m.Files = lim.Cur
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.FilesOpen = len(open)
	}
	// A question only: no mode is set, so nothing is changed and no right is needed.
	var tx unix.Timex
	if state, err := unix.Adjtimex(&tx); err == nil {
		m.ClockKnown = true
		m.ClockSynced = state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0
		m.ClockError = time.Duration(tx.Maxerror) * time.Microsecond
	}
	return m
}

// udpBuffers returns the bytes that a UDP socket gets which asks for as much as
// quic-go does, in the same two ways; 0: that could not be found out.
func udpBuffers() (recv, send int) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, 0
	}
	defer func() { _ = c.Close() }()
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0
	}
	ask := func(fd, name, force int) int {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, name, wantedBuffer)
		get := func() int {
			n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, name)
			if err != nil {
				return 0
			}
			return n / 2 // the kernel doubles it, for its own books
		}
		if get() < wantedBuffer {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, wantedBuffer) // with CAP_NET_ADMIN
		}
		return get()
	}
	_ = raw.Control(func(fd uintptr) {
		recv = ask(int(fd), unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
		send = ask(int(fd), unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
	})
	return recv, send
}

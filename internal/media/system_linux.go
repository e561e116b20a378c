package media

// This file answers: what is particular to Linux? The size of a receive buffer,
// and children that end with their parent.

import (
	"net"
	"os/exec"
	"syscall"
)

// receiveBuffer returns what the kernel gave, bytes; 0: not known.
func receiveBuffer(c *net.UDPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		n, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	return n / 2 // the kernel counts its own needs too
}

// endWithParent makes the kernel kill the child when the thread that starts it
// ends; that thread has to live as long as the child may.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

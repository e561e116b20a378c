//go:build unix

package loopback

import "syscall"

// stop asks the process to end, with its report.
func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGINT) }

// freeze stops the process, or lets it go on.
func (p *process) freeze(still bool) {
	sig := syscall.SIGCONT
	if still {
		sig = syscall.SIGSTOP
	}
	_ = p.cmd.Process.Signal(sig)
}

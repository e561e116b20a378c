//go:build !unix

package loopback

import "os"

// stop asks the process to end, with its report.
func (p *process) stop() { _ = p.cmd.Process.Signal(os.Interrupt) }

// freeze does nothing: this system cannot stop a process.
func (p *process) freeze(bool) {}

//go:build unix

package testnet

// This file answers: how is a process stopped and let go on?

import "syscall"

// Freeze stops the process until Thaw.
func (p *Process) Freeze() { p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

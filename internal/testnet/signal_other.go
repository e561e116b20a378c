//go:build !unix

package testnet

// This file answers: what of that is there on systems without such signals?

// Freeze does nothing: this system cannot stop a process.
func (p *Process) Freeze() {}

// Thaw does nothing.
func (p *Process) Thaw() {}

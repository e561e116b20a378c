// Package chaos holds tests, and the attackers that they start (hostilepeer): real peer processes, on the loopback
// interface or on hosts of their own, to which the five transient failures happen
// while viewers watch. `make chaos` runs the long form and prints a table; the
// short form is part of `make test`.
//
// What each test promises: viewers write every byte (where nothing may be lost),
// no deadline is missed at the buffer that the test gives, and nobody leaves a
// parent that was alive. What can go wrong here and not in the model: the kernel's
// scheduler, QUIC's own time-outs, sockets that outlive their owner, two processes
// with the same key.
package chaos

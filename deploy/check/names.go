// Package check holds the tests of what is in deploy. It is a module of its own:
// what it takes to read Kubernetes' and Prometheus' languages is no part of the
// program.
package check

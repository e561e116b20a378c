package main

// Separate processes: how this package's tests start them.

import (
	"os"
	"testing"

	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/sim/stack"
)

// binary is built once for all tests.
var binary = testnet.Build(".")

func TestMain(m *testing.M) {
	stack.Main()
	code := m.Run()
	binary.Remove()
	os.Exit(code)
}

var common = []string{"--no-mdns", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--admin", "127.0.0.1:0"}

func start(t *testing.T, name string, args ...string) *testnet.Process {
	t.Helper()
	return testnet.Start(t, binary.File(t), name, args...)
}

//go:build !linux

package sim

func askForHugePages() {}

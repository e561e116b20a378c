// Package silent keeps the terminal library from asking the terminal for its
// background colour, which it does when any program that contains bubbletea begins:
// the question would stand on the standard output of every command, and where
// nothing answers it takes 5 s. Import it for that beside bubbletea.
package silent

// This file answers: how is that question answered before it is asked? Go begins
// packages whose imports have begun in the order of their paths, so this one does
// after lipgloss, and before bubbletea.

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }

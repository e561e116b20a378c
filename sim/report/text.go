package report

// This file answers: what does a terminal show at the end?

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text returns the summary of one run, or of several side by side.
func Text(runs []Run) string {
	switch len(runs) {
	case 0:
		return "no runs\n"
	case 1:
		return textOfOne(&runs[0])
	}
	var b strings.Builder
	head := []string{""}
	for i := range runs {
		head = append(head, runs[i].Label)
		if runs[i].Result.Partial {
			fmt.Fprintf(&b, "%s: %s\n", runs[i].Label, partialNote)
		}
	}
	table := [][]string{head}
	for _, r := range rows {
		line := []string{r.name}
		for i := range runs {
			line = append(line, r.cell(&runs[i]))
		}
		table = append(table, line)
	}
	aligned(&b, table)
	return b.String()
}

const partialNote = "stopped before its end; every figure is of the part that was run"

func textOfOne(r *Run) string {
	var b strings.Builder
	if r.Result.Partial {
		fmt.Fprintf(&b, "PARTIAL: %s\n", partialNote)
	}
	b.WriteString(r.Result.Summary.Table())
	b.WriteByte('\n')
	var table [][]string
	if r.Result.Summary.FloorGapMS == nil && len(r.Result.Touched) > 0 {
		table = append(table, []string{"gap after a death, ms (floor)", "p50 " + gapBesideFloor(p50)(r) + ", p99 " + gapBesideFloor(p99)(r)})
	}
	for _, f := range facts(r) {
		table = append(table, []string{f.name, f.value})
	}
	wide := 0
	for _, line := range table {
		wide = max(wide, utf8.RuneCountInString(line[0]))
	}
	for _, line := range table {
		fmt.Fprintf(&b, "%s  %s\n", padded(line[0], wide), line[1])
	}
	return b.String()
}

// aligned writes a table: names to the left, figures to the right.
func aligned(b *strings.Builder, table [][]string) {
	wide := make([]int, len(table[0]))
	for _, line := range table {
		for i, s := range line {
			wide[i] = max(wide[i], utf8.RuneCountInString(s))
		}
	}
	for _, line := range table {
		for i, s := range line {
			if i == 0 {
				b.WriteString(padded(s, wide[0]))
				continue
			}
			b.WriteString("  " + strings.Repeat(" ", wide[i]-utf8.RuneCountInString(s)) + s)
		}
		b.WriteByte('\n')
	}
}

func padded(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

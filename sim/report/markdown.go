package report

// This file answers: how do runs stand side by side in a README?

import "strings"

// Markdown returns the comparison of Text as a Markdown table.
func Markdown(runs []Run) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + c + " |")
		}
		b.WriteByte('\n')
	}
	head, rule := []string{""}, []string{"---"}
	for i := range runs {
		label := markdownCell(runs[i].Label)
		if runs[i].Result.Partial {
			label += " (partial)"
		}
		head, rule = append(head, label), append(rule, "---:")
	}
	line(head)
	line(rule)
	for _, r := range rows {
		cells := []string{r.name}
		for i := range runs {
			cells = append(cells, r.cell(&runs[i]))
		}
		line(cells)
	}
	return b.String()
}

// markdownCell keeps a label in its cell, and from being markup.
var markdownEscapes = strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ", "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", "[", `\[`, `\`, `\\`)

func markdownCell(s string) string { return markdownEscapes.Replace(s) }

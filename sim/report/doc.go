// Package report turns the results of runs of the simulator into what people
// read and what other machines join: a page, a summary for the terminal, a
// table for a README, plots, and files that can be merged.
//
// # What it promises
//
//   - A page is one file: it asks for nothing from anywhere, is readable on a
//     phone, in the light and in the dark, and on paper.
//   - A figure is never alone: beside a median stand the 99th percentile and
//     the worst 1 %, beside a gap after a death the floor without it.
//   - Results of many machines lose nothing when joined: files hold every
//     viewer's report, and Pool computes percentiles over all of them.
//   - A file that is cut off, damaged or hostile is refused by name, and never
//     takes more memory than its honest size.
//
// # Files
//
// html.go, text.go and markdown.go are the three ways to show runs, rows.go
// what they compare; scale.go, chart.go and bars.go draw, plots.go says what;
// save.go keeps results, pool.go joins seeds, merge.go sorts runs into what
// belongs together and says what tells them apart.
package report

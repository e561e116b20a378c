// Command licences reads a CycloneDX bill of materials (JSON) on standard input and
// fails when a module in it has a licence that the project does not take in.
package main

// This file answers: may what we depend on go into a binary under the MIT licence?

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// allowed are licences by SPDX id. They ask for no more than a notice; MPL-2.0
// asks that changes to its own files stay open, and we change none.
var allowed = []string{"MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-Source-Code", "0BSD", "ISC", "Apache-2.0", "MPL-2.0", "Unlicense", "CC0-1.0"}

// read are modules whose licence the detector does not know, with what a person read.
var read = map[string]string{
	"std":                    "BSD-3-Clause", // Go's LICENSE
	"github.com/flynn/noise": "BSD-3-Clause", // its LICENSE has no heading
}

type bom struct {
	Components []component `json:"components"`
}

type component struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Licenses []choice `json:"licenses"`
	Evidence struct {
		Licenses []choice `json:"licenses"`
	} `json:"evidence"`
}

type choice struct {
	License struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"license"`
	Expression string `json:"expression"`
}

func main() {
	report, err := check(os.Stdin)
	fmt.Print(report)
	if err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// check returns a line that sums up the bill of materials, or what is wrong with it.
func check(in io.Reader) (string, error) {
	var b bom
	if err := json.NewDecoder(in).Decode(&b); err != nil {
		return "", fmt.Errorf("no bill of materials: %w", err)
	}
	if len(b.Components) == 0 {
		return "", fmt.Errorf("the bill of materials is empty: make it with cyclonedx-gomod bin -licenses")
	}
	count := map[string]int{}
	var bad []string
	for _, c := range b.Components {
		ids := idsOf(c)
		if id := read[c.Name]; len(ids) == 0 && id != "" {
			ids = []string{id}
		}
		if !slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(allowed, id) }) {
			bad = append(bad, fmt.Sprintf("%s %s is under %q, allowed are %s; replace it, or read its licence and enter it in scripts/licences/main.go",
				c.Name, c.Version, strings.Join(ids, ", "), strings.Join(allowed, ", ")))
			continue
		}
		count[ids[0]]++
	}
	if len(bad) > 0 {
		return "", fmt.Errorf("%s", strings.Join(bad, "\n"))
	}
	var kinds []string
	for id, n := range count {
		kinds = append(kinds, fmt.Sprintf("%s %d", id, n))
	}
	slices.Sort(kinds)
	return fmt.Sprintf("licences: %d modules: %s\n", len(b.Components), strings.Join(kinds, ", ")), nil
}

// idsOf returns what was detected, asserted or as evidence.
func idsOf(c component) (ids []string) {
	for _, l := range append(c.Licenses, c.Evidence.Licenses...) {
		for _, id := range []string{l.License.ID, l.License.Name, l.Expression} {
			if id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

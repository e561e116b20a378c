package main

// This file answers: is a licence that we must not take in noticed?

import (
	"strings"
	"testing"
)

func TestALicenceThatIsNotAllowedIsNamed(t *testing.T) {
	const good = `{"components":[{"name":"a","version":"v1","licenses":[{"license":{"id":"MIT"}}]},
		{"name":"github.com/flynn/noise"},{"name":"b","evidence":{"licenses":[{"license":{"id":"ISC"}}]}}]}`
	report, err := check(strings.NewReader(good))
	if err != nil || report != "licences: 3 modules: BSD-3-Clause 1, ISC 1, MIT 1\n" {
		t.Errorf("%q, %v", report, err)
	}
	for in, want := range map[string]string{
		`{"components":[{"name":"c","version":"v2","licenses":[{"license":{"id":"AGPL-3.0-only"}}]}]}`: `c v2 is under "AGPL-3.0-only"`,
		`{"components":[{"name":"d"}]}`: `d  is under ""`,
		`{"components":[]}`:             "empty",
		`nonsense`:                      "no bill of materials",
	} {
		if _, err := check(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// Package need finds the programs that tests need.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Program returns the path of the first of these names that is installed. Where
// none is, the test is skipped; with CI=true it fails (scripts/need-tools.sh
// installs what the tests need, where it may).
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", names[0])
	}
	t.Skipf("SKIPPED: %s is not installed", names[0])
	return ""
}

// Browser returns the path of a Chromium, as Program does.
func Browser(t testing.TB) string {
	t.Helper()
	return Program(t, "chromium", "chromium-browser", "google-chrome")
}

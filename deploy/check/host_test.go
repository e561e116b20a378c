package check

// This file answers: are the Dockerfile and the systemd unit sound, and as tight
// as they say?

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func TestTheImageIsTheBinaryAloneAndNotRoot(t *testing.T) {
	ast, err := parser.Parse(strings.NewReader(read(t, "deploy/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, url, msg string, _ []parser.Range) { t.Errorf("%s: %s (%s)", rule, msg, url) }})
	stages, _, err := instructions.Parse(ast.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ast.Warnings {
		t.Errorf("%s", w.Short)
	}
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" || len(stages) != 2 {
		t.Errorf("the last of %d stages is from %s", len(stages), last.BaseName)
	}
	if version := regexp.MustCompile(`\ngo (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]; stages[0].BaseName != "golang:"+version {
		t.Errorf("it is built with %s, go.mod says %s", stages[0].BaseName, version)
	}
	static := false
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok {
			line := strings.Join(run.CmdLine, " ")
			static = static || strings.Contains(line, "CGO_ENABLED=0 go build") && strings.Contains(line, "./cmd/peer")
		}
	}
	if !static {
		t.Error("the binary is not static: CGO_ENABLED=0 is missing")
	}
	var user string
	var entry []string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			if entry = c.CmdLine; c.PrependShell {
				t.Error("there is no shell for the entry point")
			}
		case *instructions.RunCommand, *instructions.AddCommand:
			t.Errorf("the last stage has %s", c.Name())
		}
	}
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("user %q: Kubernetes needs a number that is not 0", user)
	}
	if !slices.Equal(entry, []string{"/peer"}) {
		t.Errorf("entry point %q", entry)
	}
}

func TestTheUnitIsSoundAndTight(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED: systemd-analyze is not installed")
	}
	dir := t.TempDir()
	// The program need not be installed here.
	text := strings.ReplaceAll(read(t, "deploy/braidway@.service"), "/usr/local/bin/peer", "/bin/true")
	unit := filepath.Join(dir, "braidway@relay.service")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("braidway@relay")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.Command(analyze, "security", "--offline=true", "--json=short", "--threshold=20", unit).Output()
	if err != nil {
		t.Errorf("systemd-analyze security finds more than 2.0 of 10 to object to: %v", err)
	}
	var rows []struct {
		JSONField string `json:"json_field"`
		Exposure  any    `json:"exposure"`
		Set       *bool  `json:"set"`
	}
	if err := json.Unmarshal(out, &rows); err != nil || len(rows) < 20 {
		t.Fatalf("%d rows, %v: %.300s", len(rows), err, out)
	}
	// What a peer needs, and nothing else.
	needed := []string{"PrivateNetwork", "RestrictAddressFamilies_AF_INET_INET6", "RestrictAddressFamilies_AF_UNIX", "RestrictAddressFamilies_AF_NETLINK",
		"IPAddressDeny", "RootDirectoryOrRootImage", "SupplementaryGroups", "DeviceAllow"} // ProtectClock lets it read the clock's device
	for _, r := range rows {
		if r.Set != nil && !*r.Set && !slices.Contains(needed, r.JSONField) {
			t.Errorf("%s is left open", r.JSONField)
		}
	}
}

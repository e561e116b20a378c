package overlay

// This file answers: does PROTOCOL.md, section 5, say what this package does?

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// examples reads the lines "Name = hex" of PROTOCOL.md.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## 5. Control messages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	found := map[string][]string{}
	for line := range strings.Lines(section) {
		name, bytes, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if ok && !strings.Contains(name, " ") {
			found[name] = append(found[name], strings.ReplaceAll(bytes, " ", ""))
		}
	}
	return found
}

func TestEveryMessageOfTheProtocolHasAnExampleThatIsRight(t *testing.T) {
	found := examples(t)
	seen := map[string]bool{}
	for _, m := range samples() {
		name := reflect.TypeOf(m).Name()
		if want := hex.EncodeToString(AppendMessage(nil, m)); !seen[name] && (len(found[name]) != 1 || found[name][0] != want) {
			t.Errorf("%s = %s, want %s", name, found[name], want)
		}
		seen[name] = true
	}
	for name, list := range found {
		b, err := hex.DecodeString(list[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m, err := ParseMessage(b); err != nil || fmt.Sprintf("%T", m) != "overlay."+name {
			t.Errorf("%s is read as %T: %v", name, m, err)
		}
	}
}

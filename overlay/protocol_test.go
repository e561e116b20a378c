package overlay

// This file answers: does PROTOCOL.md, section 5, say what this package does?

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"slices"
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
	ours := map[string][]string{}
	for _, m := range samples() {
		name := reflect.TypeOf(m).Name()
		ours[name] = append(ours[name], hex.EncodeToString(AppendMessage(nil, m)))
	}
	for name, want := range ours {
		if got := found[name]; len(got) == 0 || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("%s = %s, want the first of %s", name, got, want)
		}
	}
	for name, list := range found {
		for _, text := range list {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if m, err := ParseMessage(b); err != nil || fmt.Sprintf("%T", m) != "overlay."+name {
				t.Errorf("%s is read as %T: %v", name, m, err)
			}
		}
	}
}

package sim

// This file answers: can a scenario file, or a setting on the command line, do
// more than be refused?

import (
	"os"
	"strings"
	"testing"
)

func FuzzParseFile(f *testing.F) {
	for _, name := range []string{"../docs/scenario.example.toml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("base = \"relay-kill\"\npeers = 50\n[settings]\nduration = \"3s\"\n[[fault]]\nat = \"1s\"\nwhat = \"kill\"\n"))
	f.Add([]byte("peers = 1e9\n[settings]\nduration = -1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseFile("own.toml", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "own.toml: ") {
				t.Errorf("%q does not name the file", err)
			}
			return
		}
		if err := s.Validate(s.Peers); err != nil {
			t.Errorf("what was read is refused: %v", err)
		}
	})
}

func FuzzSetting(f *testing.F) {
	d := Default()
	for _, field := range d.Fields() {
		f.Add(field.Name, field.Get())
	}
	f.Add("duration", "1e300h")
	f.Add("duration", "NaN")
	f.Fuzz(func(t *testing.T, name, value string) {
		s := Default()
		err := s.Set(name, value)
		if err != nil {
			if !strings.Contains(err.Error(), "allowed is") && !strings.Contains(err.Error(), "known are") {
				t.Errorf("%q does not say what is allowed", err)
			}
			return
		}
		_ = Scenario{Name: "x", Peers: 10, Settings: s}.Validate(10)
		for _, field := range s.Fields() { // what is written down is read again
			if v := field.Get(); field.Name == name {
				if again := Default(); again.Set(name, v) != nil || again != s {
					t.Errorf("%s = %q is %q, which is read as something else", name, value, v)
				}
			}
		}
	})
}

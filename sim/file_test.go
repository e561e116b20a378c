package sim

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEveryBuiltInScenarioIsWrittenAndReadBack(t *testing.T) {
	for _, s := range Scenarios() {
		back, err := ParseFile(s.Name+".toml", []byte(s.TOML()))
		if err != nil {
			t.Errorf("%s: %v\n%s", s.Name, err, s.TOML())
		} else if !reflect.DeepEqual(s, back) {
			t.Errorf("%s: read back as %+v, want %+v", s.Name, back, s)
		}
	}
}

func TestAScenarioFileStartsFromABase(t *testing.T) {
	s, err := ParseFile("dir/mine.toml", []byte("base = 'relay-kill'\npeers = 1_000\nsettings.beacon = '25ms'\n"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := Find("relay-kill")
	want.Peers, want.Settings.Beacon = 1000, 25*time.Millisecond
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	s, err = ParseFile("dir/mine.toml", []byte("base = 'relay-kill'\nname = 'two deaths'\n[[fault]]\nwhat = 'kill'\nat = '1s'\n[[fault]]\nwhat = 'kill'\nwho = 'busiest'\nat = '0s'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Fault{{What: Kill, At: time.Second}, {What: Kill, Who: Busiest}}; s.Name != "two deaths" || !reflect.DeepEqual(s.Faults, want) {
		t.Errorf("%s has the faults %+v, want %+v", s.Name, s.Faults, want)
	}
	if s, err = ParseFile("dir/mine.toml", nil); err != nil || s.Name != "mine" || s.Peers != 500 || s.Settings != Default() {
		t.Errorf("an empty file is %+v: %v", s, err)
	}
}

func TestABadScenarioFileIsRefusedByLineKeyAndRange(t *testing.T) {
	const fault = "[settings]\nduration = '10s'\n[[fault]]\n"
	for name, c := range map[string]struct {
		file string
		says []string
	}{
		"no TOML":                        {"name = 'a'\npeers = = 3\n", []string{"line 2", "column"}},
		"a key given twice":              {"peers = 3\npeers = 4\n", []string{"line 2", "peers"}},
		"an unknown key":                 {"name = 'a'\npers = 3\n", []string{"line 2", `"pers"`, `did you mean "peers"`}},
		"an unknown setting":             {"[settings]\n\nbeakon = '1s'\n", []string{"line 3", `"beakon"`, `did you mean "beacon"`, "bound"}},
		"a dotted unknown setting":       {"settings.nonsense = 1\n", []string{"line 1", `"nonsense"`, "beacon"}},
		"an unknown table":               {"[setting]\n", []string{"line 1", `"setting"`, "[settings]"}},
		"one fault instead of many":      {"[fault]\nwhat = 'kill'\n", []string{"line 1", "[[fault]]"}},
		"an inline table":                {"settings = {beacon = '1s'}\n", []string{"line 1", "settings", "tables"}},
		"a list":                         {"peers = [3]\n", []string{"line 1", "peers", "one"}},
		"too few peers":                  {"name = 'a'\n\npeers = 1\n", []string{"line 3", "peers", "2 to 1000000"}},
		"too many peers":                 {"peers = 1000001\n", []string{"line 1", "peers", "2 to 1000000"}},
		"an unknown base":                {"base = 'storm'\n", []string{"line 1", "base", "storm", "relay-kill"}},
		"a setting out of range":         {"[settings]\nobjects = 10\nbeacon = '5s'\n", []string{"line 3", "beacon", "5s", "10ms to 1s"}},
		"a duration without a unit":      {"[settings]\nbuffer = 2\n", []string{"line 2", "buffer", `"2"`, "as 1.5s"}},
		"a word that is none":            {"[settings]\nsystem = 'pigeons'\n", []string{"line 2", "system", "pigeons", "single-tree"}},
		"a truth value that is none":     {"[settings]\nnat = 'yes'\n", []string{"line 2", "nat", "true or false"}},
		"a number that is none":          {"[settings]\nloss = nan\n", []string{"line 2", "loss", "0 to 100"}},
		"an unknown fault":               {fault + "what = 'meteor'\nat = '1s'\n", []string{"line 4", "what", "meteor", "partition"}},
		"an unknown victim":              {fault + "what = 'kill'\nwho = 'me'\nat = '1s'\n", []string{"line 5", "who", "busiest"}},
		"a fault without a time":         {fault + "what = 'kill'\n", []string{"line 3", "fault 1", "at is missing", "0s to"}},
		"a fault without a kind":         {fault + "at = '1s'\n", []string{"line 3", "what is missing", "kill"}},
		"a freeze without an end":        {fault + "what = 'freeze'\nat = '1s'\n", []string{"line 3", "for is missing"}},
		"a freeze of no length":          {fault + "what = 'freeze'\nat = '1s'\nfor = '0s'\n", []string{"line 6", "for is 0s"}},
		"a bandwidth without factor":     {fault + "what = 'bandwidth'\nat = '1s'\nfor = '1s'\n", []string{"factor is missing", "0.001 to 1000"}},
		"a partition of nobody":          {fault + "what = 'partition'\nat = '1s'\nfor = '1s'\nshare = 0\n", []string{"line 7", "share"}},
		"a fault after the end":          {fault + "what = 'kill'\nat = '10s'\n", []string{"line 5", "at is 10s", "less than the duration"}},
		"a count without a pace":         {fault + "what = 'kill'\nat = '1s'\ncount = 3\n", []string{"line 6", "count", "every"}},
		"a share out of range":           {fault + "what = 'kill'\nat = '1s'\nshare = 1.5\n", []string{"line 6", "share", "1.5", "0 to 1"}},
		"the second fault":               {fault + "what = 'kill'\nat = '1s'\n[[fault]]\nwhat = 'kill'\n", []string{"line 6", "fault 2", "at is missing"}},
		"an unknown key in a fault":      {fault + "what = 'kill'\nwhen = '1s'\n", []string{"line 5", `"when"`, "known here", "at"}},
		"a base whose faults come later": {"base = 'region-outage'\nsettings.duration = '5s'\n", []string{"fault 1", "region", "at is 10s"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFile("my.toml", []byte(c.file))
			if err == nil {
				t.Fatal("not refused")
			}
			for _, s := range append(c.says, "my.toml") {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not name %q: %v", s, err)
				}
			}
		})
	}
}

func TestAFactorOfZeroIsRefusedWhereItCounts(t *testing.T) {
	s, _ := Find("calm")
	for what, bad := range map[string]bool{Bandwidth: true, Jitter: true, Kill: false, Freeze: false, Drain: false} {
		s.Faults = []Fault{{What: what, At: time.Second, For: time.Second}}
		err := s.Validate(20)
		if (err != nil) != bad || bad && (!strings.Contains(err.Error(), "factor is 0") || !strings.Contains(err.Error(), what)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheExampleListsEveryKey(t *testing.T) {
	const file = "../docs/scenario.example.toml"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseFile(file, b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Settings != Default() {
		t.Errorf("the example's settings are %+v, the defaults %+v", s.Settings, Default())
	}
	// A key stands below its comment; base, in a comment of its own.
	about, comment := map[string]string{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimPrefix(line, "#: ")
		if key, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			about[key] += comment
			comment = ""
		} else if comment += line; line == "\n" {
			comment = ""
		}
	}
	for _, f := range s.fields() {
		if about[f.Name] == "" {
			t.Errorf("%q is missing, or not explained", f.Name)
		}
	}
	for _, f := range s.Settings.Fields() {
		for _, want := range []string{f.Doc[1:], f.Allowed, "Default: " + f.Get(), "Unit: "} {
			if !strings.Contains(about[f.Name], want) {
				t.Errorf("%q is explained as %q, without %q", f.Name, about[f.Name], want)
			}
		}
	}
	for _, f := range new(Fault).fields() {
		if text := about[f.Name]; text == "" || f.Name != "every" && !strings.Contains(text, f.Allowed) {
			t.Errorf("%q is explained as %q, without the range %q", f.Name, text, f.Allowed)
		}
	}
}

func TestTheClosestWordIsProposed(t *testing.T) {
	for word, want := range map[string]string{"relay-kil": "relay-kill", "clam": "calm", "mass-failures": "mass-failure", "quite-another-thing": "", "x": ""} {
		if got := Closest(word, Names()); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

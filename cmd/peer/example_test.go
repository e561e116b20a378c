package main

// This file answers: does peer.example.toml list every setting of every command,
// with its default, and only values that are taken? When a flag is new, the test
// says what to add where.

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const exampleFile = "../../peer.example.toml"

// sharedSections are the settings that several commands have in common.
var sharedSections = []string{"every peer", "every simulation"}

// examples returns the settings that belong to each section, in order.
func examples() (sections []string, flags map[string][]*pflag.Flag) {
	flags = map[string][]*pflag.Flag{}
	add := func(section string, f *pflag.Flag) {
		if f.Name == "help" || f.Name == "config" || f.Name == "json" { // json: told at the top of the file
			return
		}
		if !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
		flags[section] = append(flags[section], f)
	}
	host := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(settings).addFlags(host)
	host.VisitAll(func(f *pflag.Flag) { add(sharedSections[0], f) })
	// What several commands of sim have with one meaning stands there once.
	count := map[string]int{}
	key := func(f *pflag.Flag) string { return f.Name + "\x00" + f.Usage + "\x00" + f.DefValue }
	commands := func(visit func(*cobra.Command)) {
		eachCommand(newRoot(), func(cmd *cobra.Command) {
			if cmd.Runnable() && !strings.HasPrefix(cmd.CommandPath(), "peer completion") {
				visit(cmd)
			}
		})
	}
	commands(func(cmd *cobra.Command) {
		if strings.HasPrefix(cmd.CommandPath(), "peer sim ") {
			cmd.Flags().VisitAll(func(f *pflag.Flag) { count[key(f)]++ })
		}
	})
	shared := map[string]bool{}
	commands(func(cmd *cobra.Command) {
		isSim := strings.HasPrefix(cmd.CommandPath(), "peer sim ")
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !isSim || count[key(f)] < 2 || shared[key(f)] || host.Lookup(f.Name) != nil {
				return
			}
			shared[key(f)] = true
			add(sharedSections[1], f)
		})
	})
	commands(func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			same := host.Lookup(f.Name)
			if same != nil && (same.Usage == f.Usage || f.Name == "admin") || strings.HasPrefix(cmd.CommandPath(), "peer sim ") && shared[key(f)] {
				return
			}
			add(cmd.CommandPath(), f)
		})
	})
	return sections, flags
}

// tomlValue spells a flag's value as the file does.
func tomlValue(f *pflag.Flag, v string) string {
	switch f.Value.Type() {
	case "bool", "int", "int64", "uint64", "float64", "uint":
		return v
	case "stringArray", "stringSlice":
		return "[" + strings.Trim(v, "[]") + "]"
	}
	return fmt.Sprintf("%q", v)
}

// block is what stands in the file for a flag that nobody has written of yet.
func block(f *pflag.Flag) string {
	word, usage := pflag.UnquoteUsage(f)
	usage = regexp.MustCompile(` \(default:? [^)]*\)$`).ReplaceAllString(usage, "")
	value, def := f.DefValue, tomlValue(f, f.DefValue)
	if f.Value.Type() == "stringArray" || f.Value.Type() == "stringSlice" {
		value, def = word, "[]"
	}
	if value == "" {
		value, def = word, "none"
	}
	return fmt.Sprintf("# %s\n# Default: %s\n# %s = %s\n", strings.ToUpper(usage[:1])+usage[1:]+".", def, f.Name, tomlValue(f, value))
}

// entry is a setting as it stands in the file.
type entry struct{ about, value string }

// readExample returns the settings of each section of the file.
func readExample(t *testing.T) map[string]map[string]entry {
	t.Helper()
	b, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]entry{}
	section, about := "", ""
	line := regexp.MustCompile(`^# ([a-z][a-z0-9-]*) = (.+)$`)
	for i, l := range strings.Split(string(b), "\n") {
		title, isTitle := strings.CutPrefix(l, "#### ")
		switch m := line.FindStringSubmatch(l); {
		case isTitle:
			section, about = title, ""
			found[section] = map[string]entry{}
		case l == "":
			about = ""
		case m != nil && section != "":
			if _, twice := found[section][m[1]]; twice {
				t.Errorf("line %d: %s is there twice under %q", i+1, m[1], section)
			}
			found[section][m[1]] = entry{about, m[2]}
			about = ""
		case !strings.HasPrefix(l, "#"):
			t.Errorf("line %d is no comment: the file must change nothing as it is: %s", i+1, l)
		default:
			about += strings.TrimPrefix(strings.TrimPrefix(l, "#"), " ") + "\n"
		}
	}
	return found
}

func TestTheExampleFileListsEverySetting(t *testing.T) {
	sections, flags := examples()
	found := readExample(t)
	for _, section := range sections {
		if found[section] == nil {
			var all []string
			for _, f := range flags[section] {
				all = append(all, block(f))
			}
			t.Errorf("peer.example.toml has no section %q. Add, after the section before it:\n\n#### %s\n\n%s", section, section, strings.Join(all, "\n"))
			continue
		}
		known := map[string]bool{}
		for _, f := range flags[section] {
			known[f.Name] = true
			e, ok := found[section][f.Name]
			if !ok {
				t.Errorf("peer.example.toml does not list --%s. Add under \"#### %s\", with an empty line around it:\n\n%s", f.Name, section, block(f))
				continue
			}
			checkEntry(t, section, f, e)
		}
		for name := range found[section] {
			if !known[name] {
				t.Errorf("peer.example.toml lists %s under %q, which has no such setting: remove it there", name, section)
			}
		}
	}
	for section := range found {
		if !slices.Contains(sections, section) {
			t.Errorf("peer.example.toml has a section %q, and there is no such command", section)
		}
	}
}

// checkEntry checks what is said about a flag: meaning, default, and a value that it takes.
func checkEntry(t *testing.T, section string, f *pflag.Flag, e entry) {
	t.Helper()
	meaning, def, ok := strings.Cut(e.about, "Default: ")
	if !ok || len(meaning) < 10 {
		t.Errorf("peer.example.toml, %s under %q: above it stand its meaning, with unit and range, and a line \"# Default: …\"; it has %q", f.Name, section, e.about)
		return
	}
	if f.DefValue != "" && f.Value.Type() != "stringArray" { // of lists, words are enough
		want := tomlValue(f, f.DefValue)
		first, _, _ := strings.Cut(strings.TrimSpace(def), "\n")
		if rest, ok := strings.CutPrefix(first, want); !ok || rest != "" && !strings.ContainsAny(rest[:1], " :;,") {
			t.Errorf("peer.example.toml, %s under %q: the default is %s, the file says %q", f.Name, section, want, first)
		}
	}
	var file map[string]any
	if err := toml.Unmarshal([]byte(f.Name+" = "+e.value), &file); err != nil {
		t.Errorf("peer.example.toml, %s under %q: %v", f.Name, section, err)
		return
	}
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.AddFlag(f)
	if err := setAll(set, f, "peer.example.toml: "+f.Name, file[f.Name]); err != nil {
		t.Error(err)
	}
}

func TestTheExampleFileChangesNothingAndItsHostSettingsAreInRange(t *testing.T) {
	var empty map[string]any
	b, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal(b, &empty); err != nil || len(empty) > 0 {
		t.Errorf("%v, %v", err, empty)
	}
	var text strings.Builder
	for name, e := range readExample(t)[sharedSections[0]] {
		fmt.Fprintf(&text, "%s = %s\n", name, e.value)
	}
	conf := write(t, t.TempDir(), "peer.toml", text.String(), 0o600)
	cmd := configCommand()
	cmd.SetArgs([]string{"show", "--config", conf})
	show, _, err := cmd.Find([]string{"show"})
	if err != nil {
		t.Fatal(err)
	}
	if err := show.ParseFlags([]string{"--config", conf}); err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	root.RemoveCommand(root.Commands()...)
	root.AddCommand(cmd)
	if err := show.PreRunE(show, nil); err != nil {
		t.Errorf("its values are refused: %v\n%s", err, text.String())
	}
}

// flagWords finds flags in files of deploy, where all are the peer command's.
var flagWords = regexp.MustCompile(`(?m)^\s+- --([a-z-]+)=|(?:ExecStart=|COMMAND=|command: \[/peer).*`)

func TestFlagsInDeployAreThoseOfTheCommands(t *testing.T) {
	known := map[string]bool{}
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	})
	for _, file := range []string{"kubernetes/relay.yaml", "kubernetes/bootstrap.yaml", "sim-job.yaml", "braidway@.service"} {
		b, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range flagWords.FindAllString(string(b), -1) {
			for _, f := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(m, -1) {
				if n++; !known[f[1]] {
					t.Errorf("deploy/%s has --%s, which no command has", file, f[1])
				}
			}
		}
		if n < 3 {
			t.Errorf("only %d flags found in deploy/%s", n, file)
		}
	}
}

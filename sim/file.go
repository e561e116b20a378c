package sim

// This file answers: how do users write a scenario of their own, and what is
// refused in it, by line, key and range?

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// entry is one key of a file: in the head, in [settings] or in the nth [[fault]].
type entry struct {
	table string // "", "settings" or "fault"
	nth   int    // of the fault, from 0
	key   string // empty: the table's head
	value string
	line  int
}

// ParseFile reads a scenario that a user wrote in TOML; name is the file's.
// Keys of the head are name, question, good, peers and base, a built-in
// scenario to start from; [settings] holds the names of Settings.Fields, and
// each [[fault]] those of Fault. Faults of the file replace those of the base.
// Errors name file, line, key and what is allowed.
func ParseFile(name string, data []byte) (Scenario, error) {
	s, err := parse(data)
	if err != nil {
		return Scenario{}, fmt.Errorf("%s: %w", name, err)
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	if err := s.Validate(s.Peers); err != nil {
		return Scenario{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// Validate says whether s can be run with so many peers, and all its faults
// come before its end; the error names field, value and range.
func (s Scenario) Validate(peers int) error {
	if err := s.check(peers); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "sim: "))
	}
	for i := range s.Faults {
		if f := &s.Faults[i]; f.At >= s.Settings.Duration {
			return fmt.Errorf("fault %d (%s): at is %v, allowed is less than the duration of the measures, %v", i+1, f.What, f.At, s.Settings.Duration)
		}
	}
	return nil
}

func parse(data []byte) (Scenario, error) {
	entries, err := entriesOf(data)
	if err != nil {
		return Scenario{}, err
	}
	s := Scenario{Peers: 500, Settings: Default()}
	if i := slices.IndexFunc(entries, func(e entry) bool { return e.table == "" && e.key == "base" }); i >= 0 {
		base, ok := Find(entries[i].value)
		if !ok {
			return s, entries[i].refuse(refuse("base", entries[i].value, strings.Join(Names(), ", ")))
		}
		s = base
	}
	var faults []Fault
	for _, e := range entries {
		fields := s.fields()
		switch e.table {
		case "settings":
			fields = s.Settings.Fields()
		case "fault":
			if e.nth == len(faults) {
				faults = append(faults, Fault{})
			}
			fields = faults[e.nth].fields()
		}
		if e.key == "" {
			continue
		}
		if err := set(fields, e.key, e.value); err != nil {
			return s, e.refuse(err)
		}
	}
	if len(faults) > 0 {
		s.Faults = faults
	}
	for i := range faults {
		key, err := faults[i].whole(entries, i, s.Settings.Duration)
		if err != nil {
			return s, lineOf(entries, i, key).refuse(fmt.Errorf("fault %d: %w", i+1, err))
		}
	}
	return s, nil
}

// Names returns the names of the built-in scenarios.
func Names() []string {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

func (e entry) refuse(err error) error { return fmt.Errorf("line %d: %w", e.line, err) }

// lineOf is where key of the nth fault stands, or else the fault itself.
func lineOf(entries []entry, nth int, key string) (at entry) {
	for _, e := range entries {
		if e.table == "fault" && e.nth == nth && (e.key == "" || e.key == key) {
			at = e
		}
	}
	return at
}

func set(fields []Field, key, value string) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		if names[i] = f.Name; f.Name == key {
			return f.Set(value)
		}
	}
	hint := ""
	if near := Closest(key, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? ", near)
	}
	return fmt.Errorf("unknown key %q; %sknown here are %s", key, hint, strings.Join(names, ", "))
}

// fields of the head.
func (s *Scenario) fields() []Field {
	return []Field{
		textField("name", "what it is called", &s.Name),
		textField("question", "what it asks", &s.Question),
		textField("good", "what a good answer looks like", &s.Good),
		intField("peers", "peers, the publisher among them", &s.Peers, minPeers, maxPeers),
		textField("base", "the built-in scenario to start from", new(string)),
	}
}

// fields of a fault, as people write them.
func (f *Fault) fields() []Field {
	const most = 48 * time.Hour
	return []Field{
		wordField("what", "what goes wrong", &f.What, Kill, Freeze, Flap, Region, Partition, Bandwidth, Jitter, Drain, Publisher),
		wordField("who", "whom it hits", &f.Who, Busiest, Relay, Anyone),
		durationField("at", "when, from the beginning of the measures", &f.At, 0, most),
		durationField("every", "again and again", &f.Every, 0, most),
		intField("count", "how many times; 0: once, or with every as often as the run allows", &f.Count, 0, 1_000_000),
		floatField("share", "share of the viewers hit at once; 0: one viewer", &f.Share, 0, 1),
		durationField("for", "how long it lasts", &f.For, 0, most),
		floatField("factor", "what an uplink shrinks to, or jitter and loss grow by", &f.Factor, 0.001, 1000),
		boolField("replace", "a fresh viewer comes for each that dies", &f.Replace),
	}
}

// needs are the keys that a fault cannot do without.
var needs = map[string][]string{
	Freeze: {"for"}, Flap: {"for"}, Partition: {"share", "for"}, Bandwidth: {"for", "factor"}, Jitter: {"for", "factor"},
}

// whole refuses the nth fault when a key is missing or does not fit the
// others; it names the key whose line is to blame.
func (f *Fault) whole(entries []entry, nth int, duration time.Duration) (key string, err error) {
	var none Fault
	unset := none.fields()
	for i, field := range f.fields() {
		needed := slices.Contains(needs[f.What], field.Name)
		switch {
		case (needed || field.Name == "what" || field.Name == "at") && lineOf(entries, nth, field.Name).key != field.Name:
			return field.Name, fmt.Errorf("%s is missing; allowed is %s", field.Name, field.Allowed)
		case needed && field.Get() == unset[i].Get():
			return field.Name, fmt.Errorf("%s is %s, allowed for a %s is more than that, %s", field.Name, field.Get(), f.What, field.Allowed)
		}
	}
	if f.At >= duration {
		return "at", fmt.Errorf("at is %v, allowed is less than the duration of the measures, %v", f.At, duration)
	}
	if err := f.check(); err != nil {
		key, _, _ = strings.Cut(err.Error(), " ")
		return key, err
	}
	return "", nil
}

func textField(name, doc string, at *string) Field {
	return Field{name, doc, "any text", func() string { return *at }, func(v string) error { *at = v; return nil }}
}

// entriesOf reads the keys of a file with their lines.
func entriesOf(data []byte) ([]entry, error) {
	// The parser below takes what is not TOML, such as a key given twice.
	if err := toml.Unmarshal(data, &map[string]any{}); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			row, column := d.Position()
			return nil, fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return nil, err
	}
	var all []entry
	var p unstable.Parser
	p.Reset(data)
	head := entry{nth: -1} // of the table that goes on
	for p.NextExpression() {
		n, at := p.Expression(), head
		var key []string
		it := n.Key()
		for it.Next() {
			if key = append(key, string(it.Node().Data)); len(key) == 1 {
				at.line = p.Shape(it.Node().Raw).Start.Line
			}
		}
		path := strings.Join(key, ".")
		switch {
		case n.Kind == unstable.Table && path == "settings":
			at.table, head.table = path, path
		case n.Kind == unstable.ArrayTable && path == "fault":
			head.table = path
			head.nth++
			at.table, at.nth = path, head.nth
		case n.Kind != unstable.KeyValue:
			return nil, at.refuse(fmt.Errorf("unknown table %q; known are [settings] and [[fault]]", path))
		default:
			if at.key = path; at.table == "" && len(key) == 2 && key[0] == "settings" {
				at.table, at.key = key[0], key[1]
			}
			switch v := n.Value(); v.Kind {
			case unstable.String, unstable.Bool:
				at.value = string(v.Data)
			case unstable.Integer, unstable.Float:
				at.value = strings.ReplaceAll(string(v.Data), "_", "")
			default:
				return nil, at.refuse(fmt.Errorf("%s is of kind %v, allowed is one text, number or truth value; write [settings] and [[fault]] as tables", path, v.Kind))
			}
		}
		all = append(all, at)
	}
	return all, p.Error()
}

// Closest returns the known word that is least different from word, when it
// may well be meant, or nothing.
func Closest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or change (Levenshtein, 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// TOML writes s as a file that ParseFile reads back, with every setting.
func (s Scenario) TOML() string {
	var b strings.Builder
	head, err := toml.Marshal(struct {
		Name     string `toml:"name"`
		Question string `toml:"question"`
		Good     string `toml:"good"`
		Peers    int    `toml:"peers"`
	}{s.Name, s.Question, s.Good, s.Peers})
	if err != nil {
		panic(err) // texts and a number
	}
	b.Write(head)
	b.WriteString("\n[settings]\n")
	for _, f := range s.Settings.Fields() {
		fmt.Fprintf(&b, "%-30s # %s (%s)\n", f.Name+" = "+literal(f.Get()), f.Doc, f.Allowed)
	}
	for i := range s.Faults {
		b.WriteString("\n[[fault]]\n")
		var none Fault
		unset := none.fields()
		for j, f := range s.Faults[i].fields() {
			if v := f.Get(); v != unset[j].Get() || f.Name == "at" {
				fmt.Fprintf(&b, "%s = %s\n", f.Name, literal(v))
			}
		}
	}
	return b.String()
}

// literal quotes what is neither a number nor a truth value.
func literal(v string) string {
	if _, err := strconv.ParseFloat(v, 64); err == nil || v == "true" || v == "false" {
		return v
	}
	return strconv.Quote(v)
}

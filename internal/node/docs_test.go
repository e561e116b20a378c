package node

// This file answers: do docs/metrics.md and docs/admin.md tell of every metric,
// event and field, and of no other? When one is missing, the test says what to
// write where.

import (
	"context"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/braidway/braidway/internal/node/p2p"
)

const root = "../../"

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// row is one line of docs/metrics.md.
type row struct {
	kind   string
	labels map[string][]string // the values that stand there; nil: any
}

// metricRows reads the tables of docs/metrics.md.
func metricRows(t *testing.T) map[string]row {
	rows := map[string]row{}
	label := regexp.MustCompile("`([a-z_]+)`(: [^`]*)?")
	for line := range strings.Lines(read(t, "docs/metrics.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		r := row{kind: strings.TrimSpace(cells[2]), labels: map[string][]string{}}
		for _, m := range label.FindAllStringSubmatch(cells[3], -1) {
			var values []string
			for _, v := range strings.FieldsFunc(regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(m[2], ""), func(c rune) bool { return strings.ContainsRune(":,; ", c) }) {
				if !strings.HasPrefix(m[2], ": those of") {
					values = append(values, v)
				}
			}
			r.labels[m[1]] = values
		}
		if _, twice := rows[name]; twice {
			t.Errorf("docs/metrics.md has %s twice", name)
		}
		if strings.TrimSpace(cells[4]) == "" {
			t.Errorf("docs/metrics.md does not say what %s means", name)
		}
		rows[name] = r
	}
	return rows
}

// scrape asks the admin API of a node, lints what it says and parses it.
func scrape(t *testing.T, o *operator) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get(o.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var text strings.Builder
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(teeReader{res.Body, &text})
	if err != nil {
		t.Fatalf("the scrape does not parse: %v", err)
	}
	problems, err := promlint.New(strings.NewReader(text.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	return families
}

type teeReader struct {
	from interface{ Read([]byte) (int, error) }
	to   *strings.Builder
}

func (r teeReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.to.Write(b[:n])
	return n, err
}

func TestMetricsAreThoseThatAreDocumentedAndPrometheusLikesThem(t *testing.T) {
	rows := metricRows(t)
	for name := range sourceMetrics(t) {
		if _, ok := rows[name]; !ok {
			t.Errorf("%s is not in docs/metrics.md. Add to the table that fits there, in this form:\n| `%s` | counter or gauge | `label`: value, value | what it counts, in one line |", name, name)
		}
	}
	p, err := newNode(t, newKey(t)).Publish(context.Background(), PublishConfig{Name: "test", Input: func() InputState { return InputState{Kind: "stdin", State: InputLive} }})
	if err != nil {
		t.Fatal(err)
	}
	go feed(t, p, 1, 30*time.Second)
	v := view(t, newNode(t, newKey(t)), p.Link())
	publisher, viewer := watchNode(t, p.node), watchNode(t, v.node)
	<-v.Started()
	v.out.waitFor(t, "the viewer plays", func(b []byte) bool { return len(b) > 0 })
	seen := map[string]bool{}
	for _, o := range []*operator{publisher, viewer} {
		for name, f := range scrape(t, o) {
			seen[name] = true
			r, ok := rows[name]
			switch {
			case !ok && (strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")):
				continue
			case !ok:
				t.Errorf("%s is not in docs/metrics.md", name)
				continue
			case !strings.EqualFold(f.GetType().String(), r.kind):
				t.Errorf("docs/metrics.md says that %s is a %s; it is a %s", name, r.kind, f.GetType())
			}
			checkLabels(t, name, f, r)
		}
	}
	for name := range rows {
		if !seen[name] {
			t.Errorf("docs/metrics.md tells of %s, which neither a publisher nor a viewer has: remove it there, or make this test see it", name)
		}
	}
}

func checkLabels(t *testing.T, name string, f *dto.MetricFamily, r row) {
	t.Helper()
	for _, m := range f.GetMetric() {
		var names []string
		for _, l := range m.GetLabel() {
			names = append(names, l.GetName())
			if values := r.labels[l.GetName()]; len(values) > 0 && !slices.Contains(values, l.GetValue()) {
				t.Errorf("%s has %s=%q; docs/metrics.md knows %v only", name, l.GetName(), l.GetValue(), values)
			}
		}
		slices.Sort(names)
		if want := slices.Sorted(maps.Keys(r.labels)); !slices.Equal(names, want) {
			t.Errorf("%s has the labels %v, docs/metrics.md says %v", name, names, want)
			return
		}
	}
}

// sourceMetrics are all names of metrics in the program's source.
func sourceMetrics(t *testing.T) map[string]bool {
	names := map[string]bool{}
	name := regexp.MustCompile(`"(braidway_[a-z0-9_]+)"`)
	for _, dir := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(root+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range name.FindAllSubmatch(b, -1) {
				names[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d metrics found in the source", len(names))
	}
	return names
}

// section returns what stands in a file under a heading, up to the next of its rank.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, file), heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", file, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// firstCells returns what stands in backquotes in the first column of tables.
func firstCells(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(cells[1], -1) {
				found[m[1]] = true
			}
		}
	}
	return found
}

func TestEveryEventIsDocumented(t *testing.T) {
	documented := firstCells(section(t, "docs/admin.md", "## Events"))
	events := newTraceCounts()
	for name := range events {
		if !documented[name] {
			t.Errorf("event %q is not in docs/admin.md. Add to the table under \"## Events\", in this form:\n| `%s` | what happened; what `peer`, `seq` and `wait_ms` are |", name, name)
		}
	}
	for name := range documented {
		if events[name] == nil {
			t.Errorf("docs/admin.md tells of the event %q, which there is not: remove it there, or add it to runtimeEvents or overlay's traces", name)
		}
	}
	fields := section(t, "docs/admin.md", "## Events")
	for _, name := range jsonNames(reflect.TypeFor[TraceEvent]()) {
		if !strings.Contains(fields, "`"+name+"`") {
			t.Errorf("the events' field %q is not in docs/admin.md: add it to \"Fields:\" under \"## Events\"", name)
		}
	}
}

func TestEveryFieldOfTheStateIsDocumented(t *testing.T) {
	text := section(t, "docs/admin.md", "## State")
	top := firstCells(text)
	var all []string
	for _, typ := range []reflect.Type{reflect.TypeFor[State](), reflect.TypeFor[StreamState](), reflect.TypeFor[StripeState]()} {
		all = append(all, jsonNames(typ)...)
	}
	for _, name := range all {
		if !top[name] {
			t.Errorf("the state's field %q is not in docs/admin.md. Add to the table that fits under \"## State\", in this form:\n| `%s` | what it means, with its unit |", name, name)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[CountState](), reflect.TypeFor[p2p.Reach]()} {
		for _, name := range jsonNames(typ) {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("the field %q of %v is not in docs/admin.md: add it to the line of that object under \"## State\"", name, typ)
			}
		}
	}
	for name := range top {
		if !slices.Contains(all, name) {
			t.Errorf("docs/admin.md tells of the state's field %q, which there is not", name)
		}
	}
}

func jsonNames(typ reflect.Type) (names []string) {
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

package check

// This file answers: do the dashboard and the alerts ask only for what peers say,
// in Prometheus' language?

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
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

// metric is a row of docs/metrics.md, which a test of the program holds true.
type metric struct {
	kind   string
	labels map[string][]string // their values; nil: any
}

func metrics(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{"up": {kind: "gauge"}} // Prometheus' own
	var events []string
	_, rest, _ := strings.Cut(read(t, "docs/admin.md"), "\n## Events\n")
	for line := range strings.Lines(rest) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				events = append(events, m[1])
			}
		}
	}
	for line := range strings.Lines(read(t, "docs/metrics.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		m := metric{kind: strings.TrimSpace(cells[2]), labels: map[string][]string{}}
		for _, l := range regexp.MustCompile("`([a-z_]+)`(: [^`]*)?").FindAllStringSubmatch(cells[3], -1) {
			var values []string
			if strings.HasPrefix(l[2], ": those of") {
				values = events
			} else {
				text := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(l[2], "")
				values = strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(":,; ", c) })
			}
			m.labels[l[1]] = values
		}
		all[strings.Trim(cells[1], " `")] = m
	}
	if len(all) < 30 || len(events) < 20 {
		t.Fatalf("%d metrics and %d events read from the docs", len(all), len(events))
	}
	return all
}

// checkQuery parses a query and checks what it asks for.
func checkQuery(t *testing.T, all map[string]metric, where, query string) {
	t.Helper()
	// What Grafana puts in. A variable is a regular expression.
	query = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*", "$stream", ".*").Replace(query)
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, query)
		return
	}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			m, ok := all[n.Name]
			if !ok {
				t.Errorf("%s asks for %q, which is not in docs/metrics.md", where, n.Name)
				return nil
			}
			for _, l := range n.LabelMatchers {
				checkMatcher(t, where, n.Name, m, l)
			}
		case *parser.Call:
			counter := []string{"rate", "increase", "irate"}
			if sel, ok := n.Args[0].(*parser.MatrixSelector); ok {
				name := sel.VectorSelector.(*parser.VectorSelector).Name
				if kind := all[name].kind; slices.Contains(counter, n.Func.Name) != (kind == "counter") {
					t.Errorf("%s: %s of %s, which is a %s", where, n.Func.Name, name, kind)
				}
			}
		case *parser.AggregateExpr:
			known := []string{"job", "instance"}
			for _, m := range selectors(n) {
				for l := range all[m].labels {
					known = append(known, l)
				}
			}
			for _, l := range n.Grouping {
				if !slices.Contains(known, l) {
					t.Errorf("%s groups by %q, which is no label of %v", where, l, selectors(n))
				}
			}
		}
		return nil
	})
}

func selectors(n parser.Node) (names []string) {
	parser.Inspect(n, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			names = append(names, s.Name)
		}
		return nil
	})
	return names
}

func checkMatcher(t *testing.T, where, name string, m metric, l *labels.Matcher) {
	t.Helper()
	values, known := m.labels[l.Name]
	switch {
	case l.Name == "__name__" || l.Name == "job" || l.Name == "instance":
	case !known:
		t.Errorf("%s: %s has no label %q", where, name, l.Name)
	case len(values) > 0:
		for _, v := range strings.Split(l.Value, "|") {
			if !slices.Contains(values, v) && v != ".*" {
				t.Errorf("%s: %s never has %s=%q; docs know %v", where, name, l.Name, v, values)
			}
		}
	}
}

type dashboard struct {
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
		}
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []struct {
		ID          int
		Type, Title string
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct{ RefID, Expr string }
	}
}

func TestTheDashboardAsksOnlyForWhatPeersSay(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	all, asked := metrics(t), map[string]bool{}
	ids, room := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: its id is taken, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
			t.Errorf("panel %q is off the grid: %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if room[at] != "" {
					t.Fatalf("panels %q and %q overlap", p.Title, room[at])
				}
				room[at] = p.Title
			}
		}
		if (len(p.Targets) == 0) != (p.Type == "row") {
			t.Errorf("panel %q has %d queries", p.Title, len(p.Targets))
		}
		for _, q := range p.Targets {
			checkQuery(t, all, "panel "+p.Title, q.Expr)
			for name := range all {
				asked[name] = asked[name] || regexp.MustCompile(`\b`+name+`\b`).MatchString(q.Expr)
			}
		}
	}
	for _, a := range d.Annotations.List {
		checkQuery(t, all, "annotation", a.Expr)
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\(([a-z_]+)(\{.*\})?, ([a-z]+)\)$`).FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		checkQuery(t, all, "variable "+v.Name, m[1]+m[2])
	}
	// What is documented and neither shown nor a detail of something that is.
	details := []string{"braidway_build_info", "braidway_circuits", "braidway_neighbours", "braidway_objects_total", "process_max_fds", "process_start_time_seconds"}
	for name := range all {
		if !asked[name] && !slices.Contains(details, name) {
			t.Errorf("%s is on no panel of deploy/grafana-dashboard.json: put it on one, or into details in this test", name)
		}
	}
}

func TestAlertsParseAndLeadToWhatCanBeDone(t *testing.T) {
	text := read(t, "deploy/prometheus-rules.yaml")
	groups, errs := rulefmt.Parse([]byte(text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	all, anchors := metrics(t), headings(t, "docs/troubleshooting.md")
	seen := map[string]bool{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || r.Alert == "" {
				t.Errorf("alert %q is there twice, or has no name", r.Alert)
			}
			seen[r.Alert] = true
			checkQuery(t, all, "alert "+r.Alert, r.Expr)
			if r.Annotations["summary"] == "" || !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("alert %s: summary %q, severity %q", r.Alert, r.Annotations["summary"], r.Labels["severity"])
			}
			anchor, ok := strings.CutPrefix(r.Annotations["runbook"], "docs/troubleshooting.md#")
			if !ok || !slices.Contains(anchors, anchor) {
				t.Errorf("alert %s leads to %q, which there is not; headings there are %v", r.Alert, r.Annotations["runbook"], anchors)
			}
		}
	}
}

// headings returns the anchors of a Markdown file, as GitHub makes them.
func headings(t *testing.T, file string) (anchors []string) {
	t.Helper()
	for line := range strings.Lines(read(t, file)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			title = strings.ToLower(strings.TrimSpace(title))
			title = regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(title, "")
			anchors = append(anchors, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return anchors
}

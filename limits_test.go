package braidway_test

// This file answers: does docs/limits.md say what the code does, and does it leave
// no limit out?

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const module = "github.com/braidway/braidway/"

// limited are the packages whose limits stand in the table.
var limited = map[string]string{"stream": "stream", "overlay": "overlay", "failover": "failover", "node": "internal/node", "p2p": "internal/node/p2p", "token": "internal/node/token",
	"media": "internal/media", "hls": "internal/media/hls", "rtc": "internal/media/rtc", "web": "internal/web"}

// constants evaluates the constants of our packages from their sources, without
// what they import from others, on which no limit depends.
type constants struct {
	fset *token.FileSet
	std  types.Importer
	done map[string]*types.Package
}

// Import implements types.Importer.
func (c *constants) Import(path string) (*types.Package, error) {
	if p := c.done[path]; p != nil {
		return p, nil
	}
	dir, ours := strings.CutPrefix(path, module)
	if !ours {
		if path == "time" || path == "crypto/ed25519" || path == "crypto/sha256" {
			return c.std.Import(path)
		}
		p := types.NewPackage(path, filepath.Base(path))
		p.MarkComplete()
		c.done[path] = p
		return p, nil
	}
	parsed, err := parser.ParseDir(c.fset, dir, func(f fs.FileInfo) bool { //nolint:staticcheck // build tags matter to no limit
		return !strings.HasSuffix(f.Name(), "_test.go")
	}, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for name, p := range parsed {
		if name != "main" {
			for _, f := range p.Files {
				files = append(files, f)
			}
		}
	}
	conf := types.Config{Importer: c, Error: func(error) {}, IgnoreFuncBodies: true, FakeImportC: true}
	p, _ := conf.Check(path, c.fset, files, nil) // what others define is missing
	c.done[path] = p
	return p, nil
}

func (c *constants) of(t *testing.T, name string) constant.Value {
	t.Helper()
	pkg, ident, _ := strings.Cut(name, ".")
	dir := limited[pkg]
	p, err := c.Import(module + dir)
	if err != nil || dir == "" {
		t.Fatalf("%s: %v", name, err)
	}
	if k, ok := p.Scope().Lookup(ident).(*types.Const); ok {
		return k.Val()
	}
	return nil
}

// number reads a bound: 16384, 0.1, 5s, 2^62-1.
func number(t *testing.T, text string) *big.Float {
	t.Helper()
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		return new(big.Float).SetInt64(int64(d))
	}
	if e, ok := strings.CutPrefix(text, "2^"); ok {
		e, minus, _ := strings.Cut(e, "-")
		x, ok := new(big.Int).SetString(e, 10)
		if !ok {
			t.Fatalf("%q is no bound", text)
		}
		v := new(big.Int).Lsh(big.NewInt(1), uint(x.Uint64()))
		if minus != "" {
			v.Sub(v, big.NewInt(1))
		}
		return new(big.Float).SetInt(v)
	}
	v, _, err := big.ParseFloat(text, 10, 100, big.ToNearestEven)
	if err != nil {
		t.Fatalf("%q is no bound", text)
	}
	return v
}

func TestTheTableOfLimitsIsRightAndWhole(t *testing.T) {
	b, err := os.ReadFile("docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	c := &constants{fset: fset, std: importer.ForCompiler(fset, "source", nil), done: make(map[string]*types.Package)}
	named := regexp.MustCompile("`([a-z0-9]+\\.[A-Za-z]+)`")
	listed := make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "|") {
			continue
		}
		names := named.FindAllStringSubmatch(cells[1], -1)
		bounds := strings.Split(strings.TrimSpace(cells[2]), ", ")
		if len(names) > 0 && len(bounds) != len(names) {
			t.Errorf("%d constants with %d bounds: %s", len(names), len(bounds), line)
			continue
		}
		for i, n := range names {
			listed[n[1]] = true
			v := c.of(t, n[1])
			if v == nil {
				t.Errorf("there is no constant %s", n[1])
				continue
			}
			have, ok := new(big.Float).SetPrec(100).SetString(constant.ToFloat(v).ExactString())
			if !ok {
				r, _ := new(big.Rat).SetString(constant.ToFloat(v).ExactString())
				have = new(big.Float).SetPrec(100).SetRat(r)
			}
			if want := number(t, bounds[i]); new(big.Float).Sub(have, want).Cmp(big.NewFloat(1e-9)) > 0 || new(big.Float).Sub(want, have).Cmp(big.NewFloat(1e-9)) > 0 {
				t.Errorf("%s is %v, the table says %s", n[1], v, bounds[i])
			}
		}
	}
	if len(listed) < 120 {
		t.Errorf("only %d constants in the table", len(listed))
	}
	// What is called a maximum anywhere must stand in it.
	for pkg, dir := range limited {
		p, err := c.Import(module + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Scope().Names() {
			if _, ok := p.Scope().Lookup(name).(*types.Const); ok && regexp.MustCompile("^([mM]ax|most)([A-Z]|$)").MatchString(name) && !listed[pkg+"."+name] {
				t.Errorf("%s.%s is not in docs/limits.md", pkg, name)
			}
		}
	}
}

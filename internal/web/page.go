package web

// This file answers: how do the page's files, which are inside the binary, get
// to a browser?

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

// The page is plain HTML, CSS and JavaScript modules; vendor/ is filled by
// scripts/vendor-web.sh.
//
//go:embed assets
var assets embed.FS

// types are of the files there are; the system's table may not know them.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// asset is a file as it is sent.
type asset struct {
	kind         string
	tag          string // ETag
	plain, small []byte // small: gzip
}

func newAsset(name string, b []byte) *asset {
	sum := sha256.Sum256(b)
	var small bytes.Buffer
	z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is valid
	_, _ = z.Write(b)
	_ = z.Close() // a buffer takes everything
	return &asset{kind: types[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: b, small: small.Bytes()}
}

// files are the assets by path below assets/, compressed once.
var files = sync.OnceValue(func() map[string]*asset {
	m := make(map[string]*asset)
	_ = fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := assets.ReadFile(name)
		if err == nil {
			m[strings.TrimPrefix(name, "assets/")] = newAsset(name, b)
		}
		return err
	})
	return m
})

// page serves index.html at / and the other files below /assets/.
type page struct{ index *asset }

// newPage tells the page by name which parts there are.
func newPage(parts []string) *page {
	html := strings.Replace(string(files()["index.html"].plain), `data-parts=""`, `data-parts="`+strings.Join(parts, " ")+`"`, 1)
	return &page{newAsset("index.html", []byte(html))}
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.index
	if r.URL.Path != "/" {
		if a = files()[strings.TrimPrefix(r.URL.Path, "/assets/")]; a == nil {
			http.Error(w, "there is no such file", http.StatusNotFound)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache") // ask whether it is still the same
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), a.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	b := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b = a.small
	}
	_, _ = w.Write(b)
}

package report

// This file answers: how is a result kept, so that results of many machines
// can be joined later without losing a percentile?
//
// A file is gzip over JSON values, one a line: first the result without its
// viewers, with their number, then one line for each viewer. So neither
// writing nor reading holds the text of 100,000 viewers in memory, a file that
// was cut off is seen, and zcat and jq read it.

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/braidway/braidway/sim"
)

// File is the name of a kept result in its directory.
const File = "result.json.gz"

const (
	format  = "braidway-sim-result"
	version = 1
	// maxViewers bounds what a file may announce; a day's churn of 100,000 is below.
	maxViewers = 20_000_000
	// maxRatio is above how far honest results shrink (about 15), below a
	// crafted file's 1000; small files are given minText.
	maxRatio = 200
	minText  = 16 << 20
)

// header is the first line.
type header struct {
	Format  string      `json:"format"`
	Version int         `json:"version"`
	Viewers int         `json:"viewers"`
	Result  *sim.Result `json:"result"`
}

// Save keeps r as dir/result.json.gz; dir is made when it is missing. A file
// of that name is replaced only by a whole one.
func Save(dir string, r *sim.Result) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("report: keeping a result: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+File+".*")
	if err != nil {
		return fmt.Errorf("report: keeping a result: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("report: keeping a result in %s: %w", dir, err)
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f, r); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, File))
}

func write(w io.Writer, r *sim.Result) error {
	z := gzip.NewWriter(w)
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	head := *r
	head.Viewers = nil
	if err := enc.Encode(header{format, version, len(r.Viewers), &head}); err != nil {
		return err
	}
	for i := range r.Viewers {
		if err := enc.Encode(&r.Viewers[i]); err != nil {
			return fmt.Errorf("viewer %d: %w", r.Viewers[i].Index, err)
		}
	}
	return z.Close()
}

// Load reads a kept result. The error names the file and what is wrong with it.
func Load(path string) (*sim.Result, error) {
	r, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("report: %s is no whole result: %w", path, err)
	}
	return r, nil
}

func load(path string) (*sim.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	return read(f, info.Size())
}

// read parses a file of that many bytes.
func read(src io.Reader, size int64) (*sim.Result, error) {
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, fmt.Errorf("it is not gzip: %w", err)
	}
	limit := &io.LimitedReader{R: z, N: max(size*maxRatio, minText)}
	dec := json.NewDecoder(limit)
	dec.DisallowUnknownFields()
	whole := func(what string, err error) error {
		switch {
		case limit.N <= 0:
			return fmt.Errorf("%s: it unfolds to more than a result would", what)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: it is cut off", what)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	var head header
	err = dec.Decode(&head)
	switch {
	case head.Format != "" && head.Format != format, err == nil && head.Format == "":
		return nil, fmt.Errorf("its format is %q, not %q", head.Format, format)
	case head.Version != 0 && head.Version != version:
		return nil, fmt.Errorf("its version is %d, this program reads %d", head.Version, version)
	case err != nil:
		return nil, whole("head", err)
	case head.Result == nil:
		return nil, errors.New("it has no result")
	case head.Viewers < 0 || head.Viewers > maxViewers:
		return nil, fmt.Errorf("viewers is %d, allowed is 0 to %d", head.Viewers, maxViewers)
	}
	r := head.Result
	if err := check(r); err != nil {
		return nil, err
	}
	for i := range head.Viewers {
		var v sim.ViewerResult
		if err := dec.Decode(&v); err != nil {
			return nil, whole(fmt.Sprintf("viewer %d of %d", i+1, head.Viewers), err)
		}
		r.Viewers = append(r.Viewers, v)
	}
	// The end of the file carries the sum that says nothing was changed.
	if _, err := dec.Token(); err == nil {
		return nil, fmt.Errorf("more follows after %d viewers", head.Viewers)
	} else if !errors.Is(err, io.EOF) || limit.N <= 0 {
		return nil, whole("end", err)
	}
	return r, nil
}

// check refuses what no run can have given.
func check(r *sim.Result) error {
	negative := func(v int) bool { return v < 0 }
	switch {
	case r.Viewers != nil:
		return errors.New("its head has viewers")
	case r.Peers < 0 || r.Kills < 0 || r.FailedJoins < 0 || r.FalseSwitches < 0 || r.WithoutStandby < 0 || r.Interior < 0 || r.ViewerHours < 0 || r.Wall < 0:
		return errors.New("a count is negative")
	case slices.ContainsFunc(r.Depths, negative) || slices.ContainsFunc(r.FanOut, negative) || slices.ContainsFunc(r.Stalls, negative):
		return errors.New("a depth, a number of children or of stalls is negative")
	}
	return nil
}

// LoadDirs reads every result.json.gz in the directories and below them, in
// the order of their paths. A directory without any is an error.
func LoadDirs(dirs ...string) ([]*sim.Result, error) {
	var all []*sim.Result
	seen := map[string]bool{}
	for _, dir := range dirs {
		found := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("report: %w", err)
			}
			if d.IsDir() || d.Name() != File {
				return nil
			}
			found++
			if real, err := filepath.Abs(path); err == nil {
				if seen[real] {
					return nil
				}
				seen[real] = true
			}
			r, err := Load(path)
			if err != nil {
				return err
			}
			all = append(all, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if found == 0 {
			return nil, fmt.Errorf("report: no %s in %s or below", File, dir)
		}
	}
	return all, nil
}

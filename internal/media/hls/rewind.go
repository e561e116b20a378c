package hls

// This file answers: how do segments come to the disk without anything waiting
// for it, and what if it is full?

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// rewindQueue bounds the segments that wait for the disk; they are in memory
// all the same.
const rewindQueue = 8

// rewind is the window's directory.
type rewind struct {
	dir   string
	log   *slog.Logger
	saved func(g *segment, file string)
	done  chan struct{}

	mu     sync.Mutex
	more   sync.Cond
	save   []job
	remove []string
	closed bool
}

// job is a segment to be written.
type job struct {
	seg   *segment
	parts []*part
}

// openRewind makes a directory of its own in parent. saved is told what became
// of each segment; file is "" where it could not be written.
func openRewind(parent string, log *slog.Logger, saved func(g *segment, file string)) (*rewind, error) {
	dir, err := os.MkdirTemp(parent, "braidway-rewind-")
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	d := &rewind{dir: dir, log: log, saved: saved, done: make(chan struct{})}
	d.more.L = &d.mu
	go d.run()
	return d, nil
}

// add queues a segment; one that there is no room for is not saved.
func (d *rewind) add(g *segment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.save) >= rewindQueue {
		d.log.Warn("rewind: the disk is too slow: a segment is not kept, and players cannot go back beyond it", "dir", d.dir)
		return
	}
	d.save = append(d.save, job{seg: g, parts: g.parts})
	d.more.Signal()
}

// drop queues a file to be removed.
func (d *rewind) drop(file string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove = append(d.remove, file)
	d.more.Signal()
}

func (d *rewind) run() {
	defer close(d.done)
	failing := false
	for {
		d.mu.Lock()
		for len(d.save) == 0 && len(d.remove) == 0 && !d.closed {
			d.more.Wait()
		}
		if d.closed {
			d.mu.Unlock()
			return
		}
		remove := d.remove // first: it makes room
		d.remove = nil
		var j job
		if len(d.save) > 0 {
			j, d.save = d.save[0], d.save[1:]
		}
		d.mu.Unlock()
		for _, file := range remove {
			_ = os.Remove(file) // close removes what is left
		}
		if j.seg == nil {
			continue
		}
		file := filepath.Join(d.dir, fmt.Sprintf("%d.m4s", j.seg.msn))
		err := writeParts(file, j.parts)
		switch {
		case err != nil:
			_ = os.Remove(file)
			file = ""
			if !failing {
				d.log.Error("rewind: cannot write; players can go back only to what is in memory until there is room", "err", err)
			}
		case failing:
			d.log.Info("rewind: writing again", "dir", d.dir)
		}
		failing = err != nil
		d.saved(j.seg, file)
	}
}

func writeParts(file string, parts []*part) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p.data); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}

// close removes the window.
func (d *rewind) close() error {
	d.mu.Lock()
	d.closed = true
	d.more.Signal()
	d.mu.Unlock()
	<-d.done
	return os.RemoveAll(d.dir)
}

package stack

// This file answers: what does the world need to know of the system that it
// runs, Braidway or a baseline?

import (
	"context"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
)

// system is what is run.
type system interface {
	// publish starts the stream. It is called once, before anybody joins.
	publish() error
	// join starts the viewer with index i. It returns when it has asked.
	join(i int, line Line) (viewer, error)
	// made is one past the last Seq that was published.
	made() uint64
	close()
}

// viewer is one viewer of it, whose times count from its request.
type viewer interface {
	id() overlay.PeerID
	// restart lets the measures begin now.
	restart()
	report() measure.Report
	gap(from, to time.Duration) time.Duration
	stalls() uint64
	position() uint64
	// look returns its place in the trees; false: it has none.
	look() (place, bool)
	// gaveUp tells whom it gave up for silence since the last call.
	gaveUp() []parting
	drain(context.Context)
	close()
}

// place of a viewer in the trees.
type place struct {
	children int
	interior int // stripes with children
	lacking  int // stripes without a standby though one is known
	depths   []int
	paths    map[int][]overlay.PeerID // of the stripes that have a parent
}

// parting is a parent given up.
type parting struct {
	at     time.Time
	parent overlay.PeerID
	stripe int
}

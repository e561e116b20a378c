package overlay

// This file answers: how much can a peer give beside live objects? Answers to
// pulls and the past of new children come out of what its slots leave of the
// uplink; a peer that gives more delays everybody behind it.
//
// Found by simulation: in a crowd, a publisher of five streams' upload was
// asked for seven times that in repairs and old objects.

import (
	"time"

	"github.com/braidway/braidway/failover"
)

const (
	// spareShare of the slots' rate is there beside them: uplinks are not given
	// away to the last bit (a guess; the live runtime and the model keep 20 %).
	spareShare = 0.2
	// leastSpare, objects a second, even of one without slots: its neighbours' emergencies.
	leastSpare = 4
)

// spare is a bucket of objects, which holds half a second's worth, so that nothing
// waits longer.
type spare struct {
	failover.Bucket
	edge   uint64 // at the last look
	edgeAt time.Duration
	stream float64 // objects a second, moving average
}

// measureSpare looks at the stream's pace and at the free slots: now and then, and
// whenever a child comes or goes. (Found by simulation: in its first seconds a full
// publisher still gave away what had been free, for as long as its look was old.)
func (p *Peer) measureSpare() {
	b := &p.spare
	if d := (p.now - b.edgeAt).Seconds(); d > 0.5 && p.edge > b.edge {
		if b.edge > 0 {
			pace := float64(p.edge-b.edge) / d
			if b.stream == 0 {
				b.stream = pace
			}
			b.stream += (pace - b.stream) / 2
		}
		b.edge, b.edgeAt = p.edge, p.now
	}
	free := float64(p.slots - p.used()) // urgent ones may be beyond the slots
	rate := max(leastSpare, (spareShare*float64(p.slots)+free)*p.stripePace())
	if p.pressed {
		rate = leastSpare
	}
	b.Set(p.now, rate, rate/2)
}

// rescueTime of what all slots carry may be owed for the past of those who carry
// others: live objects wait that long behind it, and all deadlines with them.
const rescueTime = 0.2 // s

// givesPast says how a new child gets the past objects of stripe i that it asks for:
// at all, and ahead of live objects. The past of one that plays is due sooner than
// they are; a newcomer's waits behind them. Beyond what is spare only an orphan that
// carries others gets it: all of them wait for that, and perhaps only this peer has
// it. Others pull what they miss, each from more than one. (Found by simulation: all
// that were let in were owed the past, 20 s of it at a publisher of four streams, so
// that nobody got it in time.)
func (p *Peer) givesPast(n *neighbour, i int, m Subscribe, past int) (given, ahead bool) {
	has := p.spare.Has(p.now)
	switch {
	case m.Latest:
		return true, false
	case past <= max(0, int(has)):
		return true, true
	}
	bearable := has > -rescueTime*float64(p.slots)*p.stripePace()
	if p.tookOver() { // nobody else has the group that is on
		return true, bearable
	}
	return m.Urgent && m.Lost != 0 && n.counts(int(m.Behind)) > 0 && bearable, true
}

// stripePace returns the objects a second of one stripe.
func (p *Peer) stripePace() float64 {
	pace := p.spare.stream
	if pace == 0 {
		pace = guessedPace
	}
	return pace / float64(p.cfg.Stripes)
}

// guessedPace of a stream that was not watched yet, objects a second.
const guessedPace = 80

package overlay

// This file answers: how much may one neighbour ask for? Every kind of message
// has a pace that no honest peer needs to pass; what comes beyond is passed
// over before any work is done, and who goes far beyond is banned: for what it
// does itself, never for what others say.

import "time"

// pace bounds messages of one kind from one neighbour.
type pace struct {
	each  float32 // a second
	burst float32
}

// paces by kind of message. For comparison, the most that one neighbour sent in
// simulations of deaths, crowds and mass failures is in docs/adversaries.md.
var paces = [kindShuffle + 1]pace{
	kindHello:       {1, 8},
	kindSubscribe:   {2, 48}, // all stripes, and again
	kindAccept:      {4, 64},
	kindRefuse:      {4, 64},
	kindUnsubscribe: {4, 64},
	kindPath:        {20, 200}, // a relay near the root passes on every change above it
	kindKin:         {8, 64},
	kindWatch:       {5, 48},   // a roll call has one each rollPause
	kindStatus:      {20, 200}, // answers to Watch, and every change of a watched path
	kindPull:        {40, 200},
	kindMiss:        {40, 400},
	kindGoAway:      {4, 64},
	kindShuffle:     {1, 16},
}

const (
	// pullPace and pullBurst bound the objects that one neighbour pulls: what it
	// may spend on repairs altogether, twice (NewBudget; 160 objects a second).
	pullPace  = 8 // or a tenth of the stream's pace, if that is more
	pullBurst = 256
	// pastPace and pastBurst bound the past that one neighbour gets with its
	// subscriptions, objects: six seconds of all stripes twice, or a few groups.
	pastPace  = 16
	pastBurst = 1024
	// excessLimit of messages beyond the pace, less excessPace a second, is no
	// accident.
	excessLimit = 100
	excessPace  = 2
)

// allowance is what a neighbour has sent; the zero value: nothing.
type allowance struct {
	kinds                [kindShuffle + 1]bucket
	pulled, past, excess bucket
}

// bucket is what was taken out of a bucket, and flows back: a quarter of a
// failover.Bucket, since each neighbour has seventeen.
type bucket struct {
	spent float32
	at    uint32 // ms; only differences count
}

// take takes n at now, of burst and pace a second; false, and nothing, if there
// is not so much.
func (b *bucket) take(now time.Duration, n, pace, burst float32) bool {
	ms := uint32(now / time.Millisecond)
	b.spent = max(0, b.spent-pace*float32(ms-b.at)/1000)
	b.at = ms
	if b.spent+n > burst {
		return false
	}
	b.spent += n
	return true
}

// allows says whether message m of n is within its pace. Who is far beyond is banned.
func (p *Peer) allows(n *neighbour, m Message) bool {
	kind := m.kind()
	if int(kind) >= len(paces) {
		return true // not of this protocol: a baseline's
	}
	if n.allowance.kinds[kind].take(p.now, 1, paces[kind].each, paces[kind].burst) {
		return true
	}
	p.excess(n, 1)
	return false
}

// excess counts what goes beyond what n may ask for, in messages.
func (p *Peer) excess(n *neighbour, messages int) {
	if n.allowance.excess.spent == 0 { // the trace is not to be flooded too
		p.trace(TraceExcess, n.id, 0, uint64(messages), 0)
	}
	if !n.allowance.excess.take(p.now, float32(messages), excessPace, excessLimit) {
		p.ban(n.id)
	}
}

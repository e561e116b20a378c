package baseline

// This file answers: how does a swarm stream, in which everybody asks their
// partners for what those say they have?

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

const (
	mapEvery      = time.Second            // DONet: buffer maps are exchanged periodically, each second
	scheduleEvery = 250 * time.Millisecond // kinder than DONet, which schedules as often as it hears
	requestTime   = time.Second            // a request unanswered for that long goes elsewhere
	mapSilence    = 3*mapEvery + 500*time.Millisecond
	scoreEvery    = 10 * time.Second // the least useful partner is replaced that often (guess)
	horizonBeyond = 3 * time.Second  // older than the buffer and this is missed for good: others may still want it
	leastRate     = 4.0
)

// mesh is a peer of mesh-pull, after CoolStreaming/DONet (Zhang, Liu, Li, Yum,
// INFOCOM 2005). A peer has M random partners. Each second they tell each other
// by a bitmap what they have; what a peer lacks it asks for, those objects
// first that fewest partners have, from the partner with most bandwidth left.
// Chainsaw (Pai, Kumar, Tamilmani, Sambamurthy, Mohr, IPTPS 2005) tells of
// every packet at once instead; that is quicker and costs more, and is not
// what this is. DONet's segments are a second of video, ours are objects, so
// that requests are finer and maps longer.
//
// Order of requests: objects in the last quarter of the buffer go first, those
// past it last; then by number of suppliers; ties at random, so that not all
// ask the publisher for the same. (With the oldest always first they did, and
// the swarm fell behind for good after a disturbance.) A partner's bandwidth
// is learned: what it leaves unanswered lowers what it is asked for, full
// service raises it. A supplier serves what its upload carries and ignores the
// rest. At the publisher those who pass objects on have precedence, which DONet
// does not say; without it a publisher among free riders starves the swarm.
//
// Partners silent for three maps are dropped. Every ten seconds a peer looks
// for one more partner, and lets go of that with the lowest score, the greater
// of what went either way, as in DONet. Membership comes from discovery and
// from full peers that name their partners, in place of SCAMP.
// The player needs a buffer of some seconds: each hop takes half a map and more.
type mesh struct {
	*base
	partners []*partner
	scoreAt  time.Duration
	worst    *partner // goes when another comes
	tokens   float64  // objects that may be served now
	tokenAt  time.Duration

	missing []uint64
	wants   []want
}

// partner is who exchanges maps with this peer.
type partner struct {
	*link
	giver        bool // it passes objects on
	epoch, first uint64
	bits         []uint64 // objects from first on; shared by all who got the map
	rate         float64  // objects a second that it is trusted with
	open         []request
	got, lost    int // since the last map
	took, gave   int // since the last score
	scored       bool
	mapAt        time.Duration // when it gets the next map; partners take turns
	again        int           // requests of this round that had been made before
	list         []uint64
}

// Messages of mesh-pull. The dialler says meet; the answer is a map, or full.
type (
	meet struct{ overlay.Message }
	full struct {
		overlay.Message
		others []overlay.PeerID
	}
	have struct {
		overlay.Message
		giver        bool // the sender uploads
		epoch, first uint64
		bits         []uint64
	}
	need struct {
		overlay.Message
		epoch uint64
		seqs  []uint64
	}
)

func (meet) Size() int   { return 1 }
func (f full) Size() int { return 2 + idSize*len(f.others) }
func (h have) Size() int { return 3 + seqSize + 8*len(h.bits) }

// Size is that of a list of differences, or of a bitmap, whichever is shorter.
func (n need) Size() int {
	if len(n.seqs) == 0 {
		return 3
	}
	lo, hi := slices.Min(n.seqs), slices.Max(n.seqs)
	return 3 + seqSize + min(len(n.seqs)*2, int(hi-lo)/8+1)
}

// want is an object to ask for.
type want struct {
	seq       uint64
	class     int // 0: will be played soon, 1: later, 2: too late for this peer
	suppliers int
	tie       uint32
}

func newMesh(b *base) system { return &mesh{base: b} }

// Shape implements Core: there is no tree.
func (c *mesh) Shape(int) (overlay.PeerID, int, int) { return 0, 0, 0 }

func (c *mesh) partner(l *link) *partner {
	for _, p := range c.partners {
		if p.link == l {
			return p
		}
	}
	return nil
}

func (c *mesh) object(ev *overlay.Event) {
	for _, p := range c.partners {
		if p.id == ev.Peer {
			if i := slices.IndexFunc(p.open, func(r request) bool { return r.seq == ev.Seq }); i >= 0 {
				p.open = slices.Delete(p.open, i, i+1)
				p.got++
				p.took++
			}
		}
	}
	c.take(ev, true)
}

func (c *mesh) message(l *link, m overlay.Message) {
	p := c.partner(l)
	switch m := m.(type) {
	case meet:
		if p == nil && len(c.partners) < 2*c.cfg.Neighbours {
			p = c.befriend(l)
		}
		if p == nil {
			c.send(l, full{others: c.others(l)})
			return
		}
		c.send(l, c.bufferMap())
	case full:
		c.learn(m.others...)
		if p == nil && l.ours {
			c.hangUp(l)
			c.look()
		}
	case have:
		if p == nil && l.ours {
			p = c.befriend(l)
			c.settled()
			if w := c.worst; w != nil {
				c.hangUp(w.link)
				c.lost(w.link)
			}
		}
		if p != nil {
			p.giver, p.epoch, p.first, p.bits = m.giver, m.epoch, m.first, m.bits
		}
	case need:
		if p != nil && m.epoch == c.epoch {
			c.serve(p, m.seqs)
		}
	}
}

func (c *mesh) befriend(l *link) *partner {
	l.hold = 1
	p := &partner{link: l, rate: max(leastRate, c.cfg.Objects/2), mapAt: c.now + c.spread(mapEvery)}
	c.partners = append(c.partners, p)
	return p
}

// others names up to eight partners.
func (c *mesh) others(not *link) (ids []overlay.PeerID) {
	for _, i := range c.rng.Perm(len(c.partners)) {
		if p := c.partners[i]; p.link != not && len(ids) < 8 {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// bufferMap is what partners may ask for. Who cannot serve offers nothing.
func (c *mesh) bufferMap() have {
	m := have{epoch: c.epoch, giver: c.cfg.Slots > 0}
	if !c.begun || !m.giver {
		return m
	}
	edge := c.edge()
	m.first = max(c.have.Base(), edge-min(edge, c.horizon()))
	m.bits = make([]uint64, (edge-m.first+63)/64)
	for seq := m.first; seq < edge; seq++ {
		if c.holds(seq) {
			m.bits[(seq-m.first)/64] |= 1 << ((seq - m.first) % 64)
		}
	}
	return m
}

func (p *partner) has(epoch, seq uint64) bool {
	i := (seq - p.first) / 64
	return p.epoch == epoch && seq >= p.first && i < uint64(len(p.bits)) && p.bits[i]>>((seq-p.first)%64)&1 != 0
}

// edge is one past the last object that p has; 0: none.
func (p *partner) edge() uint64 {
	for i := uint64(len(p.bits)) * 64; i > 0; i-- {
		if p.bits[(i-1)/64]>>((i-1)%64)&1 != 0 {
			return p.first + i
		}
	}
	return 0
}

// serve answers as far as the upload reaches: half a second's worth at once,
// of which the publisher keeps half for those who pass objects on.
func (c *mesh) serve(p *partner, seqs []uint64) {
	rate := c.cfg.Objects * float64(c.cfg.Slots) / float64(c.cfg.Stripes)
	c.tokens = min(c.tokens+rate*(c.now-c.tokenAt).Seconds(), max(rate/2, 2))
	c.tokenAt = c.now
	kept := 1.0
	if c.cfg.Publisher && !p.giver {
		kept += rate / 4
	}
	for _, seq := range seqs {
		if c.tokens < kept {
			return
		}
		if c.holds(seq) {
			c.tokens--
			p.gave++
			c.give(overlay.ActServe, p.link, seq, true)
		}
	}
}

// horizon is how far behind the edge objects are still asked for.
func (c *mesh) horizon() uint64 {
	return c.cfg.objectsIn(c.cfg.Buffer+horizonBeyond) + c.cfg.Group
}

func (c *mesh) tick() time.Duration {
	for i := len(c.partners) - 1; i >= 0; i-- {
		if p := c.partners[i]; c.now-p.heard > mapSilence {
			c.trace(overlay.TraceGone, p.id, 0, 0, c.now-p.heard)
			c.hangUp(p.link)
			c.lost(p.link)
		}
	}
	c.schedule()
	for _, p := range c.partners {
		if c.now >= p.mapAt {
			p.mapAt = c.now + mapEvery - scheduleEvery/2
			p.learnRate(2 * c.cfg.Objects)
			c.send(p.link, c.bufferMap())
		}
	}
	if c.now >= c.scoreAt {
		c.scoreAt = c.now + c.spread(scoreEvery)
		c.explore()
	}
	c.look()
	if c.due == 0 {
		return c.spread(scheduleEvery) // out of step with the others from here on
	}
	return scheduleEvery
}

// learnRate adapts what p is trusted with to what it did in the last second.
func (p *partner) learnRate(most float64) {
	switch {
	case p.lost > 0:
		p.rate = max(leastRate, min(p.rate*0.75, float64(p.got+p.lost/2)))
	case float64(p.got) > p.rate/2:
		p.rate = min(p.rate*1.25, most)
	}
	p.got, p.lost = 0, 0
}

// schedule asks for what is missing.
func (c *mesh) schedule() {
	var edge uint64
	for _, p := range c.partners {
		for len(p.open) > 0 && c.now >= p.open[0].until {
			p.open = slices.Delete(p.open, 0, 1)
			p.lost++
		}
		if e := p.edge(); e > 0 && !c.cfg.Publisher && (!c.begun || p.epoch > c.epoch) {
			if !c.begun {
				c.trace(overlay.TraceJoin, p.id, 0, 0, 0)
			}
			c.begin(p.epoch, c.group(e-1))
		}
		if p.epoch == c.epoch {
			edge = max(edge, p.edge())
		}
	}
	if c.cfg.Publisher || edge == 0 {
		return
	}
	c.have.GiveUp(edge - min(edge, c.horizon()))
	c.missing = c.have.AppendMissing(c.missing[:0], c.have.Next(), edge, 1, 0, c.have.Capacity())
	c.wants = c.wants[:0]
	for _, seq := range c.missing {
		if r := c.request(seq); r.seq == seq && r.until > c.now {
			continue
		}
		w := want{seq: seq, class: 1, tie: c.rng.Uint32()}
		switch buffer := c.cfg.objectsIn(c.cfg.Buffer); {
		case edge-seq > buffer:
			w.class = 2
		case edge-seq > buffer*3/4:
			w.class = 0
		}
		for _, p := range c.partners {
			if p.has(c.epoch, seq) {
				w.suppliers++
			}
		}
		if w.suppliers > 0 {
			c.wants = append(c.wants, w)
		}
	}
	slices.SortFunc(c.wants, func(a, b want) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.suppliers, b.suppliers), cmp.Compare(a.tie, b.tie), cmp.Compare(a.seq, b.seq))
	})
	for _, w := range c.wants {
		c.assign(w.seq)
	}
	for _, p := range c.partners {
		if len(p.list) > 0 {
			c.send(p.link, need{epoch: c.epoch, seqs: p.list})
			if p.again > 0 {
				c.trace(overlay.TraceRepair, p.id, 0, uint64(p.again), 0)
			}
			p.list, p.again = nil, 0 // the message has it
		}
	}
}

// assign puts seq on the list of the partner with most bandwidth left.
func (c *mesh) assign(seq uint64) {
	var to *partner
	most := 0.0
	for _, p := range c.partners {
		if spare := p.rate*requestTime.Seconds() - float64(len(p.open)); spare >= 1 && spare > most && p.has(c.epoch, seq) {
			to, most = p, spare
		}
	}
	if to == nil {
		return
	}
	r := c.request(seq)
	if r.seq == seq && r.until > 0 {
		to.again++
	}
	*r = request{seq, c.now + requestTime + 2*to.rtt}
	to.open = append(to.open, *r)
	to.list = append(to.list, seq)
}

// explore looks for one partner more; when it comes, the one that was of least
// use since the last time has to go.
func (c *mesh) explore() {
	c.worst = nil
	score := math.MaxInt
	for _, p := range c.partners {
		if s := max(p.took, p.gave); s < score && p.scored {
			c.worst, score = p, s
		}
		p.took, p.gave, p.scored = 0, 0, true
	}
	if c.cfg.Publisher || len(c.partners) < c.cfg.Neighbours {
		c.worst = nil // it takes nothing, or looks for partners anyway
	}
}

// wanted is how many partners this peer looks for.
func (c *mesh) wanted() int {
	if c.worst != nil {
		return max(c.cfg.Neighbours, len(c.partners)) + 1
	}
	return c.cfg.Neighbours
}

func (c *mesh) look() {
	under := 0 // dials, and meetings not answered yet
	for _, l := range c.links {
		if l.ours && l.hold > 0 && c.partner(l) == nil {
			if c.now-l.heard > dialPatience {
				l.hold = 0
			} else {
				under++
			}
		}
	}
	for len(c.partners)+under < c.wanted() {
		id := c.next()
		if id == 0 {
			c.find()
			return
		}
		l := c.link(id)
		switch {
		case l == nil:
			l = c.dial(id)
		case l.hold > 0:
			continue
		case l.up:
			c.send(l, meet{})
		}
		l.ours, l.hold, l.heard = true, 1, c.now
		under++
	}
}

func (c *mesh) connected(l *link) {
	if l.ours && len(c.partners) < c.wanted() {
		l.hold = 1
		c.send(l, meet{})
	}
}

func (c *mesh) lost(l *link) {
	if c.worst != nil && c.worst.link == l {
		c.worst = nil
	}
	c.partners = slices.DeleteFunc(c.partners, func(p *partner) bool { return p.link == l })
	c.look()
}

func (c *mesh) drain(time.Duration) { c.leave() }

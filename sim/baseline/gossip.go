package baseline

// This file answers: how does a publish-subscribe mesh stream, which pushes
// everything to several neighbours and gossips about it to others?

import (
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

// The parameters of gossipsub, as evaluated by its authors and used by Ethereum.
const (
	degree, degreeLow, degreeHigh = 8, 6, 12
	degreeLazy                    = 6
	gossipFactor                  = 4 // 1/4 of those outside the mesh, if that is more than degreeLazy
	heartbeat                     = time.Second
	firstHeartbeat                = 100 * time.Millisecond
	cacheLen, cacheGossip         = 5, 3 // heartbeats
	backoffTime                   = time.Minute
	iwantTime                     = 3 * time.Second // an object promised by IHAVE is asked of others then
	ihavesMost                    = 10              // IHAVEs heeded from one peer between heartbeats
	// topicPeers is how many connections a peer looks for: the mesh, those it
	// gossips to, and two. Twice as many are accepted. libp2p leaves that to
	// its connection manager.
	topicPeers = degree + degreeLazy + 2
	// pingEvery and deadTime stand for libp2p's connections under gossipsub,
	// which has no time-out of its own: a dead QUIC peer is reported after 30
	// to 45 s (FACTS). Until then the mesh lives on its other links.
	pingEvery, deadTime = 10 * time.Second, 30 * time.Second
	messageID           = 22 // bytes: a hash of 20 in protobuf
)

// gossip is a peer of a publish-subscribe mesh, after gossipsub v1.1
// (Vyzovitis, Napora, McCormick, Dias, Psaras: "GossipSub: Attack-Resilient
// Message Propagation in the Filecoin and ETH2.0 Networks", 2020; libp2p specs,
// gossipsub v1.0 and v1.1). New objects are pushed to a mesh of about eight
// links, kept up by GRAFT and PRUNE in a heartbeat of one second; ids of the
// last three heartbeats go to six others, IHAVE, who ask for what they lack,
// IWANT, out of a cache of five heartbeats. The publisher floods: it pushes to
// all that it is connected with, so its connections are bounded by its upload,
// but not below the degree.
//
// Everybody here is honest, so there are no scores; nor are outbound quotas,
// peer exchange and v1.2's IDONTWANT there. The degree does not know upload
// capacity: redundancy is about the degree less one, here as in libp2p.
//
// A newcomer plays from the first group that begins while it is in the mesh.
type gossip struct {
	*base
	contacts []*contact
	cache    [cacheLen][]uint64 // ids by heartbeat, newest first
}

// contact is a connected peer of the topic.
type contact struct {
	*link
	mesh   bool
	barred time.Duration // no GRAFT before
	ihaves int           // since the last heartbeat
	served int
}

// Messages of gossipsub.
type (
	graft struct{ overlay.Message }
	prune struct {
		overlay.Message
		backoff time.Duration
	}
	ihave struct {
		overlay.Message
		epoch uint64
		ids   []uint64
	}
	iwant struct {
		overlay.Message
		epoch uint64
		ids   []uint64
	}
	ping struct{ overlay.Message }
)

const topicSize = 12 // the topic's name and framing

func (graft) Size() int   { return topicSize }
func (prune) Size() int   { return topicSize + 3 }
func (m ihave) Size() int { return topicSize + messageID*len(m.ids) }
func (m iwant) Size() int { return 4 + messageID*len(m.ids) }
func (ping) Size() int    { return 1 }

func newGossip(b *base) system { return &gossip{base: b} }

// Shape implements Core: there is no tree.
func (c *gossip) Shape(int) (overlay.PeerID, int, int) { return 0, 0, 0 }

func (c *gossip) contact(l *link) *contact {
	for _, p := range c.contacts {
		if p.link == l {
			return p
		}
	}
	return nil
}

func (c *gossip) meshed() (n int) {
	for _, p := range c.contacts {
		if p.mesh {
			n++
		}
	}
	return n
}

func (c *gossip) most() int {
	if c.cfg.Publisher {
		return max(degree, c.cfg.copies())
	}
	return 2 * topicPeers
}

func (c *gossip) object(ev *overlay.Event) {
	begun := c.begun
	if ev.Epoch > c.epoch {
		c.cache = [cacheLen][]uint64{}
	}
	fresh := c.take(ev, c.cfg.Publisher)
	if c.begun && !begun {
		c.trace(overlay.TraceJoin, ev.Peer, 0, 0, 0)
	}
	if !fresh {
		return
	}
	c.cache[0] = append(c.cache[0], ev.Seq)
	for _, p := range c.contacts {
		if (p.mesh || c.cfg.Publisher) && p.id != ev.Peer {
			c.give(overlay.ActForward, p.link, ev.Seq, false)
		}
	}
}

func (c *gossip) message(l *link, m overlay.Message) {
	p := c.contact(l)
	if p == nil {
		return
	}
	switch m := m.(type) {
	case graft:
		if p.mesh {
			return
		}
		if c.now < p.barred || c.meshed() >= degreeHigh && !l.ours {
			c.prune(p)
			return
		}
		p.mesh = true
	case prune:
		p.mesh, p.barred = false, c.now+m.backoff
	case ihave:
		if p.ihaves++; p.ihaves <= ihavesMost && m.epoch == c.epoch {
			c.wants(p, m.ids)
		}
	case iwant:
		if m.epoch != c.epoch {
			return
		}
		for _, id := range m.ids {
			if p.served < c.have.Capacity() && c.cached(id) {
				p.served++
				c.give(overlay.ActServe, l, id, true)
			}
		}
	}
}

func (c *gossip) prune(p *contact) {
	p.mesh, p.barred = false, c.now+backoffTime
	c.send(p.link, prune{backoff: backoffTime})
}

func (c *gossip) graft(p *contact) {
	p.mesh = true
	c.send(p.link, graft{})
}

func (c *gossip) cached(id uint64) bool {
	return slices.ContainsFunc(c.cache[:], func(ids []uint64) bool { return slices.Contains(ids, id) })
}

// wants asks p for what of ids was not seen, nor asked of another lately.
func (c *gossip) wants(p *contact, ids []uint64) {
	var ask []uint64
	for _, id := range ids {
		if r := c.request(id); c.begun && !c.have.Has(id) && (r.seq != id || r.until <= c.now) {
			*r = request{id, c.now + iwantTime}
			ask = append(ask, id)
		}
	}
	if len(ask) > 0 {
		c.send(p.link, iwant{epoch: c.epoch, ids: ask})
		c.trace(overlay.TraceRepair, p.id, 0, uint64(len(ask)), 0)
	}
}

// tick is the heartbeat.
func (c *gossip) tick() time.Duration {
	for i := len(c.contacts) - 1; i >= 0; i-- {
		p := c.contacts[i]
		p.ihaves, p.served = 0, 0
		if c.now-p.heard > deadTime {
			c.hangUp(p.link)
			c.lost(p.link)
		} else if c.now-p.sent > pingEvery {
			c.send(p.link, ping{})
		}
	}
	c.balance()
	c.emit()
	c.look()
	if c.due == 0 {
		return c.spread(heartbeat)
	}
	return heartbeat
}

// balance keeps the degree of the mesh.
func (c *gossip) balance() {
	n := c.meshed()
	if n >= degreeLow && n <= degreeHigh {
		return
	}
	for _, i := range c.rng.Perm(len(c.contacts)) {
		switch p := c.contacts[i]; {
		case n < degree && !p.mesh && c.now >= p.barred:
			c.graft(p)
			n++
		case n > degree && p.mesh:
			c.prune(p)
			n--
		}
	}
}

// emit gossips about the latest heartbeats to some outside the mesh.
func (c *gossip) emit() {
	var ids []uint64
	for _, w := range c.cache[:cacheGossip] {
		ids = append(ids, w...)
	}
	outside := len(c.contacts) - c.meshed()
	left := max(degreeLazy, outside/gossipFactor)
	for _, i := range c.rng.Perm(len(c.contacts)) {
		if p := c.contacts[i]; !p.mesh && left > 0 && len(ids) > 0 && !c.cfg.Publisher {
			c.send(p.link, ihave{epoch: c.epoch, ids: ids})
			left--
		}
	}
	last := c.cache[cacheLen-1]
	copy(c.cache[1:], c.cache[:])
	c.cache[0] = last[:0]
}

func (c *gossip) look() {
	under := 0
	for _, l := range c.links {
		if !l.up && c.now-l.heard < dialPatience {
			under++
		}
	}
	for len(c.contacts)+under < min(topicPeers, c.most()) {
		id := c.next()
		if id == 0 {
			c.find()
			return
		}
		if c.link(id) == nil {
			c.dial(id)
			under++
		}
	}
}

func (c *gossip) connected(l *link) {
	if len(c.contacts) >= c.most() {
		c.hangUp(l)
		return
	}
	l.hold = 1
	c.contacts = append(c.contacts, &contact{link: l})
	if c.meshed() == 0 { // JOIN does not wait for the heartbeat's turn
		c.due = min(c.due, c.now+firstHeartbeat)
	}
}

func (c *gossip) lost(l *link) {
	c.contacts = slices.DeleteFunc(c.contacts, func(p *contact) bool { return p.link == l })
	c.look()
}

// drain leaves the topic.
func (c *gossip) drain(time.Duration) {
	for _, p := range c.contacts {
		if p.mesh {
			c.prune(p)
		}
	}
	c.leave()
}

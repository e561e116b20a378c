package sim

// This file answers: who attacks, with what, and what came of it? What attackers
// do is in sim/adversary.

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
)

const (
	// AllAttacks is for each attacker doing one of them, in turn, NoAttack for none.
	AllAttacks = "all"
	NoAttack   = "none"
	// strikeAfter is when, after the beginning of the measures, the attackers of
	// an eclipse stop sending.
	strikeAfter = 5 * time.Second
	// sybilShare of a look-up's answers are the Sybils': more than their share of
	// the peers, since they choose ids close to the stream's key.
	sybilShare = 0.9
	// sybilsASubnet is how many identities one network of theirs has.
	sybilsASubnet = 16
)

// toll is a shard's part of it.
type toll struct{ refused, played, forwarded, bans, honestBanned int }

// vile says whether the next viewer attacks, and what it does: every attacker
// at the same distance from the one before, so that the share is exact.
func (e *engine) vile() string {
	if e.set.Attack == NoAttack {
		return ""
	}
	if e.vileness += e.set.Attackers; e.vileness < 1 {
		return ""
	}
	e.vileness--
	if e.set.Attack != AllAttacks {
		return e.set.Attack
	}
	all := adversary.Attacks()
	return all[len(e.foes)%len(all)]
}

// newFoe puts an attacker around the core of p.
func (e *engine) newFoe(c *overlay.Peer, p *peer, rng *rand.Rand) *adversary.Core {
	return adversary.New(c, adversary.Config{Attack: p.attack, Number: len(e.foes), Self: p.id, Stripes: e.set.Stripes, Objects: e.set.Objects,
		Rand: rng, Now: time.Duration(e.now), Strike: time.Duration(e.begin) + strikeAfter,
		Likes: func() []overlay.PeerID { return e.foes },
		Prey: func() overlay.PeerID {
			if p := &e.peers[rng.IntN(len(e.peers))]; p.foe == nil {
				return p.id
			}
			return 0
		}})
}

// arm makes an attacker's place of a viewer's: it can be reached from
// everywhere, and has as good a line as any.
func (s *Settings) arm(p *profile) {
	p.nat, p.free = natOpen, false
	p.up = s.most() / (1 - s.Headroom)
	switch p.slots = s.slotsFor(p.up); p.attack {
	case adversary.LiePath:
		p.slots = adversary.Claimed
	case adversary.FakeUrgent, adversary.FreeRide, adversary.SybilDHT:
		p.slots = 0
	}
}

// subnetOf is the network of a peer: honest viewers and most attackers live in
// one of their own, those who need many identities have them in few.
func (e *engine) subnetOf(p *peer) uint32 {
	if e.set.Attack == NoAttack {
		return 0
	}
	if p.foe != nil && (p.foe.Attack == adversary.Eclipse || p.foe.Attack == adversary.SybilDHT) {
		return 1 + uint32(p.foe.Number)/sybilsASubnet
	}
	return 1<<20 + p.index
}

// captured says whether the DHT answers with Sybils.
func (e *engine) captured() bool { return len(e.sybils) > 0 }

// poisoned is what a look-up finds where Sybils sit around the key.
func (e *engine) poisoned(p *peer, honest []uint32) []uint32 {
	var all []uint32
	for n := range providers {
		switch {
		case p.rng.Float64() < sybilShare:
			all = append(all, e.sybils[p.rng.IntN(len(e.sybils))])
		case n < len(honest):
			all = append(all, honest[n])
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(i uint32) bool { return i == p.index })
}

// banned notes who was banned by an honest peer.
func (s *shard) banned(p *peer, id overlay.PeerID) {
	if i := indexOf(id); p.foe == nil && int(i) < len(s.e.peers) {
		if s.e.peers[i].foe != nil {
			s.toll.bans++
		} else {
			s.toll.honestBanned++
		}
	}
}

// refused is the live runtime's answer to an object that does not verify: the
// core hears that, and nothing else of it. false: it is to be taken as it is.
func (s *shard) refused(p *peer, ev *event, from overlay.PeerID) bool {
	if !ev.bad {
		return false
	}
	if s.e.blind {
		return false
	}
	if p.foe == nil {
		s.toll.refused++
		if p.view != nil {
			p.view.m.Rejected++
		}
	}
	s.step(p, overlay.Event{Kind: overlay.EvBad, Peer: from})
	return true
}

// soil notes that p took the object that is being handled, and that it does not verify.
func (s *shard) soil(p *peer, seq uint64) {
	if s.badNow && p.foe == nil {
		if p.tainted == nil {
			p.tainted = map[uint64]bool{}
		}
		p.tainted[seq] = true
		s.toll.played++
	}
}

// spoils says whether what p sends as object seq does not verify.
func (s *shard) spoils(p *peer, seq uint64) bool {
	if p.foe != nil {
		return p.foe.Attack == adversary.Pollute
	}
	if p.tainted[seq] {
		s.toll.forwarded++
		return true
	}
	return false
}

// hostility sums up; nil: nobody attacked.
func (e *engine) hostility(r *Result) *measure.Hostility {
	if e.set.Attack == NoAttack {
		return nil
	}
	h := &measure.Hostility{Attackers: len(e.foes)}
	for _, s := range e.shards {
		h.BadRefused += s.toll.refused
		h.BadPlayed += s.toll.played
		h.BadForwarded += s.toll.forwarded
		h.Bans += s.toll.bans
		h.HonestBanned += s.toll.honestBanned
	}
	for i := range r.Viewers {
		h.Watch(&r.Viewers[i].Report)
	}
	return h
}

// attackWords is for the settings: what can be said.
func attackWords() []string {
	return append(append([]string{NoAttack}, adversary.Attacks()...), AllAttacks)
}

// hostile makes the scenario of one attack.
func hostile(name, attack, question string) Scenario {
	return builtin(name, 2000, question, "honest viewers' continuity at least 0.99 with a tenth of attackers; no bad object played or forwarded, nobody honest banned",
		func(s *Scenario) {
			s.Settings.Attack, s.Settings.Attackers = attack, 0.1
			s.Settings.Buffer, s.Settings.Duration = 2*time.Second, 30*time.Second
		})
}

// hostileScenarios are one for each attack, and all at once.
func hostileScenarios() []Scenario {
	questions := map[string]string{
		adversary.Pollute:    "A tenth of the peers send objects that do not verify: does anybody play or pass them on?",
		adversary.Withhold:   "A tenth say that they send, and send nothing, or every other object: who notices?",
		adversary.Delay:      "A tenth send everything as late as is not noticed: who is still in time?",
		adversary.LiePath:    "A tenth say that they are next to the publisher and have room for everybody: who believes it?",
		adversary.FakeUrgent: "A tenth take places as urgent orphans with a great uplink, and report the living dead",
		adversary.PullFlood:  "A tenth ask everybody for everything, all the time: who pays?",
		adversary.Eclipse:    "A tenth fill views with their like, and then stop sending at once: who finds the others?",
		adversary.FreeRide:   "A tenth say that they have room, and refuse everybody",
		adversary.SybilDHT:   "A tenth are nine in ten answers of the DHT, and refuse everybody",
	}
	var all []Scenario
	for _, a := range adversary.Attacks() {
		all = append(all, hostile(a, a, questions[a]))
	}
	return append(all, hostile("hostile", AllAttacks, "A tenth of the peers attack, in nine ways at once"))
}

package sim

// This file answers: who are the viewers, where are they, and what are their
// lines like?

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
)

// lognormal is given by the mean and deviation of the natural logarithm.
type lognormal struct{ mu, sigma float64 }

func ln(median, sigma float64) lognormal { return lognormal{math.Log(median), sigma} }

func (l lognormal) draw(rng *rand.Rand) float64 { return math.Exp(l.mu + l.sigma*rng.NormFloat64()) }

func (l lognormal) mean() float64 { return math.Exp(l.mu + l.sigma*l.sigma/2) }

// sessions are the lengths of views in seconds: Veloso et al., IMC 2002.
var sessions = lognormal{5.19, 1.44}

// residual draws what is left of a view that is under way at a random moment:
// such views are long ones, by their length, and any part of them is over.
func residual(rng *rand.Rand) float64 {
	l := lognormal{sessions.mu + sessions.sigma*sessions.sigma, sessions.sigma}
	return l.draw(rng) * rng.Float64()
}

// access is one kind of line.
type access struct {
	name   string
	share  float64       // of the world's viewers; a choice
	upload lognormal     // Mbit/s: medians Ookla 2022–2025, spreads a choice
	down   lognormal     // Mbit/s: Ookla mid-2022, scaled by kind; a choice
	rtt    time.Duration // of the last mile: Ookla 2022
	loss   float64       // of a packet: Gilbert–Elliott p/(p+r), str0m's presets
}

var accesses = []access{
	{"fibre", 0.50, ln(100, 0.8), ln(200, 0.87), 8 * time.Millisecond, 0.001},
	{"cable", 0.20, ln(20, 0.5), ln(150, 0.87), 13 * time.Millisecond, 0.001},
	{"dsl", 0.10, ln(10, 0.6), ln(50, 0.6), 15 * time.Millisecond, 0.001},
	{"mobile", 0.20, ln(9, 0.8), ln(60, 0.8), 32 * time.Millisecond, 0.02},
}

// region is where AWS has measured round trips from.
type region struct {
	name  string
	share float64 // of the viewers: a choice, after where people and lines are
}

var regions = []region{
	{"us-east-1", 0.18}, {"us-west-2", 0.10}, {"sa-east-1", 0.10}, {"eu-west-1", 0.13}, {"eu-central-1", 0.17},
	{"me-south-1", 0.04}, {"ap-south-1", 0.12}, {"ap-southeast-1", 0.06}, {"ap-northeast-1", 0.06}, {"ap-southeast-2", 0.02}, {"af-south-1", 0.02},
}

// regionRTT is the median round trip between regions over one year, ms
// (commonwarexyz/monorepo, examples/estimator/src/p50.json).
var regionRTT = [11][11]float64{
	{6, 64, 115, 70, 93, 162, 193, 220, 150, 200, 228},
	{64, 3, 175, 118, 143, 215, 222, 160, 98, 141, 275},
	{115, 175, 3, 179, 205, 273, 302, 328, 259, 312, 339},
	{70, 118, 179, 3, 27, 98, 126, 179, 202, 256, 160},
	{93, 142, 204, 27, 4, 86, 129, 160, 227, 251, 156},
	{162, 263, 273, 99, 87, 3, 39, 99, 176, 189, 251},
	{190, 222, 301, 125, 129, 38, 3, 64, 133, 155, 274},
	{219, 161, 328, 179, 161, 98, 64, 4, 71, 95, 317},
	{150, 99, 258, 202, 228, 175, 134, 71, 3, 107, 358},
	{200, 141, 312, 256, 252, 189, 155, 95, 106, 4, 409},
	{226, 273, 337, 158, 155, 247, 272, 314, 357, 409, 4},
}

// farther is how much a viewer's way to the region's data centre adds to the
// last mile, one way, ms: a region is a part of the world. A choice.
var farther = ln(4, 0.7)

// hardness of a viewer's NAT (POPULATIONS: open 0.10, easy 0.60, hard 0.25,
// blocked 0.05, made to give the measured 70 % of hole punches that succeed).
type hardness uint8

const (
	natOpen hardness = iota
	natEasy
	natHard
	natBlocked
)

// direct is the chance that two peers can have a direct connection. Who is
// blocked reaches only those in the open, over TCP.
func direct(a, b hardness) float64 {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == natOpen:
		return 1
	case b == natBlocked:
		return 0
	case b == natEasy:
		return 0.90
	case a == natEasy:
		return 0.60
	}
	return 0.05
}

// profile is one viewer's place and line.
type profile struct {
	region  uint8
	access  uint8
	nat     hardness
	oneWay  time.Duration // from the viewer to the region's middle
	up      float64       // bit/s
	down    float64       // bit/s
	loss    float64       // of a packet
	slots   int
	free    bool // gives nothing
	standby bool // publishes when the publisher is gone
	attack  string
}

// share draws an index by its share.
func share[T any](rng *rand.Rand, all []T, of func(*T) float64) int {
	x := rng.Float64()
	for i := range all {
		if x -= of(&all[i]); x < 0 {
			return i
		}
	}
	return len(all) - 1
}

// What one viewer gives at most, in streams: players and data plans have
// limits. Choices. Published uplinks carry this stream dozens of times, so that
// the first decides there; the second bounds the giants of scaled ones.
const (
	maxContribution       = 4
	maxScaledContribution = 32
)

func (s *Settings) most() float64 {
	if s.Capacity > 0 {
		return maxScaledContribution * s.Bitrate()
	}
	return maxContribution * s.Bitrate()
}

// draw makes a viewer; give sets what it has for others.
func (s *Settings) draw(rng *rand.Rand) profile {
	var p profile
	p.region = uint8(share(rng, regions, func(r *region) float64 { return r.share }))
	p.access = uint8(share(rng, accesses, func(a *access) float64 { return a.share }))
	a := &accesses[p.access]
	away := min(farther.draw(rng), 30)
	if s.Population == "metro" { // round trips under 20 ms
		p.region, away = 4, rng.Float64()
		if a.name == "mobile" { // on Wi-Fi at home instead
			p.access = 0
			a = &accesses[0]
		}
	}
	p.oneWay = a.rtt/2 + time.Duration(away*float64(time.Millisecond))
	if s.Population == "metro" {
		p.oneWay = min(p.oneWay, 4400*time.Microsecond)
	}
	switch x := rng.Float64(); {
	case !s.NAT || x < 0.10:
		p.nat = natOpen
	case x < 0.70:
		p.nat = natEasy
	case x < 0.95:
		p.nat = natHard
	default:
		p.nat = natBlocked
	}
	p.up = a.upload.draw(rng) * 1e6
	p.down = max(a.down.draw(rng)*1e6, 2*s.Bitrate())
	p.loss = min(a.loss*s.Loss, 0.3)
	p.free = rng.Float64() < s.FreeRiders
	return p
}

// scale makes all viewers' uplinks together Capacity streams for each, and
// returns the factor for those who come later. Uplinks are so unequal that a
// few hundred of them are far from their mean now and then: what is asked is
// what a network with so much can do.
func (s *Settings) scale(all []profile) float64 {
	factor := 1.0
	for range 3 { // bounding the largest takes from the mean
		sum := 0.0
		for i := range all {
			if !all[i].free {
				sum += min(all[i].up*factor, s.most())
			}
		}
		if s.Capacity == 0 || sum == 0 {
			break
		}
		factor *= s.Capacity * s.Bitrate() * float64(len(all)) / sum
	}
	for i := range all {
		s.give(&all[i], factor)
	}
	return factor
}

// give sets uplink and slots: what the uplink carries beside the headroom.
func (s *Settings) give(p *profile, factor float64) {
	p.up = min(p.up*factor, s.most()/(1-s.Headroom))
	if p.free {
		p.up = max(p.up, s.Bitrate()/4) // requests and control need some
	} else {
		p.slots = s.slotsFor(p.up)
	}
}

func (s *Settings) slotsFor(up float64) int {
	return min(int(up*(1-s.Headroom)*float64(s.Stripes)/(s.Bitrate()*failover.StreamOverhead)), 65535)
}

// publisher is well connected, in the middle of Europe's region.
func (s *Settings) publisher() profile {
	up := s.Publisher * s.Bitrate()
	return profile{region: 4, nat: natOpen, oneWay: time.Millisecond, up: up * failover.StreamOverhead / (1 - s.Headroom), down: 1e9, loss: 0.0001 * s.Loss,
		slots: min(int(s.Publisher*float64(s.Stripes)), 65535)}
}

// Bitrate of the stream on the wire, bit/s.
func (s *Settings) Bitrate() float64 { return s.Objects * float64(s.ObjectSize) * 8 }

// base is the undisturbed one-way time between two viewers.
func base(a, b *profile) time.Duration {
	ms := (regionRTT[a.region][b.region] + regionRTT[b.region][a.region]) / 4
	if a.region == b.region && a.oneWay < 8*time.Millisecond && b.oneWay < 8*time.Millisecond {
		ms /= 2
	}
	return max(lookahead, a.oneWay+b.oneWay+time.Duration(ms*float64(time.Millisecond)))
}

// jitter is a message's extra delay: lognormal with a median of a tenth of its
// 99th percentile, bounded at four times that. A choice of shape: most are
// small, some are Wi-Fi's.
func jitter(rng *rand.Rand, p99 float64) time.Duration {
	if p99 == 0 {
		return 0
	}
	const sigma = 2.302585 / 2.326348 // ln 10 / z(0.99)
	return time.Duration(min(p99/10*math.Exp(sigma*rng.NormFloat64()), 4*p99))
}

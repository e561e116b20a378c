package stack

// This file answers: who are the hosts, where are they, and what are their
// lines like?

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/sim"
)

// Network says who takes part. Host 0 is the publisher; viewers follow in the
// order in which they come, those who replace others too. Its methods are
// called from several goroutines, and answer the same every time.
type Network interface {
	// Line describes host i.
	Line(i int) Line
	// Way is the undisturbed one-way time from host a to host b.
	Way(a, b int) time.Duration
}

// Line of one host.
type Line struct {
	Region, Access string
	Up, Down       float64 // bit/s
	Loss           float64 // of a packet, in either direction
	Slots          int     // room for children in all stripes together; 0: relays nothing
}

// NewNetwork returns the network of a run. This is the one place to change for
// another population.
func NewNetwork(set sim.Settings, peers int, seed uint64) Network {
	return newBuiltin(set, peers, seed)
}

// area is a part of the world; the shares are a choice, as in the model.
type area struct {
	name  string
	share float64
}

var areas = []area{{"us-east-1", 0.28}, {"sa-east-1", 0.12}, {"eu-central-1", 0.32}, {"ap-south-1", 0.14}, {"ap-northeast-1", 0.14}}

// areaRTT is the median round trip between areas, ms (POPULATIONS: AWS over a
// year, means of both directions).
var areaRTT = [5][5]float64{
	{6, 115, 93, 192, 150},
	{115, 3, 205, 302, 259},
	{93, 205, 4, 129, 228},
	{192, 302, 129, 3, 134},
	{150, 259, 228, 134, 3},
}

// lineKind is one kind of access: share, median and spread of the upload in
// Mbit/s, last mile round trip, loss (POPULATIONS).
type lineKind struct {
	name         string
	share        float64
	up, spread   float64
	down         float64 // Mbit/s, median
	rtt          time.Duration
	loss         float64
	wiredInstead bool // in metro
}

var lineKinds = []lineKind{
	{"fibre", 0.50, 100, 0.8, 200, 8 * time.Millisecond, 0.001, false},
	{"cable", 0.20, 20, 0.5, 150, 13 * time.Millisecond, 0.001, false},
	{"dsl", 0.10, 10, 0.6, 50, 15 * time.Millisecond, 0.001, false},
	{"mobile", 0.20, 9, 0.8, 60, 32 * time.Millisecond, 0.02, true},
}

// most is what one viewer gives at most, in streams; as in the model.
const most = 4

// builtin is a small population in five regions, or in one.
type builtin struct {
	set    sim.Settings
	seed   uint64
	factor float64 // from published uplinks to those of the run
}

// host is a draw of one host.
type host struct {
	area   int
	kind   *lineKind
	oneWay time.Duration
	up     float64
	down   float64
	free   bool
}

// newBuiltin makes the first hosts' uplinks together Settings.Capacity streams
// for each.
func newBuiltin(set sim.Settings, peers int, seed uint64) *builtin {
	b := &builtin{set: set, seed: seed, factor: 1}
	for range 3 { // bounding the largest takes from the mean
		sum := 0.0
		for i := 1; i < peers; i++ {
			if h := b.draw(i); !h.free {
				sum += min(h.up*b.factor, most*set.Bitrate())
			}
		}
		if set.Capacity == 0 || sum == 0 {
			break
		}
		b.factor *= set.Capacity * set.Bitrate() * float64(peers-1) / sum
	}
	return b
}

// draw is the same for the same host and seed.
func (b *builtin) draw(i int) host {
	rng := rand.New(rand.NewPCG(b.seed, uint64(i)<<8|5))
	var h host
	x := rng.Float64()
	for h.area = 0; h.area < len(areas)-1; h.area++ {
		if x -= areas[h.area].share; x < 0 {
			break
		}
	}
	x = rng.Float64()
	for k := range lineKinds {
		h.kind = &lineKinds[k]
		if x -= h.kind.share; x < 0 {
			break
		}
	}
	away := min(4*math.Exp(0.7*rng.NormFloat64()), 30)
	if b.set.Population == "metro" {
		h.area, away = 2, rng.Float64()
		if h.kind.wiredInstead {
			h.kind = &lineKinds[0]
		}
	}
	h.oneWay = h.kind.rtt/2 + time.Duration(away*float64(time.Millisecond))
	if b.set.Population == "metro" {
		h.oneWay = min(h.oneWay, 4*time.Millisecond)
	}
	h.up = h.kind.up * 1e6 * math.Exp(h.kind.spread*rng.NormFloat64())
	h.down = max(h.kind.down*1e6*math.Exp(0.7*rng.NormFloat64()), 2*b.set.Bitrate())
	h.free = rng.Float64() < b.set.FreeRiders
	if i == 0 { // well connected, in the middle of Europe
		h = host{area: 2, kind: &lineKinds[0], oneWay: time.Millisecond, up: b.set.Publisher * b.set.Bitrate() * failover.StreamOverhead / (1 - b.set.Headroom), down: 1e9}
	}
	return h
}

// Line implements Network.
func (b *builtin) Line(i int) Line {
	h := b.draw(i)
	l := Line{Region: areas[h.area].name, Access: h.kind.name, Up: h.up, Down: h.down, Loss: h.kind.loss * b.set.Loss}
	rate := b.set.Bitrate()
	if i == 0 {
		l.Slots, l.Loss = int(b.set.Publisher*float64(b.set.Stripes)), 0.0001*b.set.Loss
		return l
	}
	l.Up = min(h.up*b.factor, most*rate)
	if h.free {
		l.Up = max(l.Up, rate/4) // requests and control need some
	} else {
		l.Slots = int(l.Up * (1 - b.set.Headroom) * float64(b.set.Stripes) / (rate * failover.StreamOverhead))
	}
	return l
}

// Way implements Network.
func (b *builtin) Way(i, j int) time.Duration {
	x, y := b.draw(i), b.draw(j)
	ms := areaRTT[x.area][y.area] / 2
	if x.area == y.area {
		ms /= 2
	}
	return x.oneWay + y.oneWay + time.Duration(ms*float64(time.Millisecond))
}

package node

// This file answers: what keeps this peer from being useful? The facts are
// gathered here, and judged in verdicts.go. For `peer doctor`.

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/braidway/braidway/internal/node/p2p"
)

// Levels of a Check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // less useful than it could be, or not known
	CheckFail = "fail" // something does not work
)

// Check is one thing that keeps a peer from being useful, or does not.
type Check struct {
	Name  string `json:"name"` // one of CheckNames
	Level string `json:"level"`
	Found string `json:"found"`
	Fix   string `json:"fix,omitempty"` // what the user can do, unless Level is ok
}

// CheckNames are the checks, in their order.
var CheckNames = []string{"reachability", "nat", "udp-buffers", "files", "clock", "dht", "upload"}

// Checks is the answer of GET /api/v1/checks.
type Checks struct {
	Peer   string    `json:"peer"`
	At     time.Time `json:"at"`
	Checks []Check   `json:"checks"`
}

// wantedBuffer is what quic-go asks for, in bytes, each way.
const wantedBuffer = 7 << 20

// machine is what the operating system allows this process. 0: not known.
type machine struct {
	RecvBuffer, SendBuffer int // bytes that a UDP socket gets, of wantedBuffer
	Files                  uint64
	FilesOpen              int
	ClockKnown             bool
	ClockSynced            bool
	ClockError             time.Duration // at most, when synced
}

// facts are what is judged.
type facts struct {
	machine
	reach p2p.Reach
	ports string // of the listening addresses, as words
	conns int    // most that are allowed
	dht   dhtFacts
	limit int64 // of the upload, bit/s; 0: none was given
	sent  sentFacts
	feeds []feedFacts
}

type dhtFacts struct {
	nodes, bootstrap int
	bootErrs         []error
	asked, answered  int // by the look-up
	took             time.Duration
	err              error
	unannounced      []string // streams whose announcements have failed, with why
}

// sentFacts is what went out while it was looked.
type sentFacts struct {
	bytes int64
	over  time.Duration
}

// feedFacts is how one stream is passed on.
type feedFacts struct {
	id       string
	slots    int
	used     int
	stripes  int
	bitrate  float64 // bit/s
	pressed  bool
	troubles int
	limited  bool
	leaf     bool // takes no children
	age      time.Duration
	aged     bool
}

const (
	// probeTime bounds the DHT look-up of a check.
	probeTime = 5 * time.Second
	// sentLook is how long it is looked what goes out.
	sentLook = time.Second
	// checksLife is how long checks are given again: whoever asks must not be able
	// to make this peer look up all the time.
	checksLife = 5 * time.Second
)

// checkKeeper has the last checks.
type checkKeeper struct {
	mu   sync.Mutex
	last Checks
}

// Checks looks at what keeps the peer from being useful. It takes up to 5 s; what
// was found less than 5 s ago is given again.
func (n *Node) Checks(ctx context.Context) (Checks, error) {
	n.checks.mu.Lock()
	defer n.checks.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Checks{}, err
	}
	if last := n.checks.last; time.Since(last.At) < checksLife {
		return last, nil
	}
	f := n.facts(ctx)
	if err := ctx.Err(); err != nil {
		return Checks{}, err
	}
	n.checks.last = Checks{Peer: n.host.ID().String(), At: time.Now(), Checks: f.judge()}
	return n.checks.last, nil
}

func (n *Node) facts(ctx context.Context) facts {
	f := facts{machine: inspectMachine(), reach: n.host.Reach(), ports: ports(n.host.Network().ListenAddresses()),
		conns: n.host.Limits().Conns, limit: n.cfg.UploadLimit}
	before, began := n.sent(), time.Now()
	look := time.NewTimer(sentLook)
	defer look.Stop()
	f.dht = n.dhtFacts(ctx)
	select {
	case <-look.C:
	case <-ctx.Done():
	}
	f.sent = sentFacts{n.sent() - before, time.Since(began)}
	for _, s := range n.Sessions() {
		if in, ok := s.inside(); ok {
			f.feeds = append(f.feeds, feedFacts{id: s.id.String(), slots: in.Slots, used: in.Used, stripes: s.stripes, bitrate: in.bitrate,
				pressed: in.pressed, troubles: in.troubles, limited: in.limited, leaf: in.off, age: in.age, aged: in.aged})
		}
	}
	return f
}

func (n *Node) dhtFacts(ctx context.Context) dhtFacts {
	d := dhtFacts{nodes: n.dht.Size(), bootstrap: n.dht.BootstrapNodes(), bootErrs: n.dht.BootstrapErrors()}
	if d.nodes > 0 {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		began := time.Now()
		d.asked, d.answered, d.err = n.dht.Probe(ctx)
		d.took = time.Since(began)
	}
	for _, s := range n.Sessions() {
		for what, status := range map[string]func() (p2p.Announcement, bool){
			"record":   func() (p2p.Announcement, bool) { return n.rdv.RecordStatus(s.id) },
			"provider": func() (p2p.Announcement, bool) { return n.rdv.ProvideStatus(s.id) },
		} {
			if a, ok := status(); ok && a.Err != nil {
				d.unannounced = append(d.unannounced, what+" of stream "+s.id.String()[:8]+": "+a.Err.Error())
			}
		}
	}
	return d
}

// sent returns the bytes that went to other peers so far.
func (n *Node) sent() (sum int64) {
	for _, s := range n.Sessions() {
		sum += s.count.outData.Load() + s.count.outCtl.Load()
	}
	return sum
}

// Settled reports whether more time would not tell more about the ways in from
// outside: they are known, nobody was asked, or nobody is there who could tell.
func (n *Node) Settled() bool {
	r := n.host.Reach()
	return r.Reachability != p2p.ReachUnknown || len(r.Reached)+len(r.NotReached) > 0 || !r.Asked || r.Loopback
}

func (n *Node) serveChecks(w http.ResponseWriter, r *http.Request) {
	c, err := n.Checks(r.Context())
	if err != nil {
		http.Error(w, "the checks were not finished: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c)
}

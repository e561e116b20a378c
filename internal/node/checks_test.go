package node

// What `peer doctor` says of what was found, and what a real node finds.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/node/p2p"
)

func TestChecksSayWhatWasFoundAndWhatToDo(t *testing.T) {
	well := func() facts {
		return facts{machine: machine{RecvBuffer: wantedBuffer, SendBuffer: wantedBuffer, Files: 4096, FilesOpen: 20, ClockKnown: true, ClockSynced: true, ClockError: 9 * time.Millisecond},
			reach: p2p.Reach{Asked: true, Reachability: p2p.ReachPublic, NATUDP: p2p.NATIndependent}, ports: "UDP port 4001", conns: 1024,
			dht:   dhtFacts{nodes: 30, bootstrap: 1, asked: 22, answered: 20, took: 300 * time.Millisecond},
			sent:  sentFacts{1_000_000, time.Second},
			feeds: []feedFacts{{id: "abcdefghij", slots: 24, used: 10, stripes: 4, bitrate: 4e6, age: 40 * time.Millisecond, aged: true}}}
	}
	f := well()
	for _, c := range f.judge() {
		if c.Level != CheckOK || c.Fix != "" || c.Found == "" {
			t.Errorf("all is well, but %+v", c)
		}
	}
	for name, c := range map[string]struct {
		change func(*facts)
		check  string
		level  string
		says   []string // in what was found, or in the fix
	}{
		"loopback only": {func(f *facts) { f.reach.Loopback = true }, "reachability", CheckWarn, []string{"loopback", "--listen"}},
		"behind a closed port": {func(f *facts) {
			f.reach.Reachability = p2p.ReachPrivate
			f.reach.NotReached = []string{"/ip4/198.51.100.7/udp/4001"}
		}, "reachability", CheckFail, []string{"198.51.100.7", "UDP port 4001"}},
		"with a circuit":        {func(f *facts) { f.reach.Reachability = p2p.ReachPrivate; f.reach.Circuits = 2 }, "reachability", CheckWarn, []string{"2 circuits", "forward"}},
		"nobody to tell":        {func(f *facts) { f.reach.Reachability = p2p.ReachUnknown }, "reachability", CheckWarn, []string{"no peer outside", "--bootstrap"}},
		"too few to tell":       {func(f *facts) { f.reach.Reachability = p2p.ReachUnknown; f.reach.OutsidePeers = 2 }, "reachability", CheckWarn, []string{"2 peers"}},
		"not asked":             {func(f *facts) { f.reach = p2p.Reach{Reachability: p2p.ReachUnknown} }, "reachability", CheckWarn, []string{"--no-nat"}},
		"a bootstrap node":      {func(f *facts) { f.reach.Assumed = true }, "reachability", CheckWarn, []string{"taken to be public"}},
		"one address was tried": {func(f *facts) { f.reach.Assumed = true; f.reach.Reached = []string{"/ip4/198.51.100.7/udp/4001"} }, "reachability", CheckOK, []string{"198.51.100.7"}},
		"a symmetric NAT":       {func(f *facts) { f.reach.Reachability = p2p.ReachPrivate; f.reach.NATUDP = p2p.NATDependent }, "nat", CheckFail, []string{"symmetric", "forward a UDP port"}},
		"one that is forwarded": {func(f *facts) { f.reach.NATUDP = p2p.NATDependent }, "nat", CheckOK, []string{"not in the way"}},
		"an unknown NAT":        {func(f *facts) { f.reach.Reachability = p2p.ReachUnknown; f.reach.NATUDP = p2p.NATUnknown }, "nat", CheckWarn, []string{"a minute"}},
		"Linux's own buffers":   {func(f *facts) { f.RecvBuffer = 212992; f.SendBuffer = 212992 }, "udp-buffers", CheckWarn, []string{"0.2 MiB", "34 Mbps", "sysctl -w net.core.rmem_max=7500000"}},
		"tiny buffers":          {func(f *facts) { f.RecvBuffer = 16384 }, "udp-buffers", CheckFail, []string{"2.6 Mbps", "sysctl"}},
		"few files":             {func(f *facts) { f.Files = 1024 }, "files", CheckWarn, []string{"1024 files", "LimitNOFILE=2560"}},
		"no files left":         {func(f *facts) { f.FilesOpen = 4000 }, "files", CheckFail, []string{"4000 of 4096"}},
		"a slow clock":          {func(f *facts) { f.feeds[0].age = -2 * time.Second }, "clock", CheckFail, []string{"2s behind", "set-ntp"}},
		"a fast clock":          {func(f *facts) { f.feeds[0].age = 2 * time.Minute }, "clock", CheckFail, []string{"2m0s old"}},
		"a clock on its own":    {func(f *facts) { f.ClockSynced = false; f.feeds = nil }, "clock", CheckWarn, []string{"chrony"}},
		"one that agrees":       {func(f *facts) { f.ClockSynced = false }, "clock", CheckOK, []string{"40.0 ms old"}},
		"an empty DHT":          {func(f *facts) { f.dht = dhtFacts{} }, "dht", CheckWarn, []string{"no node", "--bootstrap"}},
		"a dead bootstrap node": {func(f *facts) {
			f.dht = dhtFacts{bootstrap: 1, bootErrs: []error{errors.New("bootstrap node X: refused")}}
		}, "dht", CheckFail, []string{"X: refused", "UDP"}},
		"a DHT that is silent":   {func(f *facts) { f.dht.answered = 0; f.dht.err = errors.New("too late") }, "dht", CheckFail, []string{"none of 22", "too late"}},
		"a thin DHT":             {func(f *facts) { f.dht.nodes, f.dht.asked, f.dht.answered = 2, 2, 2 }, "dht", CheckWarn, []string{"2 nodes", "more nodes"}},
		"a DHT half gone":        {func(f *facts) { f.dht.answered = 5 }, "dht", CheckWarn, []string{"only 5 of 22"}},
		"nothing announced":      {func(f *facts) { f.dht.unannounced = []string{"record of stream abc: superseded"} }, "dht", CheckWarn, []string{"superseded"}},
		"a line under pressure":  {func(f *facts) { f.feeds[0].pressed = true }, "upload", CheckFail, []string{"8.0 Mbps go out", "--upload-limit"}},
		"slots were given up":    {func(f *facts) { f.feeds[0].troubles = 3 }, "upload", CheckWarn, []string{"3 times"}},
		"less than one copy":     {func(f *facts) { f.feeds[0].slots = 3 }, "upload", CheckWarn, []string{"less than one copy", "3.3 Mbps"}},
		"nothing measured":       {func(f *facts) { f.feeds = nil }, "upload", CheckWarn, []string{"not measured"}},
		"told, and not measured": {func(f *facts) { f.feeds = nil; f.limit = 50e6 }, "upload", CheckWarn, []string{"50.0 Mbps", "not measured"}},
		"a viewer that is leaf":  {func(f *facts) { f.feeds[0].leaf = true; f.feeds[0].slots = 0 }, "upload", CheckOK, []string{"takes no children"}},
	} {
		f := well()
		c.change(&f)
		for _, got := range f.judge() {
			if got.Name != c.check {
				continue
			}
			if got.Level != c.level || (got.Level == CheckOK) != (got.Fix == "") {
				t.Errorf("%s: %+v, want %s", name, got, c.level)
			}
			for _, s := range c.says {
				if !strings.Contains(got.Found+" → "+got.Fix, s) {
					t.Errorf("%s: no word of %q in %q, %q", name, s, got.Found, got.Fix)
				}
			}
		}
	}
}

func TestARunningPeerIsCheckedOverTheAdminAPI(t *testing.T) {
	boot := newNode(t, newKey(t))
	p := publish(t, newNode(t, newKey(t), boot))
	go feed(t, p, 1, 30*time.Second)
	v := view(t, newNode(t, newKey(t), boot), p.Link())
	v.out.waitFor(t, "the viewer plays", func(b []byte) bool { return len(b) > 0 })
	inDHT(t, boot, p.ID())
	ask := func(n *Node) map[string]Check {
		o := watchNode(t, n)
		res, err := http.Get(o.addr + "/api/v1/checks")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		var c Checks
		if err := json.NewDecoder(res.Body).Decode(&c); err != nil || c.Peer != n.host.ID().String() {
			t.Fatalf("%v, %+v", err, c)
		}
		found := map[string]Check{}
		for i, k := range c.Checks {
			if k.Name != CheckNames[i] {
				t.Errorf("check %d is %q, want %q", i, k.Name, CheckNames[i])
			}
			found[k.Name] = k
		}
		if again, err := n.Checks(context.Background()); err != nil || again.At.Sub(c.At) != 0 {
			t.Errorf("asked again at once, it looks again: %v", err)
		}
		return found
	}
	viewer := ask(v.node)
	for name, word := range map[string]string{"reachability": "loopback", "dht": "answered a look-up", "clock": "old on arrival", "upload": "room for"} {
		if !strings.Contains(viewer[name].Found, word) || viewer[name].Level == CheckFail {
			t.Errorf("the viewer: %+v, want %q", viewer[name], word)
		}
	}
	if up := ask(p.node)["upload"]; up.Level != CheckOK || !strings.Contains(up.Found, "taken") || strings.Contains(up.Found, " 0 taken") || strings.Contains(up.Found, "0.0 Mbps go out") {
		t.Errorf("the publisher: %+v", up)
	}
}

func TestTheYoungestObjectOfLateTellsTheClocksApart(t *testing.T) {
	var a ages
	if _, ok := a.least(0); ok {
		t.Error("an age before anything came")
	}
	a.add(time.Second, 40*time.Millisecond)
	a.add(2*time.Second, 900*time.Millisecond)
	if d, ok := a.least(2 * time.Second); !ok || d != 40*time.Millisecond {
		t.Errorf("%v, %v", d, ok)
	}
	a.add(70*time.Second, 2*time.Second) // the clock was set
	if d, _ := a.least(71 * time.Second); d != 40*time.Millisecond {
		t.Errorf("forgotten too soon: %v", d)
	}
	a.add(140*time.Second, 3*time.Second)
	if d, _ := a.least(141 * time.Second); d != 2*time.Second {
		t.Errorf("%v, want 2s", d)
	}
	if _, ok := a.least(10 * time.Minute); ok {
		t.Error("an age of long ago")
	}
}

package node

// What operators see of each failure, through the admin API.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// operator watches a node through its admin API.
type operator struct {
	addr string
	mu   sync.Mutex
	seen []TraceEvent
}

func watchNode(t *testing.T, n *Node) *operator {
	t.Helper()
	a, err := n.StartAdmin(AdminConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{addr: "http://" + a.Addr}
	res, err := http.Get(o.addr + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close(); _ = a.Close() })
	go func() {
		for sc := bufio.NewScanner(res.Body); sc.Scan(); {
			if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				var e TraceEvent
				if json.Unmarshal([]byte(data), &e) == nil {
					o.mu.Lock()
					o.seen = append(o.seen, e)
					o.mu.Unlock()
				}
			}
		}
	}()
	return o
}

// waitFor waits for an event that satisfies ok.
func (o *operator) waitFor(t *testing.T, event string, ok func(TraceEvent) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		o.mu.Lock()
		seen := slices.Clone(o.seen)
		o.mu.Unlock()
		if slices.ContainsFunc(seen, func(e TraceEvent) bool { return e.Event == event && ok(e) }) {
			return
		}
		if time.Now().After(end) {
			var names []string
			for _, e := range seen {
				names = append(names, e.Event)
			}
			t.Fatalf("no event %s as expected; there were %v", event, slices.Compact(names))
		}
	}
}

// metric returns a metric's value, summed up over what the labels leave open.
func (o *operator) metric(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	res, err := http.Get(o.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	found := false
	for sc := bufio.NewScanner(res.Body); sc.Scan(); {
		line := sc.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") ||
			slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatal(line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("no metric %s with %v", name, labels)
	}
	return sum
}

func (o *operator) event(t *testing.T, name string) float64 {
	t.Helper()
	return o.metric(t, "braidway_events_total", fmt.Sprintf("event=%q", name))
}

// neighbour opens an exchange with n about a stream, as another peer would.
func neighbour(t *testing.T, n *Node, id stream.ID) network.Stream {
	t.Helper()
	h, err := p2p.NewHost(p2p.HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	if err := h.Connect(context.Background(), n.Host().AddrInfo()); err != nil {
		t.Fatal(err)
	}
	ctl, err := h.NewStream(context.Background(), n.Host().ID(), ControlProtocol)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = ctl.Write(appendFrame(nil, frameOpen, id[:]))
	r := bufio.NewReader(ctl)
	if kind, body, err := readFrame(r, maxFrame); err != nil || kind != frameWelcome || body[0] != welcomeYes {
		t.Fatal(kind, err)
	}
	_, _ = ctl.Write(appendFrame(nil, frameReady, nil))
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return ctl
}

func TestOperatorsSeeWhoIsTurnedDownWhoLeavesAndThatThePeerWasStopped(t *testing.T) {
	p := publish(t, newNode(t, newKey(t)))
	go feed(t, p, 1, 30*time.Second)
	n := newNode(t, newKey(t))
	o := watchNode(t, n)
	s, err := n.Join(p.Link(), SessionConfig{Role: RoleViewer, NoRelay: true})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Started()
	o.waitFor(t, "join", func(TraceEvent) bool { return true })
	ctl := neighbour(t, n, p.ID())
	say := func(m overlay.Message) {
		_, _ = ctl.Write(appendFrame(nil, frameMessage, overlay.AppendMessage(nil, m)))
	}
	self := ctl.Conn().LocalPeer().String()
	say(overlay.Hello{Slots: 8, Epoch: p.Epoch()})
	say(overlay.Subscribe{Stripe: 1, Latest: true})
	o.waitFor(t, "refuse", func(e TraceEvent) bool { return e.Peer == self && e.Code == "BUSY" && e.Stripe == 1 })
	say(overlay.Refuse{Stripe: 2, Code: overlay.CodeNotYet, Wait: 500 * time.Millisecond})
	o.waitFor(t, "refused", func(e TraceEvent) bool {
		return e.Peer == self && e.Code == "NOT_YET" && e.Stripe == 2 && e.WaitMS == 500
	})
	say(overlay.Miss{Code: overlay.CodeGone, Epoch: p.Epoch(), Bits: 7})
	say(overlay.GoAway{Stripe: overlay.AllStripes, Wait: 3 * time.Second})
	o.waitFor(t, "goaway", func(e TraceEvent) bool { return e.Peer == self && e.WaitMS == 3000 })
	s.Do(func() { time.Sleep(300 * time.Millisecond) })
	o.waitFor(t, "stall", func(e TraceEvent) bool { return e.WaitMS >= 80 })

	for _, c := range []struct {
		least  float64
		labels []string
	}{
		{1, []string{`kind="subscription"`, `code="BUSY"`, `direction="sent"`}},
		{1, []string{`kind="subscription"`, `code="NOT_YET"`, `direction="received"`}},
		{3, []string{`kind="object"`, `code="GONE"`, `direction="received"`}},
	} {
		if got := o.metric(t, "braidway_refused_total", c.labels...); got < c.least {
			t.Errorf("%v refused with %v, want %v and more", got, c.labels, c.least)
		}
	}
	st := n.State()
	if v := st.Streams[0]; st.Draining || v.Refused["BUSY"] == 0 || v.RefusedBy["NOT_YET"] == 0 || v.Counts.Stalls == 0 || v.Waiting != "" {
		t.Errorf("state %+v", v)
	}
	if got := o.metric(t, "braidway_started"); got != 1 {
		t.Errorf("started is %v", got)
	}
	n.Drain(context.Background(), time.Second)
	o.waitFor(t, "drain", func(e TraceEvent) bool { return e.WaitMS == 1000 && e.Stream == p.ID().String() })
	o.waitFor(t, "drained", func(TraceEvent) bool { return true })
	if !n.State().Draining || o.metric(t, "braidway_draining") != 1 {
		t.Error("it does not say that it is draining")
	}
}

func TestOperatorsSeeAStreamThatIsNotThereYet(t *testing.T) {
	link, err := stream.NewLink(pubOf(newKey(t)), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := newNode(t, newKey(t)), newNode(t, newKey(t))
	a, b := watchNode(t, first), watchNode(t, second)
	if _, err := first.Join(link, SessionConfig{Role: RoleViewer}); err != nil {
		t.Fatal(err)
	}
	for _, addr := range first.Host().P2PAddrs() {
		link.Addrs = append(link.Addrs, addr.String())
	}
	if _, err := second.Join(link, SessionConfig{Role: RoleViewer}); err != nil {
		t.Fatal(err)
	}
	a.waitFor(t, "refuse", func(e TraceEvent) bool { return e.Code == "NOT_YET" && e.Peer == second.Host().ID().String() })
	b.waitFor(t, "refused", func(e TraceEvent) bool { return e.Code == "NOT_YET" && e.Peer == first.Host().ID().String() })
	if st := second.State().Streams[0]; st.Started || !strings.Contains(st.Waiting, "link: ") {
		t.Errorf("state %+v", st)
	}
	if got := b.metric(t, "braidway_started"); got != 0 {
		t.Errorf("started is %v", got)
	}
}

func TestOperatorsSeeALockATakeOverAndWhoIsFencedOff(t *testing.T) {
	p := newPair(t, true)
	inDHT(t, p.boot, p.active.ID())
	active, standby := watchNode(t, p.active.node), watchNode(t, p.standby.node)
	third := newNode(t, newKey(t), p.boot)
	o := watchNode(t, third)
	var locked *LockedError
	if _, err := third.Publish(context.Background(), PublishConfig{Name: "test", Key: p.key}); !errors.As(err, &locked) {
		t.Fatalf("error %v, want a LockedError", err)
	}
	first, second := p.active.node.host.ID().String(), p.standby.node.host.ID().String()
	o.waitFor(t, "locked", func(e TraceEvent) bool {
		return e.Peer == first && e.Epoch == p.active.Epoch() && e.WaitMS > 0 && e.Stream == p.active.ID().String()
	})
	p.follows(t)
	if st := p.active.node.State().Streams[0]; st.Standing != StandingActive || !slices.Equal(st.Heirs, []string{second}) {
		t.Errorf("the active publisher: %+v", st)
	}
	if st := p.standby.node.State().Streams[0]; st.Standing != StandingStandby || !st.Standby || st.Publisher != first {
		t.Errorf("the standby: %+v", st)
	}
	if active.metric(t, "braidway_standby_publishers") != 1 || active.metric(t, "braidway_publisher", `standing="active"`) != 1 ||
		standby.metric(t, "braidway_publisher", `standing="standby"`) != 1 || active.event(t, "heir") != 1 || standby.event(t, "standby") != 1 {
		t.Error("metrics do not tell the two apart")
	}
	old := p.active.Epoch()
	p.fault.Freeze()
	waitActive(t, p.standby, failover.LeaseSilence+failover.LeaseSpread+time.Second)
	standby.waitFor(t, "takeover", func(e TraceEvent) bool { return e.Peer == first && e.Epoch > old })
	if got := standby.metric(t, "braidway_publisher", `standing="active"`); got != 1 {
		t.Errorf("active is %v", got)
	}
	p.fault.Thaw()
	active.waitFor(t, "fenced", func(e TraceEvent) bool { return e.Peer == second && e.Epoch > old })
	active.waitFor(t, "standby", func(e TraceEvent) bool { return e.Peer == second })
	if st := p.active.node.State().Streams[0]; st.Standing != StandingStandby {
		t.Errorf("fenced off, it stands %q", st.Standing)
	}
}

func TestOperatorsSeePressureOnTheUplink(t *testing.T) {
	s := newSlotKeeper(16*1_000_000, false, 4, 4_000_000)
	now := time.Duration(0)
	look := func(behind int) []string {
		before := s
		s.tick(now, failover.Look{Used: 10, Children: 10, Behind: behind})
		now += failover.UplinkLook
		return s.news(&before)
	}
	for step, c := range []struct {
		behind int
		want   []string
	}{
		{9, []string{eventPressed, eventSlots}}, {9, nil}, {0, []string{eventSlots}},
		{9, []string{eventPressed, eventSlots}}, {9, nil}, {9, nil}, {9, nil}, {9, nil}, {9, []string{eventShrink, eventSlots}}, {0, nil},
	} {
		if got := look(c.behind); !slices.Equal(got, c.want) {
			t.Errorf("look %d: %v, want %v", step, got, c.want)
		}
	}
}

func TestEveryEventHasACountFromTheStart(t *testing.T) {
	c := newTraceCounts()
	if c["unknown"] != nil || c[overlay.TracePublish.String()] == nil || c[eventSlots] == nil {
		t.Errorf("counts of %d events", len(c))
	}
	want := len(runtimeEvents)
	for t := overlay.Trace(1); t.String() != "unknown"; t++ {
		want++
	}
	if len(c) != want {
		t.Errorf("%d names, want %d: two are alike", len(c), want)
	}
}

package node

// This file answers: is what was found good enough for a peer that is to be
// useful, and if not, what can its user do? Every threshold says where it is from.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

// judge returns a Check for each of CheckNames.
func (f *facts) judge() []Check {
	all := []Check{f.reachability(), f.nat(), f.buffers(), f.files(), f.clock(), f.dht.judge(), f.upload()}
	for i := range all {
		all[i].Name = CheckNames[i]
	}
	return all
}

func ok(format string, args ...any) Check {
	return Check{Level: CheckOK, Found: fmt.Sprintf(format, args...)}
}

func warn(fix, format string, args ...any) Check {
	return Check{Level: CheckWarn, Found: fmt.Sprintf(format, args...), Fix: fix}
}

func fail(fix, format string, args ...any) Check {
	return Check{Level: CheckFail, Found: fmt.Sprintf(format, args...), Fix: fix}
}

// reachability judges whether others can connect.
func (f *facts) reachability() Check {
	r := &f.reach
	open := "let " + f.ports + " through, in the machine's firewall and in the cloud's security group; behind a router forward the port to this machine, or turn on UPnP"
	switch {
	case r.Loopback:
		return warn("listen on an outside address, such as --listen /ip4/0.0.0.0/udp/4001/quic-v1", "it listens on loopback only: nobody on another machine can connect")
	case len(r.Reached) > 0:
		return ok("others have connected to %s", strings.Join(r.Reached, ", "))
	case r.Assumed:
		return warn("make sure that others can connect: run peer doctor --bootstrap with this peer's address on another machine", "taken to be public, as a bootstrap node has to be; nobody has tried")
	case r.Reachability == p2p.ReachPublic:
		return ok("others have connected from outside (AutoNAT)")
	case !r.Asked:
		return warn("leave --no-nat out, unless the addresses are known to be reachable", "not asked for (--no-nat): what comes from outside is not known")
	case (r.Reachability == p2p.ReachPrivate || len(r.NotReached) > 0) && r.Circuits > 0:
		return warn(open, "others cannot connect directly; %d circuits through other peers carry control messages, and holes are punched for streams", r.Circuits)
	case r.Reachability == p2p.ReachPrivate || len(r.NotReached) > 0:
		return fail(open, "others cannot connect: those who were asked to dial back could not%s", listed(r.NotReached))
	case r.OutsidePeers == 0:
		return warn("give --bootstrap with a peer outside this network, or look again when there are some", "not known: no peer outside this network is connected, and only such a peer can tell")
	}
	return warn("look again in a minute or two", "not known yet: %d peers outside this network are connected, and too few have answered", r.OutsidePeers)
}

func listed(addrs []string) string {
	if len(addrs) == 0 {
		return ""
	}
	return " (at " + strings.Join(addrs, ", ") + ")"
}

// nat judges whether holes can be punched, where that is needed.
func (f *facts) nat() Check {
	r := &f.reach
	public := len(r.Reached) > 0 || r.Reachability == p2p.ReachPublic
	switch {
	case r.NATUDP == p2p.NATDependent && public:
		return ok("UDP: %s; not in the way, since others can connect", r.NATUDP)
	case r.NATUDP == p2p.NATDependent:
		return fail("forward a UDP port to this machine and listen on it (--listen /ip4/0.0.0.0/udp/PORT/quic-v1), or use a line without carrier-grade NAT",
			"UDP: %s (symmetric): every destination sees another port, so that holes cannot be punched", r.NATUDP)
	case r.NATUDP == p2p.NATIndependent:
		return ok("UDP: %s: holes can be punched", r.NATUDP)
	case public || r.Loopback:
		return ok("not known, and not needed: no hole has to be punched")
	}
	return warn("ask a peer that has run for a minute or more, among peers of several networks: peer doctor --admin ADDR",
		"not known: it takes a minute, and several peers outside this network that tell which address they see; %d are connected", r.OutsidePeers)
}

// burst is how long a machine may not get round to reading what has come (a guess:
// a busy scheduler's pause), and full a line that must not lose packets then.
const (
	burst = 50 * time.Millisecond
	full  = 100e6 // bit/s
)

// buffers judges how much may wait in the kernel. quic-go asks for 7 MiB each way.
func (f *facts) buffers() Check {
	const fix = "sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000 (and write both into /etc/sysctl.d/60-braidway.conf), then start the peer again"
	least := min(f.RecvBuffer, f.SendBuffer)
	line := float64(f.RecvBuffer) * 8 / burst.Seconds()
	found := fmt.Sprintf("receive %s, send %s, of %s that QUIC asks for", mebi(f.RecvBuffer), mebi(f.SendBuffer), mebi(wantedBuffer))
	switch {
	case least == 0:
		return warn("see the system's own documentation on UDP buffers", "not known on this system")
	case least >= wantedBuffer:
		return ok("%s", found)
	case line < full/10:
		return fail(fix, "%s: packets are lost in pauses of %v from %.1f Mbps on", found, burst, line/1e6)
	}
	return warn(fix, "%s: packets are lost in pauses of %v from %.0f Mbps on", found, burst, line/1e6)
}

func mebi(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// spareFiles is what is open beside connections: sockets, logs, players (a guess).
const spareFiles = 256

// files judges how many sockets may be open. A TCP connection takes one, QUIC
// shares few: the bound is reached only by peers that all come over TCP.
func (f *facts) files() Check {
	need := uint64(f.conns + spareFiles)
	fix := fmt.Sprintf("ulimit -n %d in the shell, LimitNOFILE=%d in the systemd unit, or a lower --max-conns", 2*need, 2*need)
	switch {
	case f.Files == 0:
		return warn("see the system's own documentation on the number of open files", "not known on this system")
	case f.FilesOpen > 0 && uint64(f.FilesOpen)*10 > f.Files*9:
		return fail(fix, "%d of %d files are open", f.FilesOpen, f.Files)
	case f.Files < need:
		return warn(fix, "%d files may be open, and %d connections (--max-conns) with all else may need %d", f.Files, f.conns, need)
	}
	return ok("%d may be open, %d are; %d connections are allowed", f.Files, f.FilesOpen, f.conns)
}

const (
	// aheadBy is older than any object at a live edge (stream.MaxLag). Clocks that
	// differ by stream.MaxRecordSkew refuse each other's records.
	aheadBy = stream.MaxLag
	// behindBy is what clocks that are kept in step by NTP may differ.
	behindBy = 50 * time.Millisecond
)

// clock judges this machine's clock. There is nobody to ask for the time: what can
// be known is what the kernel says about its being kept in step, and the ages of
// objects, which carry the publishers' time.
func (f *facts) clock() Check {
	const fix = "keep the clock in step: timedatectl set-ntp true, or run chrony"
	var seen []string
	for _, s := range f.feeds {
		switch {
		case !s.aged:
		case s.age < -behindBy:
			return fail(fix+", here and at the publisher", "at least %v behind the publisher of stream %.8s: objects arrive before they were made", -s.age.Round(time.Millisecond), s.id)
		case s.age > aheadBy:
			return fail(fix+", here and at the publisher", "objects of stream %.8s are %v old when they arrive: this clock is ahead of the publisher's, or theirs is behind", s.id, s.age.Round(time.Millisecond))
		default:
			seen = append(seen, fmt.Sprintf("objects of stream %.8s are %.1f ms old on arrival", s.id, milliseconds(s.age)))
		}
	}
	agrees := ""
	if len(seen) > 0 {
		agrees = "; " + strings.Join(seen, ", ") + ", so that it does not disagree with the publisher's"
	}
	switch {
	case f.ClockKnown && f.ClockSynced:
		return ok("kept in step, as the kernel says, within %v%s", f.ClockError.Round(time.Millisecond), agrees)
	case f.ClockKnown && agrees != "":
		return ok("not kept in step, as the kernel says%s", agrees)
	case agrees != "":
		return ok("%s", strings.TrimPrefix(agrees, "; "))
	case f.ClockKnown:
		return warn(fix, "the kernel does not know of anything that keeps it in step; there is no stream here to compare it with")
	}
	return warn("ask a peer that receives a stream: peer doctor --admin ADDR", "not known on this system, and there is no stream to compare it with")
}

// thinDHT is the number of nodes below which announcements are repeated as soon as
// there are more (as in p2p): fewer keep too few copies.
const thinDHT = 4

func (d *dhtFacts) judge() Check {
	var errs []string
	for _, err := range d.bootErrs {
		errs = append(errs, strings.Join(strings.Fields(err.Error()), " "))
	}
	slices.Sort(d.unannounced)
	const give = "give --bootstrap MULTIADDR of a node that runs (peer bootstrap prints it)"
	switch {
	case d.nodes == 0 && len(errs) > 0:
		return fail("check that the node runs, its address and peer id, and that UDP gets through", "no node is known: %s", strings.Join(errs, "; "))
	case d.nodes == 0 && d.bootstrap > 0:
		return warn("look again in some seconds", "no node is known yet; %d bootstrap nodes are being dialled", d.bootstrap)
	case d.nodes == 0:
		return warn(give+"; links with addresses and mDNS work without", "no node is known: streams are found by addresses in links and on the local network only")
	case d.answered == 0:
		return fail("check that UDP gets through in both directions, and the bootstrap nodes", "%d nodes are known, none of %d answered a look-up within %v%s", d.nodes, d.asked, d.took.Round(time.Millisecond), because(d.err))
	case len(d.unannounced) > 0:
		return warn("look again in some minutes; announcements are repeated", "%d of %d nodes answered a look-up, but announcements have failed: %s", d.answered, d.asked, strings.Join(d.unannounced, "; "))
	case d.answered*2 < d.asked:
		return warn("look at the network's loss; nodes that have left are forgotten in some minutes", "only %d of %d nodes answered a look-up, in %v", d.answered, d.asked, d.took.Round(time.Millisecond))
	case d.nodes < thinDHT:
		return warn("run more nodes that stay (peer bootstrap, peer relay), so that records outlive one of them", "%d nodes are known; %d of %d answered a look-up in %v", d.nodes, d.answered, d.asked, d.took.Round(time.Millisecond))
	}
	return ok("%d nodes are known; %d of %d answered a look-up in %v", d.nodes, d.answered, d.asked, d.took.Round(time.Millisecond))
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

// upload judges for how many copies of a stream the line has room. It is measured
// while children are fed, and only then.
func (f *facts) upload() Check {
	rate := float64(f.sent.bytes) * 8 / max(f.sent.over, time.Millisecond).Seconds()
	now := fmt.Sprintf("%.1f Mbps go out at present", rate/1e6)
	var found []string
	for _, s := range f.feeds {
		stripe := s.bitrate * failover.StreamOverhead / float64(max(s.stripes, 1))
		room := float64(s.slots) * stripe
		copies := float64(s.slots) / float64(max(s.stripes, 1))
		switch {
		case s.leaf:
			found = append(found, fmt.Sprintf("stream %.8s: takes no children", s.id))
		case s.pressed:
			return fail("lower --upload-limit below what the line bears, or end what else takes it", "stream %.8s: most children wait behind the line: nobody is let in (%s)", s.id, now)
		case s.slots < s.stripes:
			return warn("a line with more upload, or a --upload-limit that says so", "stream %.8s: room for %d slots, %.1f Mbps: less than one copy of the stream (%s)", s.id, s.slots, room/1e6, now)
		case s.troubles > 0:
			return warn("set --upload-limit to a little less than the line bears", "stream %.8s: slots were given up %d times, since children waited; room for %d slots now, %.1f Mbps (%s)", s.id, s.troubles, s.slots, room/1e6, now)
		default:
			how := "as measured so far"
			if s.limited {
				how = "as --upload-limit says"
			}
			found = append(found, fmt.Sprintf("stream %.8s: room for %d slots (%.1f copies, %.1f Mbps, %s), %d taken", s.id, s.slots, copies, room/1e6, how, s.used))
		}
	}
	switch {
	case len(found) > 0:
		return ok("%s; %s", strings.Join(found, "; "), now)
	case f.limit > 0:
		return warn("ask a peer that relays: peer doctor --admin ADDR", "told to be %.1f Mbps (--upload-limit), not measured: that happens while children are fed", float64(f.limit)/1e6)
	}
	return warn("ask a peer that relays: peer doctor --admin ADDR; or say it with --upload-limit", "not measured: that happens while children are fed")
}

// ports names the ports that are listened on, as a user opens them.
func ports(addrs []ma.Multiaddr) string {
	var list []string
	for _, a := range addrs {
		netw, hostport, err := manet.DialArgs(a)
		if err != nil {
			continue
		}
		port := hostport[strings.LastIndexByte(hostport, ':')+1:]
		word := strings.ToUpper(strings.TrimRight(netw, "46")) + " port " + port
		if !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	if len(list) == 0 {
		return "its ports"
	}
	return strings.Join(list, " and ")
}

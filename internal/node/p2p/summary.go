package p2p

// This file answers: what was tried to find a stream, in words for the user?

import (
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// maxTold bounds the peers that a summary lists one by one.
const maxTold = 8

// Summary tells what was tried so far, on what and with which result: the DHT
// with the number of nodes asked, mDNS, and each address with its dial error.
// It is one line, for the message that says that nobody was found.
func (s *Search) Summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := []string{s.tellDHT(), s.tellMDNS()}
	told := 0
	if len(s.link) == 0 {
		parts = append(parts, "link: no addresses in it")
	}
	for source := SourceLink; source <= SourceMDNS; source++ {
		for _, p := range s.order {
			e := s.seen[p]
			if e.source != source {
				continue
			}
			if told++; told > maxTold {
				continue
			}
			parts = append(parts, fmt.Sprintf("%s: %s", source, tellPeer(e)))
		}
	}
	if told > maxTold {
		parts = append(parts, fmt.Sprintf("and %d more peers", told-maxTold))
	}
	return strings.Join(parts, "; ")
}

func (s *Search) tellDHT() string {
	r := s.f.cfg.Rendezvous
	if r == nil {
		return "DHT: not used"
	}
	asked, answered := s.count.get()
	text := fmt.Sprintf("DHT: %d nodes asked, %d answered, ", asked, answered)
	if asked == 0 {
		text = "DHT: no node known, "
		if errs := r.d.BootstrapErrors(); len(errs) > 0 {
			text += tellError(errs[0])
			if len(errs) > 1 {
				text += fmt.Sprintf(" (and %d more)", len(errs)-1)
			}
			text += ", "
		}
	}
	switch {
	case s.raw != nil:
		text += "stream record found, "
	case s.recordErr != nil && !errors.Is(s.recordErr, ErrNobody) && !errors.Is(s.recordErr, ErrNoRecord):
		text += fmt.Sprintf("no stream record (%v), ", s.recordErr)
	default:
		text += "no stream record, "
	}
	if len(s.providers) == 0 {
		return text + "no providers"
	}
	return text + fmt.Sprintf("%d providers", len(s.providers))
}

func (s *Search) tellMDNS() string {
	m := s.f.cfg.MDNS
	if m == nil {
		return "mDNS: not used"
	}
	if err := m.Err(); err != nil {
		return fmt.Sprintf("mDNS: did not start (%v)", err)
	}
	return fmt.Sprintf("mDNS: %d peers on the local network", len(m.Peers()))
}

func tellPeer(e *seenPeer) string {
	if e.err != nil {
		return fmt.Sprintf("%s: %s", short(e.info.ID), tellError(e.err))
	}
	addrs := make([]string, len(e.info.Addrs))
	for i, a := range e.info.Addrs {
		addrs[i] = a.String()
	}
	return fmt.Sprintf("%s at %s: no answer yet", short(e.info.ID), strings.Join(addrs, " "))
}

// tellError puts an error on one line, and a dial error address by address.
func tellError(err error) string {
	var de *swarm.DialError
	if errors.As(err, &de) && len(de.DialErrors) > 0 {
		parts := make([]string, len(de.DialErrors))
		for i, te := range de.DialErrors {
			parts[i] = fmt.Sprintf("%s (%s)", te.Address, oneLine(te.Cause))
		}
		return strings.Join(parts, ", ")
	}
	return oneLine(err)
}

func oneLine(err error) string {
	if err == nil {
		return "no reason given"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// short is the end of a peer id, which tells peers apart.
func short(p peer.ID) string {
	s := p.String()
	return "…" + s[max(0, len(s)-8):]
}

package media

// This file answers: how does MPEG-TS come in datagrams, plain or in RTP, from
// one sender or a multicast group?

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"time"
)

const (
	// udpBuffer is asked of the kernel: a second at 30 Mbit/s.
	udpBuffer = 4 << 20
	// udpTurn is how long the sender is silent until another one may take its
	// place: an encoder that is started again has another port.
	udpTurn = time.Second
)

// udpSource takes the datagrams of one sender at a time.
type udpSource struct {
	conn  *net.UDPConn
	watch *Watch
	out   chan item
	done  chan struct{}
	input string
}

// openUDP listens on udp://[@]host:port[?iface=NAME]. A multicast address is joined.
func openUDP(input string, watch *Watch) (Source, error) {
	bad := func(err error) (Source, error) {
		return nil, fmt.Errorf("input %s: %w; give udp://host:port, as udp://0.0.0.0:5000 or udp://239.0.0.1:5000?iface=eth0", input, err)
	}
	u, err := url.Parse(input)
	if err != nil {
		return bad(err)
	}
	addr, err := net.ResolveUDPAddr("udp", u.Host)
	if err != nil {
		return bad(err)
	}
	var iface *net.Interface
	if name := u.Query().Get("iface"); name != "" {
		if iface, err = net.InterfaceByName(name); err != nil {
			return bad(fmt.Errorf("iface=%s: %w", name, err))
		}
	}
	s := &udpSource{watch: watch, out: make(chan item, 1024), done: make(chan struct{}), input: input}
	if addr.IP != nil && addr.IP.IsMulticast() {
		s.conn, err = net.ListenMulticastUDP("udp", iface, addr)
	} else {
		s.conn, err = net.ListenUDP("udp", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("input %s: %w; choose an address of this machine and a free port", input, err)
	}
	_ = s.conn.SetReadBuffer(udpBuffer)
	if got := receiveBuffer(s.conn); got > 0 && got < udpBuffer && watch != nil {
		watch.log.Info("input: the system gives a smaller receive buffer than asked for, datagrams of high bitrates may be lost; sysctl -w net.core.rmem_max=4194304 helps",
			"asked_bytes", udpBuffer, "got_bytes", got)
	}
	go s.read()
	return s, nil
}

func (s *udpSource) read() {
	defer close(s.out)
	var holder netip.AddrPort
	var last time.Time
	b := make([]byte, 64<<10)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of what was sent before; nothing is
			continue
		}
		now := time.Now()
		fresh := from != holder
		if fresh && holder.IsValid() && now.Sub(last) < udpTurn {
			s.watch.refuse(from.String(), fmt.Sprintf("two encoders send to %s: %v has it, and what %v sends is dropped; stop one of them", s.input, holder, from))
			continue
		}
		i := item{Chunk: Chunk{Due: -1, Data: append([]byte(nil), unwrapRTP(b[:n])...), Fresh: fresh}}
		if fresh {
			if holder.IsValid() {
				i.down = "the encoder fell silent, and another one has come"
			}
			holder, i.up = from, from.String()
		}
		last = now
		select {
		case s.out <- i:
		case <-s.done:
			return
		}
	}
}

// unwrapRTP returns the packets of MPEG-TS in a datagram that has an RTP header
// (RFC 2250), and any other datagram as it is.
func unwrapRTP(b []byte) []byte {
	if len(b) < 12 || b[0]>>6 != 2 {
		return b
	}
	at := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 && at+4 <= len(b) { // an extension
		at += 4 + 4*(int(b[at+2])<<8|int(b[at+3]))
	}
	if at >= len(b) || b[at] != syncByte || (len(b)-at)%PacketSize != 0 {
		return b
	}
	return b[at:]
}

// Next implements Source.
func (s *udpSource) Next(ctx context.Context) (Chunk, error) {
	for {
		select {
		case i, ok := <-s.out:
			if !ok {
				return Chunk{}, io.EOF
			}
			if i.tell(s.watch) {
				return i.Chunk, nil
			}
		case <-ctx.Done():
			return Chunk{}, ctx.Err()
		}
	}
}

// Close implements Source.
func (s *udpSource) Close() error {
	close(s.done)
	return s.conn.Close()
}

package node

// This file answers: what do metrics tell about what viewers experience, and
// about what a peer is good for? docs/metrics.md has all of them.

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/measure"
)

var (
	descBuild    = prometheus.NewDesc("braidway_build_info", "1; the program's version and that of Go.", []string{"version", "go_version"}, nil)
	descReach    = prometheus.NewDesc("braidway_reachability", "1 for whether others can connect from outside: public, private, unknown.", []string{"state"}, nil)
	descCircuits = prometheus.NewDesc("braidway_circuits", "Addresses of this peer through others, for control traffic.", nil, nil)
	descLimits   = prometheus.NewDesc("braidway_connections_limit", "Most open libp2p connections that are allowed.", nil, nil)
	descRate     = prometheus.NewDesc("braidway_stream_bytes_per_second", "Bitrate of the stream in bytes, measured; a guess at first.", []string{"stream"}, nil)
	descAge      = prometheus.NewDesc("braidway_object_age_seconds", "Least age of an arriving object in the last minute, by this machine's clock; less than 0: that clock is behind the publisher's.", []string{"stream"}, nil)
	descDue      = prometheus.NewDesc("braidway_player_due_objects_total", "Objects whose playout deadline has passed.", []string{"stream"}, nil)
	descPlayed   = prometheus.NewDesc("braidway_player_played_objects_total", "Objects that were played by their deadline.", []string{"stream"}, nil)
	descStalls   = prometheus.NewDesc("braidway_player_stalls_total", "How often there was nothing to play at a deadline.", []string{"stream"}, nil)
	descStalled  = prometheus.NewDesc("braidway_player_stall_seconds_total", "Time without anything to play.", []string{"stream"}, nil)
	descGap      = prometheus.NewDesc("braidway_player_longest_gap_seconds", "Longest time in which the playable position did not advance while the publisher was producing.", []string{"stream"}, nil)
	descStartup  = prometheus.NewDesc("braidway_player_startup_seconds", "From the request to the first playable group.", []string{"stream"}, nil)
	descP50      = prometheus.NewDesc("braidway_player_latency_p50_seconds", "Median age of an object when it becomes playable, since the start.", []string{"stream"}, nil)
	descP99      = prometheus.NewDesc("braidway_player_latency_p99_seconds", "99th percentile of the age of an object when it becomes playable, since the start.", []string{"stream"}, nil)
)

// vitals sends what the node itself is.
func (n *Node) vitals(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descBuild, 1, n.version(), runtime.Version())
	r := n.host.Reach()
	for _, state := range p2p.Reachabilities {
		gauge(descReach, one(r.Reachability == state), state)
	}
	gauge(descCircuits, float64(r.Circuits))
	gauge(descLimits, float64(n.host.Limits().Conns))
}

// vitals sends what is known of the stream, and what its player experiences; what
// was not measured is left out.
func (s *Session) vitals(ch chan<- prometheus.Metric, snap *inside) {
	id := s.id.String()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, id)
	}
	send(descRate, prometheus.GaugeValue, snap.bitrate/8)
	if snap.aged {
		send(descAge, prometheus.GaugeValue, snap.age.Seconds())
	}
	m, ok := s.cfg.Observer.(measured)
	if !ok {
		return
	}
	r, ok := m.Measures().(measure.Report)
	if !ok {
		return
	}
	count := func(d *prometheus.Desc, v *uint64) {
		if v != nil {
			send(d, prometheus.CounterValue, float64(*v))
		}
	}
	ms := func(d *prometheus.Desc, kind prometheus.ValueType, v *float64) {
		if v != nil {
			send(d, kind, *v/1000)
		}
	}
	count(descDue, r.ObjectsDue)
	count(descPlayed, r.ObjectsPlayed)
	count(descStalls, r.Stalls)
	ms(descStalled, prometheus.CounterValue, r.StallMS)
	ms(descGap, prometheus.GaugeValue, r.MaxGapMS)
	ms(descStartup, prometheus.GaugeValue, r.StartupMS)
	if r.LatencyMS != nil {
		ms(descP50, prometheus.GaugeValue, &r.LatencyMS.P50)
		ms(descP99, prometheus.GaugeValue, &r.LatencyMS.P99)
	}
}

package node

// This file answers: what do operators see of a publisher's input? The runtime
// carries any bytes; who feeds it says how the feed stands.

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// eventInput tells of a publisher's input: Code says what, Text in words, Peer is
// the encoder's address.
const eventInput = "input"

// How an input stands.
const (
	InputWaiting = "waiting" // nothing has come yet
	InputLive    = "live"
	InputPaused  = "paused" // nobody encodes: the stream stands still, viewers wait
)

var inputStates = []string{InputWaiting, InputLive, InputPaused}

// InputNotices are the codes of the event "input", and the keys of
// InputState.Notices: a closed set. docs/publishing.md says what each means.
var InputNotices = []string{"up", "down", "refused", "resync", "loss", "jump", "rate", "groups", "codec", "retry"}

// InputState is how a publisher's input stands. Totals are since it was opened.
type InputState struct {
	Kind    string            `json:"kind"`  // test, stdin, file, udp, rtmp, srt, …
	State   string            `json:"state"` // waiting, live or paused
	Since   time.Time         `json:"since"`
	Encoder string            `json:"encoder,omitempty"` // its address
	Bitrate float64           `json:"bitrate_bps"`       // over the last seconds
	Bytes   uint64            `json:"bytes"`
	Dropped uint64            `json:"dropped_bytes"` // above the highest bitrate
	Groups  uint64            `json:"groups"`
	Runs    uint64            `json:"runs"`         // how often an encoder came
	Lost    uint64            `json:"lost_packets"` // of MPEG-TS
	Notices map[string]uint64 `json:"notices"`
	Warning string            `json:"warning,omitempty"` // the last one since an encoder came
}

// NoteInput tells of the publisher's input; code is one of InputNotices, encoder
// an address or "".
func (p *Publication) NoteInput(code, encoder, text string) {
	p.node.emit(TraceEvent{Event: eventInput, Stream: p.link.ID.String(), Peer: encoder, Code: code, Text: text})
}

// input returns how the input stands; nil: it is not known.
func (p *Publication) input() *InputState {
	if p == nil || p.cfg.Input == nil {
		return nil
	}
	st := p.cfg.Input()
	return &st
}

var (
	descInputState   = prometheus.NewDesc("braidway_input_state", "1 for how a publisher's input stands: waiting, live, paused.", []string{"stream", "state"}, nil)
	descInputBitrate = prometheus.NewDesc("braidway_input_bytes_per_second", "What comes in at a publisher, over the last seconds.", []string{"stream"}, nil)
	descInputBytes   = prometheus.NewDesc("braidway_input_bytes_total", "Bytes of a publisher's input.", []string{"stream"}, nil)
	descInputDropped = prometheus.NewDesc("braidway_input_dropped_bytes_total", "Bytes of the input above --max-bitrate, which went to nobody.", []string{"stream"}, nil)
	descInputGroups  = prometheus.NewDesc("braidway_input_groups_total", "Groups begun by a publisher.", []string{"stream"}, nil)
	descInputRuns    = prometheus.NewDesc("braidway_input_runs_total", "How often an encoder came.", []string{"stream"}, nil)
	descInputLost    = prometheus.NewDesc("braidway_input_lost_packets_total", "Packets of MPEG-TS that are missing in the input.", []string{"stream"}, nil)
	descInputNotices = prometheus.NewDesc("braidway_input_notices_total", "What was told of the input, by kind.", []string{"stream", "kind"}, nil)
)

// collectInput turns an input's figures into metrics.
func collectInput(ch chan<- prometheus.Metric, id string, in *InputState) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, state := range inputStates {
		ch <- prometheus.MustNewConstMetric(descInputState, prometheus.GaugeValue, one(state == in.State), id, state)
	}
	ch <- prometheus.MustNewConstMetric(descInputBitrate, prometheus.GaugeValue, in.Bitrate/8, id)
	counter(descInputBytes, in.Bytes, id)
	counter(descInputDropped, in.Dropped, id)
	counter(descInputGroups, in.Groups, id)
	counter(descInputRuns, in.Runs, id)
	counter(descInputLost, in.Lost, id)
	for _, kind := range InputNotices {
		counter(descInputNotices, in.Notices[kind], id, kind)
	}
}

package node

// This file answers: what happens when the publisher's key has signed two
// objects under one number?

import "github.com/braidway/braidway/stream"

// EquivocationState is the proof, for operators. Who passed one of the objects on
// is not blamed: it verified.
type EquivocationState struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	A     []byte `json:"a"` // complete encoded objects, base64
	B     []byte `json:"b"`
}

// compare looks at an object that verified beside the one that is kept under
// its number. The first one stays the stream's, and the first proof is kept.
func (s *Session) compare(o *stream.Parsed) {
	held, ok := s.window.Get(o.Epoch, o.Seq)
	if !ok {
		return
	}
	e, ok := stream.Equivocates(&held, o)
	if !ok {
		return
	}
	if s.count.equivocations.Add(1) > 1 {
		return
	}
	s.proof = &EquivocationState{Epoch: e.Epoch, Seq: e.Seq, A: e.A, B: e.B}
	s.log.Error("the publisher's key has signed two objects under one number: the first one is kept, the proof is in the state", "epoch", e.Epoch, "seq", e.Seq)
	s.emit(TraceEvent{Event: eventEquivocation, Epoch: e.Epoch, Seq: e.Seq})
}

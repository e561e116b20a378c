package sim

// This file answers: how does a run of many peers find its memory sooner?
//
// Each event is another peer's, whose state lies anywhere in gigabytes: in pages of
// 4 KB, nearly every event waits for the tables that say where they are. Linux has
// pages of 2 MB for who asks, and Go does not ask. (Measured: 100,000 peers handle a
// third more events in the same time, 5,000 a tenth to a fifth.)

import "runtime/metrics"

// leastHeap: what is smaller needs none, and a smaller mapping is not the heap.
const leastHeap = 64 << 20

// hugePages asks for large pages whenever the heap has grown.
type hugePages struct {
	sample []metrics.Sample
	asked  uint64 // bytes of the heap when it was asked last
}

func newHugePages() *hugePages {
	return &hugePages{sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}, asked: leastHeap}
}

// look asks if the heap has grown by an eighth since.
func (h *hugePages) look() {
	metrics.Read(h.sample)
	if heap := h.sample[0].Value.Uint64(); heap > h.asked+h.asked/8 {
		h.asked = heap
		askForHugePages()
	}
}

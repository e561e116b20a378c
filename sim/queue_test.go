package sim

// The queue against a binary heap that is obviously right.

import (
	"container/heap"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plain is a binary heap of events.
type plain []event

func (p plain) Len() int           { return len(p) }
func (p plain) Less(i, j int) bool { return p[i].before(&p[j]) }
func (p plain) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *plain) Push(x any)        { *p = append(*p, x.(event)) }
func (p *plain) Pop() any {
	last := len(*p) - 1
	e := (*p)[last]
	*p = (*p)[:last]
	return e
}

func TestEventsComeInTheOrderOfTimeReceiverAndSender(t *testing.T) {
	const turn = bucketTime * buckets // of the wheel
	rapid.Check(t, func(t *rapid.T) {
		q, want := newQueue(), &plain{}
		now, order := int64(0), uint64(0)
		ahead := rapid.OneOf(
			rapid.Just(int64(0)),                    // now: into the bucket that is being emptied
			rapid.Int64Range(0, 3),                  // many at the same time
			rapid.Int64Range(0, 3*bucketTime),       // the next buckets
			rapid.Int64Range(0, turn),               // the wheel
			rapid.Int64Range(turn-2, turn+2),        // its end
			rapid.Int64Range(turn, 5*turn),          // far beyond it
			rapid.Int64Range(-2*bucketTime, 0),      // a bucket that is past
			rapid.Just(int64(bucketTime*buckets)-1), // the slot before the current one
		)
		take := func(until int64) {
			for {
				e, ok := q.pop(until)
				if due := want.Len() > 0 && (*want)[0].at < until; ok != due {
					t.Fatalf("pop before %d gives an event: %v, want %v", until, ok, due)
				}
				if !ok {
					return
				}
				if w := heap.Pop(want).(event); e.at != w.at || e.to != w.to || e.order != w.order {
					t.Fatalf("pop gives (%d, %d, %d), want (%d, %d, %d)", e.at, e.to, e.order, w.at, w.to, w.order)
				}
				now = max(now, e.at)
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			for range rapid.IntRange(0, 20).Draw(t, "pushes") {
				order++
				e := event{at: max(0, now+ahead.Draw(t, "ahead")), to: uint32(rapid.IntRange(0, 3).Draw(t, "to")), order: order ^ 0x5} // not in order
				q.push(e)
				heap.Push(want, e)
			}
			now += rapid.OneOf(rapid.Int64Range(0, 2*bucketTime), rapid.Int64Range(0, 2*turn)).Draw(t, "on")
			take(now)
			if q.count != want.Len() {
				t.Fatalf("count is %d, want %d", q.count, want.Len())
			}
		}
		take(now + 8*turn)
	})
}

func BenchmarkQueue(b *testing.B) {
	for name, ahead := range map[string]time.Duration{"50 ms ahead": 50 * time.Millisecond, "10 s ahead": 10 * time.Second} {
		b.Run(name, func(b *testing.B) {
			q := newQueue()
			for i := range 10_000 {
				q.push(event{at: int64(i) * int64(ahead) / 10_000, order: uint64(i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				e, _ := q.pop(1 << 62)
				e.at += int64(ahead)
				q.push(e)
			}
		})
	}
}

//go:build unix

package stream

// This file answers: what do verification and encryption cost, on whom, with and
// without?
//
//	go test -run '^$' -bench Trust ./stream
//
// A second of 8 Mbit/s as a publisher cuts it: 80 objects of 12.5 kB, two under
// one signature. Parsing is what any relay does,
// copying what one does that looks at nothing. Time is the process's CPU time, of
// which the least round counts: what else the machine does is not in it. A share
// is of one core.

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

const (
	trustObjects = 80
	trustBytes   = 12_500
)

// trustStep is what somebody does with a second of the stream; it returns the
// time that it took.
type trustStep struct {
	name string
	do   func() time.Duration
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkTrust(b *testing.B) {
	content := testContent(1)
	list, _ := testList(b, 1, nil, content)
	opener := testOpener(b, 1)
	if err := opener.Learn(list); err != nil {
		b.Fatal(err)
	}
	input := make([]byte, 2*trustBytes)
	build := func(private bool) (second [][]byte, took time.Duration) {
		cfg := BuilderConfig{Key: testKey(), ID: testID(), Epoch: 1, Stripes: 4}
		if private {
			s, err := NewSealer(testPrivate(b), testID(), content)
			if err != nil {
				b.Fatal(err)
			}
			cfg.Seal = s
		}
		builder, err := NewBuilder(cfg)
		if err != nil {
			b.Fatal(err)
		}
		began := cpuTime(b)
		for i := range trustObjects / 2 {
			_, _ = builder.Write(input)
			out, err := builder.Flush(int64(i) * 25_000)
			if err != nil || len(out) != 2 {
				b.Fatalf("%d objects, %v", len(out), err)
			}
			for _, o := range out {
				second = append(second, o.Wire)
			}
		}
		return second, cpuTime(b) - began
	}
	open, _ := build(false)
	sealed, _ := build(true)
	each := func(wires [][]byte, verify, decrypt bool) time.Duration {
		v := testVerifier(b) // one that has verified nothing yet
		buf := make([]byte, 0, MaxPayload)
		copied := make([]byte, 0, MaxObject)
		began := cpuTime(b)
		for _, w := range wires {
			copied = append(copied[:0], w...)
			p, err := ParseObject(copied)
			if err == nil && verify {
				err = v.Verify(&p)
			}
			if err == nil && decrypt {
				_, err = opener.Open(buf, &p.Object)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		return cpuTime(b) - began
	}
	steps := []trustStep{
		{"relay-without", func() time.Duration { return each(open, false, false) }},
		{"relay-verify", func() time.Duration { return each(open, true, false) }},
		{"relay-verify-private", func() time.Duration { return each(sealed, true, false) }},
		{"viewer-verify-decrypt", func() time.Duration { return each(sealed, true, true) }},
		{"publisher-sign", func() time.Duration { _, d := build(false); return d }},
		{"publisher-seal-sign", func() time.Duration { _, d := build(true); return d }},
	}
	took := make([][]float64, len(steps))
	for b.Loop() {
		for i, s := range steps {
			took[i] = append(took[i], s.do().Seconds())
		}
	}
	least := make(map[string]float64)
	for i, s := range steps {
		slices.Sort(took[i])
		least[s.name] = took[i][0]
		b.ReportMetric(100*least[s.name], s.name+"-%core")
	}
	b.ReportMetric(least["relay-verify-private"]/least["relay-verify"], "×relay-private/public")
	b.ReportMetric(least["viewer-verify-decrypt"]/least["relay-verify-private"], "×viewer-decrypt/verify")
	b.ReportMetric(least["publisher-seal-sign"]/least["publisher-sign"], "×publisher-private/public")
}

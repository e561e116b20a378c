package sim

// This file answers: what is a scenario, and how is it written in a file?

import (
	"fmt"
	"time"
)

// Scenario is a question to the network, with what happens in it.
type Scenario struct {
	Name     string
	Question string
	Good     string // what a good answer looks like
	Peers    int    // viewers, unless said otherwise
	Settings Settings
	Faults   []Fault
}

// What happens in a Fault.
const (
	Kill      = "kill"      // silent death: packets stop
	Freeze    = "freeze"    // stops for For, then goes on
	Flap      = "flap"      // the access link is down for For, then up again
	Region    = "region"    // all peers of the most populous region die
	Partition = "partition" // a share of the peers is cut off from the others for For
	Bandwidth = "bandwidth" // uplinks shrink to Factor for For
	Jitter    = "jitter"    // jitter and loss grow by Factor for For
	Drain     = "drain"     // leaves gently and comes back after For (0: does not)
	Publisher = "publisher" // the publisher dies, and its standby takes over under a higher epoch after For
)

// Whom a Fault hits.
const (
	Busiest = "busiest" // the relay with most children
	Relay   = "relay"   // a random one that has children
	Anyone  = "anyone"  // random viewers
)

// Fault is something that goes wrong, once or again and again. Times count
// from the beginning of the measures.
type Fault struct {
	What    string
	Who     string
	At      time.Duration
	Every   time.Duration
	Count   int           // how many times; 0: once, or with Every as often as the run allows
	Share   float64       // of the viewers hit at once; 0: one
	For     time.Duration // how long it lasts
	Factor  float64
	Replace bool // a fresh viewer comes for each that dies
}

// check says whether f is whole and in range; the error names the field.
func (f *Fault) check() error {
	oneOf := func(name, v string, words ...string) error {
		for _, w := range words {
			if v == w {
				return nil
			}
		}
		return fmt.Errorf("%s is %q, allowed is one of %q", name, v, words)
	}
	if err := oneOf("what", f.What, Kill, Freeze, Flap, Region, Partition, Bandwidth, Jitter, Drain, Publisher); err != nil {
		return err
	}
	if err := oneOf("who", f.Who, "", Busiest, Relay, Anyone); err != nil {
		return err
	}
	day := 48 * time.Hour
	switch {
	case f.At < 0 || f.At > day:
		return fmt.Errorf("at is %v, allowed is 0s to %v", f.At, day)
	case f.Every < 0 || f.Every > day || f.Every > 0 && f.Every < 10*time.Millisecond:
		return fmt.Errorf("every is %v, allowed is 10ms to %v, or 0s for once", f.Every, day)
	case f.Count < 0 || f.Count > 1_000_000:
		return fmt.Errorf("count is %d, allowed is 0 to 1000000", f.Count)
	case f.Count > 1 && f.Every == 0:
		return fmt.Errorf("count is %d without every", f.Count)
	case f.Share < 0 || f.Share > 1:
		return fmt.Errorf("share is %v, allowed is 0 to 1", f.Share)
	case f.For < 0 || f.For > day:
		return fmt.Errorf("for is %v, allowed is 0s to %v", f.For, day)
	case f.Factor < 0 || f.Factor > 1000:
		return fmt.Errorf("factor is %v, allowed is 0 to 1000", f.Factor)
	case f.Factor == 0 && (f.What == Bandwidth || f.What == Jitter):
		return fmt.Errorf("factor is 0, allowed for a %s is more than that, to 1000", f.What)
	}
	return nil
}

// Victims returns how many of so many viewers f hits at once.
func (f *Fault) Victims(of int) int {
	if f.Share > 0 {
		return int(f.Share*float64(of) + 0.5)
	}
	return 1
}

// Times returns when f happens, in a run that measures for d.
func (f *Fault) Times(d time.Duration) []time.Duration {
	var at []time.Duration
	for t := f.At; t < d; t += f.Every {
		at = append(at, t)
		if f.Every == 0 || f.Count > 0 && len(at) == f.Count {
			break
		}
	}
	return at
}

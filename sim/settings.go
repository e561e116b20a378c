package sim

// This file answers: what can be set in a simulation, within which ranges, and
// where does each default come from?

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Settings of a run. A scenario gives its own defaults; --set and a scenario
// file change them by the names in Fields.
type Settings struct {
	// The stream.
	Objects    float64       // a second
	ObjectSize int           // bytes, encoded
	Group      time.Duration // length of a group
	Stripes    int

	// The core.
	System     string // braidway, or a baseline's name
	Beacon     time.Duration
	Bound      time.Duration // least silence that makes a parent suspect
	Standbys   int
	Reserve    float64
	Hedge      float64
	Neighbours int
	Buffer     time.Duration

	// The viewers and their networks.
	Population string        // worldwide or metro
	Capacity   float64       // mean upload of all viewers, in streams; 0: as published
	FreeRiders float64       // share of viewers that upload nothing
	Publisher  float64       // the publisher's upload, in streams
	Headroom   float64       // share of an uplink that no slots are given for
	Jitter     time.Duration // 99th percentile of one message's extra delay
	Loss       float64       // factor on the published loss of each kind of access
	NAT        bool

	// The course of a run.
	Join     time.Duration // over which the first viewers come
	Settle   time.Duration // from then to the beginning of the measures
	Duration time.Duration // of the measures
	Session  bool          // viewers stay for published session lengths, and new ones come
	Abrupt   float64       // share of those who leave without a word
	Crowd    int           // viewers who come on top, from the beginning of the measures on
	CrowdIn  time.Duration // over which they come

	// The attack.
	Attack    string  // what attackers do; NoAttack: nobody attacks
	Attackers float64 // share of the viewers
}

// Default is what a scenario changes.
//
// Objects and size: 80 a second of 2 kB are 1.3 Mbit/s, the embedded clip.
// Uplinks as published, of which a viewer gives at most four streams; 30 % give
// nothing (POPULATIONS: 20 to 40 %). Publisher 4, headroom 20 %: the
// prototype's (FACTS), which had 1.6 streams of upload a viewer: capacity=1.6.
// Jitter: 30 ms at the 99th percentile, its too, between a p90 − p50 of 5 ms between
// data centres and Wi-Fi hops beyond it (POPULATIONS). Abrupt 0.5: no
// published figure, a choice between 0.2 and 0.8.
func Default() Settings {
	return Settings{
		Objects: 80, ObjectSize: 2100, Group: time.Second, Stripes: 4,
		System: "braidway", Beacon: 60 * time.Millisecond, Bound: 100 * time.Millisecond, Standbys: 3,
		Reserve: 0.10, Hedge: 0.05, Neighbours: 6, Buffer: time.Second,
		Population: "worldwide", FreeRiders: 0.3, Publisher: 4, Headroom: 0.2,
		Jitter: 30 * time.Millisecond, Loss: 1, NAT: true,
		Join: 10 * time.Second, Settle: 15 * time.Second, Duration: time.Minute, Abrupt: 0.5, CrowdIn: 10 * time.Second,
		Attack: NoAttack, Attackers: 0.1,
	}
}

// Field is one setting, as people write it.
type Field struct {
	Name, Doc, Allowed string
	Get                func() string
	Set                func(string) error // the error names name, value and range
}

// Fields returns all settings of s, which they change.
func (s *Settings) Fields() []Field {
	return []Field{
		floatField("objects", "objects a second", &s.Objects, 1, 2000),
		intField("object-size", "encoded bytes of an object", &s.ObjectSize, 100, 16600),
		durationField("group", "length of a group", &s.Group, 100*time.Millisecond, 10*time.Second),
		intField("stripes", "data stripes, k", &s.Stripes, 1, 16),
		wordField("system", "who relays: the core, or a baseline", &s.System, Systems()...),
		durationField("beacon", "silence after which a parent says where it stands", &s.Beacon, 10*time.Millisecond, time.Second),
		durationField("bound", "least silence that makes a parent suspect", &s.Bound, 20*time.Millisecond, time.Second),
		intField("standbys", "standbys of a stripe", &s.Standbys, 1, 8),
		floatField("reserve", "share of slots kept for the urgent", &s.Reserve, 0, 0.5),
		floatField("hedge", "share of received objects that repairs may cost", &s.Hedge, 0.001, 1),
		intField("neighbours", "neighbours besides parents, standbys and children", &s.Neighbours, 2, 64),
		durationField("buffer", "playout buffer", &s.Buffer, 100*time.Millisecond, time.Minute),
		wordField("population", "where the viewers are", &s.Population, "worldwide", "metro"),
		floatField("capacity", "mean upload of all viewers, in streams; 0: as published", &s.Capacity, 0, 1000),
		floatField("free-riders", "share of viewers that upload nothing", &s.FreeRiders, 0, 0.95),
		floatField("publisher", "the publisher's upload, in streams", &s.Publisher, 1, 10000),
		floatField("headroom", "share of an uplink that no slots are given for", &s.Headroom, 0, 0.9),
		durationField("jitter", "99th percentile of a message's extra delay", &s.Jitter, 0, 5*time.Second),
		floatField("loss", "factor on the published loss", &s.Loss, 0, 100),
		boolField("nat", "viewers behind NATs, as measured", &s.NAT),
		durationField("join", "time over which the first viewers come", &s.Join, 0, time.Hour),
		durationField("settle", "time from then to the beginning of the measures", &s.Settle, 0, time.Hour),
		durationField("duration", "time of the measures", &s.Duration, time.Second, 48*time.Hour),
		boolField("session", "viewers come and go, with published session lengths", &s.Session),
		floatField("abrupt", "share of those who leave without a word", &s.Abrupt, 0, 1),
		intField("crowd", "viewers who come on top when the measures begin", &s.Crowd, 0, 1_000_000),
		durationField("crowd-in", "time over which they come", &s.CrowdIn, 0, time.Hour),
		wordField("attack", "what attackers do", &s.Attack, attackWords()...),
		floatField("attackers", "share of the viewers that attack, if there is an attack", &s.Attackers, 0, 0.9),
	}
}

// Set changes the setting called name; the error lists what is known.
func (s *Settings) Set(name, value string) error {
	fields := s.Fields()
	for _, f := range fields {
		if f.Name == name {
			return f.Set(value)
		}
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return fmt.Errorf("setting %q is not known; known are %s", name, strings.Join(names, ", "))
}

func refuse(name, value, allowed string) error {
	return fmt.Errorf("%s is %q, allowed is %s", name, value, allowed)
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func floatField(name, doc string, at *float64, low, high float64) Field {
	allowed := number(low) + " to " + number(high)
	return Field{name, doc, allowed, func() string { return number(*at) }, func(v string) error {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(x) || x < low || x > high {
			return refuse(name, v, allowed)
		}
		*at = x
		return nil
	}}
}

func intField(name, doc string, at *int, low, high int) Field {
	allowed := fmt.Sprintf("%d to %d", low, high)
	return Field{name, doc, allowed, func() string { return strconv.Itoa(*at) }, func(v string) error {
		x, err := strconv.Atoi(v)
		if err != nil || x < low || x > high {
			return refuse(name, v, allowed)
		}
		*at = x
		return nil
	}}
}

func durationField(name, doc string, at *time.Duration, low, high time.Duration) Field {
	allowed := fmt.Sprintf("%v to %v, as 1.5s", low, high)
	return Field{name, doc, allowed, func() string { return at.String() }, func(v string) error {
		x, err := time.ParseDuration(v)
		if err != nil || x < low || x > high {
			return refuse(name, v, allowed)
		}
		*at = x
		return nil
	}}
}

func boolField(name, doc string, at *bool) Field {
	return Field{name, doc, "true or false", func() string { return strconv.FormatBool(*at) }, func(v string) error {
		x, err := strconv.ParseBool(v)
		if err != nil {
			return refuse(name, v, "true or false")
		}
		*at = x
		return nil
	}}
}

func wordField(name, doc string, at *string, words ...string) Field {
	allowed := strings.Join(words, ", ")
	return Field{name, doc, allowed, func() string { return *at }, func(v string) error {
		for _, w := range words {
			if v == w {
				*at = v
				return nil
			}
		}
		return refuse(name, v, allowed)
	}}
}

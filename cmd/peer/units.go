package main

// This file answers: how do people write rates and sizes?

import (
	"fmt"
	"strconv"
	"strings"
)

// unit is a unit and what it multiplies with.
type unit struct {
	name string
	mul  float64
}

// rate is bits per second as people write them: 20Mbps.
type rate int64

// rateUnits has longer names before those that end like them.
var rateUnits = []unit{
	{"kbps", 1e3}, {"Mbps", 1e6}, {"Gbps", 1e9}, {"bps", 1},
	{"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}, {"bit/s", 1},
}

// maxRate is above anything that one host sends, in bit/s.
const maxRate = 1e12

// Set implements pflag.Value.
func (r *rate) Set(s string) error {
	v, err := withUnit("rate", "20Mbps (kbps, Mbps and Gbps are known)", s, rateUnits)
	if err != nil {
		return err
	}
	if v < 1 || v > maxRate {
		return fmt.Errorf("rate %q, allowed is 1bps to 1000Gbps", s)
	}
	*r = rate(v)
	return nil
}

// String implements pflag.Value.
func (r *rate) String() string {
	if *r == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*r)/1e6, 'f', -1, 64) + "Mbps"
}

// Type implements pflag.Value.
func (r *rate) Type() string { return "RATE" }

// size is bytes as people write them: 64MiB.
type size int64

var sizeUnits = []unit{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set implements pflag.Value.
func (z *size) Set(s string) error {
	v, err := withUnit("size", "64MiB (KiB, MiB and GiB are known, kB, MB and GB too)", s, sizeUnits)
	if err != nil {
		return err
	}
	if v < 1 || v > 1<<50 {
		return fmt.Errorf("size %q, allowed is 1B to 1024TiB", s)
	}
	*z = size(v)
	return nil
}

// String implements pflag.Value.
func (z *size) String() string {
	if *z == 0 {
		return ""
	}
	for i := 3; i >= 0; i-- {
		if u := sizeUnits[i]; *z%size(u.mul) == 0 {
			return strconv.FormatInt(int64(*z)/int64(u.mul), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*z), 10) + "B"
}

// Type implements pflag.Value.
func (z *size) Type() string { return "SIZE" }

// withUnit reads a number with one of the units, in any case.
func withUnit(what, example, s string, units []unit) (float64, error) {
	for _, u := range units {
		num, ok := strings.CutSuffix(strings.ToLower(s), strings.ToLower(u.name))
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || v != v {
			return 0, fmt.Errorf("%s %q is not a number with a unit; write for example %s", what, s, example)
		}
		return v * u.mul, nil
	}
	return 0, fmt.Errorf("%s %q has no unit; write for example %s", what, s, example)
}

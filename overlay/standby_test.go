package overlay

// This file answers: who stands by for a parent?

import (
	"slices"
	"testing"
)

func TestOfThoseAsDeepTheNearestStandBy(t *testing.T) {
	s := &script{}
	s.fed(t)
	for _, n := range []string{"20 rtt=250ms", "21 rtt=40ms", "22 rtt=120ms", "23 rtt=10ms"} {
		s.do(t, "connect "+n+" epoch=1")
	}
	for _, id := range []string{"20", "21", "22", "23"} {
		s.do(t, "status "+id+" depth=3 path=9,8,"+id)
	}
	want := []PeerID{23, 21, 22}
	for i := range s.p.stripes {
		s.p.pickStandbys(i)
		if got := s.p.stripes[i].standbys; !slices.Equal(got, want) {
			t.Errorf("stripe %d has standbys %v, want %v", i, got, want)
		}
	}
}

package measure

// This file answers: what did an attack do to the honest?

// Hostility is what came of an attack, over the honest peers of a run: the
// attackers are in no other figure.
type Hostility struct {
	Attackers    int `json:"attackers"`
	BadRefused   int `json:"bad_refused"`   // objects that did not verify, and went no further
	BadPlayed    int `json:"bad_played"`    // that were taken as the stream
	BadForwarded int `json:"bad_forwarded"` // and passed on
	Bans         int `json:"bans"`          // of attackers, by honest peers
	HonestBanned int `json:"honest_banned"` // of honest peers, by honest peers: nobody may cause that
	// Continuity is the mean over Viewers, the honest who had a picture or should
	// have had one: who has none after JoinLimit counts as 0.
	Continuity float64 `json:"continuity"`
	Viewers    int     `json:"viewers"`
}

// Watch takes the report of an honest viewer.
func (h *Hostility) Watch(r *Report) {
	c := 0.0
	switch {
	case r.Continuity != nil:
		c = *r.Continuity
	case !r.JoinFailed():
		return
	}
	h.Viewers++
	h.Continuity += (c - h.Continuity) / float64(h.Viewers)
}

// Add takes what another run had.
func (h *Hostility) Add(o *Hostility) {
	h.Attackers += o.Attackers
	h.BadRefused += o.BadRefused
	h.BadPlayed += o.BadPlayed
	h.BadForwarded += o.BadForwarded
	h.Bans += o.Bans
	h.HonestBanned += o.HonestBanned
	if all := h.Viewers + o.Viewers; all > 0 {
		h.Continuity = (h.Continuity*float64(h.Viewers) + o.Continuity*float64(o.Viewers)) / float64(all)
		h.Viewers = all
	}
}

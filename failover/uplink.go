package failover

import (
	"math/rand/v2"
	"time"
)

// How an uplink is felt.
const (
	// StreamOverhead is what a stream takes of an uplink for each byte of its
	// objects: headers, acknowledgements, beacons and what children are told (8 % of
	// objects of 2 kB; measured in the full stack: 10 to 20 % with all repairs).
	StreamOverhead = 1.1
	// UplinkLook is the pace of looks at the way out.
	UplinkLook = 500 * time.Millisecond
	// UplinkPressed is the delay on the way out, in the own queue and in those of
	// the line, that counts as pressure: more than what loss makes once, and a
	// small part of any buffer (a guess).
	UplinkPressed = 250 * time.Millisecond
	// pressedLooks one after the other make pressure trouble: the past that
	// newcomers get is sent by then.
	pressedLooks = 6
	// growEvery is how often a full peer without trouble tries one slot more. It
	// doubles when that brings trouble, up to growRarely: a line's capacity is not
	// asked for again and again at the cost of those who are fed.
	growEvery  = 10 * time.Second
	growRarely = 5 * time.Minute
	// regrowEvery is the pace of tries below what was borne before the last trouble.
	regrowEvery = 5 * time.Second
	// moveAway is what children that have to go get until trouble counts again: they
	// move to another parent first, and what waits for them goes out meanwhile.
	moveAway = 3 * time.Second
)

// Uplink measures for how many children, in slots, a line has room. Pressure, when
// most children are behind a queue that grows, lets nobody in; when it lasts, slots
// are given up, and tried again: half of the way back to where the trouble was at a
// time, and from there on one by one (multiplicative decrease and binary search, as
// BIC-TCP: Xu, Harfoush and Rhee, INFOCOM 2004). The zero value believes what it is
// told until there is trouble.
type Uplink struct {
	// Guess is how many slots the line seems to bear; 0: as many as it is told.
	Guess int
	// Troubles counts how often slots were given up.
	Troubles int

	bad   int           // slots in use at the last trouble: so many were not borne
	rest  time.Duration // until then trouble is still the last one
	tryAt time.Duration // when more slots are tried
	pause time.Duration // between two tries
	looks uint8         // with pressure, one after the other
	grew  bool          // the last change was a slot more
}

// Look is what is to be seen of the way out at one time.
type Look struct {
	Used     int // slots
	Children int // peers
	Behind   int // of these, behind a delay of more than UplinkPressed
	Ran      int // of these, whose queues ran over: one is its own trouble, most are the line's
}

// Pressed reports whether nobody is let in, for pressure.
func (u *Uplink) Pressed() bool { return u.looks > 0 }

// Calm reports whether looks can bring nothing new until there is pressure.
func (u *Uplink) Calm(most int) bool {
	return u.looks == 0 && (u.Guess == 0 || u.Guess >= most)
}

// Slots returns the slots that there are, of most.
func (u *Uplink) Slots(most int) int {
	if u.Guess == 0 {
		return most
	}
	return min(u.Guess, most)
}

// Look takes a look and returns the slots, of most, of which at least are kept.
func (u *Uplink) Look(now time.Duration, least, most int, l Look, rng *rand.Rand) int {
	if u.pause == 0 {
		u.pause, u.tryAt = growEvery, max(u.tryAt, now+growEvery)
	}
	mostOf := func(n int) bool { return n > 1 && 2*n > l.Children }
	over := mostOf(l.Ran)
	if over || mostOf(l.Behind) {
		u.looks++
	} else {
		u.looks = 0
	}
	n := u.Slots(most)
	switch {
	case (over || u.looks >= pressedLooks) && now >= u.rest:
		u.bad, u.rest = min(n, l.Used), now+moveAway
		u.Guess = u.bad * 9 / 10
		if over {
			u.Guess = u.Guess * 8 / 10
		}
		u.Guess = max(least, 1, u.Guess)
		u.Troubles++
		if u.grew { // it was one too many
			u.pause = min(2*u.pause, growRarely)
		}
		u.grew, u.looks = false, 1
		u.tryAt = now + u.pause
		if u.bad-u.Guess > 2 {
			u.tryAt = now + moveAway + regrowEvery
		}
	case u.looks > 0:
		return min(n, max(l.Used, 1))
	case l.Used >= n-1 && now > u.tryAt && u.bad-n > 2:
		u.Guess = min(n+(u.bad-n)/2, most)
		u.grew, u.tryAt = false, now+regrowEvery/2+time.Duration(rng.Int64N(int64(regrowEvery)))
	case l.Used >= n-1 && now > u.tryAt && n < most:
		u.Guess = n + 1
		if u.grew { // twice without trouble: it is the line that has changed
			u.pause = max(growEvery, u.pause/2)
		}
		u.grew = true
		u.tryAt = now + u.pause/2 + time.Duration(rng.Int64N(int64(u.pause)))
	}
	return u.Slots(most)
}

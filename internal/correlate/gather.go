package correlate

import (
	"errors"
	"slices"
)

// maxGathered bounds the events of one key that All keeps.
const maxGathered = 1000

// maxAsks bounds how often conditions are asked about one event of All: with
// maxGathered events the combinations are too many to try them all.
const maxAsks = 2000

var errCombinations = errors.New("too many combinations of events to try them all")

// gathered is one event of All.
type gathered[E any] struct {
	e    E
	at   int64  // ns
	can  uint64 // the parts that it can be
	part int8   // the one that it is, -1 for none
}

// gathering is what has come of All for one key, oldest first.
type gathering[E any] struct {
	events  []gathered[E]
	dropped int // events that would be among them, had there been room
}

func anyBound(parts []Part) bool {
	for _, p := range parts {
		if p.Bound {
			return true
		}
	}
	return false
}

// take gives an event to the first free part, in their order, that it can be.
// One for which none is free is kept beside: it has part in what is found, and
// takes a part's place when that part's event leaves the window. whole says
// that every part has its event; gone are those that are kept no longer.
//
// Where a part is Bound, all that is kept is tried in every combination, oldest
// first, since an event that fits its part may be the wrong one for the others.
// The error is that of a condition that had no answer even with all other parts
// there; or that there were too many combinations.
func (g *gathering[E]) take(e E, can uint64, parts []Part, now int64, ask asks[E]) (whole bool, gone []E, err error) {
	if len(g.events) >= maxGathered {
		gone = g.dropOne()
	}
	g.events = append(g.events, gathered[E]{e: e, at: now, can: can, part: -1})
	if !anyBound(parts) {
		return g.assign(parts), gone, nil
	}
	s := search[E]{g: g, parts: parts, ask: ask, slots: make([]E, len(parts))}
	if whole = s.fill(0); !whole {
		return false, gone, s.err
	}
	return true, append(gone, g.keepFitting(&s)...), nil
}

// assign gives free parts to events, oldest first.
func (g *gathering[E]) assign(parts []Part) (whole bool) {
	var filled uint64
	for i := range g.events {
		if p := g.events[i].part; p >= 0 {
			filled |= 1 << p
		}
	}
	for i := range g.events {
		x := &g.events[i]
		if x.part >= 0 {
			continue
		}
		for p := range parts {
			if (x.can&^filled)&(1<<p) != 0 {
				x.part = int8(p)
				filled |= 1 << p
				break
			}
		}
	}
	return filled == uint64(1)<<len(parts)-1
}

// search tries events as parts.
type search[E any] struct {
	g     *gathering[E]
	parts []Part
	ask   asks[E]
	slots []E
	asked int
	err   error
}

// fill finds events for all parts that filled does not have.
func (s *search[E]) fill(filled uint64) bool {
	if filled == uint64(1)<<len(s.parts)-1 {
		return true
	}
	for p := range s.parts {
		if filled&(1<<p) != 0 {
			continue
		}
		answered, ok := s.fillPart(p, filled)
		if answered || ok {
			return ok // no other order of the parts would do better
		}
	}
	return false
}

// fillPart tries each event as part p. answered is false where the condition of
// p had no answer yet for any of them: another part must come first.
func (s *search[E]) fillPart(p int, filled uint64) (answered, ok bool) {
	answered = !s.parts[p].Bound
	for i := range s.g.events {
		x := &s.g.events[i]
		if x.part >= 0 || x.can&(1<<p) == 0 {
			continue
		}
		fits, known := s.fits(p, x.e, filled)
		answered = answered || known
		if !fits {
			continue
		}
		x.part, s.slots[p] = int8(p), x.e
		if s.fill(filled | 1<<p) {
			return true, true
		}
		var none E
		x.part, s.slots[p] = -1, none
	}
	return answered, false
}

func (s *search[E]) fits(p int, e E, filled uint64) (fits, known bool) {
	if !s.parts[p].Bound {
		return true, true
	}
	if s.asked++; s.asked > maxAsks {
		s.err = errCombinations
		return false, true
	}
	ok, err := s.ask(p, e, s.slots)
	if err != nil {
		if filled|1<<p == uint64(1)<<len(s.parts)-1 {
			s.err = err
		}
		return false, false
	}
	return ok, true
}

// keepFitting drops what is kept beside and could not stand in the place of one
// of the events that were found.
func (g *gathering[E]) keepFitting(s *search[E]) (gone []E) {
	var kept []gathered[E]
	s.asked = 0
	for _, x := range g.events {
		fits := x.part >= 0
		for p := 0; p < len(s.parts) && !fits; p++ {
			fits = x.can&(1<<p) != 0 && s.fitsInstead(p, x.e)
		}
		if fits {
			kept = append(kept, x)
		} else {
			gone = append(gone, x.e)
		}
	}
	g.events = kept
	return gone
}

// fitsInstead says whether all conditions hold with e as part p.
func (s *search[E]) fitsInstead(p int, e E) bool {
	of := s.slots[p]
	s.slots[p] = e
	ok := true
	for q := 0; q < len(s.parts) && ok; q++ {
		own := s.slots[q]
		var none E
		s.slots[q] = none // as when it was asked about at first
		ok, _ = s.fits(q, own, 0)
		s.slots[q] = own
	}
	s.slots[p] = of
	return ok
}

// dropOne makes room: the oldest that is no part leaves, or the oldest.
func (g *gathering[E]) dropOne() []E {
	at := 0
	for i := range g.events {
		if g.events[i].part < 0 {
			at = i
			break
		}
	}
	gone := g.events[at].e
	g.events = slices.Delete(g.events, at, at+1)
	g.dropped++
	return []E{gone}
}

// expire takes off what is a window old or older, and lets what is kept beside
// take the places that become free.
func (g *gathering[E]) expire(now, within int64, parts []Part) (gone []E) {
	n, freed := 0, false
	for n < len(g.events) && now-g.events[n].at >= within {
		gone = append(gone, g.events[n].e)
		freed = freed || g.events[n].part >= 0
		n++
	}
	if n == 0 {
		return nil
	}
	g.events = slices.Delete(g.events, 0, n)
	if len(g.events) == 0 {
		g.dropped = 0
	}
	if freed {
		for i := range g.events {
			g.events[i].part = -1
		}
		g.assign(parts)
	}
	return gone
}

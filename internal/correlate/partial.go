package correlate

import "slices"

// What has come of a sequence, and of parts in any order, for one key. E names
// an event. Both are plain values: what is late or too much is the caller's to
// say.

// maxPartials bounds the sequences of one key that have begun: one more ends
// the oldest.
const maxPartials = 16

// asks says whether an event can be a part that is Bound, beside those that
// slots holds (the zero E where one is free).
type asks[E any] func(part int, e E, slots []E) (bool, error)

// partial is a sequence that has begun: its first parts, in their order.
type partial[E any] struct {
	first int64 // when it began, ns
	slots []E
}

// partials are those of one key, oldest first.
type partials[E any] []partial[E]

// take gives an event to the oldest sequence whose next part it can be; where
// there is none and it can be part 0, it begins one. done are the parts of a
// sequence that is whole and has left; at is the one that goes on, -1 for none;
// evicted are those of one that had to make room. An error is that of a
// condition without an answer; the event may have been taken all the same.
func (p *partials[E]) take(e E, can uint64, parts []Part, now int64, ask asks[E]) (done, evicted []E, at int, err error) {
	for i := range *p {
		x := &(*p)[i]
		next := len(x.slots)
		if can&(1<<next) == 0 {
			continue
		}
		if parts[next].Bound {
			slots := make([]E, len(parts))
			copy(slots, x.slots)
			ok, why := ask(next, e, slots)
			if why != nil {
				err = why
			}
			if !ok || why != nil {
				continue
			}
		}
		x.slots = append(x.slots, e)
		if len(x.slots) < len(parts) {
			return nil, nil, i, err
		}
		done = x.slots
		*p = slices.Delete(*p, i, i+1)
		return done, nil, -1, err
	}
	if can&1 == 0 {
		return nil, nil, -1, err
	}
	if parts[0].Bound {
		if ok, why := ask(0, e, make([]E, len(parts))); !ok || why != nil {
			return nil, nil, -1, why
		}
	}
	if len(parts) == 1 {
		return []E{e}, nil, -1, err
	}
	if len(*p) >= maxPartials {
		evicted = (*p)[0].slots
		*p = slices.Delete(*p, 0, 1)
	}
	*p = append(*p, partial[E]{first: now, slots: append(make([]E, 0, len(parts)), e)})
	return nil, evicted, len(*p) - 1, err
}

// wants says whether a sequence that has begun waits for one of the parts.
func (p *partials[E]) wants(can uint64) bool {
	for i := range *p {
		if can&(1<<len((*p)[i].slots)) != 0 {
			return true
		}
	}
	return false
}

// expire takes those off that began a window or longer ago, and gives their
// events.
func (p *partials[E]) expire(now, within int64) (gone []E) {
	n := 0
	for n < len(*p) && now-(*p)[n].first >= within {
		gone = append(gone, (*p)[n].slots...)
		n++
	}
	if n > 0 {
		*p = slices.Delete(*p, 0, n)
	}
	return gone
}

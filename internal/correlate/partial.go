package correlate

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
// sequence that is whole and has left; joined says whether it was taken at all;
// evicted are those of one that had to make room. An error is that of a
// condition without an answer; the event may have been taken all the same.
func (p *partials[E]) take(e E, can uint64, parts []Part, now int64, ask asks[E]) (done, evicted []E, joined bool, err error) {
	slots := make([]E, len(parts))
	for i := range *p {
		at := &(*p)[i]
		next := len(at.slots)
		if can&(1<<next) == 0 {
			continue
		}
		if parts[next].Bound {
			clear(slots)
			copy(slots, at.slots)
			ok, why := ask(next, e, slots)
			if why != nil {
				err = why
			}
			if !ok || why != nil {
				continue
			}
		}
		at.slots = append(at.slots, e)
		if len(at.slots) == len(parts) {
			done = at.slots
			*p = append((*p)[:i], (*p)[i+1:]...)
		}
		return done, nil, true, err
	}
	if can&1 == 0 {
		return nil, nil, false, err
	}
	if parts[0].Bound {
		clear(slots)
		if ok, why := ask(0, e, slots); !ok || why != nil {
			return nil, nil, false, why
		}
	}
	if len(parts) == 1 {
		return []E{e}, nil, true, err
	}
	if len(*p) >= maxPartials {
		evicted = (*p)[0].slots
		*p = append((*p)[:0], (*p)[1:]...)
	}
	*p = append(*p, partial[E]{first: now, slots: append(make([]E, 0, len(parts)), e)})
	return nil, evicted, true, err
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
		*p = append((*p)[:0], (*p)[n:]...)
	}
	return gone
}

package correlate

import "signalbox/event"

// sequence finds its parts one after the other within a window.
type sequence struct{ table[partials[Kept]] }

func newSequence() *sequence { return &sequence{newTable[partials[Kept]]()} }

// Take gives the event to the oldest sequence of its key that it can go on
// with, or begins one.
func (m *sequence) Take(env *Env, ins []Input, it *Item) Outcome {
	in, can, p := &ins[0], canBe(ins), env.Plan
	var s *slot[partials[Kept]]
	if _, s = m.find(env, in.Key); s != nil {
		s.state.expire(env.Now, int64(p.Within))
	}
	if (s == nil || !s.state.wants(can)) && can&1 == 0 {
		return Passed
	}
	n, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	done, evicted, at, err := s.state.take(it.Keep(), can, p.Parts, env.Now, env.asker(it))
	if err != nil {
		env.Note(Note{Outcome: "error", Detail: err.Error(), Key: in.Key})
	}
	for _, k := range evicted {
		env.Release(k.Number())
	}
	if list := s.state; len(list) == 0 {
		m.drop(env, n)
	} else {
		s.until = list[len(list)-1].first + int64(p.Within)
	}
	switch {
	case done != nil:
		f := finding(in, it)
		f.Events, f.Total = done, len(done)
		for i := range p.Parts {
			f.As = append(f.As, p.Parts[i].As)
		}
		env.Found(f)
		return Found
	case at >= 0:
		env.Free = s.state[at].first + int64(p.Within)
		return Joined
	}
	return Passed
}

// Fire is never called: a sequence that is not whole in time needs no timer.
func (m *sequence) Fire(*Env, uint32) {}

// Save writes all keys.
func (m *sequence) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, list *partials[Kept]) {
		w.Uint(uint64(len(*list)))
		for _, p := range *list {
			w.Int(p.first)
			w.Uint(uint64(len(p.slots)))
			for _, k := range p.slots {
				w.Kept(k)
			}
		}
	})
}

// Load reads them.
func (m *sequence) Load(r *StateReader) {
	m.load(r, func(r *StateReader, list *partials[Kept]) {
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			p := partial[Kept]{first: r.Int()}
			for k := r.Uint(); k > 0 && r.err == nil; k-- {
				p.slots = append(p.slots, r.Kept())
			}
			*list = append(*list, p)
		}
	})
}

// canBe gives all parts that an event can be, a bit for each.
func canBe(ins []Input) (can uint64) {
	for i := range ins {
		can |= 1 << ins[i].Part
	}
	return can
}

// asker asks the rules about parts that are Bound, for it and for what is kept.
// It is nil where no part is.
func (e *Env) asker(it *Item) asks[Kept] {
	if !anyBound(e.Plan.Parts) {
		return nil
	}
	return func(part int, k Kept, slots []Kept) (bool, error) {
		bound := make([]*event.Event, len(slots))
		for i, s := range slots {
			bound[i] = s.Event()
		}
		ev := it.Event()
		if k.Number() != it.Number() {
			ev = k.Event()
		}
		return e.Rules.Binds(e.Rule, part, ev, bound)
	}
}

package correlate

import "signalbox/event"

// unless finds that part 0 was not followed by part 1 in time.
type unless struct{ table[unlessState] }

// unlessState is what runs for a key: the events that are part 0 since the
// first, the oldest and the newest half of MaxKept of them.
type unlessState struct {
	first []Kept
	late  []Kept
	total int
	// numbers are the events that are in neither, of rules that hold others.
	numbers []uint64
}

func newUnless() *unless { return &unless{newTable[unlessState]()} }

// Take begins with part 0 and ends with part 1. An event that is both ends what
// runs and then begins anew.
func (m *unless) Take(env *Env, ins []Input, it *Item) Outcome {
	outcome := Passed
	for i := range ins {
		if ins[i].Part == 1 && m.stop(env, &ins[i], it) {
			outcome = Joined
			env.Free = env.Now // it waits for nothing itself
		}
	}
	for i := range ins {
		if ins[i].Part == 0 {
			return m.begin(env, &ins[i], it)
		}
	}
	return outcome
}

func (m *unless) begin(env *Env, in *Input, it *Item) Outcome {
	n, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	st := &s.state
	if st.total == 0 {
		s.arm(env, n, env.Now+int64(env.Plan.Within))
	}
	env.Free = Never
	st.add(it.Keep(), len(env.Plan.Holds) > 0)
	return Joined
}

func (st *unlessState) add(k Kept, numbers bool) {
	st.total++
	if len(st.first) < MaxKept/2 {
		st.first = append(st.first, k)
		return
	}
	if len(st.late) == MaxKept-MaxKept/2 {
		if numbers && len(st.numbers) < maxWindow {
			st.numbers = append(st.numbers, st.late[0].Number())
		}
		st.late = dropFirst(st.late, 1)
	}
	st.late = append(st.late, k)
}

// stop says whether the event is what was waited for.
func (m *unless) stop(env *Env, in *Input, it *Item) bool {
	n, s := m.find(env, in.Key)
	if n == 0 {
		return false
	}
	if len(env.Plan.Parts) > 1 && env.Plan.Parts[1].Bound {
		if !env.Binds(1, it.Event(), []*event.Event{s.state.first[0].Event(), nil}) {
			return false
		}
	}
	if len(env.Plan.Holds) > 0 {
		for _, k := range s.state.first {
			env.Release(k.Number())
		}
		for _, number := range s.state.numbers {
			env.Release(number)
		}
		for _, k := range s.state.late {
			env.Release(k.Number())
		}
	}
	m.drop(env, n)
	return true
}

// Fire is the time that part 1 had.
func (m *unless) Fire(env *Env, n uint32) {
	s := m.at(n)
	st := &s.state
	f := Finding{Key: s.key, Event: st.first[0], Total: st.total, Ends: endsOf(s.ends), Numbers: st.numbers}
	f.Events = append(append(f.Events, st.first...), st.late...)
	if len(env.Plan.Parts) > 0 && env.Plan.Parts[0].As != "" {
		f.As = make([]string, len(f.Events))
		f.As[0] = env.Plan.Parts[0].As
	}
	m.drop(env, n)
	env.Found(f)
}

// Save writes all keys.
func (m *unless) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, s *unlessState) {
		w.keptOnly(s.first)
		w.keptOnly(s.late)
		w.Uint(uint64(s.total))
		w.Uint(uint64(len(s.numbers)))
		for _, n := range s.numbers {
			w.Uint(n)
		}
	})
}

// Load reads them.
func (m *unless) Load(r *StateReader) {
	m.load(r, func(r *StateReader, s *unlessState) {
		*s = unlessState{first: r.keptOnly(), late: r.keptOnly(), total: int(r.Uint())}
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			s.numbers = append(s.numbers, r.Uint())
		}
		if len(s.first) == 0 {
			r.fail()
		}
	})
}

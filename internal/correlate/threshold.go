package correlate

// threshold finds a number that is over its limit, continuously for Within; once
// for as long as it has not passed Clear.
type threshold struct{ table[thresholdState] }

// thresholdState is one key whose number is over the limit, or of which the
// rate is taken.
type thresholdState struct {
	last  sample // Rate: the one before
	own   int64  // and its event's own time, 0 for none
	rated bool   // there was one

	found   bool   // it is over the limit, and was told
	since   int64  // when it went over
	over    []Kept // those over the limit since it is, not told yet
	total   int    // how many these were
	numbers []uint64
}

func newThreshold() *threshold { return &threshold{newTable[thresholdState]()} }

// Take looks at the input's number.
func (m *threshold) Take(env *Env, ins []Input, it *Item) Outcome {
	in := &ins[0]
	if !usable(in.Number) {
		return Passed
	}
	l := &env.Plan.Limit
	n, s := m.find(env, in.Key)
	v := in.Number
	if l.Rate {
		var ok bool
		if n, s, ok = m.use(env, in); !ok {
			return Full
		}
		if v, ok = s.state.rate(env, l, in.Number, it); !ok {
			return Passed
		}
	}
	found := s != nil && s.state.found
	switch {
	case found && l.clears(v):
		s.state.found = false
		m.rest(env, n, s)
	case !found && l.over(v):
		return m.over(env, in, it)
	case found:
		return Absorbed
	case s != nil:
		for _, number := range s.state.numbers {
			env.Release(number)
		}
		m.rest(env, n, s)
	}
	return Passed
}

// rate takes one more sample and gives the rate since the one before. Where both
// events have a time of their own it is by these.
func (st *thresholdState) rate(env *Env, l *Limit, v float64, it *Item) (perSecond float64, ok bool) {
	from, to := st.last, sample{v, env.Now}
	own, rated := int64(0), st.rated
	if t := it.Event().Time; !t.IsZero() {
		own = t.UnixNano()
	}
	before := st.own
	st.last, st.own, st.rated = to, own, true
	if !rated {
		return 0, false
	}
	if before != 0 && own != 0 {
		from.at, to.at = before, own
	}
	return l.rate(from, to)
}

// over takes a number that is over the limit, and was not found yet.
func (m *threshold) over(env *Env, in *Input, it *Item) Outcome {
	n, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	st := &s.state
	if st.total == 0 {
		st.since = env.Now
		if env.Plan.Within > 0 {
			s.arm(env, n, st.since+int64(env.Plan.Within))
		}
	}
	if len(st.over) >= MaxKept { // the oldest and the newest half stay
		st.over = append(st.over[:MaxKept/2], st.over[MaxKept/2+1:]...)
	}
	st.over = append(st.over, it.Keep())
	st.total++
	if len(env.Plan.Holds) > 0 && len(st.numbers) < maxWindow {
		st.numbers = append(st.numbers, it.Number())
	}
	if env.Plan.Within > 0 {
		env.Free = st.since + int64(env.Plan.Within) // the timer is first
		return Joined
	}
	f := finding(in, it)
	st.tell(&f)
	env.Found(f)
	return Found
}

func (st *thresholdState) tell(f *Finding) {
	f.Events, f.Total = st.over, st.total
	f.Numbers = st.numbers
	st.found, st.over, st.total, st.numbers = true, nil, 0, nil
}

// rest begins anew: the key is kept only where its rate is taken.
func (m *threshold) rest(env *Env, n uint32, s *slot[thresholdState]) {
	if !env.Plan.Limit.Rate {
		m.drop(env, n)
		return
	}
	st := &s.state
	st.over, st.total, st.numbers = nil, 0, nil
	s.disarm(env)
}

// Fire finds a key that has been over its limit for long enough.
func (m *threshold) Fire(env *Env, arg uint32) {
	s := m.at(arg)
	if s.state.total == 0 {
		return
	}
	f := Finding{Key: s.key, Event: s.state.over[len(s.state.over)-1], Ends: endsOf(s.ends)}
	s.state.tell(&f)
	env.Found(f)
}

// Save writes all keys.
func (m *threshold) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, st *thresholdState) {
		w.Bool(st.rated)
		if st.rated {
			w.Float(st.last.v)
			w.Int(st.last.at)
			w.Int(st.own)
		}
		w.Bool(st.found)
		w.Int(st.since)
		w.Uint(uint64(st.total))
		w.Uint(uint64(len(st.over)))
		for _, k := range st.over {
			w.Kept(k)
		}
		w.Uint(uint64(len(st.numbers)))
		for _, n := range st.numbers {
			w.Uint(n)
		}
	})
}

// Load reads them.
func (m *threshold) Load(r *StateReader) {
	m.load(r, func(r *StateReader, st *thresholdState) {
		if st.rated = r.Bool(); st.rated {
			st.last = sample{r.Float(), r.Int()}
			st.own = r.Int()
		}
		st.found, st.since = r.Bool(), r.Int()
		st.total = int(r.Uint())
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			st.over = append(st.over, r.Kept())
		}
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			st.numbers = append(st.numbers, r.Uint())
		}
	})
}

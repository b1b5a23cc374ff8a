package correlate

import "strings"

// flap finds Changes changes of state of one key within a window. It goes on
// while changes come less than a window apart.
type flap struct{ table[flapState] }

type flapState struct {
	changes []keptAt // not found yet, oldest first
	repeats []keptAt // of rules that hold others: events that changed nothing
	state   string
	at      int64 // of the last event
	going   bool
	last    int64 // while it goes on: of the last change
}

// keptAt is an event and the machine's time at which it was taken.
type keptAt struct {
	at   int64
	kept Kept
}

func newFlap() *flap { return &flap{newTable[flapState]()} }

// Take counts the event if it changes the state. The first one does, and so
// does one after more than a window of silence; without a state every event
// does.
func (m *flap) Take(env *Env, ins []Input, it *Item) Outcome {
	in := &ins[0]
	_, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	st, within := &s.state, int64(env.Plan.Within)
	begins := env.Now - within // what is not after it is forgotten
	change := s.until == 0 || st.at <= begins || in.Value == "" || in.Value != st.state
	st.at, s.until = env.Now, env.Now+within
	if in.Value != st.state {
		st.state = strings.Clone(in.Value)
	}
	if st.going && st.last <= begins {
		st.going = false
	}
	if st.going {
		if change {
			st.last = env.Now
		}
		return Absorbed
	}
	st.changes, st.repeats = leave(st.changes, begins), leave(st.repeats, begins)
	if !change {
		if len(env.Plan.Holds) > 0 {
			if len(st.repeats) >= maxWindow {
				st.repeats = dropFirst(st.repeats, 1)
			}
			st.repeats = append(st.repeats, keptAt{env.Now, it.Keep()})
		}
		return Joined
	}
	st.changes = append(st.changes, keptAt{env.Now, it.Keep()})
	if len(st.changes) < env.Plan.Changes {
		return Joined
	}
	f := finding(in, it)
	f.tell(st.changes, len(env.Plan.Holds) > 0)
	for _, r := range st.repeats {
		f.Numbers = append(f.Numbers, r.kept.Number())
	}
	env.Found(f)
	st.going, st.last, st.changes, st.repeats = true, env.Now, nil, nil
	return Found
}

// leave lets go what came at begins or before.
func leave(list []keptAt, begins int64) []keptAt {
	n := 0
	for n < len(list) && list[n].at <= begins {
		n++
	}
	if n == 0 {
		return list
	}
	return dropFirst(list, n)
}

// tell writes events into a finding, and where it does not carry all of them
// and numbers are asked for, the numbers of all.
func (f *Finding) tell(list []keptAt, numbers bool) {
	f.Total = len(list)
	oldest, newest := ends(len(list))
	f.Events = make([]Kept, 0, oldest+newest)
	for _, e := range list[:oldest] {
		f.Events = append(f.Events, e.kept)
	}
	for _, e := range list[len(list)-newest:] {
		f.Events = append(f.Events, e.kept)
	}
	if numbers && len(f.Events) < f.Total {
		for _, e := range list {
			f.Numbers = append(f.Numbers, e.kept.Number())
		}
	}
}

// Fire is never called: what goes on ends by what does not come.
func (m *flap) Fire(*Env, uint32) {}

// Save writes all keys.
func (m *flap) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, s *flapState) {
		w.keptList(s.changes)
		w.keptList(s.repeats)
		w.String(s.state)
		w.Int(s.at)
		w.Bool(s.going)
		w.Int(s.last)
	})
}

// Load reads them.
func (m *flap) Load(r *StateReader) {
	m.load(r, func(r *StateReader, s *flapState) {
		*s = flapState{changes: r.keptList(), repeats: r.keptList(), state: r.String(), at: r.Int(), going: r.Bool(), last: r.Int()}
	})
}

package correlate

// all finds an event for each of its parts within a window, in any order.
type all struct{ table[gathering[Kept]] }

func newAll() *all { return &all{newTable[gathering[Kept]]()} }

// Take adds the event to the others of its key.
func (m *all) Take(env *Env, ins []Input, it *Item) Outcome {
	in, can, p := &ins[0], canBe(ins), env.Plan
	n, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	g := &s.state
	g.expire(env.Now, int64(p.Within), p.Parts)
	whole, gone, err := g.take(it.Keep(), can, p.Parts, env.Now, env.asker(it))
	if err != nil {
		env.Note(Note{Outcome: "error", Detail: err.Error(), Key: in.Key})
	}
	for _, k := range gone {
		env.Release(k.Number())
	}
	s.until = env.Now + int64(p.Within)
	if !whole {
		return Joined
	}
	f := finding(in, it)
	tellGathered(g, &f, p)
	m.drop(env, n)
	env.Found(f)
	return Found
}

// tellGathered writes what was gathered into a finding. The parts are in it
// whatever else there is no room for.
func tellGathered(g *gathering[Kept], f *Finding, p *Plan) {
	f.Total = len(g.events) + g.dropped
	skip := max(len(g.events)-MaxKept, 0)
	first := 0 // the first that may be skipped: what is kept of the oldest stands before it
	if skip > 0 {
		first = MaxKept / 2
	}
	for i, x := range g.events {
		if len(p.Holds) > 0 && len(g.events) > MaxKept {
			f.Numbers = append(f.Numbers, x.e.Number())
		}
		as := ""
		switch {
		case x.part >= 0:
			as = p.Parts[x.part].As
		case skip > 0 && i >= first:
			skip--
			continue
		}
		f.Events, f.As = append(f.Events, x.e), append(f.As, as)
	}
}

// Fire is never called: parts that are not all there in time need no timer.
func (m *all) Fire(*Env, uint32) {}

// Save writes all keys.
func (m *all) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, g *gathering[Kept]) {
		w.Uint(uint64(g.dropped))
		w.Uint(uint64(len(g.events)))
		for _, x := range g.events {
			w.Kept(x.e)
			w.Int(x.at)
			w.Uint(x.can)
			w.Int(int64(x.part))
		}
	})
}

// Load reads them.
func (m *all) Load(r *StateReader) {
	m.load(r, func(r *StateReader, g *gathering[Kept]) {
		g.dropped = int(r.Uint())
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			g.events = append(g.events, gathered[Kept]{e: r.Kept(), at: r.Int(), can: r.Uint(), part: int8(r.Int())})
		}
	})
}

// anyOf finds each event that is one of its parts: it keeps nothing.
type anyOf struct{ table[struct{}] }

func newAny() *anyOf { return &anyOf{newTable[struct{}]()} }

// Take makes a finding of the event.
func (m *anyOf) Take(env *Env, ins []Input, it *Item) Outcome {
	in := &ins[0]
	f := finding(in, it)
	f.Events, f.Total = []Kept{it.Keep()}, 1
	if in.Part < len(env.Plan.Parts) {
		f.As = []string{env.Plan.Parts[in.Part].As}
	}
	env.Found(f)
	return Found
}

// Fire is never called.
func (m *anyOf) Fire(*Env, uint32) {}

// Save writes what a table without keys has.
func (m *anyOf) Save(w *StateWriter) { m.save(w, func(*StateWriter, *struct{}) {}) }

// Load reads it.
func (m *anyOf) Load(r *StateReader) { m.load(r, func(*StateReader, *struct{}) {}) }

package correlate

// silent finds that nothing has come of a key for a while.
type silent struct{ table[Kept] }

func newSilent() *silent { return &silent{newTable[Kept]()} }

// Take begins to wait anew.
func (m *silent) Take(env *Env, ins []Input, it *Item) Outcome {
	n, s, ok := m.use(env, &ins[0])
	if !ok {
		return Full
	}
	s.state = it.Keep()
	s.arm(env, n, env.Now+int64(env.Plan.Within))
	return Joined
}

// Fire is the end of the wait: the finding is the last event. The key is
// forgotten until an event comes.
func (m *silent) Fire(env *Env, n uint32) {
	s := m.at(n)
	f := Finding{Key: s.key, Event: s.state, Events: []Kept{s.state}, Total: 1, Ends: endsOf(s.ends)}
	m.drop(env, n)
	env.Found(f)
}

// Save writes all keys.
func (m *silent) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, k *Kept) { w.Kept(*k) })
}

// Load reads them.
func (m *silent) Load(r *StateReader) {
	m.load(r, func(r *StateReader, k *Kept) { *k = r.Kept() })
}

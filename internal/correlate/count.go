package correlate

import (
	"strings"
	"time"
)

// maxWindow bounds the events that one key's window keeps where it counts
// distinct values, of which one may come without end. The oldest are forgotten
// then; how many values there are stays right.
const maxWindow = 10_000

// count finds AtLeast events, or distinct values, of one key within a window.
type count struct{ table[countState] }

// countState is the window of one key, oldest first.
type countState struct {
	entries []keptAt
	values  []countValue // Distinct: each value that is in the window
}

// countValue is one value and when it was last seen, the one seen longest ago
// first.
type countValue struct {
	value string
	at    int64
}

func newCount() *count { return &count{newTable[countState]()} }

// Take counts the event.
func (m *count) Take(env *Env, ins []Input, it *Item) Outcome {
	p, in := env.Plan, &ins[0]
	slot, s, ok := m.use(env, in)
	if !ok {
		return Full
	}
	st := &s.state
	begins := env.Now - int64(p.Within) // what is not after it has left
	s.until = env.Now + int64(p.Within)
	if p.Tumbling {
		begins = windowStart(env.Now, p.Within) - 1
		s.until = begins + 1 + int64(p.Within)
		env.Free = s.until
	}
	st.leave(begins)
	n := len(st.entries) + 1
	if p.Distinct {
		n = st.see(in.Value, env.Now)
	}
	if n < p.AtLeast {
		st.push(keptAt{env.Now, it.Keep()}, p.AtLeast)
		return Joined
	}
	st.push(keptAt{env.Now, it.Keep()}, p.AtLeast)
	f := finding(in, it)
	f.tell(st.entries, len(p.Holds) > 0)
	env.Found(f)
	m.drop(env, slot) // the key starts anew
	return Found
}

// windowStart is when the tumbling window of t began: windows stand side by
// side since 1970.
func windowStart(t int64, within time.Duration) int64 {
	w := int64(within)
	start := t / w * w
	if start > t {
		start -= w
	}
	return start
}

// leave lets go what came at begins or before.
func (st *countState) leave(begins int64) {
	st.entries = leave(st.entries, begins)
	n := 0
	for n < len(st.values) && st.values[n].at <= begins {
		n++
	}
	if n > 0 {
		st.values = dropFirst(st.values, n)
	}
}

// dropFirst takes the first n off. A short list moves to the front, so that it
// needs no new memory to grow; in a long one that would cost more than it saves.
func dropFirst[E any](list []E, n int) []E {
	if len(list)-n > 64 {
		clear(list[:n])
		return list[n:]
	}
	rest := copy(list, list[n:])
	clear(list[rest:])
	return list[:rest]
}

// see notes a value and gives how many there are.
func (st *countState) see(value string, now int64) int {
	for i := range st.values {
		if st.values[i].value == value {
			v := st.values[i]
			v.at = now
			copy(st.values[i:], st.values[i+1:])
			st.values[len(st.values)-1] = v
			return len(st.values)
		}
	}
	st.values = append(st.values, countValue{strings.Clone(value), now})
	return len(st.values)
}

// push adds an event; the slice grows as far as a finding needs and no further.
func (st *countState) push(e keptAt, atLeast int) {
	if len(st.entries) >= max(maxWindow, atLeast) {
		st.entries = dropFirst(st.entries, 1)
	}
	if st.entries == nil {
		st.entries = make([]keptAt, 0, min(atLeast, 2))
	}
	st.entries = append(st.entries, e)
}

// ends says how many of n events a finding carries, of the oldest and of the
// newest (MaxKept).
func ends(n int) (oldest, newest int) {
	if n <= MaxKept {
		return n, 0
	}
	return MaxKept / 2, MaxKept - MaxKept/2
}

// Fire is never called: a window that ends without a finding needs no timer.
func (m *count) Fire(*Env, uint32) {}

// Save writes all keys.
func (m *count) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, s *countState) {
		w.keptList(s.entries)
		w.Uint(uint64(len(s.values)))
		for _, v := range s.values {
			w.String(v.value)
			w.Int(v.at)
		}
	})
}

// Load reads them.
func (m *count) Load(r *StateReader) {
	m.load(r, func(r *StateReader, s *countState) {
		s.entries = r.keptList()
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			s.values = append(s.values, countValue{r.String(), r.Int()})
		}
	})
}

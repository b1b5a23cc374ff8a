package correlate

import (
	"strings"

	"signalbox/internal/places"
)

// table holds the state of the keys of one stage of one rule, in the order in
// which they were last used. It is bounded by the plan: one more key is
// refused, or takes the place of the one that was idle longest. Keys whose time
// is over (until) leave when they are met, or a few at a time: so many that end
// at once stop nothing.
type table[S any] struct {
	places places.Index // of the keys, by their slots
	blocks [][]slot[S]  // numbered from 1; a block never moves, so growing copies nothing
	next   uint32       // number that was never used
	free   uint32       // chain of free slots by their next
	oldest uint32
	newest uint32

	evicted, refused uint64
}

// slot is one key and its state.
type slot[S any] struct {
	key        string
	prev, next uint32
	timer      Timer // the key's, whose arg is the slot's number; 0 until it is set
	ends       *Ends
	until      int64 // machine's time from which on the key means nothing; 0: never by itself
	state      S
}

// Ends are the keys of what comes after the form, as the key's last event had
// them: for what a timer finds.
type Ends struct{ Group, Situation string }

const tableBlock = 256

func newTable[S any]() table[S] { return table[S]{next: 1} }

// at gives a slot by its number.
func (t *table[S]) at(n uint32) *slot[S] { return &t.blocks[(n-1)/tableBlock][(n-1)%tableBlock] }

// keyOf gives the key of a slot.
func (t *table[S]) keyOf(n uint32) string { return t.at(n).key }

// find gives the slot of key, 0 where there is none or its time is over.
func (t *table[S]) find(env *Env, key string) (uint32, *slot[S]) {
	return t.findHash(env, places.HashOf(key), key)
}

func (t *table[S]) findHash(env *Env, hash places.Hash, key string) (uint32, *slot[S]) {
	n := t.places.Find(hash, key, t.keyOf)
	if n == 0 {
		return 0, nil
	}
	s := t.at(n)
	if s.until != 0 && s.until <= env.Now {
		t.drop(env, n)
		return 0, nil
	}
	return n, s
}

// use gives the slot of the input's key, a new one where there is none, and
// makes it the one that was used last. ok is false where the plan refuses one
// more key.
func (t *table[S]) use(env *Env, in *Input) (n uint32, s *slot[S], ok bool) {
	return t.useKey(env, in.Key, in)
}

// useKey is use for a key other than the input's.
func (t *table[S]) useKey(env *Env, key string, in *Input) (n uint32, s *slot[S], ok bool) {
	hash := places.HashOf(key)
	if n, s = t.findHash(env, hash, key); n == 0 {
		if n, ok = t.add(env, hash, key); !ok {
			return 0, nil, false
		}
		s = t.at(n)
	} else if t.newest != n {
		t.unlink(s)
		t.link(n, s)
	}
	if in != nil && (s.ends != nil || in.GroupKey != "" || in.SituationKey != "") {
		if s.ends == nil || s.ends.Group != in.GroupKey || s.ends.Situation != in.SituationKey {
			s.ends = &Ends{strings.Clone(in.GroupKey), strings.Clone(in.SituationKey)}
		}
	}
	return n, s, true
}

func (t *table[S]) add(env *Env, hash places.Hash, key string) (n uint32, ok bool) {
	t.expire(env, 2)
	if limit := env.Plan.maxKeys(); t.places.Len() >= limit {
		t.expire(env, 1)
		for t.places.Len() >= limit {
			if env.Plan.Refuse {
				t.refused++
				return 0, false
			}
			t.drop(env, t.oldest)
			t.evicted++
		}
	}
	if n = t.free; n != 0 {
		t.free = t.at(n).next
	} else {
		n = t.next
		t.next++
		if int(n-1)/tableBlock == len(t.blocks) {
			t.blocks = append(t.blocks, make([]slot[S], tableBlock))
		}
	}
	s := t.at(n)
	s.key = strings.Clone(key)
	t.link(n, s)
	t.places.Add(hash, n, t.keyOf)
	return n, true
}

func (t *table[S]) link(n uint32, s *slot[S]) {
	s.prev, s.next = t.newest, 0
	if t.newest != 0 {
		t.at(t.newest).next = n
	} else {
		t.oldest = n
	}
	t.newest = n
}

func (t *table[S]) unlink(s *slot[S]) {
	if s.prev != 0 {
		t.at(s.prev).next = s.next
	} else {
		t.oldest = s.next
	}
	if s.next != 0 {
		t.at(s.next).prev = s.prev
	} else {
		t.newest = s.prev
	}
}

// drop forgets a key with its timer.
func (t *table[S]) drop(env *Env, n uint32) {
	s := t.at(n)
	env.Timers.drop(&s.timer)
	t.unlink(s)
	t.places.Drop(places.HashOf(s.key), s.key, t.keyOf)
	*s = slot[S]{next: t.free}
	t.free = n
}

// expire forgets up to n keys whose time is over, the ones idle longest first.
func (t *table[S]) expire(env *Env, n int) {
	for ; n > 0 && t.oldest != 0; n-- {
		if s := t.at(t.oldest); s.until == 0 || s.until > env.Now {
			return
		}
		t.drop(env, t.oldest)
	}
}

// Expire forgets a few keys whose time is over.
func (t *table[S]) Expire(env *Env) { t.expire(env, 64) }

// Keys counts.
func (t *table[S]) Keys() Keys {
	return Keys{Held: t.places.Len(), Evicted: t.evicted, Refused: t.refused}
}

// arm sets the timer of a key: the machine's Fire is called with the slot's
// number.
func (s *slot[S]) arm(env *Env, n uint32, due int64) { env.SetTimer(&s.timer, n, due) }

func (s *slot[S]) disarm(env *Env) { env.Timers.stop(s.timer) }

// save writes all keys, the one idle longest first; state writes what is the
// machine's own.
func (t *table[S]) save(w *StateWriter, state func(*StateWriter, *S)) {
	w.Uint(t.evicted)
	w.Uint(t.refused)
	w.Uint(uint64(t.places.Len()))
	for n := t.oldest; n != 0; {
		s := t.at(n)
		w.String(s.key)
		w.Timer(s.timer)
		w.Int(s.until)
		w.Bool(s.ends != nil)
		if s.ends != nil {
			w.String(s.ends.Group)
			w.String(s.ends.Situation)
		}
		state(w, &s.state)
		n = s.next
	}
}

// load reads what save wrote into an empty table.
func (t *table[S]) load(r *StateReader, state func(*StateReader, *S)) {
	t.evicted, t.refused = r.Uint(), r.Uint()
	for n := r.Uint(); n > 0 && r.err == nil; n-- {
		at := t.next
		t.next++
		if int(at-1)/tableBlock == len(t.blocks) {
			t.blocks = append(t.blocks, make([]slot[S], tableBlock))
		}
		s := t.at(at)
		s.key = r.String()
		s.timer = r.Timer(at)
		s.until = r.Int()
		if r.Bool() {
			s.ends = &Ends{r.String(), r.String()}
		}
		state(r, &s.state)
		t.link(at, s)
		t.places.Add(places.HashOf(s.key), at, t.keyOf)
	}
}

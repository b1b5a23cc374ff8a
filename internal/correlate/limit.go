package correlate

import (
	"slices"
	"strings"
	"time"
)

// RunLimit bounds how many runs are started, or for how many devices.
type RunLimit struct {
	// Text is the limit as people read it: "5 runs in 1h by device". Of those
	// of one rule each has another.
	Text string
	// Signature names the meaning of what is counted, which is all but how
	// many there may be: while it stays the same, so does what was counted. Of
	// those of one rule each has another.
	Signature string
	Devices   bool // different devices are counted, and not runs
	Within    time.Duration
}

// limitKeys bounds the keys of one limit. They are runs that were started within
// its window, so real networks have far fewer. One more is refused: a limit that
// forgets would be none.
const limitKeys = 1_000_000

// Limiter counts what was started under each key of one limit within its window,
// which slides. Its memory is bounded by what the limit lets through.
type Limiter struct{ table[limitState] }

// limitState is what was started, in order of time.
type limitState struct {
	entries []limitEntry
	// last is when each device was counted last, where devices are: an entry of
	// another time is stale.
	last map[string]int64
}

// limitEntry is a run; or where devices are counted a device and a run for it.
type limitEntry struct {
	at     int64
	device string
}

// NewLimiter counts nothing yet.
func NewLimiter() *Limiter { return &Limiter{newTable[limitState]()} }

var limitPlan = Plan{MaxKeys: limitKeys, Refuse: true}

// limitEnv is what is around a limiter: it sets no timers.
func limitEnv(now int64) *Env { return &Env{Now: now, Plan: &limitPlan, Timers: &Timers{}} }

// Room says whether one more run may be started under a key at a time, where
// there may be most of them, or of devices; those of the run are given then,
// each once. until is when there is room again, as far as is known now, 0 for
// never; full says that too many keys are counted.
func (m *Limiter) Room(l *RunLimit, key string, devices []string, most int, now int64) (ok bool, until int64, full bool) {
	most = max(most, 1)
	s := peek(&m.table, key, now)
	if s == nil {
		switch {
		case l.Devices && len(devices) > most:
			return false, 0, false
		case m.places.Len() >= limitKeys && !m.oldestEnded(now):
			return false, 0, true
		}
		return true, 0, false
	}
	st := &s.state
	st.leave(now - int64(l.Within))
	if !l.Devices {
		if over := len(st.entries) + 1 - most; over > 0 {
			return false, st.entries[over-1].at + int64(l.Within), false
		}
		return true, 0, false
	}
	over := len(st.last) - most
	for _, d := range devices {
		if _, counted := st.last[d]; !counted {
			over++
		}
	}
	switch {
	case over <= 0:
		return true, 0, false
	case len(devices) > most:
		return false, 0, false
	}
	for i := range st.entries { // others have to leave
		if e := &st.entries[i]; st.live(e) && !slices.Contains(devices, e.device) {
			if over--; over == 0 {
				until = e.at + int64(l.Within)
				break
			}
		}
	}
	return false, until, false
}

// oldestEnded says whether a key can be forgotten for another.
func (m *Limiter) oldestEnded(now int64) bool {
	s := m.at(m.oldest)
	return s.until != 0 && s.until <= now
}

// Count notes a run, for which there was Room.
func (m *Limiter) Count(l *RunLimit, key string, devices []string, now int64) {
	_, s, ok := m.useKey(limitEnv(now), key, nil)
	if !ok {
		return
	}
	st := &s.state
	st.leave(now - int64(l.Within))
	s.until = now + int64(l.Within)
	if !l.Devices {
		st.entries = append(st.entries, limitEntry{at: now})
		return
	}
	for _, d := range devices {
		st.count(limitEntry{now, strings.Clone(d)})
	}
}

// Expire forgets a few keys whose window is over at a time.
func (m *Limiter) Expire(now int64) { m.table.Expire(limitEnv(now)) }

// live says whether an entry is the last of its device.
func (st *limitState) live(e *limitEntry) bool { return st.last == nil || st.last[e.device] == e.at }

// leave lets go what came at begins or before.
func (st *limitState) leave(begins int64) {
	n := 0
	for ; n < len(st.entries) && st.entries[n].at <= begins; n++ {
		if e := &st.entries[n]; st.last != nil && st.live(e) {
			delete(st.last, e.device)
		}
	}
	if n > 0 {
		st.entries = dropFirst(st.entries, n)
	}
}

// count adds a device. Entries that are stale stay until they are as many as the
// others.
func (st *limitState) count(e limitEntry) {
	if st.last == nil {
		st.last = map[string]int64{}
	}
	if at, counted := st.last[e.device]; counted && at == e.at {
		return
	}
	st.last[e.device] = e.at
	st.entries = append(st.entries, e)
	if len(st.entries) > 2*len(st.last)+8 {
		st.entries = slices.DeleteFunc(st.entries, func(e limitEntry) bool { return !st.live(&e) })
	}
}

// Save writes all keys.
func (m *Limiter) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, st *limitState) {
		w.Bool(st.last != nil)
		live := len(st.entries)
		if st.last != nil {
			live = len(st.last)
		}
		w.Uint(uint64(live))
		for i := range st.entries {
			if e := &st.entries[i]; st.live(e) {
				w.Int(e.at)
				w.String(e.device)
			}
		}
	})
}

// Load reads them, into a new one.
func (m *Limiter) Load(r *StateReader) {
	m.load(r, func(r *StateReader, st *limitState) {
		devices := r.Bool()
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			e := limitEntry{r.Int(), r.String()}
			if devices {
				st.count(e)
			} else {
				st.entries = append(st.entries, e)
			}
		}
	})
}

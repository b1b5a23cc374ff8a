package correlate

import (
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
type limitState []limitEntry

// limitEntry is a run; or where devices are counted a device, and its last one.
type limitEntry struct {
	at     int64
	device string
}

// NewLimiter counts nothing yet.
func NewLimiter() *Limiter { return &Limiter{newTable[limitState]()} }

var limitPlan = Plan{MaxKeys: limitKeys, Refuse: true}

// limitEnv is what is around a limiter: it sets no timers.
func limitEnv(now int64) *Env { return &Env{Now: now, Plan: &limitPlan, Timers: &Timers{}} }

// Room says whether one more may be started under a key at a time, where there
// may be most of them. until is when there is room again, as far as is known
// now; full says that too many keys are counted.
func (m *Limiter) Room(l *RunLimit, key, device string, most int, now int64) (ok bool, until int64, full bool) {
	s := peek(&m.table, key, now)
	if s == nil {
		ok = m.places.Len() < limitKeys || m.oldestEnded(now)
		return ok, 0, !ok
	}
	held := s.state[s.state.ended(now-int64(l.Within)):]
	most = max(most, 1)
	if len(held) < most || l.Devices && held.find(device) >= 0 {
		return true, 0, false
	}
	return false, held[len(held)-most].at + int64(l.Within), false
}

// oldestEnded says whether a key can be forgotten for another.
func (m *Limiter) oldestEnded(now int64) bool {
	s := m.at(m.oldest)
	return s.until != 0 && s.until <= now
}

// Count notes that one was started, for which there was Room.
func (m *Limiter) Count(l *RunLimit, key, device string, now int64) {
	_, s, ok := m.useKey(limitEnv(now), key, nil)
	if !ok {
		return
	}
	if n := s.state.ended(now - int64(l.Within)); n > 0 {
		s.state = dropFirst(s.state, n)
	}
	e := limitEntry{at: now}
	if l.Devices {
		if i := s.state.find(device); i >= 0 {
			e.device = s.state[i].device
			s.state = append(s.state[:i], s.state[i+1:]...)
		} else {
			e.device = strings.Clone(device)
		}
	}
	s.state = append(s.state, e)
	s.until = now + int64(l.Within)
}

// Expire forgets a few keys whose window is over at a time.
func (m *Limiter) Expire(now int64) { m.table.Expire(limitEnv(now)) }

// ended is how many of them are not after begins.
func (st limitState) ended(begins int64) (n int) {
	for n < len(st) && st[n].at <= begins {
		n++
	}
	return n
}

func (st limitState) find(device string) int {
	for i := range st {
		if st[i].device == device {
			return i
		}
	}
	return -1
}

// Save writes all keys.
func (m *Limiter) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, st *limitState) {
		w.Uint(uint64(len(*st)))
		for _, e := range *st {
			w.Int(e.at)
			w.String(e.device)
		}
	})
}

// Load reads them, into a new one.
func (m *Limiter) Load(r *StateReader) {
	m.load(r, func(r *StateReader, st *limitState) {
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			*st = append(*st, limitEntry{r.Int(), r.String()})
		}
	})
}

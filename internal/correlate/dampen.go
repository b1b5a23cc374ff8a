package correlate

import (
	"strconv"
	"strings"
	"time"
)

// dampener is the gate of RFC 2439: a key of which too much comes is suppressed
// until it has been quiet for long enough.
type dampener struct {
	table[dampState]

	// What follows from the plan, for as long as it is the same.
	plan, use Dampen
	ceiling   uint64
}

// dampState is the history of one key.
type dampState struct {
	penalty    uint64 // at the time at, in 2^-pointBits
	at         int64
	suppressed bool
	through    string // type of the last event that was let through, "" for none
	// The last event that was suppressed since the key is, and what it was.
	last   Kept
	inputs []Input
}

// forgetHalves is how many half-lives beyond Max a quiet key is remembered: then
// less than a thousandth of the reuse limit is left of its penalty.
const forgetHalves = 10

// Admit adds the event's penalty and says whether the key is suppressed.
func (m *dampener) Admit(env *Env, p *Passage) Admission {
	d := m.dampen(env)
	n, s, ok := m.useKey(env, p.Inputs[0].DampenKey, nil)
	if !ok {
		return Admission{Outcome: "full", Detail: "too many keys are dampened"}
	}
	st := &s.state
	st.penalty = min(st.now(env.Now, d)+points(d.Penalty), m.ceiling)
	st.at = env.Now
	if !st.suppressed && st.penalty <= points(d.Suppress) {
		if typ := p.Item.Event().Type; st.through != typ {
			st.through = strings.Clone(typ)
		}
		s.until = env.Now + int64(d.Max) + forgetHalves*int64(d.HalfLife)
		return Admission{}
	}
	if !st.suppressed {
		st.suppressed, s.until = true, 0
		env.SetTimerLast(&s.timer, n, env.Now+st.reuse(d))
	}
	st.last, st.inputs = p.Item.Keep(), OwnInputs(p.Inputs)
	return Admission{Outcome: "dampened", Detail: "penalty " + strconv.FormatUint(st.penalty>>pointBits, 10) +
		", suppressed above " + strconv.Itoa(d.Suppress) + " until it is down to " + strconv.Itoa(d.Reuse)}
}

// longest bounds a half-life and a maximum, so that no sum of times overflows.
const longest = 365 * 24 * time.Hour

// dampen gives the plan's, in bounds, and brings up to date what follows from
// it.
func (m *dampener) dampen(env *Env) *Dampen {
	if d := env.Plan.Dampen; *d != m.plan {
		m.plan, m.use = *d, *d
		m.use.HalfLife = min(max(d.HalfLife, 1), longest)
		m.use.Max = min(max(d.Max, 0), longest)
		m.ceiling = penaltyCeiling(points(d.Reuse)+1, m.use.Max, m.use.HalfLife)
	}
	return &m.use
}

// points is a number of points as a penalty.
func points(n int) uint64 { return min(uint64(max(n, 0)), maxPenalty>>pointBits) << pointBits }

// now is what is left of the penalty.
func (st *dampState) now(now int64, d *Dampen) uint64 {
	return decay(st.penalty, time.Duration(now-st.at), d.HalfLife)
}

// reuse is how long after its last event the key is suppressed.
func (st *dampState) reuse(d *Dampen) int64 {
	return int64(untilBelow(st.penalty, points(d.Reuse)+1, d.HalfLife))
}

// Fire lets the key through again if no event came since the timer was set.
// What was suppressed stays so, except that the last event is given on where it
// tells another state than the last one that was let through: nobody would know
// it otherwise.
func (m *dampener) Fire(env *Env, arg uint32) {
	s, d := m.at(arg), m.dampen(env)
	st := &s.state
	if due := st.at + st.reuse(d); due > env.Now {
		env.SetTimerLast(&s.timer, arg, due)
		return
	}
	last, inputs := st.last, st.inputs
	st.suppressed, st.last, st.inputs = false, Kept{}, nil
	s.until = env.Now + int64(d.Max) + forgetHalves*int64(d.HalfLife)
	p := Passage{Item: ItemOf(last), Inputs: inputs}
	if typ := p.Item.Event().Type; typ != st.through {
		st.through = strings.Clone(typ)
		env.Note(Note{Outcome: "released", Of: last.ID(), Key: inputs[0].Key,
			Detail: "it is the last event that was dampened, and its state is another than the last one known"})
		env.Resume(p)
	}
}

// Save writes all keys.
func (m *dampener) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, st *dampState) {
		w.Uint(st.penalty)
		w.Int(st.at)
		w.Bool(st.suppressed)
		w.String(st.through)
		w.Kept(st.last)
		w.Inputs(st.inputs)
	})
}

// Load reads them.
func (m *dampener) Load(r *StateReader) {
	m.load(r, func(r *StateReader, st *dampState) {
		st.penalty, st.at = r.Uint(), r.Int()
		st.suppressed = r.Bool()
		st.through = r.String()
		st.last = r.Kept()
		st.inputs = r.Inputs()
	})
}

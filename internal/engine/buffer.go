package engine

import (
	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// buffer holds the events of a rule that goes by their own time, until the log
// is so far past it that an earlier one is late.
type buffer struct {
	on      bool
	list    []buffered
	idle    []uint32
	n       int
	refused uint64
}

type buffered struct {
	kept   correlate.Kept
	inputs []correlate.Input
	at     int64 // the event's own time
	timer  correlate.Timer
}

// eventTime is the time at which a rule takes an event: its own, or that at
// which it came in; never one that has not come.
func (l *lane) eventTime(ev *event.Event) (ns int64, tooOld bool) {
	t := ev.Time
	if t.IsZero() {
		t = ev.Received
	}
	now := unixNano(l.now)
	if t.After(now) {
		return l.now, false
	}
	if t.Before(unixNano(0)) {
		return 0, true // no clock that is right, and its nanoseconds may not fit
	}
	return t.UnixNano(), false
}

// late says whether an event comes too late for a rule that goes by event time.
func (l *lane) late(p *pipe, it *correlate.Item) bool {
	if p.machine == nil || p.Plan == nil || !p.Plan.EventTime {
		return false
	}
	at, tooOld := l.eventTime(it.Event())
	return tooOld || at+int64(p.Plan.Lateness) < l.now
}

// fresh says whether an event comes from the log with the record in hand, and
// not from a gate or another rule that kept it until now.
func (l *lane) fresh(it *correlate.Item) bool { return l.main != nil && it.Number() == l.mainNumber }

// wait gives an event of a rule that goes by event time to its form: now, or
// when its time has come.
func (l *lane) wait(p *pipe, it *correlate.Item, inputs []correlate.Input) answer {
	at, tooOld := l.eventTime(it.Event())
	due := at + int64(p.Plan.Lateness)
	if !l.fresh(it) && due < l.now {
		// It came in time and was kept: the form takes it at the time at which it is.
		at, due, tooOld = l.now-int64(p.Plan.Lateness), l.now, false
	}
	if tooOld || due < l.now {
		l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "late", Detail: "by its own time it is more than " + p.Plan.Lateness.String() + " late", Of: l.otherID(it)})
		return back
	}
	if due == l.now {
		return l.take(p, it, inputs, at)
	}
	b := &p.buffer
	if b.n >= maxKeysOf(p.Plan) {
		b.refused++
		l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "full", Detail: "too many events wait for their own time", Of: l.otherID(it)})
		return back
	}
	var n uint32
	if last := len(b.idle) - 1; last >= 0 {
		n, b.idle = b.idle[last], b.idle[:last]
	} else {
		n = uint32(len(b.list))
		b.list = append(b.list, buffered{})
	}
	x := &b.list[n]
	x.kept, x.inputs, x.at = it.Keep(), correlate.OwnInputs(inputs), at
	env := l.env(p, stBuffer)
	env.SetTimerLast(&x.timer, n, due)
	l.depth--
	b.n++
	if len(p.Plan.Holds) > 0 && !p.Shadow {
		l.takes(taking{by: p, number: it.Number(), free: due + int64(p.Plan.Within)})
	}
	l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "joined", Detail: "it is taken at its own time", Key: l.keyText(inputs[0].Key)})
	return took
}

// apply takes an event at its own time.
func (l *lane) apply(p *pipe, n uint32) {
	x := p.buffer.list[n]
	l.timers.Drop(&x.timer)
	p.buffer.list[n] = buffered{}
	p.buffer.idle = append(p.buffer.idle, n)
	p.buffer.n--
	it := correlate.ItemOf(x.kept)
	l.quiet = true
	l.take(p, &it, x.inputs, x.at)
	l.quiet = false
	if len(p.Plan.Holds) == 0 {
		return
	}
	for _, t := range l.taken {
		if t.by != p || t.number != it.Number() {
			continue
		}
		switch {
		case t.absorbed:
			l.holds.absorb(l, p, t.number, "")
		case t.free <= l.now: // it waits for nothing
			l.holds.free(l, p, t.number)
		default:
			l.holds.update(l, p, t.number, t.free)
		}
		return
	}
	l.holds.free(l, p, it.Number())
}

func maxKeysOf(p *correlate.Plan) int {
	if p.MaxKeys > 0 {
		return p.MaxKeys
	}
	return correlate.DefaultMaxKeys
}

// Fire is not used: see apply.
func (b *buffer) Fire(*correlate.Env, uint32) {}

// Expire has nothing to do: time takes out what is in.
func (b *buffer) Expire(*correlate.Env) {}

// Keys counts the events that wait.
func (b *buffer) Keys() correlate.Keys { return correlate.Keys{Held: b.n, Refused: b.refused} }

// Save writes them; the order in which they were put in is in their timers.
func (b *buffer) Save(w *correlate.StateWriter) {
	w.Uint(b.refused)
	w.Uint(uint64(b.n))
	for i := range b.list {
		if x := &b.list[i]; !x.kept.None() {
			w.Kept(x.kept)
			w.Inputs(x.inputs)
			w.Int(x.at)
			w.Timer(x.timer)
		}
	}
}

// Load reads them.
func (b *buffer) Load(r *correlate.StateReader) {
	b.refused = r.Uint()
	for left := r.Uint(); left > 0 && r.Err() == nil; left-- {
		n := uint32(len(b.list))
		b.list = append(b.list, buffered{kept: r.Kept(), inputs: r.Inputs(), at: r.Int(), timer: r.Timer(n)})
		b.n++
	}
}

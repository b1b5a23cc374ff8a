package engine

import (
	"slices"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// taking is what the form of a rule that holds others made of an event.
type taking struct {
	by       *pipe
	number   uint64
	absorbed bool
	free     int64 // log time from which on the event is no part of a finding; correlate.Never: the form tells
}

// holds are the events that wait until it is clear that they are no part of
// what another rule looks for.
type holds struct {
	list []hold            // [0] is none
	of   map[uint64]uint32 // number of an event → its first hold
	idle uint32            // chain of free ones by next
	n    int
}

// hold is one event that one rule does not get yet.
type hold struct {
	kept   correlate.Kept
	target string // rule
	inputs []correlate.Input
	by     []holder
	timer  correlate.Timer
	next   uint32 // of the same event

	// gated says that a gate of the rule itself keeps the event as yet: it is
	// held only once it comes through. absorbed is what became of it until then.
	gated, absorbed bool
}

type holder struct {
	rule string
	free int64
}

func newHolds() holds { return holds{list: make([]hold, 1), of: map[uint64]uint32{}} }

// held says whether the rule does not get the event now: because it is held, or
// because it belongs to what another rule found.
func (l *lane) held(p *pipe, it *correlate.Item, inputs []correlate.Input) bool {
	// One that is late on arrival is late: it waits for nothing.
	if len(p.heldBy) == 0 || l.fresh(it) && l.late(p, it) {
		return false
	}
	by, absorbed := l.holders(p, it.Number())
	if n := l.holds.behind(it.Number(), p.Rule); n != 0 { // it comes through the gate only now
		by, absorbed = l.holds.list[n].by, l.holds.list[n].absorbed
		by = slices.DeleteFunc(by, func(b holder) bool { return b.free <= l.now })
		l.holds.drop(l, n)
	}
	if absorbed {
		l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "absorbed", Detail: "by what " + l.finder(p, it.Number()) + " found", Of: it.Event().ID})
		return true
	}
	if len(by) == 0 {
		return false
	}
	l.holds.add(l, hold{kept: it.Keep(), target: p.Rule, inputs: correlate.OwnInputs(inputs), by: by})
	l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "held", Detail: "until it is clear that it is no part of what rule " + by[0].rule + " looks for"})
	return true
}

// holders are the rules whose forms have just taken an event and hold it for p.
func (l *lane) holders(p *pipe, number uint64) (by []holder, absorbed bool) {
	for i := range l.taken {
		if t := &l.taken[i]; t.number == number && (t.absorbed || t.free > l.now) && slices.Contains(p.heldBy, t.by) {
			by = append(by, holder{t.by.Rule, t.free})
			absorbed = absorbed || t.absorbed
		}
	}
	return by, absorbed
}

// finder names for people whose finding has just absorbed an event.
func (l *lane) finder(p *pipe, number uint64) string {
	for i := range l.taken {
		if t := &l.taken[i]; t.number == number && t.absorbed && slices.Contains(p.heldBy, t.by) {
			return "rule " + t.by.Rule
		}
	}
	return "another rule" // a gate kept the event meanwhile
}

// gate remembers who holds an event that a gate of p itself keeps until a time
// at most: when it comes through, it must be known what became of it.
func (l *lane) gate(p *pipe, it *correlate.Item, until int64) {
	if len(p.heldBy) == 0 {
		return
	}
	by, absorbed := l.holders(p, it.Number())
	l.holds.add(l, hold{kept: it.Keep(), target: p.Rule, by: by, gated: true, absorbed: absorbed})
	// The gate's own timer of that time was set before, and so comes first: what
	// is here then did not come through.
	l.holds.set(l, l.holds.behind(it.Number(), p.Rule), until)
}

// takes notes what the form of a rule that holds others made of an event; a
// rule whose gate keeps it is told, too.
func (l *lane) takes(t taking) {
	l.taken = append(l.taken, t)
	for n := l.holds.of[t.number]; n != 0; n = l.holds.list[n].next {
		x := &l.holds.list[n]
		if p := l.names[x.target]; !x.gated || p == nil || !slices.Contains(p.heldBy, t.by) {
			continue
		}
		x.absorbed = x.absorbed || t.absorbed
		if t.free > l.now {
			x.by = append(x.by, holder{t.by.Rule, t.free})
		}
	}
}

// behind is the hold of an event that a gate of the rule keeps, 0 for none.
func (h *holds) behind(number uint64, rule string) uint32 {
	n := h.of[number]
	for n != 0 && (!h.list[n].gated || h.list[n].target != rule) {
		n = h.list[n].next
	}
	return n
}

func (h *holds) add(l *lane, x hold) {
	n := h.idle
	if n != 0 {
		h.idle = h.list[n].next
	} else {
		n = uint32(len(h.list))
		h.list = append(h.list, hold{})
	}
	// In order of coming, so that what is told of one event is in that order.
	number := x.kept.Number()
	if first := h.of[number]; first == 0 {
		h.of[number] = n
	} else {
		last := first
		for h.list[last].next != 0 {
			last = h.list[last].next
		}
		h.list[last].next = n
	}
	h.list[n] = x
	h.n++
	h.arm(l, n)
}

// arm sets the timer of a hold to when all let the event go by time.
func (h *holds) arm(l *lane, n uint32) {
	if h.list[n].gated {
		return
	}
	due := int64(0)
	for _, by := range h.list[n].by {
		if by.free != correlate.Never {
			due = max(due, by.free)
		}
	}
	if due != 0 {
		h.set(l, n, due)
	}
}

func (h *holds) set(l *lane, n uint32, due int64) {
	env := l.bareEnv()
	env.Owner = ownerHolds
	// Last: what the event is given to has its own timers of this time, and they
	// come first, as they do before an event of the log.
	env.SetTimerLast(&h.list[n].timer, n, due)
	l.depth--
}

// fire lets go what time has made free.
func (h *holds) fire(l *lane, n uint32) {
	x := &h.list[n]
	if x.gated {
		h.drop(l, n)
		return
	}
	x.by = slices.DeleteFunc(x.by, func(b holder) bool { return b.free <= l.due })
	if len(x.by) == 0 {
		l.freed = append(l.freed, n)
	}
}

// free says that the form of p lets an event go.
func (h *holds) free(l *lane, p *pipe, number uint64) {
	for n := h.of[number]; n != 0; n = h.list[n].next {
		x := &h.list[n]
		before := len(x.by)
		x.by = slices.DeleteFunc(x.by, func(b holder) bool { return b.rule == p.Rule })
		if before > 0 && len(x.by) == 0 && !x.gated {
			l.freed = append(l.freed, n)
		}
	}
}

// update notes from when on an event that waited for its own time is free.
func (h *holds) update(l *lane, p *pipe, number uint64, free int64) {
	for n := h.of[number]; n != 0; n = h.list[n].next {
		x := &h.list[n]
		for i := range x.by {
			if b := &x.by[i]; b.rule == p.Rule && b.free != free {
				b.free = free
				h.arm(l, n)
			}
		}
	}
}

// freeAll lets go all that a rule holds whose state is gone: with the next
// record.
func (h *holds) freeAll(l *lane, p *pipe) {
	for _, number := range h.numbers() {
		for n := h.of[number]; n != 0; n = h.list[n].next {
			for i := range h.list[n].by {
				if b := &h.list[n].by[i]; b.rule == p.Rule {
					b.free = max(l.now, 1)
					h.arm(l, n)
				}
			}
		}
	}
}

// numbers are the events that are held, in order.
func (h *holds) numbers() []uint64 {
	out := make([]uint64, 0, len(h.of))
	for number := range h.of {
		out = append(out, number)
	}
	slices.Sort(out)
	return out
}

// absorb ends what is held of the events of a finding of p.
func (h *holds) absorb(l *lane, p *pipe, number uint64, key string) {
	for n := h.of[number]; n != 0; {
		x := &h.list[n]
		next := x.next
		switch mine := slices.ContainsFunc(x.by, func(b holder) bool { return b.rule == p.Rule }); {
		case mine && x.gated:
			x.absorbed = true
		case mine:
			l.note(0, record.RuleNote{Rule: x.target, Outcome: "absorbed", Detail: "by what rule " + p.Rule + " found", Of: x.kept.ID(), Key: key})
			h.drop(l, n)
		}
		n = next
	}
}

func (h *holds) drop(l *lane, n uint32) {
	x := &h.list[n]
	l.timers.Drop(&x.timer)
	number := x.kept.Number()
	if first := h.of[number]; first == n {
		if x.next == 0 {
			delete(h.of, number)
		} else {
			h.of[number] = x.next
		}
	} else {
		for h.list[first].next != n {
			first = h.list[first].next
		}
		h.list[first].next = x.next
	}
	*x = hold{next: h.idle}
	h.idle = n
	h.n--
}

// settle gives the rules the events that nobody holds any more.
func (l *lane) settle() {
	for len(l.freed) > 0 {
		at := 0 // in the order in which they came
		for i, n := range l.freed {
			if l.holds.list[n].kept.Number() < l.holds.list[l.freed[at]].kept.Number() {
				at = i
			}
		}
		n := l.freed[at]
		l.freed = slices.Delete(l.freed, at, at+1)
		x := l.holds.list[n]
		if x.kept.None() || len(x.by) > 0 {
			continue
		}
		l.holds.drop(l, n)
		it := correlate.ItemOf(x.kept)
		l.note(it.Number(), record.RuleNote{Rule: x.target, Outcome: "released", Of: x.kept.ID()})
		if p := l.names[x.target]; p != nil {
			l.give(p, &it, x.inputs)
		}
	}
	l.taken = l.taken[:0]
}

// save writes what is held, in order of the events.
func (h *holds) save(w *correlate.StateWriter) {
	w.Uint(uint64(h.n))
	for _, number := range h.numbers() {
		for n := h.of[number]; n != 0; n = h.list[n].next {
			x := &h.list[n]
			w.Kept(x.kept)
			w.String(x.target)
			w.Inputs(x.inputs)
			w.Timer(x.timer)
			w.Bool(x.gated)
			w.Bool(x.absorbed)
			w.Uint(uint64(len(x.by)))
			for _, b := range x.by {
				w.String(b.rule)
				w.Int(b.free)
			}
		}
	}
}

func (h *holds) load(r *correlate.StateReader) {
	r.For(ownerHolds)
	for left := r.Uint(); left > 0 && r.Err() == nil; left-- {
		n := uint32(len(h.list))
		x := hold{kept: r.Kept(), target: r.String(), inputs: r.Inputs(), timer: r.Timer(n), gated: r.Bool(), absorbed: r.Bool()}
		for k := r.Uint(); k > 0 && r.Err() == nil; k-- {
			x.by = append(x.by, holder{r.String(), r.Int()})
		}
		number := x.kept.Number()
		h.list = append(h.list, x)
		h.n++
		last := h.of[number]
		if last == 0 {
			h.of[number] = n
			continue
		}
		for h.list[last].next != 0 {
			last = h.list[last].next
		}
		h.list[last].next = n
	}
}

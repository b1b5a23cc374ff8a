package reference

import (
	"cmp"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// Correlator decides about batches as engine.Engine does. Ids of runs are left
// out, and situations are named "rule/key/number".
type Correlator struct {
	rules engine.Rules
	now   time.Time
	order int // counts all that is set, so that timers of one time have an order

	seen   map[string][]seen // of all dedup windows, by window and key
	pipes  map[string]*pipe
	names  []string // of pipes, in the order in which they were first met
	held   []*held
	waits  []*wait
	topo   *topology
	states []*situation
	begun  []begun

	arrival map[event.ID]int      // the order in which events came
	reused  map[*event.Event]bool // given on at the end of dampening

	arriving *event.Event // of the record in hand

	out []record.Decision
	cur *record.Decision
}

// seen is one event that was news in a dedup window.
type seen struct {
	id event.ID
	at time.Time
	// forgotten is when a clearing event ended it; zero for never.
	forgotten bool
}

// pipe is what one rule was given so far.
type pipe struct {
	m      engine.Match // of any event: rule, version, plan
	plan   *correlate.Plan
	keys   []string
	forms  map[string]*history
	issued map[string]int // findings of forms that were acted on
	buffer []*late        // event time: what is not applied yet
	damp   map[string]*damper
	damps  []string
	groups map[string]*group
	gkeys  []string
}

// late is an event that waits for the log to be Lateness past its own time.
type late struct {
	ev    *event.Event
	ins   []correlate.Input
	at    time.Time
	order int
}

// New returns a correlator for one rule set.
func New(rules engine.Rules) *Correlator {
	return &Correlator{
		rules: rules, now: time.Unix(0, 0).UTC(), seen: map[string][]seen{}, pipes: map[string]*pipe{},
		topo: newTopology(rules.Topology()), arrival: map[event.ID]int{}, reused: map[*event.Event]bool{},
	}
}

// Step takes a batch and gives what was decided: the records' own decisions,
// also of events that no rule matched, and those of timers.
func (c *Correlator) Step(b *record.Batch) []record.Decision {
	c.out = nil
	now := c.now
	if b.Time.After(now) {
		now = b.Time
	}
	for i := range b.Records {
		c.arriving = nil
		c.advance(now, b.At(i))
		c.now, c.arriving = now, b.Records[i].Event
		c.decide(b.At(i), &b.Records[i])
	}
	return c.out
}

// timer is something that is due.
type timer struct {
	due   time.Time
	last  bool // it gives an event to a form, and so comes after the timers of its time
	order int
	act   func()
}

// advance fires what is due up to and including a time, the earliest first.
func (c *Correlator) advance(to time.Time, at record.Position) {
	for {
		all := c.pending()
		if len(all) == 0 {
			return
		}
		next := slices.MinFunc(all, func(a, b timer) int {
			return cmp.Or(a.due.Compare(b.due), after(a)-after(b), cmp.Compare(a.order, b.order))
		})
		if next.due.After(to) {
			return
		}
		if next.due.After(c.now) {
			c.now = next.due
		}
		d := &record.Decision{At: at, Due: next.due}
		c.cur = d
		next.act()
		c.settle()
		if len(d.Runs)+len(d.Notes)+len(d.Situations) > 0 {
			c.out = append(c.out, *d)
		}
	}
}

func after(t timer) int {
	if t.last {
		return 1
	}
	return 0
}

// NextTimer is when the next timer is due.
func (c *Correlator) NextTimer() (time.Time, bool) {
	all := c.pending()
	if len(all) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(all, func(a, b timer) int { return a.due.Compare(b.due) }).due, true
}

func (c *Correlator) pending() []timer {
	var out []timer
	for _, name := range c.names {
		p := c.pipes[name]
		for _, l := range p.buffer {
			out = append(out, timer{l.at.Add(p.plan.Lateness), true, l.order, func() { c.apply(p, l) }})
		}
		for _, key := range p.keys {
			found := p.forms[key].at(forever).found
			if n := p.issued[key]; n < len(found) && found[n].timer {
				f := found[n]
				out = append(out, timer{f.at.Add(p.lateness()), false, f.order, func() { p.issued[key]++; c.found(p, key, f) }})
			}
		}
		out = append(out, c.dampTimers(p)...)
		out = append(out, c.groupTimers(p)...)
	}
	for _, h := range c.held {
		if due, ok := h.due(); ok {
			out = append(out, timer{due, true, h.order, func() { c.release(h) }})
		}
	}
	for _, w := range c.waits {
		out = append(out, timer{w.at.Add(w.p.plan.Upstream.Wait), true, w.order, func() { c.waited(w) }})
	}
	return out
}

func (p *pipe) lateness() time.Duration {
	if p.plan.EventTime {
		return p.plan.Lateness
	}
	return 0
}

// what an event is to a rule.
type answer int

const (
	nothing answer = iota
	back           // matched and held back
	took
)

func (c *Correlator) decide(at record.Position, r *record.Record) {
	d := &record.Decision{At: at}
	c.cur = d
	switch r.Kind {
	case record.KindEvent:
		c.event(d, r.Event)
	case record.KindCommand:
		d.Verdict, d.Command = record.Decided, r.Command
		c.person(r.Command)
	default:
		return
	}
	c.out = append(c.out, *d)
}

func (c *Correlator) event(d *record.Decision, ev *event.Event) {
	d.Verdict = record.Unmatched
	c.arrival[ev.ID] = len(c.arrival) + 1
	if ev.SenderID != "" {
		if of, dup := c.repeats("redelivery", ev.Source+"\x00"+ev.SenderID, c.rules.Windows().Redelivery, ev); dup {
			d.Verdict, d.Of = record.Duplicate, of
			return
		}
	}
	for _, t := range c.rules.Clears(ev.Type) {
		if key, ok := c.rules.GlobalKey(ev, t); ok {
			c.forget("global", string(key[:]))
		}
	}
	duplicate := false
	if key, ok := c.rules.GlobalKey(ev, ev.Type); ok {
		if of, dup := c.repeats("global", string(key[:]), c.rules.Windows().Global, ev); dup {
			duplicate, d.Of = true, of
		}
	}
	c.news(ev)

	best := nothing
	// Rules that hold others come first, so that it is known what is held.
	matches := c.rules.Match(ev, nil)
	slices.SortStableFunc(matches, func(a, b engine.Match) int { return cmp.Compare(c.depth(b.Rule), c.depth(a.Rule)) })
	for _, m := range matches {
		form := m.Plan != nil && m.Plan.Form != correlate.Single
		if duplicate && !form {
			if m.Plan != nil {
				best = max(best, c.roles(c.pipe(m), ev, m.Inputs))
			}
			continue
		}
		best = max(best, c.enter(m, ev))
	}
	c.settle()
	switch {
	case best == took:
		d.Verdict, d.Of = record.Decided, ""
	case duplicate:
		d.Verdict = record.Duplicate
	case best == back:
		d.Verdict = record.Suppressed
	}
}

// depth is how many rules wait for each other behind one that holds.
func (c *Correlator) depth(rule string) int {
	n := 0
	if p := c.rules.Plan(rule); p != nil {
		for _, h := range p.Holds {
			n = max(n, 1+c.depth(h))
		}
	}
	return n
}

// repeats says which event within the window ev is a repetition of; one that
// repeats nothing is news from here on.
func (c *Correlator) repeats(window, key string, within time.Duration, ev *event.Event) (of event.ID, dup bool) {
	name := window + "\x00" + key
	for _, s := range c.seen[name] {
		if !s.forgotten && c.now.Before(s.at.Add(within)) {
			return s.id, true
		}
	}
	c.seen[name] = append(c.seen[name], seen{id: ev.ID, at: c.now})
	return "", false
}

func (c *Correlator) forget(window, key string) {
	all := c.seen[window+"\x00"+key]
	for i := range all {
		all[i].forgotten = true
	}
}

func (c *Correlator) note(rule, outcome string, of event.ID) {
	c.cur.Notes = append(c.cur.Notes, record.RuleNote{Rule: rule, Outcome: outcome, Of: of})
}

func (c *Correlator) pipe(m engine.Match) *pipe {
	p := c.pipes[m.Rule]
	if p == nil {
		p = &pipe{m: m, plan: m.Plan, forms: map[string]*history{}, issued: map[string]int{}, damp: map[string]*damper{}, groups: map[string]*group{}}
		if p.plan == nil {
			p.plan = &correlate.Plan{}
		}
		c.pipes[m.Rule] = p
		c.names = append(c.names, m.Rule)
	}
	return p
}

// enter takes an event through a rule's pipe as far as it goes now.
func (c *Correlator) enter(m engine.Match, ev *event.Event) answer {
	if m.Err != "" {
		c.note(m.Rule, "error", "")
		return nothing
	}
	p := c.pipe(m)
	best := c.roles(p, ev, m.Inputs)
	ins := slices.DeleteFunc(slices.Clone(m.Inputs), func(in correlate.Input) bool { return in.Part < 0 })
	if m.Plan != nil && len(ins) == 0 {
		return best
	}
	if p.plan.Form == correlate.Unless && !slices.ContainsFunc(ins, func(in correlate.Input) bool { return in.Part == 0 }) {
		return max(best, c.form(p, ev, ins))
	}
	if cause := ev.Cause; cause != nil && (slices.Contains(cause.Rules, m.Rule) || len(cause.Rules) >= engine.MaxDepth) {
		c.note(m.Rule, "loop", "")
		return max(best, back)
	}
	if m.Within > 0 {
		if of, dup := c.repeats("own "+m.Rule, string(m.Key[:]), m.Within, ev); dup {
			c.note(m.Rule, "duplicate", of)
			return max(best, back)
		}
	}
	if p.plan.Dampen != nil && c.dampened(p, ev, ins) {
		c.note(m.Rule, "dampened", "")
		return max(best, back)
	}
	return max(best, c.upstream(p, ev, ins))
}

// form is the pipe from after upstream: what holds the event, and its own form.
func (c *Correlator) form(p *pipe, ev *event.Event, ins []correlate.Input) answer {
	if h := c.holders(p, ev, ins); h != nil && !c.reused[ev] && !c.late(p, ev) {
		c.held = append(c.held, h)
		if !c.settled(h) {
			c.note(p.m.Rule, "held", "")
		}
		return took
	}
	return c.give(p, ev, ins)
}

// timeOf is an event's own time, which is never to come.
func (c *Correlator) timeOf(ev *event.Event) time.Time {
	t := ev.Time
	if t.IsZero() {
		t = ev.Received
	}
	if t.After(c.now) {
		return c.now
	}
	return t
}

// late says whether an event that arrives is too late for its rule. Nothing
// keeps it then: it would not become less so.
func (c *Correlator) late(p *pipe, ev *event.Event) bool {
	return ev == c.arriving && p.plan.EventTime && p.plan.Form != correlate.Single && c.timeOf(ev).Add(p.plan.Lateness).Before(c.now)
}

// give hands an event to a rule's form, now or when its time is applied.
func (c *Correlator) give(p *pipe, ev *event.Event, ins []correlate.Input) answer {
	c.order++
	l := &late{ev: ev, ins: ins, at: c.now, order: c.order}
	if !p.plan.EventTime || p.plan.Form == correlate.Single {
		return c.take(p, l)
	}
	l.at = c.timeOf(ev)
	if form := c.now.Add(-p.plan.Lateness); ev != c.arriving && l.at.Before(form) {
		l.at = form // it was kept, and came in time
	}
	switch due := l.at.Add(p.plan.Lateness); {
	case due.Before(c.now):
		c.note(p.m.Rule, "late", "")
		return back
	case due.After(c.now):
		p.buffer = append(p.buffer, l)
		return took
	}
	return c.take(p, l)
}

// apply takes an event out of the buffer.
func (c *Correlator) apply(p *pipe, l *late) {
	p.buffer = slices.DeleteFunc(p.buffer, func(x *late) bool { return x == l })
	c.take(p, l)
}

// take gives the form an event, once for each key, and acts on what it finds.
func (c *Correlator) take(p *pipe, l *late) answer {
	best := nothing
	var keys []string
	for _, in := range l.ins {
		if !slices.Contains(keys, in.Key) {
			keys = append(keys, in.Key)
		}
	}
	for _, key := range keys {
		if !p.room(key, l) {
			c.note(p.m.Rule, "full", "")
			best = max(best, back)
			continue
		}
		h := p.forms[key]
		if h == nil {
			h = &history{plan: p.plan, binds: func(part int, ev *event.Event, bound []*event.Event) bool {
				ok, err := c.rules.Binds(p.m.Rule, part, ev, bound)
				return ok && err == nil
			}}
			p.forms[key] = h
			p.keys = append(p.keys, key)
		}
		c.order++ // what it sets is set now
		t := taken{ev: l.ev, at: l.at, order: c.order}
		for _, in := range l.ins {
			if in.Key == key {
				t.ins = append(t.ins, in)
			}
		}
		h.list = append(h.list, t)
		r := h.at(l.at)
		if f := r.fates[len(h.list)-1]; f.took || f.absorbed {
			best = took
		}
		for n := p.issued[key]; n < len(r.found); n++ {
			p.issued[key]++
			if !c.found(p, key, r.found[n]) && p.plan.Form == correlate.Single {
				best = back
			}
		}
	}
	return best
}

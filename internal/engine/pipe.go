package engine

import (
	"cmp"
	"fmt"
	"slices"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
	"signalbox/internal/run"
)

// answer is what a rule made of an event.
type answer uint8

const (
	nothing answer = iota
	back           // it matched and was held back
	took
)

// none is the number of no event.
const none = 0

// match asks the rules about an event and writes what each of them says into d.
// Of one that repeats another (dup) only the rules hear that ask for more than
// one event, or that wait for it as the end of something.
func (l *lane) match(d *record.Decision, it *correlate.Item, dup bool) {
	matches := l.rules.Match(it.Event(), l)
	if l.deep(matches) {
		slices.SortStableFunc(matches, func(a, b Match) int { return cmp.Compare(l.depthIn(&b), l.depthIn(&a)) })
	}
	best := nothing
	for i := range matches {
		best = max(best, l.enter(&matches[i], it, dup))
	}
	switch {
	case best == took:
		d.Verdict, d.Reason, d.Of = record.Decided, "", ""
	case dup:
	case best == back:
		d.Verdict = record.Suppressed
	default:
		d.Verdict, d.Reason = record.Unmatched, ""
	}
}

func (l *lane) depthIn(m *Match) int {
	if p := l.pipeOf(m); p != nil {
		return p.depth
	}
	return 0
}

// deep says whether one of the rules holds others: it must come before them.
func (l *lane) deep(matches []Match) bool {
	if len(matches) < 2 {
		return false
	}
	for i := range matches {
		if m := &matches[i]; m.Plan != nil && len(m.Plan.Holds) > 0 {
			return true
		}
	}
	return false
}

// pipeOf gives the state of a rule, nil where it has none and nobody holds it.
func (l *lane) pipeOf(m *Match) *pipe {
	if m.Index >= len(l.places) {
		return nil
	}
	return l.places[m.Index]
}

// enter takes an event through a rule's pipe as far as it goes now.
func (l *lane) enter(m *Match, it *correlate.Item, dup bool) answer {
	p := l.pipeOf(m)
	if dup && m.Plan == nil {
		return nothing
	}
	if m.Err != "" {
		if !dup {
			l.note(it.Number(), record.RuleNote{Rule: m.Rule, Outcome: "error", Detail: m.Err})
		}
		return nothing
	}
	inputs, best := m.Inputs, nothing
	if m.Plan != nil && p != nil {
		inputs, best = l.roles(p, it, m.Inputs)
		if len(inputs) == 0 || dup && m.Plan.Form == correlate.Single {
			return best
		}
		if ends(m.Plan, inputs) {
			return max(best, l.admit(p, it, inputs, stUpstream+1))
		}
	}
	ev := it.Event()
	if c := ev.Cause; c != nil {
		if slices.Contains(c.Rules, m.Rule) {
			return max(best, l.stop(m, it, record.RuleNote{Outcome: "loop", Detail: "the event follows from a run of this rule"}))
		}
		if len(c.Rules) >= MaxDepth {
			return max(best, l.stop(m, it, record.RuleNote{Outcome: "loop", Detail: fmt.Sprintf("the chain of runs is %d long", len(c.Rules))}))
		}
	}
	if m.Within > 0 {
		if of, dup := l.window(m).check(m.Key, it.UUID(), l.now); dup {
			return max(best, l.stop(m, it, record.RuleNote{Outcome: "duplicate", Detail: "the same key within " + m.Within.String(), Of: of.id()}))
		}
	}
	if p == nil {
		_, a := l.start(m, it, nil, "", "")
		return max(best, a)
	}
	return max(best, l.admit(p, it, inputs, stDampen))
}

// stop notes why a rule that matched does not take the event.
func (l *lane) stop(m *Match, it *correlate.Item, n record.RuleNote) answer {
	n.Rule = m.Rule
	l.note(it.Number(), n)
	return back
}

// window is the rule's own window.
func (l *lane) window(m *Match) *window {
	name := m.Rule + "\x00" + m.Signature
	w := l.own[name]
	if w == nil {
		w = newWindow(m.Within, MaxKeys)
		l.own[name] = w
	}
	return w
}

// roles acts on what the event is beside a part, and gives the inputs that are
// parts.
func (l *lane) roles(p *pipe, it *correlate.Item, inputs []correlate.Input) (parts []correlate.Input, best answer) {
	if !slices.ContainsFunc(inputs, func(in correlate.Input) bool { return in.Part < 0 }) {
		return inputs, nothing
	}
	l.inputs = l.inputs[:0]
	for i := range inputs {
		in := &inputs[i]
		switch {
		case in.Part == correlate.PartClear && p.group != nil:
			env := l.env(p, stGroup)
			if p.group.Clear(env, in, it) {
				best = took
			}
			l.done(p, stGroup, env)
		case in.Part == correlate.PartResolve && p.Plan.Situation != nil:
			env := l.env(p, stGroup)
			st := l.situations.Resolve(env, in, it)
			l.done(p, stGroup, env)
			best = max(best, l.story(&st))
		case in.Part >= 0:
			l.inputs = append(l.inputs, *in)
		}
	}
	return l.inputs, best
}

// admit is the pipe from a gate on.
func (l *lane) admit(p *pipe, it *correlate.Item, inputs []correlate.Input, stage int) answer {
	for ; stage <= stUpstream; stage++ {
		g := p.gates[stage]
		if g == nil {
			continue
		}
		if stage == stUpstream && p.Plan.Upstream.Wait > 0 && l.fresh(it) && l.late(p, it) {
			break // it is not to wait, and be late all the same
		}
		env := l.env(p, stage)
		a := g.Admit(env, &correlate.Passage{Item: *it, Inputs: inputs})
		best := l.done(p, stage, env)
		if a.Outcome == "" && !a.Wait {
			continue
		}
		if a.Outcome != "" {
			l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: a.Outcome, Detail: a.Detail, Of: a.Of, Key: l.keyText(firstKey(inputs))})
		}
		if stage == stUpstream && !a.Wait {
			l.attach(p, a.Of, it)
		}
		if a.Wait {
			l.gate(p, it, l.now+int64(p.Plan.Upstream.Wait))
			return took
		}
		return max(best, back)
	}
	if l.held(p, it, inputs) {
		return took
	}
	return l.give(p, it, inputs)
}

// ends says whether an event does no more than to stop what waits for it:
// nothing holds that back, or there would be a run because of its absence.
func ends(plan *correlate.Plan, inputs []correlate.Input) bool {
	return plan.Form == correlate.Unless && !slices.ContainsFunc(inputs, func(in correlate.Input) bool { return in.Part == 0 })
}

// attach adds an event to the situation of what it is suppressed by.
func (l *lane) attach(p *pipe, cause event.ID, it *correlate.Item) {
	env := l.env(p, stUpstream)
	st := l.situations.Attach(env, cause, it)
	l.done(p, stUpstream, env)
	st.Finding.Event = correlate.Kept{}
	l.story(&st)
}

func firstKey(inputs []correlate.Input) string {
	if len(inputs) == 0 {
		return ""
	}
	return inputs[0].Key
}

// give hands an event to the rule's form.
func (l *lane) give(p *pipe, it *correlate.Item, inputs []correlate.Input) answer {
	switch {
	case p.Plan == nil || p.machine == nil:
		return l.single(p, it, inputs)
	case p.Plan.EventTime:
		return l.wait(p, it, inputs)
	}
	return l.take(p, it, inputs, l.now)
}

// single is for rules to which each event is a finding.
func (l *lane) single(p *pipe, it *correlate.Item, inputs []correlate.Input) answer {
	if p.Plan == nil || p.Plan.Group == nil && p.Plan.Situation == nil {
		_, a := l.start(&p.Match, it, nil, "", "")
		return a
	}
	kept := it.Keep()
	f := correlate.Finding{Event: kept, Events: []correlate.Kept{kept}, Total: 1}
	if len(inputs) > 0 {
		f.Key, f.Ends = inputs[0].Key, correlate.Ends{Group: inputs[0].GroupKey, Situation: inputs[0].SituationKey}
	}
	return l.found(p, &f, stForm)
}

// take gives the form an event at a time of its own, once for each key.
func (l *lane) take(p *pipe, it *correlate.Item, inputs []correlate.Input, at int64) answer {
	best := nothing
	for len(inputs) > 0 {
		n := 1
		for n < len(inputs) && inputs[n].Key == inputs[0].Key {
			n++
		}
		best = max(best, l.takeKey(p, it, inputs[:n], at))
		inputs = inputs[n:]
	}
	return best
}

func (l *lane) takeKey(p *pipe, it *correlate.Item, inputs []correlate.Input, at int64) answer {
	env := l.env(p, stForm)
	env.Now, env.Shift = at, p.shift()
	env.Free = at + int64(p.Plan.Within)
	outcome := p.machine.Take(env, inputs, it)
	if len(p.Plan.Holds) > 0 && !p.Shadow && outcome != correlate.Passed && outcome != correlate.Full {
		t := taking{by: p, number: it.Number(), absorbed: outcome != correlate.Joined, free: env.Free}
		if t.free != correlate.Never {
			t.free += env.Shift
		}
		l.takes(t)
	}
	best := l.done(p, stForm, env)
	switch outcome {
	case correlate.Joined:
		if !l.quiet {
			l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "joined", Key: l.keyText(inputs[0].Key)})
		}
		return took
	case correlate.Absorbed:
		l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "joined", Detail: "it belongs to what was found before and goes on", Key: l.keyText(inputs[0].Key)})
		return took
	case correlate.Found:
		return max(took, best)
	case correlate.Full:
		l.note(it.Number(), record.RuleNote{Rule: p.Rule, Outcome: "full", Detail: "it keeps as many keys as it may", Of: l.otherID(it), Key: l.keyText(inputs[0].Key)})
		return max(best, back)
	}
	return best
}

// otherID is the id of an event that the record in hand is not about.
func (l *lane) otherID(it *correlate.Item) event.ID {
	if l.fresh(it) {
		return ""
	}
	return it.Event().ID
}

// found takes a finding through what comes after the stage that made it.
func (l *lane) found(p *pipe, f *correlate.Finding, stage int) answer {
	if stage <= stForm && len(p.Plan.Holds) > 0 && !p.Shadow && l.holds.n > 0 {
		for _, k := range f.Events {
			l.holds.absorb(l, p, k.Number(), l.keyText(f.Key))
		}
		for _, n := range f.Numbers {
			l.holds.absorb(l, p, n, l.keyText(f.Key))
		}
	}
	if stage < stGroup && p.group != nil {
		env := l.env(p, stGroup)
		o := p.group.Found(env, f)
		best := l.done(p, stGroup, env)
		switch o {
		case correlate.Full:
			l.note(f.Event.Number(), record.RuleNote{Rule: p.Rule, Outcome: "full", Detail: "it keeps as many groups as it may", Key: l.keyText(f.Ends.Group)})
			return max(best, back)
		case correlate.Found:
			return took
		}
		l.note(f.Event.Number(), record.RuleNote{Rule: p.Rule, Outcome: "grouped", Key: l.keyText(f.Ends.Group)})
		return took
	}
	if p.Plan.Situation != nil {
		env := l.env(p, stGroup)
		st := l.situations.Found(env, f)
		l.done(p, stGroup, env)
		return max(back, l.story(&st)) // there is none where they are full
	}
	it := correlate.ItemOf(f.Event)
	_, a := l.start(&p.Match, &it, f, "", "")
	return a
}

// story tells a step in the life of a situation, and runs its steps.
func (l *lane) story(s *correlate.Story) answer {
	if s.Change.ID == "" {
		return nothing
	}
	p := l.names[s.Change.Rule]
	if p == nil {
		return nothing
	}
	change := s.Change
	if s.Run {
		it := correlate.ItemOf(s.Finding.Event)
		change.Run, _ = l.start(&p.Match, &it, &s.Finding, s.Branch, change.ID)
	}
	if !p.Shadow {
		d := l.decision(s.Finding.Event.Number())
		d.Situations = append(d.Situations, change)
	}
	return took
}

// start orders the run of an event, or of a finding, and gives its id; "" where
// the rule is in shadow, or a limit has no room for it.
func (l *lane) start(m *Match, it *correlate.Item, f *correlate.Finding, branch, situation string) (string, answer) {
	own := l.main != nil && it.Number() == l.mainNumber
	if no := l.allows(m, it.Event(), f); no != nil {
		no.Of = l.otherID(it)
		l.note(it.Number(), *no)
		return "", back
	}
	if m.Shadow {
		l.note(it.Number(), record.RuleNote{Rule: m.Rule, Outcome: "shadow", Detail: "would have started a run", Of: l.otherID(it), Key: l.shadowKey(f)})
		return "", took
	}
	d := l.decision(it.Number())
	if own {
		d.Event = it.Event() // with its raw bytes
	} else if d.Event == nil {
		d.Event = it.Event()
	}
	rs := record.RunStart{Rule: m.Rule, RuleVersion: m.Version, Branch: branch, Situation: situation}
	plain := m.Plan == nil || m.Plan.Form == correlate.Single && m.Plan.Group == nil
	if f != nil && !(plain && branch == "") {
		rs.Key, rs.Total = l.keyText(f.Key), uint32(f.Total)
		rs.Events, rs.As = eventsOf(f)
		rs.Run = run.ID(m.Rule, m.Version, l.at, f.Key, l.dueText(d), string(d.Event.ID), branch)
	} else if d.Due.IsZero() {
		rs.Run = run.ID(m.Rule, m.Version, l.at)
	} else {
		rs.Run = run.ID(m.Rule, m.Version, l.at, string(d.Event.ID), l.dueText(d))
	}
	for i := 2; slices.ContainsFunc(d.Runs, func(r record.RunStart) bool { return r.Run == rs.Run }); i++ {
		rs.Run = run.ID(m.Rule, m.Version, l.at, rs.Key, string(d.Event.ID), fmt.Sprint(i))
	}
	if m.Lock {
		rs.Device = d.Event.Device
	}
	rs.Partition = run.Partition(rs.Device)
	d.Runs = append(d.Runs, rs)
	return rs.Run, took
}

// maxCarried bounds the bytes of the events that a run carries.
const maxCarried = 1 << 20

// eventsOf decodes the events of a finding with their names. Of so large ones
// that they would not fit, as many of the oldest and the newest as do.
func eventsOf(f *correlate.Finding) (events []*event.Event, as []string) {
	head, tail, left := 0, len(f.Events), maxCarried
	for head < tail {
		n := f.Events[tail-1].Size()
		if (len(f.Events) - tail) > head { // the ends take turns, the newest first
			n = f.Events[head].Size()
		}
		if left -= n; left < 0 {
			break
		}
		if (len(f.Events) - tail) > head {
			head++
		} else {
			tail--
		}
	}
	events = make([]*event.Event, 0, head+len(f.Events)-tail)
	for i, k := range f.Events {
		if i >= head && i < tail {
			continue
		}
		events = append(events, k.Event())
		if len(f.As) > 0 {
			as = append(as, f.As[i])
		}
	}
	return events, as
}

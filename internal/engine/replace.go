package engine

import (
	"fmt"
	"slices"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// use puts a rule set in force. State is kept where it means the same; what is
// reset is told.
func (l *lane) use(rules Rules) (resets []string) {
	shadow := map[string]bool{}
	for name, p := range l.names {
		shadow[name] = p.Shadow
	}
	l.ended = nil
	moved := l.rules != nil && (l.rules.InventoryVersion() == "" || l.rules.InventoryVersion() != rules.InventoryVersion())
	l.rules = rules
	wanted := wantedPipes(rules)
	for _, name := range sortedNames(l.names) {
		if p := l.names[name]; !slices.ContainsFunc(wanted, func(m Match) bool { return m.Rule == name }) {
			resets = append(resets, l.replace(p, &pipe{Match: Match{Rule: name}, index: p.index})...)
			delete(l.names, name)
			l.pipes[p.index] = nil
		}
	}
	for _, m := range wanted {
		n := newPipe(m)
		if old := l.names[m.Rule]; old != nil {
			n.index, n.wide = old.index, old.wide || moved && l.waiting(old)
			resets = append(resets, l.replace(old, n)...)
		} else if n.index = uint32(slices.Index(l.pipes, nil)); int32(n.index) < 0 {
			n.index = uint32(len(l.pipes))
			l.pipes = append(l.pipes, nil)
		}
		l.names[m.Rule], l.pipes[n.index] = n, n
	}
	l.join()
	l.place()
	l.network.Use(rules.Topology())
	l.topology = rules.Topology() != nil
	l.repeats = "the same key within " + rules.Windows().Global.String()
	l.situations.Use(func(rule string) (string, bool) {
		if p := l.names[rule]; p != nil && p.Plan != nil && p.Plan.Situation != nil {
			return p.Plan.Situation.Signature, true
		}
		return "", false
	}, func(rule string, ended []record.SituationChange) {
		resets = append(resets, fmt.Sprintf("rule %s: its situations mean another thing now; %d were reset", rule, len(ended)))
		if !shadow[rule] { // nobody was told of those
			l.ended = append(l.ended, ended...)
		}
	})
	return resets
}

// wantedPipes lists the rules that keep state or that others hold.
func wantedPipes(rules Rules) []Match {
	var out []Match
	add := func(name string) {
		if slices.ContainsFunc(out, func(m Match) bool { return m.Rule == name }) {
			return
		}
		if m, ok := rules.About(name); ok {
			out = append(out, m)
		}
	}
	for _, name := range rules.Planned() {
		add(name)
	}
	for _, m := range slices.Clone(out) {
		if m.Plan == nil {
			continue
		}
		for _, held := range m.Plan.Holds {
			add(held)
		}
	}
	return out
}

func newPipe(m Match) *pipe {
	p := &pipe{Match: m}
	plan := m.Plan
	if plan == nil {
		return p
	}
	if d := plan.Dampen; d != nil {
		p.gates[stDampen], p.meanings[stDampen] = correlate.NewDampener(), d.Signature
	}
	if u := plan.Upstream; u != nil {
		p.gates[stUpstream], p.meanings[stUpstream] = correlate.NewUpstream(), u.Signature
	}
	p.machine, p.meanings[stForm] = correlate.NewMachine(plan.Form), plan.Signature
	if plan.EventTime {
		p.buffer.on, p.meanings[stBuffer] = true, plan.Signature+plan.Lateness.String()
	}
	if g := plan.Group; g != nil {
		p.group, p.meanings[stGroup] = correlate.NewGrouper(), g.Signature
	}
	return p
}

// stageWords say to people what a stage is.
var stageWords = [stages]string{"its dampening", "its waiting for news from upstream", "its reordering by event time", "what it looks for", "its group"}

// replace moves the state of old to n where it means the same.
func (l *lane) replace(old, n *pipe) (resets []string) {
	for i := range stages {
		was, is := old.stage(i), n.stage(i)
		if was == nil {
			continue
		}
		if is != nil && old.meanings[i] == n.meanings[i] {
			switch i {
			case stDampen, stUpstream:
				n.gates[i] = old.gates[i]
			case stBuffer:
				n.buffer = old.buffer
			case stForm:
				n.machine = old.machine
			case stGroup:
				n.group = old.group
			}
			continue
		}
		if held := was.Keys().Held; held > 0 {
			resets = append(resets, fmt.Sprintf("rule %s: %s changed; %s reset", n.Rule, stageWords[i], keysWere(held)))
		}
		l.timers.Forget(owner(old, i))
		if i == stForm || i == stBuffer {
			l.holds.freeAll(l, old)
		}
	}
	return resets
}

// join works out who holds whom. A rule in shadow holds nobody.
func (l *lane) join() {
	for _, p := range l.pipes {
		if p != nil {
			p.heldBy, p.depth = nil, l.depthOf(p, 0)
		}
	}
	for _, p := range l.pipes {
		if p == nil || p.Plan == nil || p.Shadow {
			continue
		}
		for _, name := range p.Plan.Holds {
			if held := l.names[name]; held != nil && held != p {
				held.heldBy = append(held.heldBy, p)
			}
		}
	}
}

const maxHoldDepth = 16 // rules that hold each other in a ring are as deep as this

func (l *lane) depthOf(p *pipe, level int) int {
	n := 0
	if p.Plan == nil || level == maxHoldDepth {
		return 0
	}
	for _, name := range p.Plan.Holds {
		n = max(n, 1)
		if held := l.names[name]; held != nil {
			n = max(n, 1+l.depthOf(held, level+1))
		}
	}
	return n
}

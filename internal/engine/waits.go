package engine

import "signalbox/internal/correlate"

// What only ends something is looked up by what it could end: docs/adr/0011.

// place notes where the pipes' rules stand in the set.
func (l *lane) place() {
	l.places = l.places[:0]
	for _, p := range l.pipes {
		if p == nil {
			continue
		}
		for len(l.places) <= p.Index {
			l.places = append(l.places, nil)
		}
		l.places[p.Index] = p
	}
	l.widen()
}

// widen lists the pipes that are wide.
func (l *lane) widen() {
	l.wide = l.wide[:0]
	for i, p := range l.places {
		if p != nil && p.wide {
			l.wide = append(l.wide, i)
		}
	}
}

// waiting says whether a rule may wait for something that ends what it has.
func (l *lane) waiting(p *pipe) bool {
	return l.holds.n > 0 || p.machine != nil && p.machine.Keys().Held > 0 ||
		p.group != nil && p.group.Keys().Held > 0 || l.situations.KeysOf(p.Rule).Held > 0
}

// Wide lists the rules that wait since before the inventory changed. One that
// waits for nothing any more leaves.
func (l *lane) Wide() []int {
	for _, i := range l.wide {
		if p := l.places[i]; !l.waiting(p) {
			p.wide = false
			l.widen()
			break
		}
	}
	return l.wide
}

// Waits says whether an event that only ends what began before has anything to
// end. What is held for a rule, or waits for its own time, may begin later.
func (l *lane) Waits(rule, part int) bool {
	if rule >= len(l.places) || l.places[rule] == nil {
		return false
	}
	p := l.places[rule]
	switch part {
	case correlate.PartResolve:
		return l.situations.KeysOf(p.Rule).Held > 0
	case correlate.PartClear:
		return p.group != nil && p.group.Keys().Held > 0
	}
	return len(p.heldBy) > 0 || p.buffer.on || p.machine == nil || p.machine.Keys().Held > 0
}

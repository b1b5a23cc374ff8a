package reference

import (
	"cmp"
	"slices"
	"time"

	"signalbox/internal/correlate"
)

// room says whether the form takes one more key, where the event brings one. The
// one that was idle longest makes room for it, if the rule does not refuse.
func (p *pipe) room(key string, l *late) bool {
	if p.plan.Form == correlate.Unless && !slices.ContainsFunc(l.ins, func(in correlate.Input) bool { return in.Key == key && in.Part == 0 }) {
		return true // what ends an absence needs no room
	}
	if h := p.forms[key]; h != nil && h.remembers(l.at) {
		return true
	}
	var others []string
	for _, k := range p.keys {
		if k != key && p.forms[k].remembers(l.at) {
			others = append(others, k)
		}
	}
	if p.plan.MaxKeys == 0 || len(others) < p.plan.MaxKeys {
		return true
	}
	if p.plan.Refuse {
		return false
	}
	idle := slices.MinFunc(others, func(a, b string) int { return cmp.Compare(p.forms[a].used(), p.forms[b].used()) })
	p.forms[idle].list, p.issued[idle] = nil, 0
	return true
}

// remembers says whether what came before means something to an event at a time.
func (h *history) remembers(now time.Time) bool {
	if len(h.list) == 0 {
		return false
	}
	switch h.plan.Form {
	case correlate.Flap, correlate.Silent:
		return h.list[len(h.list)-1].at.Add(h.plan.Within).After(now)
	case correlate.Count, correlate.All, correlate.Unless:
		return slices.ContainsFunc(h.at(now).fates, func(f fate) bool { return f.took && !f.absorbed && f.free.After(now) })
	}
	return true // until something else ends it: the bounds of those are not compared
}

// used is when the key was used last: an absence by what begins it.
func (h *history) used() int {
	for _, e := range slices.Backward(h.list) {
		if h.plan.Form != correlate.Unless || e.is(0) {
			return e.order
		}
	}
	return 0
}

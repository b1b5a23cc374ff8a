package rule

import (
	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
)

// Limit bounds the runs that a rule starts, or with it all rules: how many in a
// window, or for how many different devices, under each key.
type Limit struct {
	correlate.RunLimit
	Most    int     // of runs or devices; 0: Percent says
	Percent float64 // of the devices of the inventory that have the key
	By      []*Expr // empty: one count for all

	pos    Pos
	parts  []keyPart
	groups map[string]int // Percent: how many devices of the inventory have a key
}

// limitList are limits and, as the engine asks for them, what they count.
type limitList struct {
	list []Limit
	runs []correlate.RunLimit
}

func newLimitList(list []Limit) limitList {
	out := limitList{list: list}
	for i := range list {
		out.runs = append(out.runs, list[i].RunLimit)
	}
	return out
}

// Limits are those of the rule.
func (r *Rule) Limits() []Limit { return r.limits.list }

// GlobalLimits are those of all rules together.
func (s *Set) GlobalLimits() []Limit { return s.limits.list }

func (s *Set) limitsOf(rule string) *limitList {
	if rule == "" {
		return &s.limits
	}
	if r := s.byName[rule]; r != nil {
		return &r.limits
	}
	return &limitList{}
}

// RunLimits is what the limits of a rule count, and with "" those of all rules
// together. The list must not be changed.
func (s *Set) RunLimits(rule string) []correlate.RunLimit { return s.limitsOf(rule).runs }

// LimitKey is the key under which the n-th limit of a rule ("" for those of all
// rules) counts a run for the event, and how many there may be. An attribute
// that is absent is a value of its own.
func (d Deciding) LimitKey(rule string, n int) (key string, most int, err error) {
	x := &d.set.limitsOf(rule).list[n]
	if key, err = d.scope.keyRoom().key(x.parts, d.scope); err != nil {
		return "", 0, err
	}
	if x.Percent > 0 {
		return key, share(x.groups[key], x.Percent), nil
	}
	return key, x.Most, nil
}

// share is so many percent of n, and 1 at least: or a small group could never
// be touched at all.
func share(n int, percent float64) int { return max(1, int(float64(n)*percent/100)) }

// countGroups counts the devices of the inventory by the keys of shares.
func countGroups(set *Set, inv *inventory.Inventory) error {
	if err := set.limits.countGroups(inv); err != nil {
		return err
	}
	for _, r := range set.Rules {
		if err := r.limits.countGroups(inv); err != nil {
			return err
		}
	}
	return nil
}

func (l limitList) countGroups(inv *inventory.Inventory) error {
	for i := range l.list {
		x := &l.list[i]
		if x.Percent == 0 {
			continue
		}
		x.groups = map[string]int{}
		for _, name := range inv.Names() {
			s := NewScope(&event.Event{Device: name}, inv)
			key, err := s.keyRoom().key(x.parts, s)
			if err != nil {
				return err
			}
			x.groups[key]++
		}
	}
	return nil
}

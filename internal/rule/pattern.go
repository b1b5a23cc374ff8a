package rule

import (
	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
)

// pattern holds the expressions of a rule's plan.
type pattern struct{}

// Rule gives a rule by its name, nil for none.
func (s *Set) Rule(name string) *Rule {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Inputs says what the event is to a rule that has a plan: one for each part
// that it can be, none where it is no part of it. The error says which key or
// number cannot be read.
func (d Deciding) Inputs(r *Rule) ([]correlate.Input, error) { return nil, nil }

// Binds says whether ev can be the given part of what r looks for, where bound
// are the events that have taken the other parts (nil where one is free).
func (s *Set) Binds(r *Rule, part int, ev *event.Event, bound []*event.Event, inv *inventory.Inventory) (bool, error) {
	return false, nil
}

// Effect is what an event of a type says about the topology, "" for nothing.
func (s *Set) Effect(typ string) correlate.Effect { return "" }

// Package decide lets the engine decide by a rule set and its inventory, live
// as in a backtest and in a rule's test. It is pure.
package decide

import (
	"errors"
	"fmt"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/engine"
	"signalbox/internal/inventory"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// Rules is a rule set with the inventory that it was loaded with, as the engine
// asks it. It serves one goroutine: the engine asks several things about one
// event, and what was decoded for the first serves the others.
type Rules struct {
	Set       *rule.Set
	Inventory *inventory.Inventory

	inventory string // names it
	about     *event.Event
	ask       rule.Deciding
	matches   []engine.Match
	// A run may be for another event than the one in hand, whose matches are
	// still in use.
	limit rule.Deciding
}

var _ engine.Rules = (*Rules)(nil)

// New lets the engine decide by what was loaded already.
func New(set *rule.Set, inv *inventory.Inventory) *Rules { return &Rules{Set: set, Inventory: inv} }

// Of is New for what was compiled from a bundle. Several may share a set and an
// inventory, also in different goroutines: what is loaded is never changed.
func Of(b rule.Bundle, set *rule.Set, inv *inventory.Inventory) *Rules {
	r := New(set, inv)
	r.inventory = b.InventoryVersion()
	return r
}

// Load compiles a bundle as the log carries it. actions are those that its
// rules may use. The error names every mistake.
func Load(bundle []byte, actions []rule.ActionSpec) (*Rules, error) {
	b, err := rule.DecodeBundle(bundle)
	if err != nil {
		return nil, err
	}
	types := map[string][]byte{}
	for _, f := range b.Types {
		types[f.Name] = f.Data
	}
	cat, err := schema.FromSource(types)
	if err != nil {
		return nil, err
	}
	set, inv, diags := rule.Load(b, rule.Options{Catalogue: cat, Actions: actions})
	if set == nil {
		var errs []error
		for _, d := range diags {
			if d.Severity == rule.Error {
				errs = append(errs, errors.New(d.String()))
			}
		}
		return nil, fmt.Errorf("the rules that the log carries do not load with this version of Signalbox; start the version that logged them and change them there: %w", errors.Join(errs...))
	}
	return Of(b, set, inv), nil
}

func (r *Rules) asking(ev *event.Event) *rule.Deciding {
	if r.about != ev {
		r.about, r.ask = ev, r.Set.Decide(ev, r.Inventory, r.ask)
	}
	return &r.ask
}

// Version names the rule set.
func (r *Rules) Version() string { return r.Set.Version }

// Windows are the lengths of the windows that no rule owns.
func (r *Rules) Windows() engine.Windows {
	return engine.Windows{Global: r.Set.GlobalWithin(), Redelivery: r.Set.Redelivery}
}

// Clears are the types whose window an event of the given type ends.
func (r *Rules) Clears(eventType string) []string { return r.Set.Clears(eventType) }

// GlobalKey is the key of ev in the global dedup window.
func (r *Rules) GlobalKey(ev *event.Event, eventType string) (engine.Key, bool) {
	key, ok := r.asking(ev).GlobalKey(eventType)
	return engine.Key(key), ok
}

// about is what Match says of a rule whatever the event.
func about(x *rule.Rule) engine.Match {
	return engine.Match{Rule: x.Name, Index: x.Index(), Version: x.Version, Shadow: x.Mode == "shadow", Lock: x.Lock != "none", Plan: x.Plan}
}

// About is what Match says of a rule whatever the event; not of one that is
// off.
func (r *Rules) About(name string) (engine.Match, bool) {
	x := r.Set.Rule(name)
	if x == nil || x.Mode == "off" {
		return engine.Match{}, false
	}
	return about(x), true
}

// Planned lists the rules that have a plan.
func (r *Rules) Planned() []string {
	var out []string
	for _, x := range r.Set.Rules {
		if x.Plan != nil && x.Mode != "off" {
			out = append(out, x.Name)
		}
	}
	return out
}

// Match gives the rules that ev sets off. The slice is good until the next call.
func (r *Rules) Match(ev *event.Event, waits engine.Waits) []engine.Match {
	ask := r.asking(ev)
	out := r.matches[:0]
	for _, m := range ask.Match(waits) {
		em := about(m.Rule)
		if m.Err != nil {
			// Also where an attribute is absent: a rule that never matches for
			// that reason must not do so in silence.
			em.Err = m.Err.Error()
			out = append(out, em)
			continue
		}
		key, within, ok, err := ask.Dedup(m)
		if ok && err == nil {
			em.Key, em.Within, em.Signature = engine.Key(key), within, m.Rule.Dedup.Signature
		}
		if em.Plan != nil {
			if em.Inputs, err = ask.Inputs(m); err != nil {
				em.Err = err.Error()
			}
		}
		out = append(out, em)
	}
	r.matches = out
	return out
}

// Keeps says whether a window of a rule's own still has an owner of the same
// meaning.
func (r *Rules) Keeps(name, sig string) bool {
	x := r.Set.Rule(name)
	return x != nil && x.Dedup != nil && x.Dedup.Signature == sig
}

// Limits are what bounds the runs of a rule, with "" those of all rules.
func (r *Rules) Limits(name string) []correlate.RunLimit { return r.Set.RunLimits(name) }

// LimitKey is the key under which a limit counts a run for ev, and how many
// there may be.
func (r *Rules) LimitKey(name string, n int, ev *event.Event) (string, int, error) {
	r.limit = r.Set.Decide(ev, r.Inventory, r.limit)
	return r.limit.LimitKey(name, n)
}

// Plan gives the plan of a rule, nil where it has none.
func (r *Rules) Plan(name string) *correlate.Plan {
	if x := r.Set.Rule(name); x != nil {
		return x.Plan
	}
	return nil
}

// Binds says whether ev can be a part of a finding beside others.
func (r *Rules) Binds(name string, part int, ev *event.Event, bound []*event.Event) (bool, error) {
	return r.Set.Binds(r.Set.Rule(name), part, ev, bound, r.Inventory)
}

// InventoryVersion names the inventory; "" for what New made.
func (r *Rules) InventoryVersion() string { return r.inventory }

// Topology is how the devices of the inventory are joined.
func (r *Rules) Topology() *correlate.Topology { return r.Inventory.Topology() }

// Effect is what an event of a type says about the topology.
func (r *Rules) Effect(eventType string) correlate.Effect { return r.Set.Effect(eventType) }

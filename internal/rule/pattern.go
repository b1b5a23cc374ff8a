package rule

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
)

// pattern holds the expressions of a rule's plan, and which events are what to
// it.
type pattern struct {
	// What is asked of each event that matched comes first: it lies together.
	member    bool     // key is the event itself: type, device, interface and the type's own fields
	typeState bool     // Flap: the type is the state
	beginning uint32   // the roles that are a finding's own events, see begins
	value     *keyPart // Count: the distinct value; Flap: the state
	number    *Expr    // Threshold
	keys      struct{ form, dampen, group, situation keyList }

	roles []role
	key   []keyPart // of the form; of the members of a group where each event stands for itself

	dampen, group, situation []keyPart

	partOn []string       // types of the events of a finding
	pos    map[string]Pos // of the keys of the plan, for what is said about them later
	names  []string       // as names of the parts, for Binds
}

// role is one thing that an event can be to a rule.
type role struct {
	part int // correlate.Input.Part
	on   []string
	own  *Expr // the part's own condition; nil: none
	// bound says that own reads other parts: Binds asks it. Match and Inputs ask
	// what of it needs no other part, free (nil: nothing).
	bound bool
	free  *Expr
	as    string
	alias *binding // lets as stand for event; nil where there is no as
	guard []condition
	// follows says that it only ends what began before; narrow is guard with
	// what must have held of that, see narrowed.
	follows bool
	narrow  []condition
}

// maxParts bounds the parts of one rule: the roles of an event are bits.
const maxParts = 16

// Role is one thing that an event can be to a rule with a plan, for people.
type Role struct {
	// Part is correlate.Input.Part: a part from 0, PartResolve or PartClear.
	Part int
	As   string
	On   []string
	// When are the conditions that must all be true, outermost first. Those of
	// a bound part read other parts: they are answered by Set.Binds, and here
	// only without them.
	When  []*Expr
	Bound bool
}

// Roles says what events can be to the rule; nil where it has no plan.
func (r *Rule) Roles() []Role {
	if r.pattern == nil {
		return nil
	}
	out := make([]Role, 0, len(r.pattern.roles))
	for i := range r.pattern.roles {
		x := &r.pattern.roles[i]
		role := Role{Part: x.part, As: x.as, On: x.on, Bound: x.bound}
		for _, e := range []*Expr{r.whenOf(x), x.own} {
			if e != nil {
				role.When = append(role.When, e)
			}
		}
		out = append(out, role)
	}
	return out
}

// Rule gives a rule by its name, nil for none.
func (s *Set) Rule(name string) *Rule { return s.byName[name] }

// whenOf is the rule's own condition where it is asked of a role: what ends a
// wait, resolves or clears need not meet it.
func (r *Rule) whenOf(x *role) *Expr {
	if x.part < 0 || x.part > 0 && r.Plan.Form == correlate.Unless {
		return nil
	}
	return r.When
}

// prepare works out what the roles need to be asked quickly, and what is left to
// ask of each.
func (p *pattern) prepare(r *Rule, shared sharedKeys) (left []question) {
	p.keys.form, p.keys.dampen = shared.list(p.key), shared.list(p.dampen)
	p.keys.group, p.keys.situation = shared.list(p.group), shared.list(p.situation)
	for i := range p.roles {
		x := &p.roles[i]
		own := x.own
		x.guard = guardOf(x.as, r.whenOf(x), own)
		if x.bound {
			own = x.free
		}
		x.follows = x.part < 0 || x.part > 0 && r.Plan.Form == correlate.Unless
		left = append(left, question{
			when: restOf(r.whenOf(x), "", x.guard), own: restOf(own, x.as, x.guard), alias: x.alias,
			part: x.part, follows: x.follows,
		})
		if x.part >= 0 && (x.part == 0 || p.names == nil || p.names[0] != trigger) {
			p.beginning |= 1 << i
		}
	}
	for i := range p.roles {
		x := &p.roles[i]
		x.narrow = x.guard
		if x.follows && !r.late {
			x.narrow = p.narrowed(r, x)
		}
	}
	return left
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// begins says whether among roles there is one of a finding's own events.
func (p *pattern) begins(roles uint32) bool { return roles&p.beginning != 0 }

// Inputs says what the event is to a rule that Match gave, where it has a plan: one for each part
// that it can be, in the order of the parts, then one where it resolves the
// rule's situation, then one for each member of a group that it clears. There
// is none where it is no part of it. The error says which key or number cannot
// be read. An absent field is a value of its own in a key; in a number it is an
// error that Absent knows. What is given is good until the next event is asked
// about: correlate.OwnInputs copies it.
func (d Deciding) Inputs(m Match) ([]correlate.Input, error) {
	r, roles := m.Rule, m.roles
	p := r.pattern
	if p == nil || roles == 0 {
		return nil, nil
	}
	k := d.scope.keyRoom()
	from := len(d.scope.memory.inputs)
	in := d.scope.memory.inputs
	var full correlate.Input
	made := false
	for ; roles != 0; roles &= roles - 1 {
		part := r.questions.at(bits.TrailingZeros32(roles)).part
		var err error
		switch {
		case part == correlate.PartResolve:
			resolve := correlate.Input{Part: part}
			if resolve.SituationKey, err = k.list(&p.keys.situation, d.scope); err == nil {
				in = append(in, resolve)
			}
		case part == correlate.PartClear:
			in, err = d.clears(in, r)
		default:
			if !made {
				full, err = d.input(r)
				made = true
			}
			full.Part = part
			in = append(in, full)
		}
		if err != nil {
			return nil, err
		}
	}
	d.scope.memory.inputs = in
	return in[from:len(in):len(in)], nil
}

// input is the event as a part, whichever.
func (d Deciding) input(r *Rule) (in correlate.Input, err error) {
	p, s, k := r.pattern, d.scope, d.scope.keyRoom()
	if p.member {
		in.Key, err = d.memberKey(s.Event.Type)
	} else {
		in.Key, err = k.list(&p.keys.form, s)
	}
	if err != nil {
		return in, err
	}
	for _, f := range [...]struct {
		list *keyList
		to   *string
	}{{&p.keys.dampen, &in.DampenKey}, {&p.keys.group, &in.GroupKey}, {&p.keys.situation, &in.SituationKey}} {
		if f.list.parts == nil {
			continue
		}
		if *f.to, err = k.list(f.list, s); err != nil {
			return in, err
		}
	}
	switch {
	case p.value != nil:
		in.Value, err = k.one(p.value, s)
	case p.typeState:
		in.Value = s.Event.Type
	case p.number != nil:
		in.Number, err = number64(p.number, s)
	}
	return in, err
}

func number64(e *Expr, s *Scope) (float64, error) {
	if e.c.read != nil {
		switch v, absent := e.c.read(s); {
		case absent != nil:
			return 0, wrap("value", absent)
		case v.kind == isWhole:
			return float64(v.whole), nil
		case v.kind == isFloat && !math.IsNaN(v.float) && !math.IsInf(v.float, 0):
			return v.float, nil
		}
	}
	v, err := e.Eval(s)
	if err != nil {
		return 0, wrap("value", err)
	}
	switch n := v.(type) {
	case int64:
		return float64(n), nil
	case float64:
		if !math.IsNaN(n) && !math.IsInf(n, 0) {
			return n, nil
		}
		return 0, errors.New("value: not a finite number")
	}
	return 0, fmt.Errorf("value: expected a number, found %s", valueKind(v))
}

// clears gives the members of a group that the event clears.
func (d Deciding) clears(in []correlate.Input, r *Rule) ([]correlate.Input, error) {
	p, s := r.pattern, d.scope
	group, err := s.keyRoom().list(&p.keys.group, s)
	if err != nil {
		return in, err
	}
	if !p.member {
		key, err := s.keyRoom().list(&p.keys.form, s)
		return append(in, correlate.Input{Part: correlate.PartClear, Key: key, GroupKey: group}), err
	}
	for _, typ := range d.set.Clears(s.Event.Type) {
		if !fits(p.partOn, typ) {
			continue
		}
		key, err := d.memberKey(typ)
		if err != nil {
			return in, err
		}
		in = append(in, correlate.Input{Part: correlate.PartClear, Key: key, GroupKey: group})
	}
	return in, nil
}

// binding is the events that have taken parts, while another asks whether it
// fits beside them.
type binding struct {
	names []string       // of the parts
	bound []*event.Event // by part; nil where one is free
	self  int            // the part that asks: its name is event
	views map[*event.Event]*eventView
}

func (b *binding) view(s *Scope, name string) (*eventView, bool) {
	for i, n := range b.names {
		if n != name || n == "" {
			continue
		}
		if i == b.self {
			return s.eventView(), true
		}
		if i >= len(b.bound) || b.bound[i] == nil {
			return nil, false
		}
		ev := b.bound[i]
		v := b.views[ev]
		if v == nil {
			if len(b.views) >= maxBoundViews {
				clear(b.views)
			}
			v = newView(ev)
			v.single = true
			b.views[ev] = v
		}
		return v, true
	}
	return nil, false
}

// maxBoundViews bounds the events whose decoded data is kept between two
// questions of Binds: the same candidates are asked about again and again.
const maxBoundViews = 64

// binder is the memory of Binds.
type binder struct {
	scope Scope
	view  eventView
	bind  binding
}

var binders = sync.Pool{New: func() any { return &binder{bind: binding{views: map[*event.Event]*eventView{}}} }}

// Binds says whether ev can be the given part of what r looks for, where bound
// are the events that have taken the other parts (nil where one is free). Where
// its condition reads a part that is free, it is not met: the error is one that
// Absent knows, as for any other field that is not there.
func (s *Set) Binds(r *Rule, part int, ev *event.Event, bound []*event.Event, inv *inventory.Inventory) (bool, error) {
	if r == nil || r.pattern == nil {
		return false, nil
	}
	for i := range r.pattern.roles {
		x := &r.pattern.roles[i]
		if x.part != part {
			continue
		}
		if !x.bound {
			return true, nil
		}
		if inv == nil {
			inv = noInventory
		}
		b, _ := binders.Get().(*binder)
		defer binders.Put(b)
		if b.view.ev != ev {
			b.view.reset(ev)
			b.view.single = true
		}
		b.bind.names, b.bind.bound, b.bind.self = r.pattern.names, bound, part
		b.scope = Scope{Event: ev, view: &b.view, inv: inv, ports: inv, bind: &b.bind}
		ok, err := x.own.Bool(&b.scope)
		return ok, wrap("when", err)
	}
	return false, nil
}

// Effect is what an event of a type says about the topology, "" for nothing.
func (s *Set) Effect(typ string) correlate.Effect {
	if t := s.types[typ]; t != nil {
		return t.effect
	}
	return ""
}

package rule

import (
	"cmp"
	"slices"
	"strings"
)

// index finds the rules that may take an event, so that most are never looked
// at: by type, then by the values of the attributes that their guards ask for.
type index struct {
	exact    map[string]*bucket // by type
	prefixes map[string]*bucket // by what is before the *
	lengths  []int              // of the prefixes there are, ascending
	guards   *guards
}

// guards are the attributes that guards ask for.
type guards struct{ attrs []guardAttr }

// guardAttr is an attribute that guards ask for, with the values that they ask
// for, numbered from 1. A value that nobody asks for is 0: the guards that ask
// for the attribute are then passed over at once, however many there are.
type guardAttr struct {
	attr attribute
	// ofDevice says that the name of the device says all of it.
	ofDevice bool

	texts  map[string]uint32
	others map[string]uint32 // numbers and bools, as appendKey writes them
}

// bucket holds what rules want of the events of one type.
type bucket struct {
	always []wanted
	groups []*group
}

// wanted is a rule, and which of its roles the event may have, as bits. A rule
// without a plan has the one role.
type wanted struct {
	rule  int32
	roles uint32
}

// group holds the rules whose guards ask for the same attributes, by the values
// that they ask for.
type group struct {
	attrs []int // in guards.attrs
	rules map[groupKey][]wanted
}

// groupKey is the number of a value for each of a group's attributes.
type groupKey [maxGuard]uint32

// newIndex makes the index of rules, and the one in which what only ends
// something is looked up by what it could end, and what is left to ask of the
// rules that they find.
func newIndex(rules []*Rule) (all, live *index, asks []questions) {
	asks = make([]questions, len(rules))
	g, shared := &guards{}, sharedKeys{}
	all = &index{exact: map[string]*bucket{}, prefixes: map[string]*bucket{}, guards: g}
	live = &index{exact: map[string]*bucket{}, prefixes: map[string]*bucket{}, guards: g}
	for i, r := range rules {
		r.order = i
		if r.pattern == nil {
			r.guard = guardOf("", r.When)
			asks[i].first.when = restOf(r.When, "", r.guard)
		} else {
			asks[i] = newQuestions(r.pattern.prepare(r, shared))
		}
		r.questions = &asks[i]
		if r.Mode == "off" {
			continue
		}
		if r.pattern == nil {
			all.add(wanted{int32(i), 1}, r.On, r.guard)
			live.add(wanted{int32(i), 1}, r.On, r.guard)
			continue
		}
		for k := range r.pattern.roles {
			role := &r.pattern.roles[k]
			all.add(wanted{int32(i), 1 << k}, role.on, role.guard)
			live.add(wanted{int32(i), 1 << k}, role.on, role.narrow)
		}
	}
	all.measure()
	live.measure()
	return all, live, asks
}

// measure notes the lengths of the prefixes.
func (x *index) measure() {
	for p := range x.prefixes {
		if !slices.Contains(x.lengths, len(p)) {
			x.lengths = append(x.lengths, len(p))
		}
	}
	slices.Sort(x.lengths)
}

func (x *index) add(w wanted, types []string, guard []condition) {
	for _, on := range types {
		into, name := x.exact, on
		if prefix, ok := strings.CutSuffix(on, "*"); ok {
			into, name = x.prefixes, prefix
		}
		b := into[name]
		if b == nil {
			b = &bucket{}
			into[name] = b
		}
		if len(guard) == 0 {
			b.always = want(b.always, w)
			continue
		}
		x.guarded(b, w, guard)
	}
}

// guarded enters a rule under each combination of the values that it asks for.
func (x *index) guarded(b *bucket, w wanted, guard []condition) {
	attrs := make([]int, len(guard))
	keys := []groupKey{{}}
	for i, c := range guard {
		attrs[i] = x.guards.attr(c.attr)
		var longer []groupKey
		for _, k := range keys {
			for _, v := range c.values {
				k[i] = x.guards.attrs[attrs[i]].number(v)
				longer = append(longer, k)
			}
		}
		keys = longer
	}
	i := slices.IndexFunc(b.groups, func(g *group) bool { return slices.Equal(g.attrs, attrs) })
	if i < 0 {
		i = len(b.groups)
		b.groups = append(b.groups, &group{attrs: attrs, rules: map[groupKey][]wanted{}})
	}
	for _, k := range keys {
		b.groups[i].rules[k] = want(b.groups[i].rules[k], w)
	}
}

// attr gives the place of an attribute, a new one where nobody asked for it
// before.
func (gs *guards) attr(a attribute) int {
	i := slices.IndexFunc(gs.attrs, func(g guardAttr) bool { return g.attr == a })
	if i < 0 {
		i = len(gs.attrs)
		gs.attrs = append(gs.attrs, guardAttr{attr: a, ofDevice: ofDevice(a), texts: map[string]uint32{}, others: map[string]uint32{}})
	}
	return i
}

func ofDevice(a attribute) bool {
	return a.owner == "device" || a.owner == "site" || a == attribute{"event", "device"}
}

// ofDevice gives the numbers of a device's own values, at their places.
func (gs *guards) ofDevice(name string, d *deviceFacts) []uint32 {
	out := d.room[:]
	if len(gs.attrs) > len(out) {
		out = make([]uint32, len(gs.attrs))
	}
	for i := range gs.attrs {
		switch g := &gs.attrs[i]; {
		case !g.ofDevice:
		case g.attr.owner == "event":
			out[i] = g.of(plain{kind: isText, text: name})
		case g.attr.owner == "device":
			out[i] = g.of(plainOf(d.device[g.attr.name]))
		default:
			out[i] = g.of(plainOf(d.site[g.attr.name]))
		}
	}
	return out
}

// number gives the number of a value that a guard asks for.
func (g *guardAttr) number(key string) uint32 {
	into := g.others
	if key[0] == 's' {
		into, key = g.texts, textOfKey(key)
	}
	if into[key] == 0 {
		into[key] = uint32(len(g.texts) + len(g.others) + 1)
	}
	return into[key]
}

// in gives the number of the value that the event has.
func (g *guardAttr) in(s *Scope, i int) uint32 {
	if s.memory != nil && g.ofDevice {
		return s.deviceFacts().values[i]
	}
	return g.of(g.attr.get(s))
}

// of gives the number of a value, 0 for one that nobody asks for.
func (g *guardAttr) of(v plain) uint32 {
	switch {
	case v.kind == isText:
		return g.texts[v.text]
	case len(g.others) == 0:
		return 0
	}
	var room [16]byte
	key, ok := v.appendKey(room[:0])
	if !ok {
		return 0
	}
	return g.others[string(key)]
}

// want adds a rule, or a role of the rule that came last.
func want(list []wanted, w wanted) []wanted {
	if n := len(list); n > 0 && list[n-1].rule == w.rule {
		list[n-1].roles |= w.roles
		return list
	}
	return append(list, w)
}

// asked remembers which values an event has, so that each is looked up once
// however many groups ask.
type asked struct {
	turn  uint32
	seen  []uint32 // the turn in which the value was looked up
	value []uint32
}

// begin forgets the event before.
func (a *asked) begin(attrs int) {
	if len(a.seen) < attrs {
		a.seen, a.value, a.turn = make([]uint32, attrs), make([]uint32, attrs), 0
	}
	if a.turn++; a.turn == 0 {
		clear(a.seen)
		a.turn = 1
	}
}

// ofType appends the buckets of the rules that ask for events of a type.
func (x *index) ofType(typ string, out []*bucket) []*bucket {
	if x == nil {
		return out
	}
	if b := x.exact[typ]; b != nil {
		out = append(out, b)
	}
	for _, n := range x.lengths {
		if n > len(typ) {
			break
		}
		if b := x.prefixes[typ[:n]]; b != nil {
			out = append(out, b)
		}
	}
	return out
}

// find appends the candidates for an event, in order and each once, out of the
// buckets of its type.
func (x *index) find(buckets []*bucket, s *Scope, a *asked, out []wanted) []wanted {
	a.begin(len(x.guards.attrs))
	sources := 0
	for _, b := range buckets {
		out, sources = x.among(b, s, a, out, sources)
	}
	if sources < 2 {
		return out
	}
	return inOrder(out)
}

// inOrder puts candidates into the order of the files, each once.
func inOrder(out []wanted) []wanted {
	slices.SortFunc(out, func(a, b wanted) int { return cmp.Compare(a.rule, b.rule) })
	n := 0
	for _, w := range out[1:] {
		if w.rule == out[n].rule {
			out[n].roles |= w.roles
			continue
		}
		n++
		out[n] = w
	}
	return out[:n+1]
}

// among appends what a bucket has, and counts how many lists it came from: one
// list is in order already.
func (x *index) among(b *bucket, s *Scope, a *asked, out []wanted, sources int) ([]wanted, int) {
	if len(b.always) > 0 {
		out = append(out, b.always...)
		sources++
	}
groups:
	for _, g := range b.groups {
		var key groupKey
		for k, i := range g.attrs {
			if a.seen[i] != a.turn {
				a.seen[i], a.value[i] = a.turn, x.guards.attrs[i].in(s, i)
			}
			if a.value[i] == 0 {
				continue groups
			}
			key[k] = a.value[i]
		}
		if rules := g.rules[key]; len(rules) > 0 {
			out = append(out, rules...)
			sources++
		}
	}
	return out, sources
}

package rule

import (
	"fmt"
	"slices"
	"strings"

	"signalbox/event"
	"signalbox/internal/inventory"
)

// Match is what a rule says about an event.
type Match struct {
	Rule *Rule
	// Err is why the condition has no answer. The rule does not take the
	// event then; Absent(Err) says that an attribute that it needs is not
	// there, which is worth a note and no alarm.
	Err error
}

// Match gives the rules that take an event, in the order of the files, and
// those whose condition could not be answered. Rules whose mode is off are left
// out. A nil inventory is an empty one.
func (s *Set) Match(ev *event.Event, inv *inventory.Inventory) []Match {
	return s.MatchScope(NewScope(ev, inv))
}

// MatchScope is Match for who needs the scope afterwards.
func (s *Set) MatchScope(scope *Scope) []Match {
	var room [64]int32
	candidates := s.index.find(scope, room[:0])
	scope.taken = scope.taken[:0]
	var out []Match
	for _, i := range candidates {
		r := s.Rules[i]
		if r.pattern != nil {
			roles, err := r.take(scope)
			if roles != 0 {
				scope.taken = append(scope.taken, taken{r, roles})
				out = append(out, Match{r, nil})
			} else if err != nil {
				out = append(out, Match{r, err})
			}
			continue
		}
		ok, err := r.evaluate(scope)
		if ok || err != nil {
			out = append(out, Match{r, err})
		}
	}
	return out
}

// evaluate is for rules whose guard holds.
func (r *Rule) evaluate(scope *Scope) (bool, error) {
	if r.Mode == "off" {
		return false, nil
	}
	if r.When == nil {
		return true, nil
	}
	ok, err := r.When.Bool(scope)
	if err != nil {
		return false, fmt.Errorf("when: %w", err)
	}
	return ok, nil
}

// Takes says whether the rule takes the event of scope, without an index. It
// gives the same answer as Match.
func (r *Rule) Takes(scope *Scope) (bool, error) {
	if r.pattern != nil {
		if r.Mode == "off" {
			return false, nil
		}
		roles, err := r.take(scope)
		if roles != 0 {
			return true, nil
		}
		return false, err
	}
	if !r.listens(scope.Event.Type) {
		return false, nil
	}
	if !holds(r.guard, scope) {
		return false, nil
	}
	return r.evaluate(scope)
}

func (r *Rule) listens(typ string) bool { return fits(r.On, typ) }

// fits says whether a type is one of what on names.
func fits(on []string, typ string) bool {
	for _, on := range on {
		if prefix, ok := strings.CutSuffix(on, "*"); ok && strings.HasPrefix(typ, prefix) || on == typ {
			return true
		}
	}
	return false
}

// index finds the rules that may take an event, so that most are never looked
// at: by type, then by the values of the attributes that their guards ask for.
type index struct {
	exact    map[string]*bucket // by type
	prefixes map[string]*bucket // by what is before the *
	lengths  []int              // of the prefixes there are, ascending
}

// bucket holds the rules of one type.
type bucket struct {
	always []int32
	groups []*group
}

// group holds the rules whose guards ask for the same attributes.
type group struct {
	attrs []attribute
	rules map[string][]int32 // by the attributes' values
}

func newIndex(rules []*Rule) *index {
	x := &index{exact: map[string]*bucket{}, prefixes: map[string]*bucket{}}
	for i, r := range rules {
		r.order = i
		if r.pattern == nil {
			r.guard = guardOf("", r.When)
		}
		if r.Mode == "off" {
			continue
		}
		if r.pattern == nil {
			x.add(int32(i), r.On, r.guard)
			continue
		}
		for k := range r.pattern.roles {
			role := &r.pattern.roles[k]
			role.guard = guardOf(role.as, r.whenOf(role), role.own)
			x.add(int32(i), role.on, role.guard)
		}
	}
	for p := range x.prefixes {
		if !slices.Contains(x.lengths, len(p)) {
			x.lengths = append(x.lengths, len(p))
		}
	}
	slices.Sort(x.lengths)
	return x
}

func (x *index) add(rule int32, types []string, guard []condition) {
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
		b.add(rule, guard)
	}
}

func (b *bucket) add(rule int32, guard []condition) {
	if len(guard) == 0 {
		b.always = appendOnce(b.always, rule)
		return
	}
	attrs := make([]attribute, len(guard))
	keys := []string{""}
	for i, c := range guard {
		attrs[i] = c.attr
		var longer []string
		for _, k := range keys {
			for _, v := range c.values {
				longer = append(longer, k+v)
			}
		}
		keys = longer
	}
	i := slices.IndexFunc(b.groups, func(g *group) bool { return slices.Equal(g.attrs, attrs) })
	if i < 0 {
		i = len(b.groups)
		b.groups = append(b.groups, &group{attrs: attrs, rules: map[string][]int32{}})
	}
	for _, k := range keys {
		b.groups[i].rules[k] = appendOnce(b.groups[i].rules[k], rule)
	}
}

// appendOnce appends a rule unless it is there: one that an event sets off in
// two ways is one rule.
func appendOnce(list []int32, rule int32) []int32 {
	if n := len(list); n > 0 && list[n-1] == rule {
		return list
	}
	return append(list, rule)
}

// find appends the candidates for an event, in order and each once.
func (x *index) find(s *Scope, out []int32) []int32 {
	typ := s.Event.Type
	sources := 0
	if b := x.exact[typ]; b != nil {
		out, sources = b.find(s, out, sources)
	}
	for _, n := range x.lengths {
		if n > len(typ) {
			break
		}
		if b := x.prefixes[typ[:n]]; b != nil {
			out, sources = b.find(s, out, sources)
		}
	}
	if sources > 1 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// find appends what the bucket has, and counts how many lists it came from:
// one list is in order already.
func (b *bucket) find(s *Scope, out []int32, sources int) ([]int32, int) {
	take := func(rules []int32) {
		if len(rules) > 0 {
			out = append(out, rules...)
			sources++
		}
	}
	take(b.always)
	var room [128]byte
groups:
	for _, g := range b.groups {
		key := room[:0]
		for _, a := range g.attrs {
			var ok bool
			if key, ok = a.append(key, s); !ok {
				continue groups
			}
		}
		take(g.rules[string(key)])
	}
	return out, sources
}

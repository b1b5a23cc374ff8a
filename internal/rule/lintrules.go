package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

// Rules beside each other: one that does what another does, and rules that set
// each other off.

// maxAlike bounds how many rules that do the same are compared with each other.
const maxAlike = 200

// lintShadows finds rules that do what another one does already. Every rule
// that fits runs, so two rules with one condition are fine: only where the
// steps are the same, too, one of them is too many.
func (l *loader) lintShadows(set *Set) {
	alike := map[string][]*Rule{}
	sums := summaries{}
	for _, r := range set.Rules {
		same := alike[r.does]
		for _, first := range same {
			if l.shadows(first, r, sums) {
				break
			}
		}
		if len(same) < maxAlike {
			alike[r.does] = append(same, r)
		}
	}
}

// shadows warns where one of two rules with the same steps is of no use.
func (l *loader) shadows(first, r *Rule, sums summaries) bool {
	wide, narrow := first, r
	if !wide.includes(narrow, sums) {
		wide, narrow = r, first
		if !wide.includes(narrow, sums) {
			return false
		}
	}
	both := narrow.includes(wide, sums)
	at := func(r *Rule) string { p := l.named(r); return fmt.Sprintf("%s at %s:%d", r.Name, p.File, p.Line) }
	switch {
	case narrow.Mode == "off" && wide.Mode == "off":
		return false
	case wide.Mode == "active" && narrow.Mode == "active":
		what := "takes every event of this rule"
		if both {
			what, narrow, wide = "has the same condition", r, first
		}
		l.warn(l.named(narrow), "take one of them out", "rule %s %s and does the same: it is done twice", at(wide), what)
	case wide.Mode == "active": // the narrow one is off or a shadow
		l.warn(l.named(narrow), "", "this rule is %s, and yet rule %s takes its events and does the same", modeText(narrow), at(wide))
	case both:
		l.warn(l.named(wide), "", "this rule is %s, and yet rule %s has the same condition and does the same", modeText(wide), at(narrow))
	default:
		return false
	}
	return true
}

func modeText(r *Rule) string {
	if r.Mode == "shadow" {
		return "a shadow"
	}
	return r.Mode
}

// includes says whether r surely takes every event that other takes, and starts
// a run where other does.
func (r *Rule) includes(other *Rule, sums summaries) bool {
	switch {
	case (r.Plan == nil) != (other.Plan == nil):
		return false
	case r.Plan != nil:
		return sums.of(r).plan == sums.of(other).plan && (r.Dedup == nil || other.Dedup != nil && r.Dedup.Signature == other.Dedup.Signature)
	case r.Dedup != nil && (other.Dedup == nil || r.Dedup.Signature != other.Dedup.Signature):
		return false
	case !covers(r.On, other.On):
		return false
	}
	a, b := sums.of(other), sums.of(r)
	return a.whole == b.whole || a.implies(b)
}

// planID is all that the plan of a rule depends on, "" where it has none.
func (r *Rule) planID() string {
	if r.Plan == nil {
		return ""
	}
	s := newSigner(r.Plan.Signature).add(anySlice(r.Plan.Holds)...)
	if d := r.Plan.Dampen; d != nil {
		s.add("dampen", d.Signature)
	}
	if u := r.Plan.Upstream; u != nil {
		s.add("upstream", u.Signature)
	}
	if g := r.Plan.Group; g != nil {
		s.add("group", g.Signature)
	}
	if x := r.Plan.Situation; x != nil {
		s.add("situation", x.Signature)
	}
	return s.sum()
}

type summaries map[*Rule]*summary

func (s summaries) of(r *Rule) *summary {
	x := s[r]
	if x == nil {
		x = summaryOf(r.When)
		x.plan = r.planID()
		s[r] = x
	}
	return x
}

// summary is a condition, and a plan, as they are compared with others: made
// once for each rule.
type summary struct {
	plan  string
	whole string
	parts []summaryPart
	texts map[string]bool
	known *facts
}

// summaryPart is one conjunct.
type summaryPart struct {
	text string
	attr attribute
	fact *fact // nil where it says nothing about one attribute
}

func summaryOf(e *Expr) *summary {
	s := &summary{whole: e.canonical(), texts: map[string]bool{}, known: factsOf("", e)}
	if e == nil {
		return s
	}
	conjuncts(e.c.ast.NativeRep().Expr(), func(x ast.Expr) {
		p := summaryPart{text: exprText(e, x)}
		one := &facts{of: map[attribute]*fact{}}
		if one.add(x, ""); len(one.order) == 1 && one.never == "" {
			p.attr, p.fact = one.order[0], one.of[one.order[0]]
		}
		s.parts = append(s.parts, p)
		s.texts[p.text] = true
	})
	return s
}

// implies says whether other is surely true where s is: each conjunct of other
// is one of s's, or follows from what s says about the same attribute.
func (s *summary) implies(other *summary) bool {
	for _, p := range other.parts {
		if !s.texts[p.text] && (p.fact == nil || !s.known.of[p.attr].implies(p.fact)) {
			return false
		}
	}
	return true
}

// exprText is a part of an expression without its layout.
func exprText(e *Expr, x ast.Expr) string {
	if s, err := cel.ExprToString(x, e.c.ast.NativeRep().SourceInfo()); err == nil {
		return s
	}
	return fmt.Sprintf("%p %d", e, x.ID())
}

// emitted are the emit steps of all rules.
type emitted struct {
	steps   []emission
	unknown bool // some type is made by an expression
}

// emission is one emit step with a type that is written down.
type emission struct {
	rule *Rule
	step *Step
	typ  string
	data map[string]string // fields whose values are written down, as appendKey writes them
}

func (e emitted) types() []string {
	out := map[string]bool{}
	for _, s := range e.steps {
		out[s.typ] = true
	}
	return slices.Sorted(maps.Keys(out))
}

func emissions(set *Set) emitted {
	var out emitted
	for _, r := range set.Rules {
		if r.Mode == "off" {
			continue
		}
		for _, steps := range [][]*Step{r.Do, r.Updated, r.Resolved} {
			eachStep(steps, func(s *Step) {
				if s.Action != "emit" || s.Args == nil {
					return
				}
				t := s.Args.Field("type")
				if t == nil {
					return
				}
				typ, ok := t.lit.(string)
				if t.kind != literal || !ok {
					out.unknown = true
					return
				}
				out.steps = append(out.steps, emission{r, s, typ, literals(s.Args.Field("data"))})
			})
		}
	}
	return out
}

func eachStep(steps []*Step, fn func(*Step)) {
	for _, s := range steps {
		fn(s)
		for _, inner := range [][]*Step{s.Parallel, s.Block, s.Rescue, s.Always} {
			eachStep(inner, fn)
		}
	}
}

func literals(v *Value) map[string]string {
	out := map[string]string{}
	if v == nil || v.kind != mapping {
		return out
	}
	for i, name := range v.keys {
		if v.list[i].kind != literal {
			continue
		}
		if key, ok := appendKey(nil, v.list[i].lit); ok {
			out[name] = string(key)
		}
	}
	return out
}

// feeds says whether what a step emits may set a rule off.
func (e emission) feeds(r *Rule) bool {
	if r.Mode == "off" {
		return false
	}
	for _, x := range rolesOf(r) {
		if x.part < 0 || !fits(x.on, e.typ) {
			continue
		}
		when := r.When
		if r.pattern != nil {
			when = r.whenOf(&x)
		}
		if !e.contradicts(factsOf(x.as, when, x.own)) {
			return true
		}
	}
	return false
}

// contradicts says whether the emitted event cannot meet a condition.
func (e emission) contradicts(f *facts) bool {
	if f.never != "" {
		return true
	}
	for name, key := range e.data {
		x := f.of[attribute{"event.data", name}]
		if x == nil {
			continue
		}
		if x.values != nil && !contains(x.values, key) || contains(x.not, key) || !x.within(key) {
			return true
		}
	}
	return false
}

// lintLoops finds rules that set themselves off by what they emit. The chain is
// stopped when it runs; that it begins is hardly meant.
func (l *loader) lintLoops(set *Set, emits emitted) {
	next := map[*Rule][]*Rule{}
	via := map[[2]*Rule]emission{}
	for _, e := range emits.steps {
		for _, r := range set.Rules {
			if e.feeds(r) && !slices.Contains(next[e.rule], r) {
				next[e.rule] = append(next[e.rule], r)
				via[[2]*Rule{e.rule, r}] = e
			}
		}
	}
	told := map[string]bool{}
	for _, r := range set.Rules {
		path := circle(r, func(r *Rule) []*Rule { return next[r] })
		if path == nil || told[circleID(path)] {
			continue
		}
		told[circleID(path)] = true
		var b strings.Builder
		b.WriteString(r.Name)
		for i := range path[1:] {
			fmt.Fprintf(&b, " → %s → %s", via[[2]*Rule{path[i], path[i+1]}].typ, path[i+1].Name)
		}
		l.warn(via[[2]*Rule{path[0], path[1]}].step.Pos, "the chain is stopped there, and noted as a loop", "emit: it sets off its own rule: %s", b.String())
	}
}

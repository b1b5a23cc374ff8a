package rule

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"go.yaml.in/yaml/v4"

	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
)

// What follows finds rules that load and cannot do what they were written for.
// It warns only of what is sure: a warning that is wrong now and then is one
// that nobody reads.

// lint looks at rules that have no mistakes.
func (l *loader) lint(set *Set, inv *inventory.Inventory) {
	emits := emissions(set)
	for _, r := range set.Rules {
		l.lintConditions(r)
		l.lintPlan(set, r, inv)
		l.lintSources(r, emits)
		l.lintLimits(r.limits.list)
	}
	l.lintLimits(set.limits.list)
	l.lintShadows(set)
	l.lintLoops(set, emits)
}

// named is where a rule's name stands.
func (l *loader) named(r *Rule) Pos {
	if p, ok := l.names[r.Name]; ok {
		return p
	}
	return r.Pos
}

// where is the place of a key of the plan, or of the form.
func (l *loader) where(r *Rule, keys ...string) Pos {
	if r.pattern != nil {
		for _, key := range append(keys, "form") {
			if p, ok := r.pattern.pos[key]; ok {
				return p
			}
		}
	}
	return l.named(r)
}

func (l *loader) warn(p Pos, hint, format string, args ...any) {
	l.report(p, Warning, hint, format, args...)
}

// rolesOf gives what a rule asks of its events: for a rule without a plan, one
// role.
func rolesOf(r *Rule) []role {
	if r.pattern != nil {
		return r.pattern.roles
	}
	return []role{{on: r.On}}
}

// lintConditions finds conditions that are never true.
func (l *loader) lintConditions(r *Rule) {
	for _, x := range rolesOf(r) {
		own, when := x.own, r.When
		if r.pattern != nil {
			when = r.whenOf(&x)
		}
		f := factsOf(x.as, when, own)
		if t := f.of[attribute{"event", "type"}]; t != nil && t.values != nil && f.never == "" {
			if !slices.ContainsFunc(t.values, func(v string) bool { return fits(x.on, textOfKey(v)) }) {
				f.fail("event.type is never %s here, since on names %s", shownKeys(t.values), strings.Join(x.on, ", "))
			}
		}
		if f.never == "" {
			continue
		}
		e := own
		if e == nil || factsOf(x.as, own).never == "" && factsOf("", when).never != "" {
			e = when
		}
		if e == nil {
			continue
		}
		l.warn(e.Pos, "", "when: it is never true: %s", f.never)
	}
}

// lintEnum finds values that the schema of the type does not have. It is asked
// while an expression is loaded, where it is known which event is which.
func (l *loader) lintEnum(what string, n *yaml.Node, e *Expr, p place) {
	info := e.c.ast.NativeRep().SourceInfo()
	ast.PreOrderVisit(e.c.ast.NativeRep().Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.CallKind || len(x.AsCall().Args()) != 2 {
			return
		}
		fn, args := x.AsCall().FunctionName(), x.AsCall().Args()
		var literals []ast.Expr
		path := args[0]
		switch fn {
		case "_==_", "_!=_":
			if path.Kind() == ast.LiteralKind {
				path, literals = args[1], args[:1]
			} else {
				literals = args[1:]
			}
		case "@in":
			if args[1].Kind() == ast.ListKind {
				literals = args[1].AsList().Elements()
			}
		default:
			return
		}
		enum, field := l.enumOf(path, p)
		if enum == nil {
			return
		}
		for _, lit := range literals {
			s, ok := literalString(lit)
			if !ok || contains(enum, s) {
				continue
			}
			loc := info.GetStartLocation(lit.ID())
			said := "is never"
			if fn == "_!=_" {
				said = "is always other than"
			}
			l.warn(l.place(n, e.Text, 0, e.Text, max(loc.Line(), 1), max(loc.Column(), 0)), enumHint(s, enum), "%s: %s %s %q", what, field, said, s)
		}
	}))
}

func enumHint(s string, enum []string) string {
	if h := nearHint(s, enum); h != "" {
		return h
	}
	return "it is one of " + strings.Join(enum, ", ")
}

// enumOf gives the values that a field of an event's data can have, nil where
// that is not known.
func (l *loader) enumOf(path ast.Expr, p place) (enum []string, field string) {
	if path.Kind() != ast.SelectKind || path.AsSelect().IsTestOnly() {
		return nil, ""
	}
	name, data := path.AsSelect().FieldName(), path.AsSelect().Operand()
	if data.Kind() != ast.SelectKind || data.AsSelect().FieldName() != "data" || data.AsSelect().Operand().Kind() != ast.IdentKind {
		return nil, ""
	}
	owner := data.AsSelect().Operand().AsIdent()
	on := ""
	if owner == "event" {
		on = p.on
	}
	for _, x := range p.named {
		if x.name == owner {
			on = x.on
		}
	}
	if on == "" || l.opt.Catalogue == nil {
		return nil, ""
	}
	for _, pattern := range strings.Split(on, ",") {
		found := l.types(pattern)
		if len(found) == 0 || pattern == "*" {
			return nil, ""
		}
		for _, t := range found {
			for _, f := range t.Fields {
				if f.Name != name {
					continue
				}
				if len(f.Enum) == 0 {
					return nil, ""
				}
				enum = union(enum, f.Enum)
			}
		}
	}
	return enum, owner + ".data." + name
}

// lintSources finds types that nothing produces.
func (l *loader) lintSources(r *Rule, emits emitted) {
	if l.opt.Produced == nil || emits.unknown || l.opt.Catalogue == nil {
		return
	}
	produced := append(slices.Clone(l.opt.Produced), emits.types()...)
	for _, on := range r.On {
		pos, ok := r.onPos[on]
		if !ok || on == "*" || len(l.types(on)) == 0 {
			continue // not written, or told already
		}
		if !slices.ContainsFunc(produced, func(p string) bool { return overlap(on, p) }) {
			l.warn(pos, "", "on: no source, mapping or emit step produces %s", on)
		}
	}
}

// overlap says whether two names of types can mean the same type.
func overlap(a, b string) bool {
	pa, starA := strings.CutSuffix(a, "*")
	pb, starB := strings.CutSuffix(b, "*")
	switch {
	case starA && starB:
		return strings.HasPrefix(pa, pb) || strings.HasPrefix(pb, pa)
	case starA:
		return strings.HasPrefix(b, pa)
	case starB:
		return strings.HasPrefix(a, pb)
	}
	return a == b
}

func overlapping(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return overlap(x, y) })
	})
}

// covers says whether every type of b is one of a.
func covers(a, b []string) bool {
	return !slices.ContainsFunc(b, func(y string) bool {
		if p, star := strings.CutSuffix(y, "*"); star {
			return !slices.ContainsFunc(a, func(x string) bool {
				q, star := strings.CutSuffix(x, "*")
				return star && strings.HasPrefix(p, q)
			})
		}
		return !fits(a, y)
	})
}

// lintHolds finds rules that are held by one that never meets them.
func (l *loader) lintHolds(set *Set, r *Rule) {
	for _, name := range r.Plan.Holds {
		pos := r.pattern.pos["holds."+name]
		held := set.Rule(name)
		switch {
		case held == nil:
		case r.Mode == "off":
			l.warn(pos, "", "holds: this rule is off, so %s does not wait", name)
		case held.Mode == "off":
			l.warn(pos, "", "holds: rule %s is off", name)
		case !overlapping(r.pattern.partOn, held.On):
			l.warn(pos, "", "holds: %s and this rule have no event type in common, so it never waits", name)
		}
	}
}

// lintPlan looks at the forms and stages of a rule.
func (l *loader) lintPlan(set *Set, r *Rule, inv *inventory.Inventory) {
	if r.Plan == nil {
		return
	}
	l.lintHolds(set, r)
	l.lintKeys(r)
	l.lintDampen(r)
	if r.Plan.Upstream != nil && inv.Len() > 0 {
		switch t := inv.Topology(); {
		case t == nil || len(t.Links) == 0:
			l.warn(l.where(r, "suppress"), "write links: in the inventory, or peer: at the interfaces", "suppress: the inventory has no links, so nothing is behind anything")
		case len(t.Roots) == 0:
			l.warn(l.where(r, "suppress"), "write root: true at the device that the others are reached through", "suppress: the inventory has no root")
		}
	}
	switch r.Plan.Form {
	case correlate.Count:
		l.lintCount(r, inv)
	case correlate.Flap:
		l.lintFlap(r)
	case correlate.Sequence, correlate.All:
		l.lintParts(r)
	case correlate.Unless:
		l.lintUnless(r)
	}
	l.lintDedup(r)
	for _, x := range r.pattern.roles {
		if x.part == correlate.PartResolve && x.own == nil && covers(x.on, r.pattern.partOn) {
			l.warn(l.where(r, "situation.resolved_by"), "add a when to resolved_by, or name the type that ends it",
				"resolved_by: every event of the rule resolves its situation")
		}
	}
}

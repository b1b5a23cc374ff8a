package rule

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"go.yaml.in/yaml/v4"

	"signalbox/internal/correlate"
	"signalbox/internal/schema"
)

// formKeys are the keys of the forms, of which a rule has one at most.
var formKeys = []string{"count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}

// stageKeys are the keys that make a plan beside a form.
var stageKeys = []string{"holds", "dampen", "suppress", "group", "situation", "time", "lateness", "max_keys", "when_full"}

// fieldsOf are the keys of each form and stage.
var fieldsOf = map[string][]string{
	"count":     {"distinct", "at_least", "by", "within", "tumbling"},
	"flap":      {"by", "changes", "within", "state"},
	"sequence":  {"by", "within", "events"},
	"all":       {"by", "within", "events"},
	"any":       {"by", "events"},
	"unless":    {"on", "when", "by", "within"},
	"silent":    {"by", "for"},
	"threshold": {"value", "above", "below", "clear_below", "clear_above", "for", "rate", "counter", "by"},
	"event":     {"on", "when", "as"},
	"dampen":    {"by", "half_life", "suppress", "reuse", "max", "penalty"},
	"suppress":  {"upstream", "wait"},
	"group":     {"by", "wait", "interval", "repeat"},
	"situation": {"key", "resolved_by", "updated", "resolved"},
	"resolved":  {"on", "when"}, // resolved_by
}

var formOf = map[string]correlate.Form{
	"count": correlate.Count, "flap": correlate.Flap, "sequence": correlate.Sequence, "all": correlate.All,
	"any": correlate.Any, "unless": correlate.Unless, "silent": correlate.Silent, "threshold": correlate.Threshold,
}

// trigger is what the condition of unless calls the event that it follows.
const trigger = "trigger"

// planLoad is a rule's plan while it is read.
type planLoad struct {
	*loader
	rule  *Rule
	nodes map[string]*yaml.Node // of the rule
	keys  map[string]*yaml.Node // the nodes' keys
	form  string                // "" for none
	body  map[string]*yaml.Node // of the form
	at    *yaml.Node            // of the form

	trigger  []string // the rule's own on
	parts    []partLoad
	follow   []string // unless: on of the follow-up
	resolved []string // resolved_by: on
	names    []namedEvent

	plan *correlate.Plan
	pat  *pattern
}

// partLoad is an entry of events.
type partLoad struct {
	node *yaml.Node
	on   []string
	when *yaml.Node
	as   string
}

// planOf begins to read a rule's plan: which events it is about. The types of a
// finding's events are then known, which the rule's conditions and steps see.
func (l *loader) planOf(n *yaml.Node, r *Rule, nodes, keys map[string]*yaml.Node) *planLoad {
	p := &planLoad{loader: l, rule: r, nodes: nodes, keys: keys, plan: &correlate.Plan{}, pat: &pattern{pos: map[string]Pos{}}}
	p.form = p.oneForm()
	if v := nodes[p.form]; v != nil {
		p.at = v
		p.body = l.fields(p.form, v, fieldsOf[p.form])
		for key, node := range p.body {
			p.pat.pos[key] = l.at(node)
		}
		p.pat.pos["form"] = l.at(keys[p.form])
	}
	inParts := contains([]string{"sequence", "all", "any"}, p.form)
	if nodes["on"] != nil || !inParts {
		p.trigger = l.on(n, nodes["on"])
	}
	switch {
	case inParts:
		p.readParts()
		for _, part := range p.parts {
			p.pat.partOn = union(p.pat.partOn, part.on)
		}
	default:
		p.pat.partOn = p.trigger
	}
	if p.form == "unless" && p.body != nil {
		p.follow = l.on(p.at, p.body["on"])
	}
	p.resolved = p.resolvedBy()
	return p
}

// oneForm finds the form. A second one is a mistake.
func (p *planLoad) oneForm() string {
	form := ""
	for _, key := range formKeys {
		k := p.keys[key]
		if k == nil {
			continue
		}
		switch {
		case form == "":
			form = key
		case before(k, p.keys[form]):
			p.secondForm(p.keys[form], form, key)
			form = key
		default:
			p.secondForm(k, key, form)
		}
	}
	return form
}

func before(a, b *yaml.Node) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}

func (p *planLoad) secondForm(k *yaml.Node, key, first string) {
	p.errorf(k, "a rule has one of "+strings.Join(formKeys, ", ")+"; make it a rule of its own",
		"%s: the rule is %s already, at line %d", key, first, p.keys[first].Line)
}

// fields reads the keys of a mapping.
func (l *loader) fields(what string, n *yaml.Node, known []string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if !l.mapping(what, n) {
		return nil
	}
	l.each(n, known, func(key string, _, v *yaml.Node) { out[key] = v })
	return out
}

func union(a, b []string) []string {
	for _, x := range b {
		if !contains(a, x) {
			a = append(slices.Clip(a), x)
		}
	}
	return a
}

// place is what the rule's own condition and keys see.
func (p *planLoad) place() place { return place{on: joined(p.pat.partOn)} }

func joined(types []string) string { return strings.Join(types, ",") }

// stepsPlace is what steps see: the events by their names, and the situation.
func (p *planLoad) stepsPlace() place {
	return place{on: joined(p.pat.partOn), named: p.names, situation: p.nodes["situation"] != nil, regs: map[string]*registerType{}}
}

// readParts reads events: their types and names.
func (p *planLoad) readParts() {
	list := p.body["events"]
	switch {
	case p.body == nil:
		return
	case list == nil:
		p.errorf(p.at, "write events: and a list of {on: …, when: …, as: …}", "%s: there is no events in it", p.form)
		return
	case list.Kind != yaml.SequenceNode:
		p.errorf(list, "begin each with a dash", "events: expected a list, found %s", nodeKind(list))
		return
	case len(list.Content) < 2 || len(list.Content) > maxParts:
		p.errorf(list, "", "events: %s needs between 2 and %d, here are %d", p.form, maxParts, len(list.Content))
		return
	}
	for _, item := range list.Content {
		item = deref(item)
		fields := p.fields("event", item, fieldsOf["event"])
		if fields == nil {
			continue
		}
		part := partLoad{node: item, when: fields["when"], on: p.trigger}
		if on := fields["on"]; on != nil {
			part.on = p.on(item, on)
		} else if p.trigger == nil {
			p.errorf(item, "write on: and an event type, here or for the whole rule", "this event has no on")
		}
		part.as = p.partName(fields["as"], part.on)
		p.parts = append(p.parts, part)
	}
}

// fixedNames are what expressions know without a rule's help.
var fixedNames = []string{"event", "events", "device", "interface", "site", "rule", "run", "situation", trigger}

func (p *planLoad) partName(n *yaml.Node, on []string) string {
	if n == nil {
		return ""
	}
	name, ok := p.text("as", n)
	switch {
	case !ok:
		return ""
	case !registerName.MatchString(name) || contains(reserved, name):
		p.errorf(n, "letters, digits and _, as in down", "as: %q cannot be a name", short(name))
		return ""
	case contains(fixedNames, name):
		p.errorf(n, "", "as: %q means something else in expressions", name)
		return ""
	case slices.ContainsFunc(p.names, func(x namedEvent) bool { return x.name == name }):
		p.errorf(n, "", "as: %q is already the name of an earlier event", name)
		return ""
	}
	p.names = append(p.names, namedEvent{name, joined(on)})
	return name
}

// finish reads the rest of the plan. Rules that need none have none.
func (p *planLoad) finish() {
	any := p.form != ""
	for _, key := range stageKeys {
		any = any || p.nodes[key] != nil
	}
	if !any {
		p.rule.On = p.trigger
		return
	}
	p.plan.Form = formOf[p.form]
	p.plan.MaxKeys = correlate.DefaultMaxKeys
	p.readForm()
	p.readStages()
	p.roles()
	p.sign()
	p.rule.Plan, p.rule.pattern = p.plan, p.pat
	for i := range p.pat.roles {
		p.rule.On = union(p.rule.On, p.pat.roles[i].on)
	}
}

// roles says what events can be to the rule. Where there are mistakes the
// roles may be too few; nothing is decided by them then.
func (p *planLoad) roles() {
	add := func(x role) {
		if x.as != "" {
			x.alias = &binding{names: []string{x.as}}
		}
		if len(p.pat.roles) < 32 {
			p.pat.roles = append(p.pat.roles, x)
		}
	}
	switch {
	case p.parts != nil:
		for i, part := range p.parts {
			add(p.partRole(i, part))
			p.pat.names = append(p.pat.names, part.as)
		}
	case p.form == "unless":
		p.pat.names = []string{trigger, ""}
		p.plan.Parts = []correlate.Part{{}, {}}
		add(role{part: 0, on: p.trigger})
		add(p.followRole())
	default:
		add(role{part: 0, on: p.trigger})
	}
	if p.resolved != nil {
		add(p.resolveRole())
	}
	if clearing := p.clearing(); clearing != nil && p.plan.Group != nil {
		p.plan.Group.Clears = true
		add(role{part: correlate.PartClear, on: clearing})
	}
}

// partRole compiles the condition of an entry of events. That of a sequence and
// of all may read the events that stand before it in the list.
func (p *planLoad) partRole(i int, part partLoad) role {
	x := role{part: i, on: part.on, as: part.as}
	if part.when != nil {
		at := place{on: joined(part.on)}
		var others []string
		for j, other := range p.parts {
			switch {
			case other.as == "":
			case j == i, j < i && p.form != "any":
				at.named = append(at.named, namedEvent{other.as, joined(other.on)})
				if j != i {
					others = append(others, other.as)
				}
			}
		}
		if !p.readsLater(part.when, i) {
			x.own = p.condition("when", part.when, at)
		}
		x.bound = x.own != nil && x.own.reads(others)
		x.free = p.free(x.own, others, at)
	}
	p.plan.Parts = append(p.plan.Parts, correlate.Part{As: part.as, Bound: x.bound})
	return x
}

// free compiles the conjuncts of a bound condition that read no other part, so
// that most events need not be tried beside others. It is never stricter than
// the whole; nil says nothing.
func (p *planLoad) free(e *Expr, others []string, at place) *Expr {
	if e == nil || !e.reads(others) {
		return nil
	}
	var texts []string
	conjuncts(e.c.ast.NativeRep().Expr(), func(x ast.Expr) {
		if s, err := cel.ExprToString(x, e.c.ast.NativeRep().SourceInfo()); err == nil && !namesAny(x, others) {
			texts = append(texts, "("+s+")")
		}
	})
	env := p.env(nil, at)
	if len(texts) == 0 || env == nil {
		return nil
	}
	text := strings.Join(texts, " && ")
	c, issues := env.compile(text)
	if len(issues) > 0 {
		return nil // it is only a short cut
	}
	return &Expr{Text: text, Pos: e.Pos, c: c}
}

// readsLater says where a condition names a part that it cannot see, in better
// words than that nobody knows it.
func (p *planLoad) readsLater(when *yaml.Node, i int) bool {
	if when.Kind != yaml.ScalarNode {
		return false
	}
	found := false
	for j, other := range p.parts {
		if other.as == "" || j == i || j < i && p.form != "any" {
			continue
		}
		if !mentions(when.Value, other.as) {
			continue
		}
		found = true
		if p.form != "any" {
			p.errorf(when, "conditions read events that stand before their own: move the comparison to "+other.as, "when: %q comes later in the list", other.as)
			continue
		}
		p.errorf(when, "write all or a sequence", "when: of any there is one event, so it cannot read %q", other.as)
	}
	return found
}

// followRole is what ends the wait of unless.
func (p *planLoad) followRole() role {
	x := role{part: 1, on: p.follow}
	when := p.body["when"]
	if when == nil {
		return x
	}
	at := place{on: joined(p.follow), named: []namedEvent{{trigger, joined(p.trigger)}}}
	x.own = p.condition("when", when, at)
	x.bound = x.own != nil && x.own.reads([]string{trigger})
	x.free = p.free(x.own, []string{trigger}, at)
	p.plan.Parts[1].Bound = x.bound
	return x
}

// clearing are the types that clear an event of the rule.
func (p *planLoad) clearing() []string {
	var out []string
	if p.opt.Catalogue == nil {
		return nil
	}
	for _, t := range p.opt.Catalogue.Types() {
		if slices.ContainsFunc(t.Clears, func(c string) bool { return fits(p.pat.partOn, c) }) {
			out = append(out, t.Name)
		}
	}
	return out
}

// by reads a key: the fields of a list, or the default one where n is nil.
func (p *planLoad) by(what string, n *yaml.Node, at place, def []string) []keyPart {
	out := []keyPart{}
	if n == nil {
		for _, text := range def {
			if e := p.builtIn(p.at, text, at); e != nil {
				out = append(out, newKeyPart(e))
			}
		}
		return out
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if items = n.Content; len(items) == 0 {
			p.errorf(n, "name at least one field, as in [device, interface]", "%s: the list is empty", what)
		}
	}
	seen := map[string]bool{}
	for _, item := range items {
		item = deref(item)
		e := p.keyExpr(what, item, at)
		if e == nil {
			continue
		}
		if seen[e.Text] {
			p.warnf(item, "", "%s: %s is there twice", what, e.Text)
			continue
		}
		seen[e.Text] = true
		out = append(out, newKeyPart(e))
	}
	return out
}

// defaultBy is the key where a rule names none: what the events are about,
// without their type.
func (p *planLoad) defaultBy(types []string) []string {
	if p.form == "sequence" || p.form == "all" {
		return []string{"device"}
	}
	out := []string{"device", "interface"}
	var shared []string
	first := true
	for _, on := range types {
		found := p.types(on)
		if len(found) == 0 || on == "*" {
			return out
		}
		for _, t := range found {
			if first {
				shared, first = t.Key, false
				continue
			}
			shared = slices.DeleteFunc(slices.Clone(shared), func(k string) bool { return !contains(t.Key, k) })
		}
	}
	for _, k := range shared {
		out = append(out, fmt.Sprintf("event.data.%s", k))
	}
	return out
}

// types are those of the catalogue that a name or prefix stands for.
func (l *loader) types(on string) []schema.Type {
	if l.opt.Catalogue == nil {
		return nil
	}
	return l.envs.matching(on)
}

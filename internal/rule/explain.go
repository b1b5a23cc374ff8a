package rule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
)

// Explained is what a rule makes of an event, part by part, for people.
type Explained struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Mode    string `json:"mode,omitempty"` // where it is not active
	// Listens says whether On has the event's type, Takes whether the rule takes
	// it as something.
	On      []string        `json:"on"`
	Listens bool            `json:"listens"`
	Roles   []ExplainedRole `json:"roles,omitempty"`
	Takes   bool            `json:"takes"`
	Dedup   *ExplainedKey   `json:"dedup,omitempty"`
	Inputs  []ExplainedKey  `json:"inputs,omitempty"` // of rules that ask for more than one event
	Error   string          `json:"error,omitempty"`  // a key or a number that cannot be read
}

// ExplainedRole is one thing that the event could be to the rule.
type ExplainedRole struct {
	// What is "" for the one event of a plain rule; otherwise "part 1", "part 2
	// (down)", "resolves", "clears".
	What       string               `json:"what,omitempty"`
	On         []string             `json:"on"`
	Listens    bool                 `json:"listens"`
	Conditions []ExplainedCondition `json:"conditions,omitempty"`
	Met        bool                 `json:"met"`
}

// ExplainedCondition is one condition, answered.
type ExplainedCondition struct {
	Where string `json:"where"` // "when", "when of the part"
	// Index says that the rule was not looked at at all, since one of the
	// condition's equalities does not hold; its text.
	Index string `json:"index,omitempty"`
	// Bound says that it reads other parts, so that the answer depends on which
	// these are; it is not asked here.
	Bound bool          `json:"bound,omitempty"`
	Root  ExplainedPart `json:"root"`
	Met   bool          `json:"met"`
}

// ExplainedPart is a part of a condition with its value.
type ExplainedPart struct {
	Text  string `json:"text"`
	Value string `json:"value"` // as CEL writes it; "absent"; "error: …"
	// Because are the values that a comparison read.
	Because []ExplainedRead `json:"because,omitempty"`
	Parts   []ExplainedPart `json:"parts,omitempty"` // of &&, ||, ! and ?:
}

// ExplainedRead is a value that a condition read.
type ExplainedRead struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

// ExplainedKey is a key with its values.
type ExplainedKey struct {
	What   string        `json:"what"` // "dedup"; of inputs as in ExplainedRole
	Key    string        `json:"key"`
	Within time.Duration `json:"within_ns,omitempty"`
	Value  string        `json:"value,omitempty"` // the distinct value, the state, or the number
	Hash   string        `json:"-"`               // of a dedup key
}

// maxExplained bounds a value's text.
const maxExplained = 200

// Explain says what a rule makes of an event. It costs far more than Match and
// gives the same answer.
func (s *Set) Explain(r *Rule, ev *event.Event, inv *inventory.Inventory) Explained {
	ask := s.Decide(ev, inv, Deciding{})
	scope := ask.scope
	out := Explained{Rule: r.Name, Version: r.Version, On: r.On, Listens: r.listens(ev.Type)}
	if r.Mode != "active" {
		out.Mode = r.Mode
	}
	if r.pattern == nil {
		role := ExplainedRole{On: r.On, Listens: out.Listens, Met: out.Listens}
		if out.Listens && r.When != nil {
			c := explainCondition("when", r.When, scope, nil, "")
			role.Conditions, role.Met = []ExplainedCondition{c}, c.Met
		}
		out.Roles = []ExplainedRole{role}
	} else {
		for i := range r.pattern.roles {
			out.Roles = append(out.Roles, r.explainRole(&r.pattern.roles[i], scope))
		}
	}
	out.Takes = r.Mode != "off" && slices.ContainsFunc(out.Roles, func(x ExplainedRole) bool { return x.Met })
	if !out.Takes {
		return out
	}
	m := Match{Rule: r}
	if r.pattern != nil {
		m.roles, _ = r.take(scope)
	}
	if key, within, ok, err := ask.Dedup(m); err != nil {
		out.Error = err.Error()
	} else if ok {
		out.Dedup = &ExplainedKey{What: "dedup", Key: s.keyInWords(r.Dedup.By, scope), Within: within, Hash: string(key[:])}
	}
	inputs, err := ask.Inputs(m)
	if err != nil {
		out.Error = err.Error()
	}
	for _, in := range inputs {
		k := ExplainedKey{What: roleName(in.Part, r), Key: correlate.KeyText(in.Key), Value: correlate.KeyText(in.Value)}
		if in.SituationKey != "" && in.Part == correlate.PartResolve {
			k.Key = correlate.KeyText(in.SituationKey)
		}
		if r.pattern.number != nil && in.Part >= 0 {
			k.Value = strconv.FormatFloat(in.Number, 'f', -1, 64)
		}
		out.Inputs = append(out.Inputs, k)
	}
	return out
}

func roleName(part int, r *Rule) string {
	switch {
	case part == correlate.PartResolve:
		return "resolves"
	case part == correlate.PartClear:
		return "clears"
	case r.Plan.Form == correlate.Unless && part == 1:
		return "ends the wait"
	case len(r.Plan.Parts) < 2 || r.Plan.Form == correlate.Unless:
		return ""
	}
	name := fmt.Sprintf("part %d", part+1)
	if part < len(r.Plan.Parts) && r.Plan.Parts[part].As != "" {
		name += " (" + r.Plan.Parts[part].As + ")"
	}
	return name
}

func (r *Rule) explainRole(x *role, scope *Scope) ExplainedRole {
	out := ExplainedRole{What: roleName(x.part, r), On: x.on, Listens: fits(x.on, scope.Event.Type)}
	if out.Met = out.Listens; !out.Listens {
		return out
	}
	if when := r.whenOf(x); when != nil {
		out.Conditions = append(out.Conditions, explainCondition("when", when, scope, nil, ""))
	}
	switch {
	case x.own == nil:
	case x.bound:
		out.Conditions = append(out.Conditions, ExplainedCondition{Where: "when of the part", Bound: true, Met: true,
			Root: ExplainedPart{Text: x.own.Text, Value: "asked beside the other parts"}})
	default:
		out.Conditions = append(out.Conditions, explainCondition("when of the part", x.own, scope, x.alias, x.as))
	}
	for _, c := range out.Conditions {
		out.Met = out.Met && c.Met
	}
	return out
}

// keyInWords writes the key of a dedup.
func (s *Set) keyInWords(by []*Expr, scope *Scope) string {
	var words []string
	add := func(name, value string) { words = append(words, name+"="+value) }
	if len(by) == 0 {
		ev := scope.Event
		add("device", ev.Device)
		add("type", ev.Type)
		if ev.Interface != "" {
			add("interface", event.CanonicalInterface(ev.Interface))
		}
		t, _ := s.eventType(ev.Type)
		data, _ := scope.eventView().data()
		for _, name := range t.Key {
			add(name, goText(data[name]))
		}
	}
	for _, e := range by {
		v, err := e.Eval(scope)
		switch {
		case Absent(err):
			add(e.Text, "absent")
		case err != nil:
			add(e.Text, "error: "+err.Error())
		default:
			add(e.Text, goText(v))
		}
	}
	return strings.Join(words, " ")
}

// explainCondition answers a condition without short cuts, so that every part of
// it has a value.
func explainCondition(where string, e *Expr, scope *Scope, alias *binding, as string) ExplainedCondition {
	out := ExplainedCondition{Where: where, Root: ExplainedPart{Text: oneLine(e.Text)}}
	for _, c := range guardOf(as, e) {
		key, ok := c.attr.append(nil, scope)
		if !ok || !slices.Contains(c.values, string(key)) {
			out.Index = c.attr.owner + "." + c.attr.name + " is " + goText(c.attr.value(scope))
			break
		}
	}
	scope.bind = alias
	defer func() { scope.bind = nil }()
	met, err := e.Bool(scope)
	out.Met = met && out.Index == "" && err == nil
	program, perr := e.c.env.Program(e.c.ast, cel.EvalOptions(cel.OptExhaustiveEval),
		cel.CostTracking(costs{}), cel.CostLimit(maxRuntimeCost), cel.MemoryLimit(maxElements))
	if perr != nil {
		out.Root.Value = valueText(met, err)
		return out
	}
	_, details, _ := program.Eval(activation{scope}) // its error is among the values
	var state interpreter.EvalState
	if details != nil {
		state = details.State()
	}
	x := explaining{info: e.c.ast.NativeRep().SourceInfo(), state: state}
	// Macros (exists, all, map) can only be written as they were if parsing
	// kept them; the ids of a second parse are the same.
	if env, err := e.c.env.Extend(cel.EnableMacroCallTracking()); err == nil {
		if again, iss := env.Parse(e.Text); iss.Err() == nil {
			x.info = again.NativeRep().SourceInfo()
		}
	}
	root := x.part(e.c.ast.NativeRep().Expr(), 0)
	root.Text = out.Root.Text
	root.Value = valueText(met, err) // what counts, whatever exhaustive evaluation says
	out.Root = root
	return out
}

func valueText(met bool, err error) string {
	switch {
	case Absent(err):
		return "false: " + err.Error()
	case err != nil:
		return "error: " + err.Error()
	}
	return fmt.Sprint(met)
}

// explaining reads the values of an expression's parts.
type explaining struct {
	info  *ast.SourceInfo
	state interpreter.EvalState
}

// maxExplainDepth bounds how deep parts are taken apart.
const maxExplainDepth = 12

func (x *explaining) part(e ast.Expr, depth int) ExplainedPart {
	out := ExplainedPart{Text: x.text(e), Value: x.value(e)}
	if e.Kind() == ast.CallKind && depth < maxExplainDepth {
		switch e.AsCall().FunctionName() {
		case "_&&_", "_||_", "!_", "_?_:_":
			for _, arg := range flat(e) {
				out.Parts = append(out.Parts, x.part(arg, depth+1))
			}
			return out
		}
	}
	seen := map[string]bool{}
	x.reads(e, true, func(r ast.Expr) {
		text := x.text(r)
		if seen[text] || text == out.Text && len(seen) == 0 && out.Value != "absent" {
			return
		}
		seen[text] = true
		out.Because = append(out.Because, ExplainedRead{text, x.value(r)})
	})
	return out
}

// flat gives the operands of && or || with those of nested ones of the same
// kind beside them, as a person reads them.
func flat(e ast.Expr) []ast.Expr {
	name := e.AsCall().FunctionName()
	var out []ast.Expr
	for _, a := range e.AsCall().Args() {
		if (name == "_&&_" || name == "_||_") && a.Kind() == ast.CallKind && a.AsCall().FunctionName() == name {
			out = append(out, flat(a)...)
			continue
		}
		out = append(out, a)
	}
	return out
}

// reads visits what a comparison reads: names with their fields, and what
// functions gave.
func (x *explaining) reads(e ast.Expr, top bool, fn func(ast.Expr)) {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		fn(e)
	case ast.CallKind:
		call := e.AsCall()
		name := call.FunctionName()
		if name == "_?._" || name == "_[_]" || name == "_[?_]" {
			fn(e)
			return
		}
		if !top && !operatorPattern.MatchString(name) && name != "@in" {
			fn(e)
			return
		}
		if call.IsMemberFunction() {
			x.reads(call.Target(), false, fn)
		}
		for _, a := range call.Args() {
			x.reads(a, false, fn)
		}
	case ast.ListKind:
		for _, a := range e.AsList().Elements() {
			x.reads(a, false, fn)
		}
	case ast.ComprehensionKind:
		x.reads(e.AsComprehension().IterRange(), false, fn)
	}
}

// text writes a part as it could stand in a rule.
func (x *explaining) text(e ast.Expr) string {
	s, err := cel.ExprToString(e, x.info)
	if err != nil {
		return "…"
	}
	return oneLine(s)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (x *explaining) value(e ast.Expr) string {
	if e.Kind() == ast.LiteralKind {
		return celText(e.AsLiteral())
	}
	if x.state == nil {
		return "not asked"
	}
	v, ok := x.state.Value(e.ID())
	if !ok {
		return "not asked"
	}
	return celText(v)
}

// celText writes a value of CEL for people.
func celText(v ref.Val) string {
	if err, ok := v.(*types.Err); ok {
		if Absent(err) {
			return "absent"
		}
		return "error: " + err.Error()
	}
	if types.IsUnknown(v) {
		return "not known"
	}
	if o, ok := v.(*types.Optional); ok && !o.HasValue() {
		return "absent"
	}
	plain, err := plainValue(v, 0)
	if err != nil {
		return "a " + v.Type().TypeName()
	}
	return goText(plain)
}

// goText writes a plain value for people: text in quotes.
func goText(v any) string {
	switch v := v.(type) {
	case nil:
		return "absent"
	case time.Time, time.Duration:
		return text(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if r := []rune(string(b)); len(r) > maxExplained {
		return string(r[:maxExplained]) + "…"
	}
	return string(b)
}

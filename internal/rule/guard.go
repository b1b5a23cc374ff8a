package rule

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"signalbox/event"
)

// A guard is what a condition needs to be true and can be looked up: the
// equalities among its conjuncts (event.device == "sw1" && … , device.role in
// ["core", "edge"]). They are tested first: where one does not hold, or the
// attribute is absent, the condition is false without being evaluated.

// condition is one equality: the attribute must be one of the values.
type condition struct {
	attr   attribute
	values []string // as appendKey writes them
}

// attribute is a value that an equality can ask for.
type attribute struct {
	owner string // "event", "event.data", "device", "interface", "site"
	name  string
}

// Bounds of a guard: how many attributes it joins, and into how many keys its
// lists of values multiply.
const (
	maxGuard     = 3
	maxGuardKeys = 64
)

// get reads the attribute: isNothing where it is absent or cannot be read.
func (a attribute) get(s *Scope) plain {
	switch a.owner {
	case "event":
		return plain{kind: isText, text: a.own(s.Event)}
	case "event.data":
		v, _ := s.eventView().value(a.name)
		return v
	case "device":
		s.lookUp()
		return plainOf(s.Device[a.name])
	case "interface":
		s.lookUpPort()
		return plainOf(s.Interface[a.name])
	case "site":
		s.lookUp()
		return plainOf(s.Site[a.name])
	}
	return plain{}
}

// value is get in a box, and whatever it is.
func (a attribute) value(s *Scope) any {
	v := a.get(s)
	if v.kind != isOther {
		return v.boxed()
	}
	switch a.owner {
	case "event.data":
		v, _ := s.eventView().field(a.name)
		return v
	case "device":
		return s.Device[a.name]
	case "interface":
		return s.Interface[a.name]
	}
	return s.Site[a.name]
}

// own is one of the event's own fields.
func (a attribute) own(ev *event.Event) string {
	switch a.name {
	case "device":
		return ev.Device
	case "interface":
		return ev.Interface
	case "source":
		return ev.Source
	case "type":
		return ev.Type
	}
	return ""
}

// append writes the attribute's value as a key. ok is false where it is absent
// or can equal no literal.
func (a attribute) append(key []byte, s *Scope) (out []byte, ok bool) {
	v := a.get(s)
	return v.appendKey(key)
}

// appendKey is plain.appendKey of a value in a box.
func appendKey(key []byte, v any) (out []byte, ok bool) {
	p := plainOf(v)
	return p.appendKey(key)
}

func appendText(key []byte, s string) []byte {
	key = append(key, 's')
	key = binary.AppendUvarint(key, uint64(len(s)))
	return append(key, s...)
}

func appendFloat(key []byte, f float64) []byte {
	if f == 0 {
		f = 0 // -0 equals 0
	}
	return binary.BigEndian.AppendUint64(append(key, 'n'), math.Float64bits(f))
}

// holds says whether an event meets all equalities of a guard.
func holds(guard []condition, scope *Scope) bool {
	var room [64]byte
	for _, c := range guard {
		key, ok := c.attr.append(room[:0], scope)
		if !ok || !slices.Contains(c.values, string(key)) {
			return false
		}
	}
	return true
}

// guardOf takes the equalities out of checked conditions that must all be true.
// It depends on the conditions alone. as is another name for event, "" for
// none.
func guardOf(as string, all ...*Expr) []condition {
	return guardFrom(equalities(as, all...))
}

// guardFrom chooses among equalities.
func guardFrom(found []condition) []condition {
	// What tells rules apart best comes first; and where the device or the
	// interface is named, the event's data need not be decoded to find out
	// that it is another one.
	slices.SortStableFunc(found, func(a, b condition) int {
		return cmp.Or(cmp.Compare(a.attr.rank(), b.attr.rank()), cmp.Compare(a.attr.name, b.attr.name))
	})
	var out []condition
	keys := 1
	for _, c := range found {
		if len(out) == maxGuard || len(out) > 0 && c.attr.owner == "event.data" && out[0].attr.rank() <= 1 {
			break
		}
		if keys*len(c.values) > maxGuardKeys || slices.ContainsFunc(out, func(o condition) bool { return o.attr == c.attr }) {
			continue
		}
		keys *= len(c.values)
		out = append(out, c)
	}
	return out
}

// equalities are the conjuncts of conditions that ask one attribute for values.
func equalities(as string, all ...*Expr) []condition {
	var found []condition
	for _, e := range all {
		if e == nil || e.c == nil {
			continue
		}
		conjuncts(e.c.ast.NativeRep().Expr(), func(x ast.Expr) {
			if c, ok := equality(x, as); ok {
				found = append(found, c)
			}
		})
	}
	return found
}

func (a attribute) rank() int {
	switch {
	case a.owner == "event" && a.name == "device", a.owner == "device" && (a.name == "name" || a.name == "address"):
		return 0
	case a.owner == "event" && a.name == "interface", a.owner == "interface" && a.name == "name":
		return 1
	case a.owner == "device":
		return 2
	case a.owner == "site", a.owner == "interface":
		return 3
	case a.owner == "event":
		return 4
	}
	return 5
}

func conjuncts(e ast.Expr, fn func(ast.Expr)) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "_&&_" {
		for _, x := range e.AsCall().Args() {
			conjuncts(x, fn)
		}
		return
	}
	fn(e)
}

// equality recognises attribute == literal, literal == attribute and attribute
// in [literals].
func equality(e ast.Expr, as string) (condition, bool) {
	if e.Kind() != ast.CallKind {
		return condition{}, false
	}
	call := e.AsCall()
	args := call.Args()
	if len(args) != 2 || call.IsMemberFunction() {
		return condition{}, false
	}
	switch call.FunctionName() {
	case "_==_":
		for i := range args {
			attr, ok := attributeOf(args[i], as)
			if !ok {
				continue
			}
			if key, ok := literalKey(args[1-i]); ok {
				return condition{attr, []string{key}}, true
			}
		}
	case "@in":
		attr, ok := attributeOf(args[0], as)
		if !ok || args[1].Kind() != ast.ListKind {
			return condition{}, false
		}
		list := args[1].AsList()
		if list.Size() == 0 || list.Size() > maxGuardKeys || len(list.OptionalIndices()) > 0 {
			return condition{}, false
		}
		c := condition{attr: attr}
		for _, x := range list.Elements() {
			key, ok := literalKey(x)
			if !ok {
				return condition{}, false
			}
			if !contains(c.values, key) {
				c.values = append(c.values, key)
			}
		}
		return c, true
	}
	return condition{}, false
}

// rest is what is left to ask of a condition when its guard holds.
type rest struct {
	expr *Expr // nil: nothing
	test test  // of the conjuncts that the guard does not answer; nil: the whole has to be asked
}

// restOf leaves out of a condition what a guard says. as is another name for
// event.
func restOf(e *Expr, as string, guard []condition) rest {
	if e == nil {
		return rest{}
	}
	if e.c == nil || e.c.conjuncts == nil {
		return rest{expr: e}
	}
	var left []test
	known := false
	for _, c := range e.c.conjuncts {
		if q, ok := equality(c.expr, as); ok && slices.ContainsFunc(guard, q.same) {
			continue
		}
		t := c.test
		if known = known || t != nil; t == nil {
			t = func(*Scope) (truth, *absentError) { return open, nil }
		}
		left = append(left, t)
	}
	switch {
	case len(left) == 0:
		return rest{}
	case !known:
		return rest{expr: e}
	case len(left) == 1:
		return rest{e, left[0]}
	}
	return rest{e, allOf(left, no, e.c.counted)}
}

func (c condition) same(other condition) bool {
	return c.attr == other.attr && slices.Equal(c.values, other.values)
}

// met says whether the rest of the condition holds, as Expr.Bool does.
func (r *rest) met(s *Scope) (bool, error) {
	if r.expr == nil {
		return true, nil
	}
	if r.test != nil {
		switch t, absent := r.test(s); t {
		case no, yes:
			return t == yes, nil
		case gone:
			return false, absent
		}
	}
	return r.expr.Bool(s)
}

// attributeOf recognises a path such as device.role. as is another name for
// event.
func attributeOf(e ast.Expr, as string) (attribute, bool) {
	if e.Kind() != ast.SelectKind || e.AsSelect().IsTestOnly() {
		return attribute{}, false
	}
	sel := e.AsSelect()
	operand, name := sel.Operand(), sel.FieldName()
	switch operand.Kind() {
	case ast.IdentKind:
		owner := operand.AsIdent()
		if as != "" && owner == as {
			owner = "event"
		}
		switch owner {
		case "event":
			return attribute{owner, name}, contains([]string{"device", "interface", "source", "type"}, name)
		case "device", "interface", "site":
			return attribute{owner, name}, true
		}
	case ast.SelectKind:
		inner := operand.AsSelect()
		if !inner.IsTestOnly() && inner.FieldName() == "data" && inner.Operand().Kind() == ast.IdentKind &&
			(inner.Operand().AsIdent() == "event" || as != "" && inner.Operand().AsIdent() == as) {
			return attribute{"event.data", name}, true
		}
	}
	return attribute{}, false
}

func literalKey(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	var v any
	switch lit := e.AsLiteral().(type) {
	case types.String:
		v = string(lit)
	case types.Int:
		v = int64(lit)
	case types.Uint:
		v = float64(lit)
	case types.Double:
		v = float64(lit)
	case types.Bool:
		v = bool(lit)
	default:
		return "", false
	}
	key, ok := appendKey(nil, v)
	return string(key), ok
}

package rule

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// read reads a value: a literal, a field, or one with a value for where it is
// absent.
func (r *reader) read(e ast.Expr) read {
	switch e.Kind() {
	case ast.LiteralKind:
		var v plain
		switch lit := e.AsLiteral().(type) {
		case types.String:
			v = plain{kind: isText, text: string(lit)}
		case types.Int:
			v = plain{kind: isWhole, whole: int64(lit)}
		case types.Double:
			v = plain{kind: isFloat, float: float64(lit)}
		case types.Bool:
			v = plainBool(bool(lit))
		default:
			return nil
		}
		return func(*Scope) (plain, *absentError) { return v, nil }
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return nil
		}
		f := r.field(e.AsSelect().Operand(), e.AsSelect().FieldName())
		if f == nil {
			return nil
		}
		return f.read
	case ast.CallKind:
		return r.orValue(e.AsCall())
	}
	return nil
}

// orValue is event.data.?reason.orValue("").
func (r *reader) orValue(call ast.CallExpr) read {
	if call.FunctionName() != "orValue" || !call.IsMemberFunction() || len(call.Args()) != 1 || call.Target().Kind() != ast.CallKind {
		return nil
	}
	target := call.Target().AsCall()
	if target.FunctionName() != "_?._" || len(target.Args()) != 2 {
		return nil
	}
	name, ok := literalString(target.Args()[1])
	otherwise := r.read(call.Args()[0])
	if !ok || otherwise == nil {
		return nil
	}
	f := r.field(target.Args()[0], name)
	if f == nil || f.own {
		return nil
	}
	return func(s *Scope) (plain, *absentError) {
		v, absent := f.read(s)
		if absent != nil {
			return otherwise(s)
		}
		return v, nil
	}
}

// field is one field of an object whose fields are known.
type field struct {
	get    func(s *Scope) (v plain, here bool) // not here: only CEL can say
	typ    types.Kind
	own    bool // of the event itself: a text that is always there
	open   bool // see openField
	absent *absentError
}

// field finds out what operand.name is; nil where that is not known here.
func (r *reader) field(operand ast.Expr, name string) *field {
	owner := r.env.typeOf(operand)
	if owner == nil {
		return r.openField(operand, name)
	}
	if owner.fields[name] == nil {
		return nil
	}
	f := &field{typ: owner.fields[name].Type.Kind(), absent: &absentError{path: owner.name + "." + name}}
	switch f.typ {
	case types.StringKind, types.IntKind, types.DoubleKind, types.BoolKind, types.DynKind:
	default:
		return nil
	}
	switch operand.Kind() {
	case ast.IdentKind:
		ident := operand.AsIdent()
		if slices.Contains(r.env.events, ident) {
			f.own, f.get = true, ownField(eventOf(ident), name)
		} else {
			f.get = recordField(ident, name)
		}
	case ast.SelectKind:
		view := r.dataOf(operand)
		if view == nil {
			return nil
		}
		f.get = func(s *Scope) (plain, bool) {
			v := view(s)
			if v == nil {
				return plain{}, false
			}
			p, err := v.value(name)
			return p, err == nil
		}
	}
	if f.get == nil {
		return nil
	}
	return f
}

// dataOf finds the event of which operand is the data; nil where it is none.
func (r *reader) dataOf(operand ast.Expr) func(s *Scope) *eventView {
	if operand.Kind() != ast.SelectKind {
		return nil
	}
	sel := operand.AsSelect()
	if sel.FieldName() != "data" || sel.IsTestOnly() || sel.Operand().Kind() != ast.IdentKind || !slices.Contains(r.env.events, sel.Operand().AsIdent()) {
		return nil
	}
	return eventOf(sel.Operand().AsIdent())
}

// openField is a field of data whose fields nobody knows: a map to CEL, in which
// null is a value, and whose errors are worded so.
func (r *reader) openField(operand ast.Expr, name string) *field {
	view := r.dataOf(operand)
	if view == nil {
		return nil
	}
	return &field{typ: types.DynKind, open: true, absent: &absentError{path: "event.data." + name, text: "no such key: " + name}, get: func(s *Scope) (plain, bool) {
		v := view(s)
		if v == nil || !v.isFlatData() {
			return plain{}, false
		}
		if v.member(name) == nil {
			return plain{}, true
		}
		p := v.flatField(name)
		return p, p.kind != isNothing
	}}
}

// read gives the value in the type that the field has, as coerce does.
func (f *field) read(s *Scope) (plain, *absentError) {
	v, here := f.get(s)
	switch {
	case !here:
		return plain{kind: isOther}, nil
	case v.kind == isNothing:
		return v, f.absent
	}
	ok := true
	switch f.typ {
	case types.StringKind:
		ok = v.kind == isText
	case types.BoolKind:
		ok = v.kind == isBool
	case types.IntKind:
		if v.kind == isFloat && v.float == float64(int64(v.float)) {
			v = plain{kind: isWhole, whole: int64(v.float)}
		}
		ok = v.kind == isWhole
	case types.DoubleKind:
		if v.kind == isWhole {
			v = plain{kind: isFloat, float: float64(v.whole)}
		}
		ok = v.kind == isFloat
	}
	if !ok {
		v = plain{kind: isOther}
	}
	return v, nil
}

// eventOf finds an event by its name; it gives nil where there is none.
func eventOf(name string) func(s *Scope) *eventView {
	if name == "event" {
		return func(s *Scope) *eventView {
			if s.Event == nil {
				return nil
			}
			return s.eventView()
		}
	}
	return func(s *Scope) *eventView {
		v, _ := s.namedView(name)
		return v
	}
}

// ownField reads a field of the event itself.
func ownField(view func(s *Scope) *eventView, name string) func(s *Scope) (plain, bool) {
	var get func(v *eventView) string
	switch name {
	case "type":
		get = func(v *eventView) string { return v.ev.Type }
	case "device":
		get = func(v *eventView) string { return v.ev.Device }
	case "interface":
		get = func(v *eventView) string { return v.ev.Interface }
	case "source":
		get = func(v *eventView) string { return v.ev.Source }
	case "peer":
		get = func(v *eventView) string { return v.ev.Peer }
	default:
		return nil
	}
	return func(s *Scope) (plain, bool) {
		v := view(s)
		if v == nil {
			return plain{}, false
		}
		return plain{kind: isText, text: get(v)}, true
	}
}

// recordField reads an attribute of the inventory.
func recordField(owner, name string) func(s *Scope) (plain, bool) {
	switch owner {
	case "device":
		return func(s *Scope) (plain, bool) {
			s.lookUp()
			return plainOf(s.Device[name]), true
		}
	case "interface":
		return func(s *Scope) (plain, bool) {
			s.lookUpPort()
			return plainOf(s.Interface[name]), true
		}
	case "site":
		return func(s *Scope) (plain, bool) {
			s.lookUp()
			return plainOf(s.Site[name]), true
		}
	}
	return nil
}

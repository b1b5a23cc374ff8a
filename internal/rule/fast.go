package rule

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Most conditions compare fields of the event and attributes of the inventory
// with literals, and are asked of every event. Such ones are read here into
// functions that need no interpreter and make no garbage. They give the answer
// that CEL gives, or none: where a value is of another type than it should be,
// a field is nested, or a function is one that is not known here, the answer is
// open, and CEL is asked about the whole condition. So there is one meaning, and
// a condition of which one part is false is false whatever CEL would say about
// the others, as in CEL itself.

// truth is an answer.
type truth uint8

const (
	no truth = iota
	yes
	gone // an attribute that it needs is absent
	open // only CEL can say
)

// test asks a scope. The error says what is absent.
type test func(s *Scope) (truth, *absentError)

// read gives a value; where it is isNothing the error says what is absent, and
// with isOther only CEL can say what it is.
type read func(s *Scope) (plain, *absentError)

// reader makes tests of a checked expression.
type reader struct {
	env *exprEnv
	// counted says that an evaluation may be stopped for what it costs, so that
	// what stands before a test must not be passed over.
	counted bool
}

// conjunct is one of the conditions that must all be true.
type conjunct struct {
	expr ast.Expr
	test test // nil: only CEL can say
}

// conjuncts reads those of a condition.
func (r *reader) conjuncts(e ast.Expr) (out []conjunct) {
	conjuncts(e, func(x ast.Expr) { out = append(out, conjunct{x, r.test(x)}) })
	return out
}

// test reads a condition; nil where nothing of it is known here.
func (r *reader) test(e ast.Expr) test {
	switch e.Kind() {
	case ast.CallKind:
		return r.call(e.AsCall())
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return r.has(e.AsSelect())
		}
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return func(*Scope) (truth, *absentError) { return truthOf(bool(b)), nil }
		}
		return nil
	}
	if get := r.read(e); get != nil {
		return func(s *Scope) (truth, *absentError) {
			switch v, absent := get(s); {
			case absent != nil:
				return gone, absent
			case v.kind != isBool:
				return open, nil
			default:
				return truth(v.whole), nil
			}
		}
	}
	return nil
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (r *reader) call(call ast.CallExpr) test {
	args := call.Args()
	switch name := call.FunctionName(); {
	case call.IsMemberFunction() && len(args) == 1:
		return r.text(name, call.Target(), args[0])
	case name == "matches" && len(args) == 2:
		return r.text(name, args[0], args[1])
	case name == "!_" && len(args) == 1:
		t := r.test(args[0])
		if t == nil {
			return nil
		}
		return func(s *Scope) (truth, *absentError) {
			v, absent := t(s)
			if v <= yes {
				v ^= 1
			}
			return v, absent
		}
	case name == "_&&_" || name == "_||_":
		return r.several(args, truthOf(name == "_||_"))
	case name == "@in" && len(args) == 2:
		return r.in(args[0], args[1])
	case len(args) == 2:
		return r.compare(name, args[0], args[1])
	}
	return nil
}

// several joins conditions, of which one that is decisive decides. Where none
// is, the first that has no answer says why.
func (r *reader) several(args []ast.Expr, decisive truth) test {
	all := make([]test, 0, len(args))
	known := false
	for _, a := range args {
		t := r.test(a)
		known = known || t != nil
		if t == nil {
			t = func(*Scope) (truth, *absentError) { return open, nil }
		}
		all = append(all, t)
	}
	if !known {
		return nil
	}
	return allOf(all, decisive, r.counted)
}

// allOf asks one after the other.
func allOf(all []test, decisive truth, counted bool) test {
	return func(s *Scope) (truth, *absentError) {
		out := decisive ^ 1
		var first *absentError
		for _, t := range all {
			switch v, absent := t(s); v {
			case decisive:
				return decisive, nil
			case gone:
				if out != open && first == nil {
					out, first = gone, absent
				}
			case open:
				if counted {
					return open, nil
				}
				out, first = open, nil
			}
		}
		return out, first
	}
}

// compare is a comparison of two values.
func (r *reader) compare(name string, left, right ast.Expr) test {
	var fits func(order int) bool
	equality, other := false, no
	switch name {
	case "_==_":
		equality, fits = true, func(o int) bool { return o == 0 }
	case "_!=_":
		equality, other, fits = true, yes, func(o int) bool { return o != 0 }
	case "_<_":
		fits = func(o int) bool { return o < 0 }
	case "_<=_":
		fits = func(o int) bool { return o <= 0 }
	case "_>_":
		fits = func(o int) bool { return o > 0 }
	case "_>=_":
		fits = func(o int) bool { return o >= 0 }
	default:
		return nil
	}
	a, b := r.read(left), r.read(right)
	if a == nil || b == nil {
		return nil
	}
	if text, ok := literalString(right); ok && equality {
		return r.equals(left, a, text, other)
	}
	return func(s *Scope) (truth, *absentError) {
		x, absent := a(s)
		if absent != nil {
			return gone, absent
		}
		if x.kind == isOther {
			return open, nil
		}
		y, absent := b(s)
		switch {
		case absent != nil:
			return gone, absent
		case y.kind == isOther, x.kind == isFloat && math.IsNaN(x.float), y.kind == isFloat && math.IsNaN(y.float):
			return open, nil
		case x.number() && y.number():
			return truthOf(fits(compareNumbers(&x, &y))), nil
		case x.kind == isText && y.kind == isText:
			return truthOf(fits(order(x.text, y.text))), nil
		case !equality:
			return open, nil
		case x.kind == isBool && y.kind == isBool:
			return truthOf(fits(order(x.whole, y.whole))), nil
		}
		return other, nil // a text equals no number
	}
}

// equals compares what get reads of an expression with a text. other is the
// answer where they differ.
func (r *reader) equals(e ast.Expr, get read, text string, other truth) test {
	slow := func(s *Scope) (truth, *absentError) {
		v, absent := get(s)
		switch {
		case absent != nil:
			return gone, absent
		case v.kind == isOther:
			return open, nil
		case v.kind == isText && v.text == text:
			return other ^ 1, nil
		}
		return other, nil
	}
	if e.Kind() != ast.SelectKind {
		return slow
	}
	name, view := e.AsSelect().FieldName(), r.dataOf(e.AsSelect().Operand())
	if view == nil {
		return slow
	}
	// Most conditions are of this kind: the text is compared as it is written.
	return func(s *Scope) (truth, *absentError) {
		if v := view(s); v != nil && v.isFlatData() {
			if m := v.member(name); m != nil && m.Plain {
				if string(v.ev.Data[m.From+1:m.To-1]) == text {
					return other ^ 1, nil
				}
				return other, nil
			}
		}
		return slow(s)
	}
}

// in asks whether a value is one of literals.
func (r *reader) in(left, right ast.Expr) test {
	get := r.read(left)
	if get == nil || right.Kind() != ast.ListKind || len(right.AsList().OptionalIndices()) > 0 {
		return nil
	}
	var texts []string
	for _, x := range right.AsList().Elements() {
		text, ok := literalString(x)
		if !ok {
			return nil
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return nil
	}
	find := func(text string) bool { return slices.Contains(texts, text) }
	if len(texts) > 8 {
		set := map[string]bool{}
		for _, t := range texts {
			set[t] = true
		}
		find = func(text string) bool { return set[text] }
	}
	return func(s *Scope) (truth, *absentError) {
		v, absent := get(s)
		switch {
		case absent != nil:
			return gone, absent
		case v.kind == isOther:
			return open, nil
		}
		return truthOf(v.kind == isText && find(v.text)), nil
	}
}

// text is one of the functions that ask something about a text.
func (r *reader) text(name string, target, arg ast.Expr) test {
	literal, ok := literalString(arg)
	get := r.read(target)
	if !ok || get == nil {
		return nil
	}
	var ask func(string) bool
	switch name {
	case "startsWith":
		ask = func(s string) bool { return strings.HasPrefix(s, literal) }
	case "endsWith":
		ask = func(s string) bool { return strings.HasSuffix(s, literal) }
	case "contains":
		ask = func(s string) bool { return strings.Contains(s, literal) }
	case "matches":
		re, err := regexp.Compile(literal)
		if err != nil {
			return nil
		}
		ask = re.MatchString
	default:
		return nil
	}
	return func(s *Scope) (truth, *absentError) {
		v, absent := get(s)
		switch {
		case absent != nil:
			return gone, absent
		case v.kind != isText:
			return open, nil
		}
		return truthOf(ask(v.text)), nil
	}
}

// has is has(event.data.reason).
func (r *reader) has(sel ast.SelectExpr) test {
	f := r.field(sel.Operand(), sel.FieldName())
	if f == nil || f.open {
		return nil
	}
	return func(s *Scope) (truth, *absentError) {
		switch v, here := f.get(s); {
		case !here:
			return open, nil
		case f.own:
			return truthOf(v.text != ""), nil
		default:
			return truthOf(v.kind != isNothing), nil
		}
	}
}

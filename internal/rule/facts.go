package rule

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
)

// facts are what the conjuncts of conditions say about single attributes. They
// are a part of the condition: where the condition is true all of them hold.
type facts struct {
	of    map[attribute]*fact
	order []attribute
	never string // why all of them together cannot hold; "" where they can
}

// fact is what is known about one attribute.
type fact struct {
	values   []string // as appendKey writes them; nil: any
	not      []string
	low      float64 // the number is at least this, or above it
	high     float64
	lowOpen  bool
	highOpen bool
}

// factsOf reads conditions that must all be true. as is another name for event.
func factsOf(as string, all ...*Expr) *facts {
	f := &facts{of: map[attribute]*fact{}}
	for _, e := range all {
		if e == nil || e.c == nil {
			continue
		}
		conjuncts(e.c.ast.NativeRep().Expr(), func(x ast.Expr) { f.add(x, as) })
	}
	return f
}

// merge adds what another says about the attributes that take names.
func (f *facts) merge(other *facts, take func(attribute) bool) {
	for _, a := range other.order {
		if !take(a) {
			continue
		}
		o := other.of[a]
		if o.values != nil {
			f.oneOf(a, o.values)
		}
		for _, v := range o.not {
			f.isNot(a, v)
		}
		f.above(a, o.low, o.lowOpen)
		f.below(a, o.high, o.highOpen)
	}
}

func (f *facts) get(a attribute) *fact {
	x := f.of[a]
	if x == nil {
		x = &fact{low: math.Inf(-1), high: math.Inf(1)}
		f.of[a] = x
		f.order = append(f.order, a)
	}
	return x
}

func (f *facts) fail(format string, args ...any) {
	if f.never == "" {
		f.never = fmt.Sprintf(format, args...)
	}
}

// add reads one conjunct. What it does not know says nothing.
func (f *facts) add(x ast.Expr, as string) {
	if key, ok := literalKey(x); ok {
		if key == boolKey(false) {
			f.fail("it is false as it is written")
		}
		return
	}
	if a, ok := attributeOf(x, as); ok { // device.redundant
		f.oneOf(a, []string{boolKey(true)})
		return
	}
	if x.Kind() != ast.CallKind || x.AsCall().IsMemberFunction() {
		return
	}
	call := x.AsCall()
	args := call.Args()
	if call.FunctionName() == "!_" && len(args) == 1 {
		if a, ok := attributeOf(args[0], as); ok {
			f.oneOf(a, []string{boolKey(false)})
		}
		return
	}
	if c, ok := equality(x, as); ok {
		f.oneOf(c.attr, c.values)
		return
	}
	if len(args) != 2 {
		return
	}
	f.compare(call.FunctionName(), args, as)
}

// compare reads an attribute beside a literal, whichever is first.
func (f *facts) compare(fn string, args []ast.Expr, as string) {
	turned := map[string]string{"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_!=_": "_!=_"}
	if turned[fn] == "" {
		return
	}
	for i, op := range []string{fn, turned[fn]} {
		a, ok := attributeOf(args[i], as)
		if !ok {
			continue
		}
		key, ok := literalKey(args[1-i])
		if !ok {
			continue
		}
		if op == "_!=_" {
			f.isNot(a, key)
			return
		}
		n, ok := numberOf(key)
		if !ok {
			return
		}
		if strings.HasPrefix(op, "_>") {
			f.above(a, n, op == "_>_")
		} else {
			f.below(a, n, op == "_<_")
		}
		return
	}
}

func (f *facts) oneOf(a attribute, values []string) {
	x := f.get(a)
	if x.values == nil {
		x.values = slices.Clone(values)
	} else {
		both := slices.DeleteFunc(slices.Clone(x.values), func(v string) bool { return !contains(values, v) })
		if len(both) == 0 {
			f.fail("%s cannot be %s and %s", a, shownKeys(x.values), shownKeys(values))
		}
		x.values = both
	}
	f.check(a)
}

func (f *facts) isNot(a attribute, value string) {
	x := f.get(a)
	x.not = append(x.not, value)
	f.check(a)
}

func (f *facts) above(a attribute, n float64, open bool) {
	if math.IsInf(n, -1) {
		return
	}
	x := f.get(a)
	if n > x.low || n == x.low && open {
		x.low, x.lowOpen = n, open
	}
	f.check(a)
}

func (f *facts) below(a attribute, n float64, open bool) {
	if math.IsInf(n, 1) {
		return
	}
	x := f.get(a)
	if n < x.high || n == x.high && open {
		x.high, x.highOpen = n, open
	}
	f.check(a)
}

// check looks whether any value is left.
func (f *facts) check(a attribute) {
	x := f.of[a]
	if x.low > x.high || x.low == x.high && (x.lowOpen || x.highOpen) {
		f.fail("%s cannot be %s and %s", a, limitText(">", x.low, x.lowOpen), limitText("<", x.high, x.highOpen))
		return
	}
	if x.values == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(x.values), func(v string) bool { return contains(x.not, v) || !x.within(v) })
	if len(left) > 0 {
		return
	}
	switch {
	case len(x.values) > 0 && contains(x.not, x.values[0]):
		f.fail("%s cannot be %s and something else", a, shownKeys(x.values))
	case !math.IsInf(x.low, 0):
		f.fail("%s cannot be %s and %s", a, shownKeys(x.values), limitText(">", x.low, x.lowOpen))
	default:
		f.fail("%s cannot be %s and %s", a, shownKeys(x.values), limitText("<", x.high, x.highOpen))
	}
}

func (x *fact) within(key string) bool {
	n, ok := numberOf(key)
	if !ok {
		return math.IsInf(x.low, -1) && math.IsInf(x.high, 1)
	}
	return (n > x.low || n == x.low && !x.lowOpen) && (n < x.high || n == x.high && !x.highOpen)
}

// implies says whether all that other says follows from f.
func (x *fact) implies(other *fact) bool {
	if x == nil {
		return false
	}
	if other.values != nil {
		return x.values != nil && !slices.ContainsFunc(x.values, func(v string) bool { return !contains(other.values, v) })
	}
	for _, v := range other.not {
		if !contains(x.not, v) && (x.values == nil || contains(x.values, v)) {
			return false
		}
	}
	low := other.low < x.low || other.low == x.low && (!other.lowOpen || x.lowOpen)
	high := other.high > x.high || other.high == x.high && (!other.highOpen || x.highOpen)
	if x.values != nil {
		return !slices.ContainsFunc(x.values, func(v string) bool { return !other.within(v) })
	}
	return low && high
}

func (a attribute) String() string { return a.owner + "." + a.name }

func boolKey(b bool) string {
	key, _ := appendKey(nil, b)
	return string(key)
}

func numberOf(key string) (float64, bool) {
	if len(key) != 9 || key[0] != 'n' {
		return 0, false
	}
	return math.Float64frombits(binary.BigEndian.Uint64([]byte(key[1:]))), true
}

// shownKey writes a literal as a person does.
func shownKey(key string) string {
	if n, ok := numberOf(key); ok {
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	switch {
	case key == boolKey(true):
		return "true"
	case key == boolKey(false):
		return "false"
	}
	return strconv.Quote(textOfKey(key))
}

// textOfKey is the text of a literal that is one, "" otherwise.
func textOfKey(key string) string {
	if len(key) == 0 || key[0] != 's' {
		return ""
	}
	_, n := binary.Uvarint([]byte(key[1:]))
	return key[1+n:]
}

func shownKeys(keys []string) string {
	var out []string
	for _, k := range keys {
		out = append(out, shownKey(k))
	}
	if len(out) == 1 {
		return out[0]
	}
	return "one of " + strings.Join(out, ", ")
}

func limitText(sign string, n float64, open bool) string {
	if !open {
		sign += "="
	}
	return sign + " " + strconv.FormatFloat(n, 'g', -1, 64)
}

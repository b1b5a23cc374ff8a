package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	_ "time/tzdata" // zones are the same on every machine

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"

	"signalbox/event"
)

// maxText bounds the text that a function makes, in bytes: replace in replace
// in replace must not fill the memory.
const maxText = 1 << 20

const (
	scopeVariable  = "@scope"  // no user can write such a name
	secretFunction = "@secret" // what the macro secret("name") becomes
)

var errTooLong = fmt.Errorf("the text would be longer than %d bytes", maxText)

// functions are those of the field, and the ones on texts that CEL's own
// strings library has, under its names. They are written here because that
// library has no bound on what replace and join make.
func functions() []cel.EnvOption {
	text, integer, texts := cel.StringType, cel.IntType, cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Function("cidr_contains", cel.Overload("cidr_contains_string_string", []*cel.Type{text, text}, cel.BoolType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return cidrContains(a, b) }))),
		cel.Function("interface_name", cel.Overload("interface_name_string", []*cel.Type{text}, text,
			cel.UnaryBinding(onText(event.CanonicalInterface)))),
		cel.Function("lowerAscii", cel.MemberOverload("string_lower_ascii", []*cel.Type{text}, text, cel.UnaryBinding(onText(strings.ToLower)))),
		cel.Function("upperAscii", cel.MemberOverload("string_upper_ascii", []*cel.Type{text}, text, cel.UnaryBinding(onText(strings.ToUpper)))),
		cel.Function("lower", cel.MemberOverload("string_lower", []*cel.Type{text}, text, cel.UnaryBinding(onText(strings.ToLower)))),
		cel.Function("upper", cel.MemberOverload("string_upper", []*cel.Type{text}, text, cel.UnaryBinding(onText(strings.ToUpper)))),
		cel.Function("trim", cel.MemberOverload("string_trim", []*cel.Type{text}, text, cel.UnaryBinding(onText(strings.TrimSpace)))),
		cel.Function("split", cel.MemberOverload("string_split_string", []*cel.Type{text, text}, texts, cel.BinaryBinding(split))),
		cel.Function("join",
			cel.MemberOverload("list_join", []*cel.Type{texts}, text, cel.UnaryBinding(func(l ref.Val) ref.Val { return join(l, types.String("")) })),
			cel.MemberOverload("list_join_string", []*cel.Type{texts, text}, text, cel.BinaryBinding(join))),
		cel.Function("replace", cel.MemberOverload("string_replace_string_string", []*cel.Type{text, text, text}, text,
			cel.FunctionBinding(replace))),
		cel.Function("substring",
			cel.MemberOverload("string_substring_int", []*cel.Type{text, integer}, text, cel.FunctionBinding(substring)),
			cel.MemberOverload("string_substring_int_int", []*cel.Type{text, integer, integer}, text, cel.FunctionBinding(substring))),
		cel.Function("indexOf", cel.MemberOverload("string_index_of_string", []*cel.Type{text, text}, integer,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return runeIndex(a, strings.Index(str(a), str(b))) }))),
		cel.Function("lastIndexOf", cel.MemberOverload("string_last_index_of_string", []*cel.Type{text, text}, integer,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return runeIndex(a, strings.LastIndex(str(a), str(b))) }))),
		cel.Function(secretFunction, cel.Overload("secret_string", []*cel.Type{cel.DynType, text}, text,
			cel.BinaryBinding(func(scope, name ref.Val) ref.Val { return resolveSecret(scope, name) }))),
	}
}

func str(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func onText(fn func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		s, ok := v.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(fn(string(s)))
	}
}

// cidrContains says whether an address is in a prefix. What is no prefix or no
// address is an error, since "no" would hide it.
func cidrContains(prefix, addr ref.Val) ref.Val {
	p, err := netip.ParsePrefix(str(prefix))
	if err != nil {
		return types.NewErr("cidr_contains: %q is no prefix as in 192.0.2.0/24", short(str(prefix)))
	}
	a, err := netip.ParseAddr(str(addr))
	if err != nil {
		return types.NewErr("cidr_contains: %q is no IP address", short(str(addr)))
	}
	return types.Bool(p.Contains(a.Unmap().WithZone("")))
}

func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func split(s, sep ref.Val) ref.Val {
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(str(s), str(sep)))
}

func join(list, sep ref.Val) ref.Val {
	l, ok := list.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(list)
	}
	var b strings.Builder
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join: the list holds something that is no text")
		}
		if b.Len()+len(str(sep))+len(s) > maxText {
			return types.WrapErr(errTooLong)
		}
		if !first {
			b.WriteString(str(sep))
		}
		first = false
		b.WriteString(string(s))
	}
	return types.String(b.String())
}

func replace(args ...ref.Val) ref.Val {
	s, from, to := str(args[0]), str(args[1]), str(args[2])
	if len(to) > len(from) {
		if n := strings.Count(s, from); len(s)+n*(len(to)-len(from)) > maxText {
			return types.WrapErr(errTooLong)
		}
	}
	return types.String(strings.ReplaceAll(s, from, to))
}

// substring counts characters, as CEL does.
func substring(args ...ref.Val) ref.Val {
	runes := []rune(str(args[0]))
	from, ok := args[1].(types.Int)
	to := types.Int(len(runes))
	if len(args) == 3 {
		to, ok = args[2].(types.Int)
	}
	if !ok || from < 0 || to < from || to > types.Int(len(runes)) {
		return types.NewErr("substring: %d to %d is outside a text of %d characters", from, to, len(runes))
	}
	return types.String(runes[from:to])
}

func runeIndex(s ref.Val, i int) ref.Val {
	if i < 0 {
		return types.Int(-1)
	}
	return types.Int(len([]rune(str(s)[:i])))
}

// scopeVal carries the Scope to functions that need it.
type scopeVal struct{ s *Scope }

func (scopeVal) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a scope is no value")
}
func (scopeVal) ConvertToType(ref.Type) ref.Val { return types.NewErr("a scope is no value") }
func (v scopeVal) Equal(o ref.Val) ref.Val      { return types.Bool(v == o) }
func (scopeVal) Type() ref.Type                 { return types.DynType }
func (v scopeVal) Value() any                   { return v.s }

func resolveSecret(scope, name ref.Val) ref.Val {
	v, ok := scope.(scopeVal)
	if !ok || v.s.Secret == nil {
		return types.NewErr("secret(%q) cannot be read here", str(name))
	}
	value, err := v.s.Secret(str(name))
	if err != nil {
		return types.NewErr("secret(%q): %v", str(name), err)
	}
	return types.String(value)
}

// secretMacro makes secret("name") a call that can reach the scope. known are
// the secrets that there are; nil means that nobody knows. Outside action
// arguments it is an error.
func secretMacro(allowed bool, known []string) cel.Macro {
	return cel.GlobalMacro("secret", 1, func(h parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		if !allowed {
			return nil, h.NewError(args[0].ID(), `secret() can be used in action arguments only`)
		}
		name, ok := literalString(args[0])
		if !ok {
			return nil, h.NewError(args[0].ID(), `secret() needs the name as a literal, as in secret("token")`)
		}
		if known != nil && !contains(known, name) {
			return nil, h.NewError(args[0].ID(), fmt.Sprintf("there is no secret %q%s", name, didYouMean(name, known)))
		}
		return h.NewCall(secretFunction, h.NewIdent(scopeVariable), h.NewLiteral(types.String(name))), nil
	})
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

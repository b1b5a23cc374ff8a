package rule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Expr is a compiled CEL expression with its place in the file. It is safe for
// many goroutines at once, each with its own Scope.
type Expr struct {
	Text string
	Pos  Pos
	c    *compiled
}

// Bool evaluates a condition. An attribute that is absent makes it false, with
// an error that Absent knows: note it and go on. Any other error means that
// the condition has no answer; it is false as well.
func (e *Expr) Bool(s *Scope) (bool, error) {
	if e.c.test != nil {
		switch t, absent := e.c.test(s); t {
		case no, yes:
			return t == yes, nil
		case gone:
			return false, absent
		}
	}
	return e.interpret(s)
}

// interpret is Bool by CEL's interpreter.
func (e *Expr) interpret(s *Scope) (bool, error) {
	v, err := e.run(s)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("expected true or false, found %s", readableTypes(v.Type().TypeName()))
	}
	return bool(b), nil
}

// Eval evaluates to a plain Go value: nil, string, int64, float64, bool,
// time.Time, time.Duration, []any or map[string]any. What it gives must not be
// written to.
func (e *Expr) Eval(s *Scope) (any, error) {
	v, err := e.run(s)
	if err != nil {
		return nil, err
	}
	return plainValue(v, 0)
}

func (e *Expr) run(s *Scope) (ref.Val, error) {
	v, _, err := e.c.program.Eval(activation{s})
	if err != nil {
		var absent *absentError
		if errors.As(err, &absent) {
			return nil, absent // without the wrapping, which only adds words
		}
		return nil, err
	}
	return v, nil
}

// reads says whether the expression names any of the given variables.
func (e *Expr) reads(names []string) bool {
	if len(names) == 0 || e.c == nil {
		return false
	}
	return namesAny(e.c.ast.NativeRep().Expr(), names)
}

func namesAny(e ast.Expr, names []string) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		found = found || x.Kind() == ast.IdentKind && contains(names, x.AsIdent())
	}))
	return found
}

// mentions says whether a text that may not compile uses a name as CEL would.
func mentions(text, name string) bool {
	for _, word := range identifiers.FindAllStringSubmatchIndex(text, -1) {
		if word[2] >= 0 && text[word[2]:word[3]] == name && (word[2] == 0 || text[word[2]-1] != '.') {
			return true
		}
	}
	return false
}

// identifiers finds names, and passes over texts in quotes.
var identifiers = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|([A-Za-z_][A-Za-z0-9_]*)`)

// Absent says whether err means that an attribute or field was not there, as
// opposed to something being wrong.
func Absent(err error) bool {
	if err == nil {
		return false
	}
	var absent *absentError
	if errors.As(err, &absent) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "no such key") || strings.Contains(text, "optional.none() dereference")
}

// maxPlainDepth bounds how deep a value may be nested that leaves CEL.
const maxPlainDepth = maxDataDepth + 8

func plainValue(v ref.Val, depth int) (any, error) {
	if depth > maxPlainDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxPlainDepth)
	}
	switch v := v.(type) {
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > 1<<63-1 {
			return float64(v), nil
		}
		return int64(v), nil
	case types.Double:
		return float64(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Bytes:
		return string(v), nil
	case types.Null:
		return nil, nil
	case types.Timestamp:
		return v.Time, nil
	case types.Duration:
		return v.Duration, nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return plainValue(v.GetValue(), depth+1)
	case objectVal:
		if view, ok := v.value.(*eventView); ok {
			return view.plain()
		}
	case traits.Mapper:
		return plainMap(v, depth)
	case traits.Lister:
		return plainList(v, depth)
	}
	return nil, fmt.Errorf("a value of type %s cannot be used here", v.Type().TypeName())
}

func plainMap(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		key, err := plainValue(k, depth+1)
		if err != nil {
			return nil, err
		}
		val, err := plainValue(m.Get(k), depth+1)
		if err != nil {
			return nil, err
		}
		out[text(key)] = val
	}
	return out, nil
}

func plainList(l traits.Lister, depth int) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		val, err := plainValue(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, val)
	}
	return out, nil
}

// text is a plain value as it stands in a text: RFC 3339 times, Go durations,
// numbers without needless zeros.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.String()
	}
	return fmt.Sprint(v)
}

package rule

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Value is a compiled argument: literals with ${CEL} in them. A text that is
// one expression from end to end gives what the expression gives; an
// expression within text becomes text. What an event holds is never looked at
// for expressions: there is only one pass, at load. Safe for many goroutines.
type Value struct {
	Pos  Pos
	kind valueForm
	lit  any      // literal: nil, string, int64, float64, bool
	expr *Expr    // one expression
	list []*Value // elements, parts of a text, or the values of keys
	keys []string
	want Arg // what it must become; Type "" for anything
}

type valueForm uint8

const (
	literal valueForm = iota
	expression
	mixed // text and expressions
	sequence
	mapping
)

// Eval evaluates to a plain Go value, as Expr.Eval does; an argument has the
// type that its action asked for: string, int64, float64, bool,
// time.Duration, []any, map[string]any.
func (v *Value) Eval(s *Scope) (any, error) {
	out, err := v.eval(s)
	if err != nil {
		return nil, err
	}
	if v.want.Type == "" {
		return out, nil
	}
	out, err = convert(out, v.want)
	if err != nil {
		return nil, fmt.Errorf("argument %s: %w", v.want.Name, err)
	}
	return out, nil
}

// Names lists the keys of an object, in the file's order.
func (v *Value) Names() []string { return slices.Clone(v.keys) }

// Field gives the value of a key of an object, or nil.
func (v *Value) Field(name string) *Value {
	for i, k := range v.keys {
		if k == name {
			return v.list[i]
		}
	}
	return nil
}

// Secret says that the value reads a secret: what it gives is not for logs.
func (v *Value) Secret() bool {
	return v.expr != nil && v.expr.c.secret || slices.ContainsFunc(v.list, (*Value).Secret)
}

func (v *Value) eval(s *Scope) (any, error) {
	switch v.kind {
	case expression:
		out, err := v.expr.Eval(s)
		if err != nil {
			return nil, fmt.Errorf("${%s}: %w", v.expr.Text, err)
		}
		return out, nil
	case mixed:
		var b strings.Builder
		for _, part := range v.list {
			out, err := part.eval(s)
			if err != nil {
				return nil, err
			}
			b.WriteString(text(out))
		}
		return b.String(), nil
	case sequence:
		out := make([]any, len(v.list))
		for i, e := range v.list {
			x, err := e.Eval(s)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case mapping:
		out := make(map[string]any, len(v.keys))
		for i, k := range v.keys {
			x, err := v.list[i].Eval(s)
			if err != nil {
				return nil, err
			}
			if x == nil && v.list[i].kind == expression && v.list[i].want.Type != "" && !v.list[i].want.Required {
				continue // an optional argument that came to nothing is not given
			}
			out[k] = x
		}
		return out, nil
	}
	return v.lit, nil
}

// convert makes a plain value what an argument asks for.
func convert(v any, want Arg) (any, error) {
	if v == nil && !want.Required {
		return nil, nil
	}
	out, ok := convertType(v, want.Type)
	if !ok {
		return nil, fmt.Errorf("expected %s, found %s", article(want.Type), valueKind(v))
	}
	if len(want.Enum) > 0 {
		if s := text(out); !slices.Contains(want.Enum, s) {
			return nil, fmt.Errorf("%q is none of %s", short(s), strings.Join(want.Enum, ", "))
		}
	}
	return out, nil
}

func convertType(v any, kind string) (any, bool) {
	switch kind {
	case "string":
		switch v.(type) {
		case string, int64, float64, bool, time.Time, time.Duration:
			return text(v), true
		}
	case "int":
		switch n := v.(type) {
		case int64:
			return n, true
		case float64:
			if n == math.Trunc(n) && math.Abs(n) < 1<<62 {
				return int64(n), true
			}
		}
	case "number":
		switch n := v.(type) {
		case int64:
			return float64(n), true
		case float64:
			return n, true
		}
	case "bool":
		if b, ok := v.(bool); ok {
			return b, true
		}
	case "duration":
		switch d := v.(type) {
		case time.Duration:
			return d, d >= 0
		case string:
			if d, err := ParseDuration(d); err == nil {
				return d, true
			}
		}
	case "list":
		if l, ok := v.([]any); ok {
			return l, true
		}
	case "map":
		if m, ok := v.(map[string]any); ok {
			return m, true
		}
	default:
		return v, true
	}
	return nil, false
}

func article(kind string) string {
	switch kind {
	case "int":
		return "an int"
	case "duration":
		return `a duration as in "30s"`
	case "any", "":
		return "anything"
	}
	return "a " + kind
}

// part is a piece of a text: literal, or an expression at a byte offset.
type part struct {
	text   string
	expr   bool
	offset int // of the expression's first byte in the text
}

// splitTemplate cuts a text at its ${…}. Braces and quotes within an
// expression are CEL's; $${ is a ${ that stays.
func splitTemplate(s string) (parts []part, err error) {
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, part{text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			lit.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := expressionEnd(s, i+2)
			if end < 0 {
				return nil, fmt.Errorf("${ without its } (write $${ for the text itself)")
			}
			flush()
			parts = append(parts, part{text: s[i+2 : end], expr: true, offset: i + 2})
			i = end + 1
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	flush()
	return parts, nil
}

// expressionEnd finds the } that ends the expression that begins at i, or -1.
func expressionEnd(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch c := s[i]; c {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		case '"', '\'':
			raw := i > 0 && (s[i-1] == 'r' || s[i-1] == 'R')
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && !raw {
					i++
				}
			}
		}
		i++
	}
	return -1
}

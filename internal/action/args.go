package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"signalbox/internal/rule"
)

// Args reads evaluated arguments by name and type, and gathers every problem,
// so that one failed attempt names all that is wrong. An absent argument and
// one that is null are the same. It is for one goroutine.
type Args struct {
	values map[string]any
	errs   []error
}

// ReadArgs starts reading the arguments of one call.
func ReadArgs(values map[string]any) *Args { return &Args{values: values} }

// Err tells all that was wrong, or nil.
func (a *Args) Err() error { return errors.Join(a.errs...) }

// Has says whether the argument is given and not null.
func (a *Args) Has(name string) bool { return a.values[name] != nil }

// Fail adds a problem with an argument that only the action can know.
func (a *Args) Fail(name, format string, v ...any) {
	a.errs = append(a.errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, v...)))
}

// Any gives an argument as it is.
func (a *Args) Any(name string) any { return a.values[name] }

// String reads text; numbers, booleans and times are written out.
func (a *Args) String(name, otherwise string) string {
	v := a.values[name]
	if v == nil {
		return otherwise
	}
	s, ok := Text(v)
	if !ok {
		a.Fail(name, "expected text, got %s", kindOf(v))
	}
	return s
}

// Bool reads a boolean.
func (a *Args) Bool(name string, otherwise bool) bool {
	v := a.values[name]
	if v == nil {
		return otherwise
	}
	b, ok := v.(bool)
	if !ok {
		a.Fail(name, "expected true or false, got %s", kindOf(v))
	}
	return b
}

// Int reads a whole number between low and high.
func (a *Args) Int(name string, otherwise, low, high int) int {
	v := a.values[name]
	if v == nil {
		return otherwise
	}
	n, ok := Int(v)
	if !ok {
		a.Fail(name, "expected a whole number, got %s", kindOf(v))
		return otherwise
	}
	if n < int64(low) || n > int64(high) {
		a.Fail(name, "%d is not between %d and %d", n, low, high)
		return otherwise
	}
	return int(n)
}

// Duration reads a positive length of time: a duration, text such as "30s", or
// a number of seconds.
func (a *Args) Duration(name string, otherwise time.Duration) time.Duration {
	v := a.values[name]
	if v == nil {
		return otherwise
	}
	d, ok := duration(v)
	if !ok || d <= 0 {
		a.Fail(name, `expected a positive duration such as "30s", got %s`, kindOf(v))
		return otherwise
	}
	return d
}

func duration(v any) (time.Duration, bool) {
	switch d := v.(type) {
	case time.Duration:
		return d, true
	case string:
		parsed, err := rule.ParseDuration(d)
		return parsed, err == nil
	case float64:
		return time.Duration(d * float64(time.Second)), d > 0 && d < 1e9
	}
	n, ok := Int(v)
	return time.Duration(n) * time.Second, ok && n > 0 && n < 1e9
}

// Map reads an object.
func (a *Args) Map(name string) map[string]any {
	v := a.values[name]
	if v == nil {
		return nil
	}
	switch m := v.(type) {
	case map[string]any:
		return m
	case map[string]string:
		out := make(map[string]any, len(m))
		for k, s := range m {
			out[k] = s
		}
		return out
	}
	a.Fail(name, "expected a map, got %s", kindOf(v))
	return nil
}

// List reads a list; a single value is a list of one.
func (a *Args) List(name string) []any {
	v := a.values[name]
	switch l := v.(type) {
	case nil:
		return nil
	case []any:
		return l
	case []string:
		out := make([]any, len(l))
		for i, s := range l {
			out[i] = s
		}
		return out
	case map[string]any:
		a.Fail(name, "expected a list, got a map")
		return nil
	}
	return []any{v}
}

// Ints reads a list of whole numbers between low and high.
func (a *Args) Ints(name string, otherwise []int, low, high int) []int {
	if !a.Has(name) {
		return otherwise
	}
	out := []int{}
	for _, v := range a.List(name) {
		n, ok := Int(v)
		if !ok || n < int64(low) || n > int64(high) {
			a.Fail(name, "expected numbers between %d and %d, got %s", low, high, kindOf(v))
			return otherwise
		}
		out = append(out, int(n))
	}
	return out
}

// OneOf reads text that must be one of the given words.
func (a *Args) OneOf(name, otherwise string, words ...string) string {
	s := a.String(name, otherwise)
	if !slices.Contains(words, s) {
		a.Fail(name, "%q is none of %q", s, words)
	}
	return s
}

// Text writes a scalar as text. ok is false for maps, lists and null.
func Text(v any) (s string, ok bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case []byte:
		return string(t), true
	case bool:
		return strconv.FormatBool(t), true
	case float64:
		if t == math.Trunc(t) && math.Abs(t) < 1<<53 {
			return strconv.FormatInt(int64(t), 10), true
		}
		return strconv.FormatFloat(t, 'g', -1, 64), true
	case uint64:
		return strconv.FormatUint(t, 10), true
	case time.Time:
		return t.Format(time.RFC3339Nano), true
	case time.Duration:
		return t.String(), true
	case json.Number:
		return t.String(), true
	}
	if n, ok := Int(v); ok {
		return strconv.FormatInt(n, 10), true
	}
	return "", false
}

// Int reads a whole number of any of the types that expressions and JSON give.
func Int(v any) (n int64, ok bool) {
	switch t := v.(type) {
	case int:
		return int64(t), true
	case int32:
		return int64(t), true
	case int64:
		return t, true
	case uint32:
		return int64(t), true
	case uint64:
		return int64(t), t <= math.MaxInt64
	case float64:
		return int64(t), t == math.Trunc(t) && math.Abs(t) < 1<<53
	case json.Number:
		n, err := t.Int64()
		return n, err == nil
	}
	return 0, false
}

// kindOf names a value's type as users know it, never the value: it may be a
// secret.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "a boolean"
	case []any, []string:
		return "a list"
	case map[string]any, map[string]string:
		return "a map"
	case time.Duration:
		return "a duration"
	case float64:
		return "a number"
	}
	if _, ok := Int(v); ok {
		return "a number"
	}
	return fmt.Sprintf("%T", v)
}

// ErrNotJSON says that bytes are not one JSON value.
var ErrNotJSON = errors.New("not one JSON value")

// DecodeJSON reads one JSON value that came from outside, for outputs. Whole
// numbers stay whole (int64), where encoding/json would make them all floats.
func DecodeJSON(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrNotJSON)
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		f, err := t.Float64()
		if err != nil {
			return t.String() // beyond every number type: better text than wrong
		}
		return f
	case []any:
		for i := range t {
			t[i] = numbers(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = numbers(t[k])
		}
	}
	return v
}

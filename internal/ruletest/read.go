package ruletest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/inventory"
	"signalbox/internal/rule"
)

// File is a file of tests: the rules that they are about, as paths from the
// file's folder (none: those of the configuration), and the tests.
type File struct {
	Rules []Name
	Tests []*Test
}

// ReadFile reads a file that holds tests and no rules (*.test.yaml). Every
// mistake is reported.
func ReadFile(name string, data []byte) (*File, []rule.Diagnostic) {
	r := &reader{file: name}
	root, problem := inventory.Document(rule.File{Name: name, Data: data})
	if problem != nil {
		r.report(rule.Pos{File: problem.File, Line: problem.Line, Col: problem.Col}, problem.Hint, "%s", problem.Message)
		return nil, r.diags
	}
	out := &File{}
	if root == nil {
		return out, nil
	}
	if !r.mapping("file", root) {
		return nil, r.diags
	}
	r.each(root, []string{"rules", "tests"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "rules":
			out.Rules = r.names("rules", v)
		case "tests":
			r.items("tests", v, func(n *yaml.Node) { out.Tests = append(out.Tests, r.test(n, "")) })
		}
	})
	return out, r.diags
}

// Read reads the tests that stand in rule files.
func Read(tests []*rule.Test) ([]*Test, []rule.Diagnostic) {
	var out []*Test
	r := &reader{}
	for _, t := range tests {
		r.file = t.Pos.File
		out = append(out, r.test(t.Node, t.Rule))
	}
	return out, r.diags
}

// reader reads tests and gathers what is wrong with them.
type reader struct {
	file  string
	diags []rule.Diagnostic
}

func (r *reader) at(n *yaml.Node) rule.Pos {
	return rule.Pos{File: r.file, Line: max(n.Line, 1), Col: max(n.Column, 1)}
}

func (r *reader) errorf(n *yaml.Node, hint, format string, args ...any) {
	r.report(r.at(n), hint, format, args...)
}

func (r *reader) report(p rule.Pos, hint, format string, args ...any) {
	r.diags = append(r.diags, rule.Diagnostic{Pos: p, Severity: rule.Error, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

func (r *reader) mapping(what string, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		r.errorf(n, "", "%s: expected a mapping, found %s", what, kindOf(n))
		return false
	}
	return true
}

// each walks the keys of a mapping; those that are not known are errors.
func (r *reader) each(n *yaml.Node, known []string, fn func(key string, k, v *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), deref(n.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			r.errorf(k, "", "expected a plain key, found %s", kindOf(k))
			continue
		}
		if line, dup := seen[k.Value]; dup {
			r.errorf(k, "", "key %q is already at line %d", k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		if !slices.Contains(known, k.Value) {
			r.errorf(k, rule.Likely(k.Value, known), "unknown key %q", k.Value)
			continue
		}
		fn(k.Value, k, v)
	}
}

func (r *reader) items(what string, n *yaml.Node, fn func(*yaml.Node)) {
	switch {
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			fn(deref(item))
		}
	case n.ShortTag() != "!!null":
		r.errorf(n, "begin each with a dash", "%s: expected a list, found %s", what, kindOf(n))
	}
}

func (r *reader) text(what string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.errorf(n, "", "%s: expected a text, found %s", what, kindOf(n))
		return ""
	}
	return n.Value
}

func (r *reader) boolean(what string, n *yaml.Node) (v bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&v) != nil {
		r.errorf(n, "", "%s: expected true or false, found %s", what, kindOf(n))
	}
	return v
}

func (r *reader) integer(what string, n *yaml.Node, low, high int) (v int) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&v) != nil {
		r.errorf(n, "", "%s: expected a whole number, found %s", what, kindOf(n))
		return low
	}
	if v < low || v > high {
		r.errorf(n, "", "%s: %d is not between %d and %d", what, v, low, high)
		return low
	}
	return v
}

// span reads a stretch of time since the start; 0 is one.
func (r *reader) span(what string, n *yaml.Node) time.Duration {
	s := r.text(what, n)
	if s == "" || s == "0" {
		return 0
	}
	d, err := rule.ParseDuration(s)
	if err != nil || d < 0 {
		r.errorf(n, `as in 0s, 1500ms, 30s, 5m or 1h30m, since the start of the test`, "%s: expected a time, found %q", what, s)
		return 0
	}
	return d
}

// names takes one name or a list of them.
func (r *reader) names(what string, n *yaml.Node) []Name {
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		return []Name{{r.at(n), n.Value}}
	}
	var out []Name
	r.items(what, n, func(item *yaml.Node) {
		if s := r.text(what, item); s != "" {
			out = append(out, Name{r.at(item), s})
		}
	})
	return out
}

// value reads anything, with whole numbers as int64.
func (r *reader) value(n *yaml.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		r.errorf(n, "", "%v", err)
	}
	return plain(v)
}

func (r *reader) object(what string, n *yaml.Node) map[string]any {
	if n.ShortTag() == "!!null" || !r.mapping(what, n) {
		return nil
	}
	m, _ := r.value(n).(map[string]any)
	return m
}

// plain gives values the types that expressions and JSON give them.
func plain(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return float64(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k, e := range v {
			v[k] = plain(e)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[fmt.Sprint(k)] = plain(e)
		}
		return out
	}
	return v
}

var testKeys = []string{"name", "description", "rules", "exact", "start", "until", "events", "outputs", "expect", "never", "unmatched"}

func (r *reader) test(n *yaml.Node, in string) *Test {
	t := &Test{Pos: r.at(n), Rule: in, Start: DefaultStart}
	if !r.mapping("test", n) {
		return t
	}
	r.each(n, testKeys, func(key string, k, v *yaml.Node) {
		switch key {
		case "name":
			t.Name = strings.TrimSpace(r.text(key, v))
		case "rules":
			t.Rules = r.names(key, v)
		case "exact":
			t.Exact = r.boolean(key, v)
		case "start":
			t.Start = r.time(key, v)
		case "until":
			d := r.span(key, v)
			t.Until = &d
		case "events":
			r.items(key, v, func(item *yaml.Node) { r.event(item, t) })
		case "outputs":
			t.Outputs = r.outputs(v)
		case "expect":
			r.items(key, v, func(item *yaml.Node) { r.expectation(item, t) })
		case "never":
			t.Never = r.names(key, v)
		case "unmatched":
			t.Unmatched = &Number{r.at(v), r.integer(key, v, 0, maxEvents)}
		}
	})
	if t.Name == "" {
		t.Name = fmt.Sprintf("the test at line %d", t.Pos.Line)
	}
	if len(t.Events) == 0 {
		r.errorf(n, "write events: and below it a list, each with at: and type:", "this test has no events")
	}
	if len(t.Expect) == 0 && len(t.Never) == 0 && t.Unmatched == nil && !t.Exact && len(t.Rules) == 0 && in == "" {
		r.errorf(n, "write expect:, or never: and the rules that must keep still", "this test expects nothing, so it cannot fail")
	}
	return t
}

func (r *reader) time(what string, n *yaml.Node) time.Time {
	s := r.text(what, n)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil && s != "" {
		r.errorf(n, "as in 2026-01-01T00:00:00Z", "%s: expected a time, found %q", what, s)
		return DefaultStart
	}
	return t
}

func (r *reader) outputs(n *yaml.Node) Outputs {
	if !r.mapping("outputs", n) {
		return nil
	}
	out := Outputs{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), deref(n.Content[i+1])
		list := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			list = v.Content
		}
		for _, item := range list {
			fields := r.object("outputs."+k.Value, deref(item))
			o := Output{Fields: fields}
			if failed, _ := fields["failed"].(bool); failed {
				o.Error = "it fails, says the test"
			}
			if s, ok := fields["error"].(string); ok {
				o.Error = s
			}
			out[k.Value] = append(out[k.Value], o)
		}
	}
	return out
}

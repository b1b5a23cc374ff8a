package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// maxError bounds an error text in the journal.
const maxError = 4 << 10

// shorten cuts a text at maxError, at a rune.
func shorten(s string) string {
	if len(s) <= maxError {
		return s
	}
	cut := maxError
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "… (cut)"
}

// result is what register gives: the action's output, and beside it whether
// the step went well, as Ansible has it. An output's own field of one of these
// names wins.
func result(out map[string]any, ok, skipped bool, msg string) map[string]any {
	if out == nil {
		out = make(map[string]any, 4)
	}
	put := func(k string, v any) {
		if _, has := out[k]; !has {
			out[k] = v
		}
	}
	put("ok", ok)
	put("failed", !ok)
	put("skipped", skipped)
	put("error", msg)
	return out
}

// output makes a register's value of a step's journalled output, so that it is
// the same in the first walk and after a crash. Nothing is decoded for a step
// without register.
func (w *Worker) output(s *rule.Step, data []byte, ok bool, msg string) map[string]any {
	if s.Register == "" {
		return nil
	}
	var types []rule.Arg
	if a, found := w.cfg.Actions.Get(s.Action); found {
		types = a.Spec().Output
	}
	return result(decode(data, types), ok, false, msg)
}

// decode reads a journalled output. Whole numbers become int64 and others
// float64, unless types says otherwise.
func decode(data []byte, types []rule.Arg) map[string]any {
	if len(data) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return nil
	}
	for k, v := range m {
		m[k] = numbers(v)
	}
	for _, t := range types {
		n, ok := m[t.Name].(int64)
		switch {
		case ok && t.Type == "number":
			m[t.Name] = float64(n)
		case ok && t.Type == "duration":
			m[t.Name] = time.Duration(n)
		}
	}
	return m
}

// numbers replaces json.Number by what expressions compare with.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	}
	return v
}

// encode makes a step's output ready for the journal: JSON, with the secrets of
// hide taken out, and within bounds. An empty output is nil.
func encode(out map[string]any, limit int, hide *redactor) ([]byte, error) {
	if len(out) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("the output is no JSON: %w", err)
	}
	if hide.any() {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("the output is no JSON: %w", err)
		}
		if b, err = json.Marshal(hide.value(v)); err != nil {
			return nil, fmt.Errorf("the output is no JSON: %w", err)
		}
	}
	if len(b) > limit {
		return nil, fmt.Errorf("the output has %d bytes, more than the %d that are kept", len(b), limit)
	}
	return b, nil
}

// toList makes a loop's value a list of plain values.
func toList(v any) ([]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	default:
		return nil, fmt.Errorf("a list was expected, this is a %T", v)
	}
}

// redactor takes the secrets that one attempt has used out of what is written
// about it. It is filled before the attempt and only read after.
type redactor struct {
	values []string
	forms  *action.Redactor // of values, in all their spellings
}

const redacted = action.Redacted

func (r *redactor) add(v string) {
	if v == "" || slices.Contains(r.values, v) {
		return
	}
	r.values = append(r.values, v)
	r.forms = action.NewRedactor(r.values...)
}

func (r *redactor) any() bool { return r != nil && len(r.values) > 0 }

func (r *redactor) text(s string) string {
	if !r.any() {
		return s
	}
	return r.forms.Text(s)
}

// value redacts a decoded JSON value, keys as well.
func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case json.Number:
		if s := r.text(v.String()); s != v.String() {
			return s
		}
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[r.text(k)] = r.value(e)
		}
		return out
	}
	return v
}

// loggerFor is the logger that an attempt gets. Its attributes are added only
// when something is logged: most attempts log nothing.
func loggerFor(base *slog.Logger, it *item, b *record.StepBegin, hide *redactor) *slog.Logger {
	return slog.New(&attemptHandler{next: base.Handler(), it: it, begin: b, hide: hide})
}

// attemptHandler adds which attempt speaks, and hides its secrets.
type attemptHandler struct {
	next  slog.Handler
	it    *item
	begin *record.StepBegin
	hide  *redactor
}

func (h *attemptHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

func (h *attemptHandler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.hide.text(r.Message), r.PC)
	out.AddAttrs(slog.String("run", h.begin.Run), slog.String("step", h.begin.Step),
		slog.Int("attempt", int(h.begin.Attempt)), slog.String("rule", h.it.start.Rule),
		slog.String("device", h.it.start.Device))
	r.Attrs(func(a slog.Attr) bool { out.AddAttrs(h.attr(a)); return true })
	return h.next.Handle(ctx, out)
}

func (h *attemptHandler) attr(a slog.Attr) slog.Attr {
	if !h.hide.any() {
		return a
	}
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.hide.text(v.String()))
	case slog.KindGroup:
		var in []any
		for _, g := range v.Group() {
			in = append(in, h.attr(g))
		}
		return slog.Group(a.Key, in...)
	case slog.KindAny:
		return slog.String(a.Key, h.hide.text(fmt.Sprint(v.Any())))
	default:
		return a
	}
}

func (h *attemptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = h.attr(a)
	}
	c.next = h.next.WithAttrs(safe)
	return &c
}

func (h *attemptHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.next = h.next.WithGroup(name)
	return &c
}

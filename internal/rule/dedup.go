package rule

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"signalbox/event"
	"signalbox/internal/schema"
)

// Key is what makes two events the same within a window: a hash of the key
// fields' values, 128 bits of SHA-256, so that nobody can craft two different
// things that are taken for one.
type Key [16]byte

// Dedup gives the key of an event by a rule's own dedup, or by the global one
// where r is nil, and for how long it counts. ok is false where there is no
// window: the rule has no dedup, or the global one is off. An error says that
// a field of the key cannot be read: the event is news then. A field that is
// absent is a value of its own.
func (s *Set) Dedup(r *Rule, scope *Scope) (key Key, within time.Duration, ok bool, err error) {
	by, within := s.global.by, s.global.within
	if r != nil {
		if r.Dedup == nil {
			return Key{}, 0, false, nil
		}
		by, within = r.Dedup.By, r.Dedup.Within
	} else if s.global.off {
		return Key{}, 0, false, nil
	}
	var room [256]byte
	buf := room[:0]
	if len(by) == 0 {
		buf, err = s.defaultKey(buf, scope, scope.Event.Type)
	} else {
		buf, err = exprKeys(buf, by, scope)
	}
	if err != nil {
		return Key{}, within, false, err
	}
	sum := sha256.Sum256(buf)
	return Key(sum[:16]), within, true, nil
}

// GlobalKey is the key of scope's event in the global window as if its type
// were typ: the window that an event of another type ends (Clears) is found by
// it. ok is false where there is no global window, or the key cannot be read.
func (s *Set) GlobalKey(scope *Scope, typ string) (key Key, ok bool) {
	if len(s.global.by) == 0 && !s.global.off {
		var room [256]byte
		buf, err := s.defaultKey(room[:0], scope, typ)
		if err != nil {
			return Key{}, false
		}
		sum := sha256.Sum256(buf)
		return Key(sum[:16]), true
	}
	if scope.Event.Type != typ {
		ev := *scope.Event
		ev.Type = typ
		as := *scope
		as.Event, as.Events, as.view, as.events = &ev, []*event.Event{&ev}, nil, nil
		scope = &as
	}
	key, _, ok, err := s.Dedup(nil, scope)
	return key, ok && err == nil
}

type globalDedup struct {
	off    bool
	by     []*Expr
	within time.Duration
}

// globalDedup compiles the key of the configuration, which has no place in a
// rule file.
func (l *loader) globalDedup(g Global) globalDedup {
	out := globalDedup{off: g.Off, within: g.Within}
	if out.within == 0 {
		out.within = DefaultWithin
	}
	env, err := l.envs.environment(place{})
	if err != nil {
		l.report(Pos{File: "dedup"}, Error, "", "%v", err)
		return out
	}
	out.by = l.globalKey(env, g.By, Pos{"dedup", 1, 1})
	return out
}

// globalKey compiles a key of the configuration.
func (l *loader) globalKey(env *exprEnv, by []string, at Pos) (out []*Expr) {
	for _, by := range by {
		code := by
		if long, ok := shorthand[by]; ok {
			code = long
		}
		c, issues := env.compile(code)
		for _, i := range issues {
			l.report(at, Error, i.hint, "by: %q: %s", by, i.message)
		}
		if c != nil {
			out = append(out, &Expr{Text: by, Pos: at, c: c})
		}
	}
	return out
}

func exprKeys(buf []byte, by []*Expr, scope *Scope) ([]byte, error) {
	for _, e := range by {
		v, err := e.Eval(scope)
		switch {
		case Absent(err):
			buf = append(buf, '-')
			continue
		case err != nil:
			return nil, fmt.Errorf("dedup: by %s: %w", e.Text, err)
		}
		if out, ok := appendKey(buf, v); ok {
			buf = out
			continue
		}
		// Maps are marshalled with their keys sorted.
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("dedup: by %s: %w", e.Text, err)
		}
		buf = binary.AppendUvarint(append(buf, 'j'), uint64(len(b)))
		buf = append(buf, b...)
	}
	return buf, nil
}

// defaultKey is device, type and interface, and the fields of data that the
// type says make two events the same thing. Nobody knows which those are for a
// type outside the catalogue: there it is all of data, so that two different
// things are never taken for one.
func (s *Set) defaultKey(buf []byte, scope *Scope, typ string) ([]byte, error) {
	ev := scope.Event
	buf = appendText(buf, ev.Device)
	buf = appendText(buf, typ)
	buf = appendText(buf, scope.port())
	t := s.typeFacts(scope, typ)
	if t == nil {
		return appendData(buf, ev.Data)
	}
	for _, attr := range t.key {
		v, err := scope.eventView().value(attr.name)
		if err != nil {
			return nil, fmt.Errorf("dedup: %w", err)
		}
		if v.kind == isNothing {
			buf = append(buf, '-')
			continue
		}
		if out, ok := v.appendKey(buf); ok {
			buf = out
			continue
		}
		b, err := json.Marshal(attr.value(scope))
		if err != nil {
			return nil, fmt.Errorf("dedup: event.data.%s: %w", attr.name, err)
		}
		buf = binary.AppendUvarint(append(buf, 'j'), uint64(len(b)))
		buf = append(buf, b...)
	}
	return buf, nil
}

func (s *Set) eventType(name string) (schema.Type, bool) {
	if s.catalogue == nil {
		return schema.Type{}, false
	}
	return s.catalogue.Type(name)
}

// appendData writes a JSON object in one form, whatever the order of its
// fields. Numbers stay as they are written, so that no two become one.
func appendData(buf []byte, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return buf, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return append(append(buf, 'r'), data...), nil //nolint:nilerr // what is no JSON is its bytes
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("dedup: %w", err)
	}
	return append(append(buf, 'j'), b...), nil
}

func (s *Set) typeFacts(scope *Scope, typ string) *typeFacts {
	if scope.memory != nil {
		return scope.memory.typeOf(typ).facts
	}
	return s.types[typ]
}

// Clears gives the types whose windows an event of this type ends: after an
// interface_up, the next interface_down is news. The list must not be changed.
func (s *Set) Clears(typ string) []string {
	if t := s.types[typ]; t != nil {
		return t.clears
	}
	return nil
}

package rule

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"signalbox/event"
)

// keyPart is one field of a key. Paths such as device.site are read without the
// interpreter.
type keyPart struct {
	expr *Expr
	attr attribute // with an owner: what expr reads, and nothing else
	port bool      // the interface in its canonical form
	none bool      // what is absent is an empty text
}

// newKeyPart looks at what an expression reads.
func newKeyPart(e *Expr) keyPart {
	k := keyPart{expr: e}
	switch e.Text {
	case "interface":
		k.port = true
	case "site":
		k.attr, k.none = attribute{"device", "site"}, true
	default:
		if a, ok := attributeOf(e.c.ast.NativeRep().Expr(), ""); ok {
			k.attr = a
		}
	}
	return k
}

// Keys of what is correlated are read by people, too: the values as text, one
// after the other, with keySeparator between them. \ stands before a separator
// or a \ of the values' own, and \- is a value that is absent, so that two
// different keys differ.
const (
	keySeparator = '\x1f'
	keyEscape    = '\\'
	keyAbsent    = `\-`
)

const (
	maxKeyText = 512  // bytes of a key; of a longer one the end is a hash
	keyChunk   = 4096 // bytes of memory for keys
)

// keyRoom is the memory that keys are built in. It serves one goroutine.
type keyRoom struct {
	ev     *event.Event
	port   string // the event's interface in its canonical form
	ported bool
	buf    []byte
	chunk  []byte // of keys that were given away
	turn   uint32
	made   []madeKey // by keyList.id
}

// madeKey is the key of the event of a turn.
type madeKey struct {
	turn uint32
	text string
}

// keyList is what a key is made of. Rules that name the same fields have the
// same id, so that their keys are made once an event; 0 is none.
type keyList struct {
	parts []keyPart
	id    int
}

func (s *Scope) keyRoom() *keyRoom {
	if s.keys == nil {
		s.keys = &keyRoom{}
	}
	if s.keys.ev != s.Event {
		s.keys.about(s.Event)
	}
	return s.keys
}

func (k *keyRoom) about(ev *event.Event) {
	k.ev, k.ported, k.port = ev, false, ""
	if k.turn++; k.turn == 0 {
		clear(k.made)
		k.turn = 1
	}
}

// port gives the event's interface in its canonical form.
func (s *Scope) port() string {
	k := s.keyRoom()
	if !k.ported {
		k.ported = true
		if s.memory != nil {
			k.port = s.memory.port(s.Event.Interface)
		} else {
			k.port = event.CanonicalInterface(s.Event.Interface)
		}
	}
	return k.port
}

// list is key, remembered.
func (k *keyRoom) list(l *keyList, s *Scope) (string, error) {
	if l.id == 0 {
		return k.key(l.parts, s)
	}
	for len(k.made) <= l.id {
		k.made = append(k.made, madeKey{})
	}
	if m := &k.made[l.id]; m.turn == k.turn {
		return m.text, nil
	}
	text, err := k.key(l.parts, s)
	if err == nil {
		k.made[l.id] = madeKey{k.turn, text}
	}
	return text, err
}

// shared gives the lists of keys that rules share their numbers. Only what is
// read without the interpreter is sure to mean the same in two rules.
type sharedKeys map[string]int

func (all sharedKeys) list(parts []keyPart) keyList {
	var name []byte
	for i := range parts {
		p := &parts[i]
		if !p.port && p.attr.owner == "" {
			return keyList{parts: parts}
		}
		name = fmt.Appendf(name, "%v %q %q %v;", p.port, p.attr.owner, p.attr.name, p.none)
	}
	if len(parts) == 0 {
		return keyList{}
	}
	if all[string(name)] == 0 {
		all[string(name)] = len(all) + 1
	}
	return keyList{parts, all[string(name)]}
}

// key builds a key.
func (k *keyRoom) key(parts []keyPart, s *Scope) (string, error) {
	k.buf = k.buf[:0]
	for i := range parts {
		if i > 0 {
			k.buf = append(k.buf, keySeparator)
		}
		var err error
		if k.buf, err = parts[i].append(k.buf, s, true); err != nil {
			return "", fmt.Errorf("by %s: %w", parts[i].expr.Text, err)
		}
	}
	return k.text(), nil
}

// one is a single value as a text.
func (k *keyRoom) one(p *keyPart, s *Scope) (string, error) {
	var err error
	if k.buf, err = p.append(k.buf[:0], s, false); err != nil {
		return "", fmt.Errorf("%s: %w", p.expr.Text, err)
	}
	return k.text(), nil
}

// text is what was built, in memory that is never written again. It may be kept
// for as long as an event is decided; what is kept longer should be a copy, since
// it keeps its neighbours.
func (k *keyRoom) text() string {
	if len(k.buf) > maxKeyText {
		sum := sha256.Sum256(k.buf)
		k.buf = append(bytes.ToValidUTF8(k.buf[:maxKeyText-40], nil), "…"...)
		k.buf = hex.AppendEncode(k.buf, sum[:16])
	}
	if cap(k.chunk)-len(k.chunk) < len(k.buf) {
		k.chunk = make([]byte, 0, keyChunk)
	}
	from := len(k.chunk)
	k.chunk = append(k.chunk, k.buf...)
	return unsafe.String(unsafe.SliceData(k.chunk[from:]), len(k.buf))
}

// append writes the value. escape says that it is one of several.
func (p *keyPart) append(buf []byte, s *Scope, escape bool) ([]byte, error) {
	switch {
	case p.port:
		return appendEscaped(buf, s.port(), escape), nil
	case p.attr.owner == "event":
		return appendEscaped(buf, p.attr.own(s.Event), escape), nil
	case p.attr.owner == "event.data":
		v, err := s.eventView().value(p.attr.name)
		if err != nil {
			return buf, err
		}
		if v.kind == isOther {
			return appendValue(buf, p.attr.value(s), escape)
		}
		return p.plain(buf, &v, escape), nil
	case p.attr.owner != "":
		v := p.attr.get(s)
		if v.kind == isOther {
			return appendValue(buf, p.attr.value(s), escape)
		}
		return p.plain(buf, &v, escape), nil
	}
	return p.evaluate(buf, s, escape)
}

// plain writes the value of an attribute.
func (p *keyPart) plain(buf []byte, v *plain, escape bool) []byte {
	switch v.kind {
	case isText:
		return appendEscaped(buf, v.text, escape)
	case isWhole:
		return strconv.AppendInt(buf, v.whole, 10)
	case isFloat:
		return appendNumber(buf, v.float)
	case isBool:
		return strconv.AppendBool(buf, v.whole != 0)
	}
	return p.absent(buf)
}

// evaluate asks the interpreter.
func (p *keyPart) evaluate(buf []byte, s *Scope, escape bool) ([]byte, error) {
	v, err := p.expr.Eval(s)
	switch {
	case Absent(err) || err == nil && v == nil:
		return p.absent(buf), nil
	case err != nil:
		return buf, err
	}
	return appendValue(buf, v, escape)
}

func (p *keyPart) absent(buf []byte) []byte {
	if p.none {
		return buf
	}
	return append(buf, keyAbsent...)
}

// appendValue writes a plain value as a text: numbers that are equal are
// written the same, whatever their type.
func appendValue(buf []byte, v any, escape bool) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendEscaped(buf, v, escape), nil
	case int64:
		return strconv.AppendInt(buf, v, 10), nil
	case float64:
		return appendNumber(buf, v), nil
	case bool:
		return strconv.AppendBool(buf, v), nil
	case time.Time, time.Duration:
		return appendEscaped(buf, text(v), escape), nil
	}
	// Maps are marshalled with their keys sorted.
	b, err := json.Marshal(v)
	if err != nil {
		return buf, err
	}
	return appendEscaped(buf, string(b), escape), nil
}

func appendNumber(buf []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.AppendInt(buf, int64(f), 10)
	}
	return strconv.AppendFloat(buf, f, 'g', -1, 64)
}

func appendEscaped(buf []byte, s string, escape bool) []byte {
	if !escape || strings.IndexByte(s, keySeparator) < 0 && strings.IndexByte(s, keyEscape) < 0 {
		return append(buf, s...)
	}
	for i := range len(s) {
		if s[i] == keySeparator || s[i] == keyEscape {
			buf = append(buf, keyEscape)
		}
		buf = append(buf, s[i])
	}
	return buf
}

// memberKey is the event itself as if its type were typ: device, type,
// interface, and the fields of data that the type says make two events the same
// thing (all of it where nobody knows the type). By it what clears an event
// finds it.
func (d Deciding) memberKey(typ string) (string, error) {
	s, k := d.scope, d.scope.keyRoom()
	k.buf = appendEscaped(k.buf[:0], s.Event.Device, true)
	k.buf = appendEscaped(append(k.buf, keySeparator), typ, true)
	k.buf = appendEscaped(append(k.buf, keySeparator), s.port(), true)
	t := d.set.types[typ]
	if t == nil {
		data, err := appendData(nil, s.Event.Data)
		if err != nil {
			return "", err
		}
		if len(data) > 0 {
			sum := sha256.Sum256(data)
			k.buf = hex.AppendEncode(append(k.buf, keySeparator), sum[:8])
		}
		return k.text(), nil
	}
	for _, attr := range t.key {
		part := keyPart{attr: attr}
		var err error
		if k.buf, err = part.append(append(k.buf, keySeparator), s, true); err != nil {
			return "", fmt.Errorf("event.data.%s: %w", attr.name, err)
		}
	}
	return k.text(), nil
}

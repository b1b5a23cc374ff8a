package correlate

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"
)

var errShort = errors.New("it ends too early")

// StateWriter writes the state of machines into a snapshot. The same state is
// the same bytes; an event that several keep is written once.
type StateWriter struct {
	buf    []byte
	timers *Timers
	seen   map[*byte]uint64
}

// NewStateWriter is for one lane.
func NewStateWriter(q *Timers) *StateWriter {
	return &StateWriter{timers: q, seen: map[*byte]uint64{}}
}

// Expect makes room for about so many bytes and events: to grow step by step
// takes longer than to write.
func (w *StateWriter) Expect(bytes, events int) {
	w.buf = make([]byte, 0, bytes)
	w.seen = make(map[*byte]uint64, events)
}

// Events is how many different ones were written.
func (w *StateWriter) Events() int { return len(w.seen) }

// Bytes is what was written.
func (w *StateWriter) Bytes() []byte { return w.buf }

// Uint writes a number, small ones in few bytes.
func (w *StateWriter) Uint(v uint64) { w.buf = binary.AppendUvarint(w.buf, v) }

// Int writes a number that may be negative.
func (w *StateWriter) Int(v int64) { w.buf = binary.AppendVarint(w.buf, v) }

// Float writes a number's bits.
func (w *StateWriter) Float(v float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(v))
}

// Bool writes yes or no.
func (w *StateWriter) Bool(v bool) {
	if v {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

// String writes text.
func (w *StateWriter) String(s string) {
	w.Uint(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

// Kept writes an event: the first time whole, then as a number.
func (w *StateWriter) Kept(k Kept) {
	if k.None() {
		w.Uint(0)
		return
	}
	p := unsafe.StringData(k.code)
	if n := w.seen[p]; n != 0 {
		w.Uint(n + 1)
		return
	}
	w.seen[p] = uint64(len(w.seen) + 1)
	w.Uint(1)
	w.String(k.code)
}

// Timer writes when a timer is due and in which order it was set.
func (w *StateWriter) Timer(t Timer) {
	due, order, ok := w.timers.due(t)
	w.Bool(ok)
	if ok {
		w.Int(due)
		w.Uint(order)
	}
}

// Inputs writes a list of inputs.
func (w *StateWriter) Inputs(list []Input) {
	w.Uint(uint64(len(list)))
	for i := range list {
		in := &list[i]
		w.Int(int64(in.Part))
		w.Float(in.Number)
		for _, s := range []string{in.Key, in.Value, in.DampenKey, in.GroupKey, in.SituationKey} {
			w.String(s)
		}
	}
}

// StateReader reads what StateWriter wrote; after the first error all it gives
// is zero. What it gives is its own, not a part of the snapshot's bytes.
type StateReader struct {
	buf    []byte
	err    error
	timers *Timers
	owner  uint32
	kept   []Kept
}

// NewStateReader is for one lane.
func NewStateReader(buf []byte, q *Timers) *StateReader { return &StateReader{buf: buf, timers: q} }

// For says whose timers are read from here on.
func (r *StateReader) For(owner uint32) { r.owner = owner }

// Err is the first error.
func (r *StateReader) Err() error { return r.err }

func (r *StateReader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.buf = nil
}

// More says whether there is anything left.
func (r *StateReader) More() bool { return len(r.buf) > 0 }

// Uint reads a number.
func (r *StateReader) Uint() uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

// Int reads a number that may be negative.
func (r *StateReader) Int() int64 {
	v, n := binary.Varint(r.buf)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *StateReader) take(n uint64) []byte {
	if n > uint64(len(r.buf)) {
		r.fail()
		return nil
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// Float reads a number's bits.
func (r *StateReader) Float() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// Bool reads yes or no.
func (r *StateReader) Bool() bool {
	b := r.take(1)
	return b != nil && b[0] != 0
}

// String reads text.
func (r *StateReader) String() string { return string(r.take(r.Uint())) }

// Kept reads an event.
func (r *StateReader) Kept() Kept {
	switch n := r.Uint(); {
	case n == 0:
		return Kept{}
	case n == 1:
		k := Kept{r.String()}
		if len(k.code) < keptBody {
			r.fail()
			return Kept{}
		}
		r.kept = append(r.kept, k)
		return k
	case n-2 < uint64(len(r.kept)):
		return r.kept[n-2]
	}
	r.fail()
	return Kept{}
}

// Timer reads a timer and sets it, for the owner that For named.
func (r *StateReader) Timer(arg uint32) (t Timer) {
	if r.Bool() {
		due, order := r.Int(), r.Uint()
		if r.err == nil {
			r.timers.set(&t, r.owner, arg, due, order)
		}
	}
	return t
}

// Inputs reads a list of inputs.
func (r *StateReader) Inputs() []Input {
	var out []Input
	for n := r.Uint(); n > 0 && r.err == nil; n-- {
		in := Input{Part: int(r.Int()), Number: r.Float()}
		for _, s := range []*string{&in.Key, &in.Value, &in.DampenKey, &in.GroupKey, &in.SituationKey} {
			*s = r.String()
		}
		out = append(out, in)
	}
	return out
}

// SaveOrder writes how many timers were set so far; LoadOrder reads it.
func (w *StateWriter) SaveOrder() { w.Uint(w.timers.order) }

// LoadOrder reads what SaveOrder wrote.
func (r *StateReader) LoadOrder() { r.timers.order = r.Uint() }

func (w *StateWriter) keptList(list []keptAt) {
	w.Uint(uint64(len(list)))
	for _, e := range list {
		w.Int(e.at)
		w.Kept(e.kept)
	}
}

func (r *StateReader) keptList() (out []keptAt) {
	for n := r.Uint(); n > 0 && r.err == nil; n-- {
		out = append(out, keptAt{r.Int(), r.Kept()})
	}
	return out
}

func (w *StateWriter) keptOnly(list []Kept) {
	w.Uint(uint64(len(list)))
	for _, k := range list {
		w.Kept(k)
	}
}

func (r *StateReader) keptOnly() (out []Kept) {
	for n := r.Uint(); n > 0 && r.err == nil; n-- {
		out = append(out, r.Kept())
	}
	return out
}

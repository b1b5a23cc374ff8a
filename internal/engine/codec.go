package engine

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

const snapshotMagic = "signalbox engine 4\n"

var errShort = errors.New("it ends too early")

func unixNano(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// entryBytes is what an entry of a window takes in a snapshot.
const entryBytes = 16 + 8 + 16

// writer builds a snapshot.
type writer struct{ buf []byte }

func (w *writer) raw(b []byte)   { w.buf = append(w.buf, b...) }
func (w *writer) u64(v uint64)   { w.buf = binary.LittleEndian.AppendUint64(w.buf, v) }
func (w *writer) bytes(b []byte) { w.u64(uint64(len(b))); w.raw(b) }

func (w *writer) window(win *window) {
	if win == nil {
		w.u64(0)
		return
	}
	w.u64(1)
	w.u64(uint64(win.within))
	w.u64(uint64(win.max))
	w.u64(win.evicted)
	w.u64(uint64(win.len()))
	w.buf = slices.Grow(w.buf, win.len()*entryBytes)
	win.each(func(e *entry) {
		b := append(w.buf, e.key[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.until))
		w.buf = append(b, e.of[:]...)
	})
}

func (w *writer) own(m map[string]*window) {
	w.u64(uint64(len(m)))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		w.bytes([]byte(name))
		w.window(m[name])
	}
}

// reader takes a snapshot apart; after the first error all it gives is zero.
type reader struct {
	buf []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.buf)) {
		r.err, r.buf = errShort, nil
		return nil
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) u64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *reader) bytes() []byte { return r.take(r.u64()) }

func (r *reader) window() *window {
	if r.u64() == 0 {
		return nil
	}
	w := newWindow(time.Duration(r.u64()), int(r.u64()))
	w.evicted = r.u64()
	n := r.u64()
	if n > uint64(len(r.buf))/entryBytes {
		r.err, r.buf = errShort, nil
		return nil
	}
	w.index = newPlaces(int(n))
	for ; n > 0; n-- {
		b := r.take(entryBytes)
		w.add(entry{key: Key(b[:16]), until: int64(binary.LittleEndian.Uint64(b[16:])), of: uuid.UUID(b[24:])})
	}
	return w
}

func (r *reader) own() map[string]*window {
	m := map[string]*window{}
	for n := r.u64(); n > 0 && r.err == nil; n-- {
		name := string(r.bytes())
		m[name] = r.window()
	}
	return m
}

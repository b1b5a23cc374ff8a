package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"signalbox/internal/record"
)

// rulesPart takes one part of a rule set and says whether the set is whole and
// in force from here on. A set that was interrupted by a restart begins again
// with part 0.
func (e *Engine) rulesPart(p *record.Rules) (switched bool, err error) {
	if p.Part == 0 {
		e.parts, e.next = nil, 0
	}
	if p.Part != e.next {
		return false, nil // the rest of a set whose beginning was never written
	}
	e.parts = append(e.parts, p.Data...)
	e.next++
	if e.next < p.Parts {
		return false, nil
	}
	bundle := e.parts
	e.parts, e.next = nil, 0
	return true, e.use(bundle)
}

// use puts a bundle in force. Windows whose meaning is the same are kept.
func (e *Engine) use(bundle []byte) error {
	rules, err := e.load(bundle)
	if err != nil {
		return err
	}
	w := rules.Windows()
	if e.redelivery == nil || e.redelivery.within != w.Redelivery {
		e.redelivery = newWindow(w.Redelivery, MaxKeys)
	}
	if e.global == nil || e.global.within != w.Global {
		e.global = newWindow(w.Global, MaxKeys)
	}
	for name := range e.own {
		rule, signature, _ := strings.Cut(name, "\x00")
		if !rules.Keeps(rule, signature) {
			delete(e.own, name)
		}
	}
	e.rules, e.bundle = rules, bundle
	return nil
}

// windows lists all windows in a fixed order.
func (e *Engine) windows() []*window {
	var out []*window
	for _, w := range []*window{e.redelivery, e.global, e.replay.global} {
		if w != nil {
			out = append(out, w)
		}
	}
	for _, m := range []map[string]*window{e.own, e.replay.own} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			out = append(out, m[name])
		}
	}
	return out
}

// KeyOf hashes parts into a key. Each part is preceded by its length, so that
// ("ab", "c") and ("a", "bc") differ.
func KeyOf(parts ...[]byte) Key {
	buf := make([]byte, 0, 256)
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return Key(sum[:16])
}

func redeliveryKey(source, senderID string) Key {
	return KeyOf([]byte(source), []byte(senderID))
}

// Snapshot is the whole state as bytes, with the position it is of. The same
// state gives the same bytes. Layout: magic, version, fields; a SHA-256 of all
// of it last.
func (e *Engine) Snapshot() []byte {
	w := writer{}
	w.raw([]byte(snapshotMagic))
	w.u64(e.through.Seq)
	w.u64(uint64(e.through.Index))
	w.u64(uint64(e.now.UnixNano()))
	w.bytes(e.bundle)
	w.bytes(e.parts)
	w.u64(uint64(e.next))
	w.window(e.redelivery)
	w.window(e.global)
	w.own(e.own)
	w.bytes([]byte(e.replay.id))
	w.window(e.replay.global)
	w.own(e.replay.own)
	sum := sha256.Sum256(w.buf)
	return append(w.buf, sum[:]...)
}

// Restore reads what Snapshot wrote. A damaged one is refused, and the engine
// is as it was.
func (e *Engine) Restore(data []byte) error {
	if len(data) < sha256.Size+len(snapshotMagic) || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("engine snapshot: not one, or of another version")
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); string(sum[:]) != string(data[len(body):]) {
		return fmt.Errorf("engine snapshot: its checksum is wrong")
	}
	r := reader{buf: body[len(snapshotMagic):]}
	n := New(e.load)
	n.through = record.Position{Seq: r.u64(), Index: uint32(r.u64())}
	now := int64(r.u64())
	bundle := slices.Clone(r.bytes())
	n.parts = slices.Clone(r.bytes())
	n.next = uint32(r.u64())
	redelivery, global := r.window(), r.window()
	own := r.own()
	replayID := string(r.bytes())
	replayGlobal, replayOwn := r.window(), r.own()
	if r.err != nil {
		return fmt.Errorf("engine snapshot: %w", r.err)
	}
	if len(bundle) > 0 {
		parts, next := n.parts, n.next
		if err := n.use(bundle); err != nil {
			return fmt.Errorf("engine snapshot: %w", err)
		}
		n.parts, n.next = parts, next
		n.redelivery, n.global = redelivery, global
	}
	n.own = own
	n.replay = replayState{id: replayID, global: replayGlobal, own: replayOwn}
	n.now = unixNano(now)
	*e = *n
	return nil
}

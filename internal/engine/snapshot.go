package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// Snapshot is the whole state as bytes, with the position it is of. The same
// state gives the same bytes. Layout: magic, version, fields; a SHA-256 of all
// of it last.
func (e *Engine) Snapshot() []byte { return e.Capture()() }

// Capture takes the state as it is now. What it gives makes the bytes of
// Snapshot from it, once, and may be called from another goroutine while the
// engine goes on: of what a snapshot takes, this is the longer part that need
// not stop the engine.
func (e *Engine) Capture() (finish func() []byte) {
	w := writer{buf: make([]byte, 0, e.captured+e.captured/8+1<<12)}
	w.raw([]byte(snapshotMagic))
	w.u64(e.through.Seq)
	w.u64(uint64(e.through.Index))
	w.u64(e.passed)
	w.u64(uint64(e.now.UnixNano()))
	w.bytes(e.bundle)
	w.bytes(e.parts)
	w.u64(uint64(e.next))
	w.window(e.redelivery)
	w.bytes([]byte(e.replayID))
	for _, l := range []*lane{e.live, e.replay} {
		if l == nil {
			w.u64(0)
			continue
		}
		w.u64(1)
		w.window(l.global)
		w.own(l.own)
		w.bytes(l.save())
	}
	e.captured = len(w.buf)
	return func() []byte {
		sum := sha256.Sum256(w.buf)
		return append(w.buf, sum[:]...)
	}
}

// Restore reads what Snapshot wrote. A damaged one is refused, and so is one of
// rules that mean another thing in this version of Signalbox; the engine is as
// it was then.
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
	n.passed = r.u64()
	now := int64(r.u64())
	bundle := slices.Clone(r.bytes())
	parts := slices.Clone(r.bytes())
	next := uint32(r.u64())
	redelivery := r.window()
	n.replayID = string(r.bytes())
	if len(bundle) > 0 && r.err == nil {
		if err := n.use(bundle); err != nil {
			return fmt.Errorf("engine snapshot: %w", err)
		}
	}
	for i := range 2 {
		l, err := r.lane(n, i == 1)
		if err != nil {
			return fmt.Errorf("engine snapshot: %w", err)
		}
		if i == 0 && l != nil {
			n.live = l
		} else {
			n.replay = l
		}
	}
	if r.err != nil {
		return fmt.Errorf("engine snapshot: %w", r.err)
	}
	if n.replay != nil && !n.replay.dryRun {
		n.replay.limits = n.live.limits
	}
	n.redelivery, n.parts, n.next, n.now, n.resets = redelivery, parts, next, unixNano(now), nil
	*e = *n
	return nil
}

// lane reads one lane; nil where there is none.
func (r *reader) lane(e *Engine, replay bool) (*lane, error) {
	if r.u64() == 0 {
		return nil, r.err
	}
	l := newLane()
	if e.rules != nil {
		l.use(e.rules)
	}
	l.replay = replay
	l.global, l.own = r.window(), r.own()
	if data := r.bytes(); r.err == nil {
		return l, l.load(data)
	}
	return nil, r.err
}

// save writes all but the dedup windows.
func (l *lane) save() []byte {
	w := correlate.NewStateWriter(&l.timers)
	w.Expect(l.saved.bytes+l.saved.bytes/8, l.saved.events)
	w.Int(l.now)
	w.Uint(l.number)
	w.Uint(uint64(l.swept))
	w.Bool(l.dryRun)
	w.SaveOrder()
	w.Uint(uint64(len(l.names)))
	for _, name := range sortedNames(l.names) {
		p := l.names[name]
		w.String(name)
		w.Uint(uint64(p.index))
		w.Bool(p.wide)
		for n := range stages {
			st := p.stage(n)
			w.Bool(st != nil)
			if st != nil {
				w.String(p.meanings[n])
				st.Save(w)
			}
		}
	}
	l.holds.save(w)
	l.network.Save(w)
	l.situations.Save(w)
	// Without any it is what it was when there were none.
	if len(l.limits) > 0 && (!l.replay || l.dryRun) {
		l.limits.save(w)
	}
	l.saved.bytes, l.saved.events = len(w.Bytes()), w.Events()
	return w.Bytes()
}

var errMeaning = errors.New("its rules mean another thing now")

// load reads what save wrote into a lane whose rules are in force.
func (l *lane) load(data []byte) error {
	r := correlate.NewStateReader(data, &l.timers)
	l.now, l.number, l.swept = r.Int(), r.Uint(), uint32(r.Uint())
	l.dryRun = r.Bool()
	r.LoadOrder()
	if n := r.Uint(); r.Err() == nil && n != uint64(len(l.names)) {
		return errMeaning
	}
	if err := l.loadPipes(r); err != nil {
		return err
	}
	l.widen()
	l.holds.load(r)
	r.For(ownerNetwork)
	l.network.Load(r)
	r.For(ownerSituations)
	l.situations.Load(r)
	if r.More() {
		l.limits.load(r)
	}
	return r.Err()
}

func (l *lane) loadPipes(r *correlate.StateReader) error {
	// A rule has the same place among the pipes as before: sweeping goes by it.
	l.pipes = nil
	for range len(l.names) {
		p := l.names[r.String()]
		index, wide := r.Uint(), r.Bool()
		if r.Err() != nil {
			return r.Err()
		}
		if p == nil || index > maxPipes {
			return errMeaning
		}
		p.index, p.wide = uint32(index), wide
		for uint64(len(l.pipes)) <= index {
			l.pipes = append(l.pipes, nil)
		}
		l.pipes[index] = p
		for n := range stages {
			st := p.stage(n)
			if has := r.Bool(); r.Err() == nil && has != (st != nil) {
				return errMeaning
			}
			if st == nil {
				continue
			}
			if r.String() != p.meanings[n] {
				return errors.Join(errMeaning, r.Err())
			}
			r.For(owner(p, n))
			st.Load(r)
		}
	}
	return r.Err()
}

// maxPipes bounds the places of rules in a snapshot.
const maxPipes = 1 << 24

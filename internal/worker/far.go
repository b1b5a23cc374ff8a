package worker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/internal/record"
	"signalbox/internal/run"
)

// A device that does not answer for an hour may have thousands of runs queued,
// and must not take the memory of all others. So when memory is full, of what
// queues on slow devices only this is kept: which run, and where its decision is.
// The lane reads the decisions again when it comes to them.

// farRun is a run that is in memory by name only.
type farRun struct {
	id    string
	at    record.Position // of its decision
	about record.Position // what that decided about
	kind  *farKind
	group *group
	it    *item // cold: a run that was put back, and is read again whole
}

// farKind counts the far runs of one compiled rule.
type farKind struct {
	RuleVersion
	n int
}

// farRuns is what there is about the far runs of all lanes. It is guarded by
// Worker.mu.
type farRuns struct {
	at      map[string]record.Position // of the decisions, by run
	kinds   map[RuleVersion]*farKind
	batches [8]*record.Batch // the last that were read, while there are far runs
	next    int
	looked  time.Time // when runs were last looked for that can give way
}

func (f *farRuns) has(id string) bool { _, ok := f.at[id]; return ok }

func (f *farRuns) add(l *lane, it *item) {
	if f.at == nil {
		f.at = map[string]record.Position{}
	}
	if f.kinds == nil {
		f.kinds = map[RuleVersion]*farKind{}
	}
	v := RuleVersion{it.start.Rule, it.start.RuleVersion}
	kind := f.kinds[v]
	if kind == nil {
		kind = &farKind{RuleVersion: RuleVersion{strings.Clone(v.Rule), strings.Clone(v.Version)}}
		f.kinds[kind.RuleVersion] = kind
	}
	kind.n++
	// A copy: the run's own is a part of the whole batch that it came with.
	r := farRun{id: strings.Clone(it.start.Run), at: it.at, kind: kind, group: it.group}
	if it.dec != nil {
		r.about = it.dec.At
	} else {
		r.it = it
	}
	l.far = append(l.far, r)
	f.at[r.id] = r.at
}

// drop takes the first n from a lane, which are in memory now.
func (f *farRuns) drop(l *lane, n int) {
	for i := range l.far[:n] {
		r := &l.far[i]
		delete(f.at, r.id)
		if r.kind.n--; r.kind.n == 0 {
			delete(f.kinds, r.kind.RuleVersion)
		}
	}
	clear(l.far[:n])
	l.far = l.far[n:]
	// Give memory back: neither slices nor maps do by themselves.
	if len(l.far) == 0 {
		l.far = nil
	}
	if len(f.at) == 0 {
		f.at = nil
		clear(f.batches[:])
	}
}

// evictEvery is the least time between two looks for runs that can give way.
const evictEvery = 100 * time.Millisecond

// takeRoom takes the right to have one more run in memory, and waits until there
// is one. While there is none, what has queued behind others for long gives way.
// That is by time and not by number: when all devices are quick and there is only
// much to do, it is cheaper to leave the rest in the log.
func (w *Worker) takeRoom() error {
	for {
		select {
		case w.room <- struct{}{}:
			return nil
		case <-w.stop:
			return ErrStopped
		default:
		}
		w.evict()
		t := time.NewTimer(evictEvery)
		select {
		case w.room <- struct{}{}:
			t.Stop()
			return nil
		case <-w.stop:
			t.Stop()
			return ErrStopped
		case <-t.C:
		}
	}
}

// evict takes the runs out of memory that queue on slow devices, except for the
// next of each.
func (w *Worker) evict() {
	if w.cfg.Archive == nil {
		return
	}
	now := w.cfg.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.far.looked) < min(evictEvery, w.cfg.Slow) {
		return
	}
	w.far.looked = now
	for _, l := range w.lanes {
		if len(l.queue) > 1 && now.Sub(l.queue[0].queued) >= w.cfg.Slow {
			w.evictLane(l)
		}
	}
}

// evictLane is called with mu held.
func (w *Worker) evictLane(l *lane) {
	behind := l.far
	l.far = nil
	kept := l.queue[:1]
	for _, it := range l.queue[1:] {
		if !it.canBeFar() || it.dec == nil || !tryTake(w.farRoom) {
			kept = append(kept, it)
			continue
		}
		delete(w.open, it.start.Run)
		w.far.add(l, it)
		<-w.room
	}
	clear(l.queue[len(kept):])
	l.queue, l.far = kept, append(l.far, behind...)
}

func tryTake(c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	default:
		return false
	}
}

// canBeFar says whether the log has all of a run that did not start yet: nothing
// was done of it, or it is cold anyway. One that was put back and is in memory
// stays there, and comes before those that are far.
func (it *item) canBeFar() bool {
	return it.dec == nil || it.requeue == nil && len(it.st.Steps) == 0 && it.st.Gen == 0
}

// placeFar keeps a run by name where its lane has such runs already, since it
// comes after them, and says whether it did.
func (w *Worker) placeFar(key string, it *item) (bool, error) {
	if !it.canBeFar() || !w.hasFar(key) {
		return false, nil
	}
	select {
	case w.farRoom <- struct{}{}:
	case <-w.stop:
		return false, ErrStopped
	}
	w.mu.Lock()
	l := w.lanes[key]
	if l == nil || len(l.far) == 0 { // it got shorter meanwhile
		w.mu.Unlock()
		<-w.farRoom
		return false, nil
	}
	w.dead.remove(it.start.Run)
	w.far.add(l, it)
	w.mu.Unlock()
	w.changed(it)
	return true, nil
}

func (w *Worker) hasFar(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[key]
	return l != nil && len(l.far) > 0
}

// near is how many far runs of a device are read at once: few once memory's
// bound is half reached.
func (w *Worker) near() int {
	if 2*len(w.room) >= cap(w.room) {
		return 1
	}
	return w.cfg.Near
}

// fetch brings the next far runs of a lane into memory: one at least, for which
// it waits until there is room. It says no when the worker is stopped.
func (w *Worker) fetch(l *lane) bool {
	if w.takeRoom() != nil {
		return false
	}
	w.mu.Lock()
	// Only this goroutine takes from the front; with an empty queue others only
	// add at the end.
	next := slices.Clone(l.far[:min(len(l.far), w.near())])
	w.mu.Unlock()
	n := 1
	for n < len(next) && tryTake(w.room) {
		n++
	}
	items := w.readFar(l, next[:n])
	if items == nil {
		return false // the room of a stopped worker is nobody's
	}
	w.mu.Lock()
	w.far.drop(l, n)
	now := w.cfg.Now()
	for _, it := range items {
		it.queued = now
		w.open[it.start.Run] = it
	}
	l.queue = append(l.queue, items...)
	w.mu.Unlock()
	for range n {
		<-w.farRoom
	}
	return true
}

// readFar reads the decisions of far runs; those of one batch at once. It is nil
// when the worker is stopped.
func (w *Worker) readFar(l *lane, runs []farRun) []*item {
	items := make([]*item, 0, len(runs))
	var batch *record.Batch
	for i := range runs {
		f := &runs[i]
		it := f.it
		if it == nil {
			if batch == nil || batch.Seq != f.at.Seq {
				var ok bool
				if batch, ok = w.readBatch(f); !ok {
					return nil
				}
			}
			// Where the batch does not have it, the run is cold, and is looked
			// for by its id when its turn comes.
			it = &item{at: f.at, order: f.at, st: &run.State{}, start: &record.RunStart{Run: f.id,
				Rule: f.kind.Rule, RuleVersion: f.kind.Version, Device: l.key, Partition: run.Partition(l.key)}}
			if d := decisionAt(batch, f.at); d != nil {
				if n := nth(d, f.id); n >= 0 {
					d = record.CloneDecision(d)
					it.start, it.dec, it.nth = &d.Runs[n], d, n
				}
			}
		}
		it.acked, it.group, it.rule = make(chan struct{}), f.group, w.ruleOf(it)
		items = append(items, it)
	}
	return items
}

func decisionAt(b *record.Batch, at record.Position) *record.Decision {
	if i := int(at.Index); b != nil && i < len(b.Records) {
		return b.Records[i].Decision
	}
	return nil
}

// readBatch reads the batch of a far run's decision. It keeps trying as warm
// does; nil is a batch that the log does not have.
func (w *Worker) readBatch(f *farRun) (*record.Batch, bool) {
	// Devices that were slow at the same time have runs in the same batches.
	w.mu.Lock()
	for _, b := range w.far.batches {
		if b != nil && b.Seq == f.at.Seq {
			w.mu.Unlock()
			return b, true
		}
	}
	w.mu.Unlock()
	for wait := againFirst; ; wait = min(2*wait, againMost) {
		b, err := w.cfg.Archive.Batch(w.base, f.at.Seq)
		if err == nil || errors.Is(err, ErrUnknownRun) {
			w.mu.Lock()
			w.far.batches[w.far.next%len(w.far.batches)] = b
			w.far.next++
			w.mu.Unlock()
			return b, true
		}
		w.log.Error("runs cannot be read from the log; trying again", "run", f.id,
			"err", fmt.Errorf("read batch %d: %w", f.at.Seq, err), "wait", wait)
		if !w.sleep(w.base, w.cfg.Now().Add(wait)) {
			return nil, false
		}
	}
}

// farViews lists far runs that fit a filter, the newest at least.
func (w *Worker) farViews(f Filter) []RunView {
	if f.Status != "" && f.Status != "pending" {
		return nil
	}
	var out []RunView
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		// The newest are last.
		for i := len(l.far) - 1; i >= max(len(l.far)-f.limit(), 0); i-- {
			r := &l.far[i]
			v := RunView{ID: r.id, Rule: r.kind.Rule, RuleVersion: r.kind.Version, Device: l.key,
				Status: "pending", Decided: r.at.String(), decided: r.at}
			if f.match(&v) {
				out = append(out, v)
			}
		}
		if len(out) > 4*f.limit() {
			out = newest(out, f.Limit)
		}
	}
	return out
}

package worker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"signalbox/internal/record"
	"signalbox/internal/run"
)

// A device that does not answer for an hour may have thousands of runs queued,
// and must not take the memory of all others. So of what queues behind the first
// few runs of a lane only this is kept: which run, and where its decision is. The
// lane reads the decisions again when it comes to them.

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
	at    map[string]record.Position // of the decisions, by run
	kinds map[RuleVersion]*farKind
}

func (f *farRuns) has(id string) bool { _, ok := f.at[id]; return ok }

func (f *farRuns) add(l *lane, it *item) {
	if f.at == nil {
		f.at, f.kinds = map[string]record.Position{}, map[RuleVersion]*farKind{}
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
	}
}

// near is how many runs of one device may be in memory: few once memory's bound
// is half reached, so that many devices that do not answer cannot reach it.
func (w *Worker) near() int {
	if 2*len(w.room) >= cap(w.room) {
		return 1
	}
	return w.cfg.Near
}

// placeFar keeps a run by name where its lane is long, and says whether it did.
// Only what the log has whole can go: a run of which nothing was done yet, or
// one that is cold anyway. One that was put back and is in memory stays there,
// and comes before those that are far.
func (w *Worker) placeFar(key string, it *item) (bool, error) {
	fresh := it.dec != nil && it.requeue == nil && len(it.st.Steps) == 0 && it.st.Gen == 0
	if w.cfg.Archive == nil || !fresh && it.dec != nil {
		return false, nil
	}
	full := func() *lane {
		if l := w.lanes[key]; l != nil && (len(l.far) > 0 || len(l.queue) >= w.near()) {
			return l
		}
		return nil
	}
	w.mu.Lock()
	long := full() != nil
	w.mu.Unlock()
	if !long {
		return false, nil
	}
	select {
	case w.farRoom <- struct{}{}:
	case <-w.stop:
		return false, ErrStopped
	}
	w.mu.Lock()
	l := full()
	if l == nil { // it got shorter meanwhile
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

// fetch brings the next far runs of a lane into memory: one at least, for which
// it waits until there is room. It says no when the worker is stopped.
func (w *Worker) fetch(l *lane) bool {
	select {
	case w.room <- struct{}{}:
	case <-w.stop:
		return false
	}
	w.mu.Lock()
	// Only this goroutine takes from the front; others add at the end.
	next := slices.Clone(l.far[:min(len(l.far), w.near())])
	w.mu.Unlock()
	n := 1
	for n < len(next) {
		select {
		case w.room <- struct{}{}:
			n++
			continue
		default:
		}
		break
	}
	items := w.readFar(l, next[:n])
	if items == nil {
		return false // the room of a stopped worker is nobody's
	}
	w.mu.Lock()
	w.far.drop(l, n)
	for _, it := range items {
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
	for wait := againFirst; ; wait = min(2*wait, againMost) {
		b, err := w.cfg.Archive.Batch(w.base, f.at.Seq)
		if err == nil || errors.Is(err, ErrUnknownRun) {
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

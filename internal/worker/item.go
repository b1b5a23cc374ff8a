package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/run"
)

// item is one open run.
type item struct {
	start  *record.RunStart
	dec    *record.Decision // nil: cold, to be read from the archive before it starts
	at     record.Position  // of the decision in the log
	order  record.Position  // of what opened it: the decision, or the command that put it back
	queued time.Time        // when it took its place in memory
	nth    int              // of the decision's runs
	group  *group
	rule   *rule.Rule // nil: no longer loaded

	// requeue is a command that puts the run back and is not journalled yet.
	// It and dec are guarded by mu.
	requeue *record.Command
	ending  atomic.Bool // its end was given to the journal
	// ready is the first attempt, which is in the log with the decision.
	ready *record.StepBegin

	acked chan struct{}   // closed when the run's end is durable
	after <-chan struct{} // acked of the run before it on the device; nil: none

	mu      sync.Mutex
	st      *run.State
	started bool
}

// save copies the run for a snapshot.
func (it *item) save() savedRun {
	it.mu.Lock()
	defer it.mu.Unlock()
	return savedRun{Start: *it.start, At: it.at, Order: it.order, Nth: it.nth, Decision: alone(it.dec, it.start),
		State: it.st.Clone(), Requeue: it.requeue}
}

// event is what set the run off; nil where that is not known.
func (it *item) event() *event.Event { return run.EventOf(it.dec, it.start) }

// alone is a decision with one of its runs only.
func alone(d *record.Decision, start *record.RunStart) *record.Decision {
	if d == nil {
		return nil
	}
	c := *d
	c.Runs, c.Notes, c.Situations = []record.RunStart{*start}, nil, nil
	if s := run.ChangeOf(d, start); s != nil {
		c.Situations = []record.SituationChange{*s}
	}
	return &c
}

// group counts the open runs of one decision.
type group struct{ open atomic.Int32 }

// told is the group of a run that was put back: its event was told as done when
// the run failed, and is not told again.
func told() *group {
	g := &group{}
	g.open.Store(2)
	return g
}

// lane is the queue of one device's runs.
type lane struct {
	key   string
	queue []*item  // guarded by Worker.mu
	far   []farRun // what comes behind them; guarded by Worker.mu
}

// serve does the runs of a lane in order until there are none.
//
// The next run starts as soon as the end of the one before is handed to the
// journal; its first attempt waits until that end is durable (see
// thread.flush), so no order is lost, and both share one fsync.
func (w *Worker) serve(l *lane) {
	var last <-chan struct{}
	for {
		w.mu.Lock()
		if len(l.queue) == 0 && len(l.far) > 0 {
			w.mu.Unlock()
			if !w.fetch(l) {
				w.settled(last)
				return
			}
			continue
		}
		if len(l.queue) == 0 {
			if last == nil {
				delete(w.lanes, l.key)
				w.mu.Unlock()
				return
			}
			w.mu.Unlock()
			if !w.settled(last) {
				return
			}
			last = nil
			continue
		}
		it := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		w.mu.Unlock()
		it.after = last
		if !w.execute(it) {
			// Stopped; what is queued stays journalled as decided. The end of
			// the run before is still on its way.
			w.settled(last)
			return
		}
		last = it.acked
	}
}

// settled waits until a run's end is durable, and says no when the worker was
// cut off before.
func (w *Worker) settled(acked <-chan struct{}) bool {
	if acked == nil {
		return true
	}
	select {
	case <-acked:
		return true
	case <-w.base.Done():
		return false
	}
}

// closed is called when a run's end is durable.
func (w *Worker) closed(it *item, end *record.RunEnd) {
	w.mu.Lock()
	delete(w.open, it.start.Run)
	switch {
	case it.waits():
		w.dead.add(&deadLetter{start: it.start, dec: it.dec, at: it.at, st: it.st, ended: it.st.Last,
			outcome: end.Outcome, reason: end.Error, when: it.st.Ended})
	default:
		w.recent.add(it)
	}
	w.mu.Unlock()
	<-w.room
	w.tell(it, end)
	w.changed(it)
	close(it.acked)
}

// waits says whether the run, which has ended, waits for a person. A dry run
// never does: there is nothing to put right.
func (it *item) waits() bool {
	return it.st.Waits() && (it.dec == nil || !it.dec.DryRun)
}

// tell tells the metrics and the operator that a run has ended.
func (w *Worker) tell(it *item, end *record.RunEnd) {
	since := time.Duration(0)
	ev := it.event()
	if ev != nil && !ev.Received.IsZero() {
		since = max(w.cfg.Now().Sub(ev.Received), 0)
	}
	w.cfg.Metrics.RunEnded(it.start.Rule, end.Outcome, since)
	// What time decided is no event's outcome: the wait was the rule's wish.
	if it.group.open.Add(-1) == 0 && ev != nil && it.dec.Due.IsZero() {
		w.cfg.Metrics.EventDone(ev.Type, since)
	}
	switch {
	case !it.waits():
	case end.Outcome == record.Failed:
		w.cfg.Metrics.DeadLetter(it.start.Rule)
		w.log.Warn("run failed: dead letter", "run", it.start.Run, "rule", it.start.Rule,
			"device", it.start.Device, "err", end.Error)
	case end.Outcome == record.InDoubt:
		w.log.Error("run in doubt: a person must say", "run", it.start.Run, "rule", it.start.Rule,
			"device", it.start.Device, "err", end.Error)
	}
}

// dropped closes a run that turned out to have ended before.
func (w *Worker) dropped(it *item) {
	w.mu.Lock()
	delete(w.open, it.start.Run)
	if it.waits() {
		w.dead.add(&deadLetter{start: it.start, dec: it.dec, at: it.at, st: it.st, ended: it.st.Last,
			outcome: it.st.Outcome, reason: it.st.Error, when: it.st.Ended})
	}
	w.mu.Unlock()
	<-w.room
	close(it.acked)
}

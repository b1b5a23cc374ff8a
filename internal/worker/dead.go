package worker

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"signalbox/internal/record"
	"signalbox/internal/run"
)

// deadLetter is a run that waits for a person: failed for good, or in doubt.
type deadLetter struct {
	start   *record.RunStart
	dec     *record.Decision // nil: only in the log
	at      record.Position  // of the decision; zero: not known
	st      *run.State       // nil: only in the log
	ended   record.Position  // of the record that left it to a person
	outcome record.Outcome
	reason  string
	when    time.Time

	// asked is a command that is being carried out; askedAt its position.
	asked   *record.Command
	askedAt record.Position

	place *list.Element
}

// deadLetters holds the runs that wait for a person, oldest first: the newest
// whole, older ones by id and reason, and of even older ones the number.
// It is guarded by Worker.mu.
type deadLetters struct {
	byID         map[string]*deadLetter
	order        *list.List
	whole        *list.List // of those that are kept whole; the same order
	details, max int

	failed, doubt, unlisted int
}

func newDeadLetters(details, index int) deadLetters {
	return deadLetters{byID: map[string]*deadLetter{}, order: list.New(), whole: list.New(),
		details: details, max: index}
}

func (ds *deadLetters) get(id string) *deadLetter { return ds.byID[id] }

func (ds *deadLetters) add(d *deadLetter) {
	if ds.byID[d.start.Run] != nil {
		ds.remove(d.start.Run)
	}
	ds.byID[d.start.Run] = d
	d.place = ds.order.PushBack(d)
	if d.st != nil {
		ds.whole.PushBack(d)
	}
	ds.count(d, 1)
	for ds.whole.Len() > ds.details {
		e := ds.whole.Front()
		ds.whole.Remove(e)
		old := e.Value.(*deadLetter)
		old.st, old.dec, old.reason = nil, nil, shortReason(old.reason)
	}
	for len(ds.byID) > ds.max {
		old := ds.order.Front().Value.(*deadLetter)
		ds.order.Remove(old.place)
		delete(ds.byID, old.start.Run)
		ds.unlisted++ // still counted as failed or in doubt
	}
}

func (ds *deadLetters) remove(id string) {
	d := ds.byID[id]
	if d == nil {
		return
	}
	delete(ds.byID, id)
	ds.order.Remove(d.place)
	for e := ds.whole.Front(); e != nil && d.st != nil; e = e.Next() {
		if e.Value == any(d) {
			ds.whole.Remove(e)
			break
		}
	}
	ds.count(d, -1)
}

func (ds *deadLetters) count(d *deadLetter, n int) {
	if d.outcome == record.InDoubt {
		ds.doubt += n
	} else {
		ds.failed += n
	}
}

// shortReason is what is kept of an error where the details are not.
func shortReason(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// command takes a person's word about a run.
func (w *Worker) command(at record.Position, c *record.Command) error {
	if c.Verb != "requeue" && c.Verb != "discard" {
		return nil
	}
	w.mu.Lock()
	it, far := w.open[c.Run], w.far.has(c.Run)
	d := w.dead.get(c.Run)
	w.mu.Unlock()
	if it != nil && it.ending.Load() {
		// Its end is on its way to the log; the person may have seen it there.
		select {
		case <-it.acked:
		case <-w.base.Done():
			return ErrStopped
		}
		w.mu.Lock()
		it, d = w.open[c.Run], w.dead.get(c.Run)
		w.mu.Unlock()
	}
	switch {
	case it != nil || far:
		w.log.Warn("command on a run that is open already; nothing to do", "run", c.Run, "verb", c.Verb, "by", c.By)
		return nil
	case d == nil:
		return w.unlisted(at, c)
	case d.asked != nil || at.Less(d.ended):
		return nil // asked twice, or asked when the run was still open
	}
	d.asked, d.askedAt = c, at
	return w.obey(d)
}

// unlisted finds a run that memory does not know and obeys the command on it.
func (w *Worker) unlisted(at record.Position, c *record.Command) error {
	h, err := w.history(c.Run, record.Position{})
	if err != nil {
		w.log.Warn("command on a run that is not known; nothing to do", "run", c.Run, "verb", c.Verb, "by", c.By, "err", err)
		return nil
	}
	start, st := h.start(c.Run), h.state()
	if start == nil || !st.Waits() || at.Less(st.Last) {
		w.log.Warn("command on a run that waits for nobody; nothing to do", "run", c.Run, "verb", c.Verb, "by", c.By)
		return nil
	}
	d := &deadLetter{start: start, dec: h.Decision, at: h.Decided, st: st, ended: st.Last,
		outcome: st.Outcome, reason: st.Error, when: st.Ended, asked: c, askedAt: at}
	w.mu.Lock()
	w.dead.unlisted = max(w.dead.unlisted-1, 0)
	w.dead.count(d, -1) // add counts it again
	w.dead.add(d)
	w.mu.Unlock()
	return w.obey(d)
}

// obey carries out the command that was asked of a dead letter.
func (w *Worker) obey(d *deadLetter) error {
	// A copy: snapshots and listings may still read the dead letter's.
	st := &run.State{}
	if d.st != nil {
		st = d.st.Clone()
	}
	it := &item{start: d.start, dec: d.dec, at: d.at, order: d.askedAt, st: st, group: told()}
	if d.st == nil {
		it.dec = nil // both are read again
	}
	if d.asked.Verb == "requeue" {
		it.requeue = d.asked
		return w.place(it)
	}
	select {
	case w.room <- struct{}{}:
	case <-w.stop:
		return ErrStopped
	}
	it.acked = make(chan struct{})
	w.mu.Lock()
	w.dead.remove(d.start.Run)
	w.open[d.start.Run] = it
	w.spawn(func() { w.settled(it.acked) })
	w.mu.Unlock()
	w.appendEnd(it, []record.Record{{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{
		Run: d.start.Run, Outcome: record.Discarded, By: d.asked.By, Error: d.asked.Note}}})
	return nil
}

// warmTries is how often a run that a person put back is looked for in a log
// that cannot be read, about 10 s, before the person is told so.
const warmTries = 7

// warm reads a run that memory does not hold again from the log. It keeps
// trying, since a run must not be lost because the log cannot be read just now,
// and holds its device's turn meanwhile. It gives up with errStopped when the
// worker is stopped, and with what a person should know where trying on is of
// no use.
func (w *Worker) warm(it *item) error {
	wait := againFirst
	for try := 1; ; try++ {
		h, err := w.history(it.start.Run, it.at)
		switch {
		case err == nil:
			w.mu.Lock()
			it.mu.Lock()
			it.dec, it.st, it.at = h.Decision, h.state(), h.Decided
			if s := h.start(it.start.Run); s != nil {
				it.start = s
			}
			it.mu.Unlock()
			w.mu.Unlock()
			it.rule = w.ruleOf(it)
			return nil
		case errors.Is(err, ErrUnknownRun):
			return errors.New("what this run is about has left the log by age or size, so it cannot be done any more: discard it")
		case it.requeue != nil && try == warmTries:
			return fmt.Errorf("it could not be put back, %w; requeue it when the log can be read", err)
		}
		w.log.Error("run cannot be read from the log; trying again", "run", it.start.Run, "err", err, "wait", wait)
		if !w.sleep(w.base, w.cfg.Now().Add(wait)) {
			return errStopped
		}
		wait = min(2*wait, againMost)
	}
}

// history asks the archive.
func (w *Worker) history(id string, decided record.Position) (*History, error) {
	if w.cfg.Archive == nil {
		return nil, fmt.Errorf("run %s, and there is no archive to read it from: %w", id, ErrUnknownRun)
	}
	h, err := w.cfg.Archive.Run(w.base, id, decided)
	if err != nil {
		return nil, fmt.Errorf("read run %s from the log: %w", id, err)
	}
	if h == nil || h.Decision == nil {
		return nil, fmt.Errorf("read run %s from the log: %w", id, ErrUnknownRun)
	}
	return h, nil
}

// ErrUnknownRun says that there is no such run, or that it has left the log.
var ErrUnknownRun = errors.New("no such run")

// nth finds a run among those of a decision; -1 for none.
func nth(d *record.Decision, id string) int {
	return slices.IndexFunc(d.Runs, func(s record.RunStart) bool { return s.Run == id })
}

// start finds the run's own start in its decision.
func (h *History) start(id string) *record.RunStart {
	if i := nth(h.Decision, id); i >= 0 {
		return &h.Decision.Runs[i]
	}
	return nil
}

// state folds the journal.
func (h *History) state() *run.State {
	st := &run.State{}
	for i := range h.Journal {
		e := &h.Journal[i]
		st.Apply(e.At, e.Time, &e.Record)
	}
	return st
}

// Find gives one run with all its attempts, from memory or else from the log.
func (w *Worker) Find(ctx context.Context, id string) (RunView, error) {
	w.mu.Lock()
	it, d, at := w.open[id], w.dead.get(id), record.Position{}
	if d != nil {
		at = d.at
		if d.st != nil {
			v := viewOf(d.start, d.dec, d.at, d.st, true)
			w.mu.Unlock()
			return v, nil
		}
	}
	old := w.recent.find(id)
	if pos, far := w.far.at[id]; far {
		at = pos
	}
	w.mu.Unlock()
	switch {
	case it != nil:
		return it.view(true), nil
	case old != nil:
		return old.view(true), nil
	case w.cfg.Archive == nil:
		return RunView{}, fmt.Errorf("run %s: %w", id, ErrUnknownRun)
	}
	h, err := w.cfg.Archive.Run(ctx, id, at)
	if err != nil {
		return RunView{}, fmt.Errorf("run %s: %w", id, err)
	}
	if h == nil || h.Decision == nil || h.start(id) == nil {
		return RunView{}, fmt.Errorf("run %s: %w", id, ErrUnknownRun)
	}
	return viewOf(h.start(id), h.Decision, h.Decided, h.state(), true), nil
}

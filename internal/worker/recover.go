package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"signalbox/internal/record"
	"signalbox/internal/run"
)

// Start-up has two passes over the log, so that a backlog of any length needs
// little memory:
//
//  1. Recover folds log.decisions and log.journal from the snapshot's position
//     to the end, in order. Of runs that wait on disk it keeps a key and a
//     position each.
//  2. Apply reads log.decisions again from where the oldest of those was
//     decided, and starts the ones that are still open.

// recovery is what the first pass found.
type recovery struct {
	through record.Position // of log.decisions: how far the first pass came
	backlog map[run.Key]*waitingRun
	// asked are commands on runs that memory does not know.
	asked []unknownCommand
}

type unknownCommand struct {
	at record.Position
	c  *record.Command
}

// maxUnknown bounds recovery.asked; a person who asked before that asks again.
const maxUnknown = 1000

func (r *recovery) remember(at record.Position, c *record.Command) {
	if len(r.asked) == maxUnknown {
		r.asked = slices.Delete(r.asked, 0, 1)
	}
	r.asked = append(r.asked, unknownCommand{at, c})
}

func (r *recovery) forget(run string) {
	r.asked = slices.DeleteFunc(r.asked, func(u unknownCommand) bool { return u.c.Run == run })
}

// waitingRun is a decided run that is not open in memory yet.
type waitingRun struct {
	at record.Position
	st *run.State // nil: nothing was done yet
	// dec is kept while there are few, so that a run that turns out to be a
	// dead letter can be shown without reading it again.
	dec *record.Decision
	// like, of a run from a snapshot, is the run's start except for its id.
	like *record.RunStart
}

// Recover takes one batch of the first pass: log.decisions and log.journal in
// order, from after the position that Restore gave (from the log's beginning
// without a snapshot) to its end. It never blocks. Nothing is done yet.
func (w *Worker) Recover(b *record.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live {
		return errors.New("worker: Recover after Resume")
	}
	if b.Holds(record.Decisions) {
		w.recoverDecisions(b)
	}
	for i := range b.Records {
		w.recoverJournal(b.At(i), b.Time, &b.Records[i])
	}
	return nil
}

// recoverDecisions takes what a batch has of log.decisions, once.
func (w *Worker) recoverDecisions(b *record.Batch) {
	if b.Seq <= w.frontier.Seq || b.Seq <= w.recovery.through.Seq || !w.isNew(b) {
		return
	}
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil {
			w.recoverDecision(b.At(i), d)
		}
	}
	// The whole batch, whatever the index.
	w.recovery.through = record.Position{Seq: b.Seq, Index: ^uint32(0)}
	if w.through.Less(b.Through) {
		w.through = b.Through
	}
}

func (w *Worker) recoverDecision(at record.Position, d *record.Decision) {
	cloned := false
	for i := range d.Runs {
		id := d.Runs[i].Run
		key := run.KeyOf(id)
		if w.open[id] != nil || w.dead.get(id) != nil || w.recovery.backlog[key] != nil || w.recent.has(id) {
			continue
		}
		wr := &waitingRun{at: at}
		if len(w.recovery.backlog) < w.cfg.Pending {
			if !cloned {
				d, cloned = record.CloneDecision(d), true
			}
			wr.dec = d
		}
		w.recovery.backlog[key] = wr
	}
	if c := d.Command; c != nil && (c.Verb == "requeue" || c.Verb == "discard") {
		c = record.CloneDecision(d).Command
		// Whether it was carried out, the journal says later.
		if dl := w.dead.get(c.Run); dl != nil && dl.asked == nil && !at.Less(dl.ended) {
			dl.asked, dl.askedAt = c, at
		} else if dl == nil && w.open[c.Run] == nil && w.recovery.backlog[run.KeyOf(c.Run)] == nil {
			w.recovery.remember(at, c)
		}
	}
}

func (w *Worker) recoverJournal(at record.Position, when time.Time, r *record.Record) {
	id := r.RunID()
	if id == "" {
		return
	}
	if w.open[id] != nil || w.dead.get(id) != nil || w.recovery.backlog[run.KeyOf(id)] != nil {
		r = record.CloneJournal(r) // the run's state outlives the batch
	}
	if it := w.open[id]; it != nil {
		it.st.Apply(at, when, r)
		if r.Kind == record.KindRunEnd {
			if r.RunEnd.Outcome == record.Requeued {
				it.requeue = nil
			}
			w.recoverEnd(it)
		}
		return
	}
	if dl := w.dead.get(id); dl != nil {
		w.recoverDead(dl, at, when, r)
		return
	}
	wr := w.recovery.backlog[run.KeyOf(id)]
	if wr == nil {
		// It ended before the snapshot; unless a person put it back since.
		if r.Kind == record.KindRunEnd && r.RunEnd.Outcome == record.Requeued {
			w.open[id] = &item{start: &record.RunStart{Run: id}, order: at, st: &run.State{}, group: told()}
		}
		if r.Kind == record.KindRunEnd {
			w.recovery.forget(id)
		}
		return
	}
	if wr.st == nil {
		wr.st = &run.State{}
	}
	wr.st.Apply(at, when, r)
	if wr.st.Open() {
		return
	}
	delete(w.recovery.backlog, run.KeyOf(id))
	start := &record.RunStart{Run: id}
	if wr.like != nil {
		*start = *wr.like
		start.Run = id
	}
	if wr.dec != nil {
		for i := range wr.dec.Runs {
			if wr.dec.Runs[i].Run == id {
				start = &wr.dec.Runs[i]
			}
		}
	}
	it := &item{start: start, dec: wr.dec, at: wr.at, order: wr.at, st: wr.st}
	w.open[id] = it
	w.recoverEnd(it)
}

// recoverEnd moves a run out of the open ones if it is not open any more.
func (w *Worker) recoverEnd(it *item) {
	if it.st.Open() {
		return
	}
	delete(w.open, it.start.Run)
	if !it.waits() {
		w.recent.add(it)
		return
	}
	w.dead.add(&deadLetter{start: it.start, dec: it.dec, at: it.at, st: it.st, ended: it.st.Last,
		outcome: it.st.Outcome, reason: it.st.Error, when: it.st.Ended})
}

// recoverDead applies what the journal says of a run that waited for a person.
func (w *Worker) recoverDead(dl *deadLetter, at record.Position, when time.Time, r *record.Record) {
	if r.Kind != record.KindRunEnd || !dl.ended.Less(at) {
		return
	}
	it := &item{start: dl.start, dec: dl.dec, at: dl.at, order: at, st: dl.st, group: told()}
	if dl.st == nil {
		it.dec, it.st = nil, &run.State{} // read again when it starts
	}
	w.dead.remove(dl.start.Run)
	if r.RunEnd.Outcome == record.Requeued {
		it.st.Apply(at, when, r)
		w.open[dl.start.Run] = it
		return
	}
	it.st.Apply(at, when, r)
	w.recoverEnd(it)
}

// Resume ends the first pass and starts the runs that memory holds. It gives
// the position from which Apply must read log.decisions: after batch Seq, where
// Index is of no meaning.
func (w *Worker) Resume() (record.Position, error) {
	w.mu.Lock()
	from := w.recovery.through.Seq
	if from == 0 {
		from = w.frontier.Seq
	}
	for _, wr := range w.recovery.backlog {
		wr.dec = nil
		from = min(from, wr.at.Seq-1)
	}
	at := record.Position{Seq: from}
	w.frontier = at
	// Apply reads the stretch again.
	w.through = record.Position{}
	var items []*item
	for _, it := range w.open {
		items = append(items, it)
	}
	clear(w.open)
	var asked []*deadLetter
	for e := w.dead.order.Front(); e != nil; e = e.Next() {
		if dl := e.Value.(*deadLetter); dl.asked != nil {
			asked = append(asked, dl)
		}
	}
	w.mu.Unlock()
	slices.SortFunc(items, func(a, b *item) int {
		if a.order.Less(b.order) {
			return -1
		}
		if b.order.Less(a.order) {
			return 1
		}
		return a.nth - b.nth
	})
	regroup(items)
	for _, it := range items {
		// They fitted before; with a smaller bound now, some wait here until
		// others have ended.
		if err := w.place(it); err != nil {
			return at, err
		}
	}
	for _, dl := range asked {
		if err := w.obey(dl); err != nil {
			return at, err
		}
	}
	for _, u := range w.recovery.asked {
		if err := w.unlisted(u.at, u.c); err != nil {
			return at, err
		}
	}
	w.recovery.asked = nil
	w.mu.Lock()
	w.live = true // from here on a snapshot holds all that is open
	w.mu.Unlock()
	return at, nil
}

// regroup gives those of the runs that one decision started a common group, so
// that its event is told as done once, when the last of them has ended.
func regroup(items []*item) {
	groups := map[record.Position]*group{}
	for _, it := range items {
		if it.group != nil || it.at.IsZero() {
			continue
		}
		if it.st.Gen > 0 || it.requeue != nil {
			it.group = told()
			continue
		}
		if groups[it.at] == nil {
			groups[it.at] = &group{}
		}
		it.group = groups[it.at]
		it.group.open.Add(1)
	}
}

// fromBacklog says whether a run that was decided before the start is still
// open, and gives it what its journal says.
func (w *Worker) fromBacklog(it *item) bool {
	key := run.KeyOf(it.start.Run)
	w.mu.Lock()
	defer w.mu.Unlock()
	wr := w.recovery.backlog[key]
	if wr == nil || wr.at != it.at {
		return false
	}
	if wr.st != nil {
		it.st = wr.st
	}
	// If we stop in the middle of the batch nothing is lost: there is no
	// snapshot until the backlog is read.
	delete(w.recovery.backlog, key)
	return true
}

// snapshot is what is written of the worker's state.
type snapshot struct {
	Version int             `json:"version"`
	Through record.Position `json:"through"`
	Open    []savedRun      `json:"open"`
	Dead    []savedRun      `json:"dead"`
	// Far are the runs that were in memory by name only. They are as good as
	// decided after the snapshot: Apply reads their decisions again.
	Far  []savedFar `json:"far,omitempty"`
	Gone [3]int     `json:"counts"` // failed, in doubt, unlisted
}

// savedRun is one run in a snapshot. Decision is left out where only the log
// has it.
type savedRun struct {
	Start    record.RunStart  `json:"start"`
	At       record.Position  `json:"at"`
	Order    record.Position  `json:"order,omitzero"`
	Nth      int              `json:"nth,omitempty"`
	Decision *record.Decision `json:"decision,omitempty"`
	State    *run.State       `json:"state,omitempty"`
	Requeue  *record.Command  `json:"requeue,omitempty"`
	Asked    *record.Command  `json:"asked,omitempty"`
	AskedAt  record.Position  `json:"asked_at,omitzero"`
	Ended    record.Position  `json:"ended,omitzero"`
	Outcome  record.Outcome   `json:"outcome,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	When     time.Time        `json:"when,omitzero"`
}

// savedFar are runs of one rule on one device, in order.
type savedFar struct {
	Start record.RunStart   `json:"start"` // without Run
	Runs  []string          `json:"runs"`
	At    []record.Position `json:"at"`
}

const snapshotVersion = 1

// Snapshot gives the worker's state and the position after which the log must
// be read to bring it up to date. It is nil while the backlog of the last start
// is being read: the older snapshot is still the right one then.
func (w *Worker) Snapshot() (record.Position, []byte) {
	w.mu.Lock()
	if !w.live || w.frontier.Seq < w.recovery.through.Seq {
		w.mu.Unlock()
		return record.Position{}, nil
	}
	pos := w.frontier
	s := snapshot{Version: snapshotVersion, Through: w.through,
		Gone: [3]int{w.dead.failed, w.dead.doubt, w.dead.unlisted}}
	for _, it := range w.open {
		s.Open = append(s.Open, it.save())
	}
	for _, l := range w.lanes {
		s.far(l)
	}
	for e := w.dead.order.Front(); e != nil; e = e.Next() {
		dl := e.Value.(*deadLetter)
		sr := savedRun{Start: *dl.start, At: dl.at, Asked: dl.asked, AskedAt: dl.askedAt,
			Ended: dl.ended, Outcome: dl.outcome, Reason: dl.reason, When: dl.when}
		if dl.st != nil {
			sr.Decision, sr.State = alone(dl.dec, dl.start), dl.st
		}
		s.Dead = append(s.Dead, sr)
	}
	w.mu.Unlock()
	data, err := json.Marshal(&s)
	if err != nil {
		w.log.Error("snapshot cannot be made", "err", err)
		return record.Position{}, nil
	}
	return pos, data
}

// far adds what a lane has by name only.
func (s *snapshot) far(l *lane) {
	var last *farKind
	for i := range l.far {
		f := &l.far[i]
		if f.it != nil {
			s.Open = append(s.Open, f.it.save())
			continue
		}
		if last != f.kind {
			last = f.kind
			s.Far = append(s.Far, savedFar{Start: record.RunStart{Rule: last.Rule, RuleVersion: last.Version,
				Device: l.key, Partition: run.Partition(l.key)}})
		}
		to := &s.Far[len(s.Far)-1]
		to.Runs, to.At = append(to.Runs, f.id), append(to.At, f.at)
	}
}

// Restore takes a snapshot. It gives back the position after which Recover must
// read. A snapshot that cannot be read is an error that costs only time: go on
// without it, from the beginning of the log.
func (w *Worker) Restore(pos record.Position, data []byte) error {
	var s snapshot
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("worker: snapshot: %w", err)
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("worker: snapshot: version %d, this binary reads %d", s.Version, snapshotVersion)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frontier, w.through = pos, s.Through
	for i := range s.Open {
		r := &s.Open[i]
		it := &item{start: &r.Start, dec: r.Decision, at: r.At, order: r.Order, nth: r.Nth, st: r.State, requeue: r.Requeue}
		if it.st == nil {
			it.st = &run.State{}
		}
		w.open[r.Start.Run] = it
	}
	for i := range s.Far {
		f := &s.Far[i]
		if len(f.Runs) != len(f.At) {
			return errors.New("worker: snapshot: runs and positions differ in number")
		}
		for j, id := range f.Runs {
			w.recovery.backlog[run.KeyOf(id)] = &waitingRun{at: f.At[j], like: &f.Start}
		}
		w.recovery.through = record.Position{Seq: pos.Seq, Index: ^uint32(0)}
	}
	for i := range s.Dead {
		r := &s.Dead[i]
		w.dead.add(&deadLetter{start: &r.Start, dec: r.Decision, at: r.At, st: r.State, asked: r.Asked,
			askedAt: r.AskedAt, ended: r.Ended, outcome: r.Outcome, reason: r.Reason, when: r.When})
	}
	w.dead.failed, w.dead.doubt, w.dead.unlisted = s.Gone[0], s.Gone[1], s.Gone[2]
	return nil
}

// Package ledger keeps the books of the log: how many events came in from each
// source, what was decided about them, and what became of the runs. Books
// counts as it goes; Audit checks every link and remembers enough to name what
// is wrong. Both are folds over batches, and pure.
package ledger

import (
	"encoding/json"
	"strings"
	"time"

	"signalbox/internal/record"
)

// Books are running totals of the log. The zero value is empty books. Not safe
// for many goroutines at once.
type Books struct {
	Since   time.Time       `json:"since"`   // log time of the first batch counted
	Through record.Position `json:"through"` // the last batch counted

	Sources map[string]*SourceBooks `json:"sources"`
	Logged  uint64                  `json:"logged"`
	Reject  uint64                  `json:"rejected"`

	Decided    uint64 `json:"decided"`
	Duplicate  uint64 `json:"duplicate"`
	Suppressed uint64 `json:"suppressed"`
	Unmatched  uint64 `json:"unmatched"`

	// Timed counts what time decided: windows that ended, absences, groups.
	// It is no event's outcome.
	Timed uint64 `json:"timed"`

	Runs RunBooks `json:"runs"`
	// Left is how many batches retention took, as the log tells.
	Left uint64 `json:"left_by_retention"`
	// Partial says that the counting began after the log's beginning, because
	// retention had taken that: then what is decided may be about events that
	// were not counted.
	Partial bool `json:"partial"`
}

// SourceBooks are the totals of one source.
type SourceBooks struct {
	Logged   uint64 `json:"logged"`
	Rejected uint64 `json:"rejected"`
}

// RunBooks are the totals of runs. Open runs are those started (or requeued)
// and not ended; failed ones and those in doubt wait for a person.
type RunBooks struct {
	Started   uint64 `json:"started"`
	Succeeded uint64 `json:"succeeded"`
	Failed    uint64 `json:"failed"`
	InDoubt   uint64 `json:"in_doubt"`
	Discarded uint64 `json:"discarded"`
	Refused   uint64 `json:"refused"`
	Requeued  uint64 `json:"requeued"`
}

// Open is how many runs are neither ended nor waiting for a person. A requeued
// run is open again; a discarded one had failed or was in doubt before.
func (r RunBooks) Open() int64 {
	return int64(r.Started) + int64(r.Requeued) -
		int64(r.Succeeded) - int64(r.Failed) - int64(r.InDoubt) - int64(r.Refused)
}

// Undecided is how many logged events the engine has not come to yet.
func (b *Books) Undecided() int64 {
	return int64(b.Logged) - int64(b.Decided) - int64(b.Duplicate) - int64(b.Suppressed) - int64(b.Unmatched)
}

// Apply counts a batch. Batches must come in order; one that was counted
// already is passed over.
func (b *Books) Apply(batch *record.Batch) {
	at := record.Position{Seq: batch.Seq}
	if batch.Seq <= b.Through.Seq {
		return
	}
	if b.Sources == nil {
		b.Sources = map[string]*SourceBooks{}
	}
	if b.Since.IsZero() {
		b.Since = batch.Time
		b.Partial = batch.Seq > 1
	}
	b.Through = at
	b.Unmatched += batch.UnmatchedCount
	for i := range batch.Records {
		b.count(&batch.Records[i])
	}
}

func (b *Books) count(r *record.Record) {
	switch r.Kind {
	case record.KindEvent:
		b.Logged++
		b.source(r.Event.Source).Logged++
	case record.KindRejected:
		b.Reject++
		b.source(r.Rejected.Event.Source).Rejected++
	case record.KindRetention:
		b.Left += r.Retention.LastSeq - r.Retention.FirstSeq + 1
	case record.KindDecision:
		b.decision(r.Decision)
	case record.KindRunEnd:
		b.runEnd(r.RunEnd.Outcome)
	}
}

func (b *Books) decision(d *record.Decision) {
	b.Runs.Started += uint64(len(d.Runs))
	if !d.Due.IsZero() {
		b.Timed++
	}
	if !d.OfEvent() {
		return // no event of its own
	}
	switch d.Verdict {
	case record.Decided:
		b.Decided++
	case record.Duplicate:
		b.Duplicate++
	case record.Suppressed:
		b.Suppressed++
	}
	// Unmatched events are in the batch's count, whether or not one of them
	// has a record.
}

func (b *Books) runEnd(o record.Outcome) {
	switch o {
	case record.Succeeded:
		b.Runs.Succeeded++
	case record.Failed:
		b.Runs.Failed++
	case record.InDoubt:
		b.Runs.InDoubt++
	case record.Discarded:
		b.Runs.Discarded++
	case record.Refused:
		b.Runs.Refused++
	case record.Requeued:
		b.Runs.Requeued++
	}
}

func (b *Books) source(name string) *SourceBooks {
	s := b.Sources[name]
	if s == nil {
		s = &SourceBooks{}
		b.Sources[strings.Clone(name)] = s // the name lies in a batch
	}
	return s
}

// Clone is a copy that shares nothing.
func (b *Books) Clone() *Books {
	c := *b
	c.Sources = make(map[string]*SourceBooks, len(b.Sources))
	for k, v := range b.Sources {
		s := *v
		c.Sources[k] = &s
	}
	return &c
}

// Marshal and Restore are the snapshot of books.
func (b *Books) Marshal() ([]byte, error) { return json.Marshal(b) }

// Restore reads what Marshal wrote.
func Restore(data []byte) (*Books, error) {
	b := &Books{}
	if err := json.Unmarshal(data, b); err != nil {
		return nil, err
	}
	return b, nil
}

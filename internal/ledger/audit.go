package ledger

import (
	"fmt"
	"hash/maphash"

	"signalbox/event"
	"signalbox/internal/record"
)

// Audit reads the whole log and checks that every event was decided exactly
// once, every run that was ordered exists exactly once, and no step that is
// known to be done was done again. (That no batch is missing, torn or out of
// order is checked by the reader of the log itself.) Its memory grows with the
// runs, about 100 bytes each. Not safe for many goroutines at once.
type Audit struct {
	Books    Books
	Problems []string // at most MaxProblems; More counts the rest
	More     int

	pending []record.Position
	through record.Position
	started bool
	first   uint64 // sequence of the first batch
	seed    maphash.Seed
	events  map[uint64]struct{}
	runs    map[uint64]*runAudit
}

// MaxProblems bounds what an audit lists.
const MaxProblems = 100

type runAudit struct {
	ended bool
	done  map[string]bool // steps known to be done
}

// NewAudit returns an audit with empty books.
func NewAudit() *Audit {
	return &Audit{seed: maphash.MakeSeed(), events: map[uint64]struct{}{}, runs: map[uint64]*runAudit{}}
}

// Apply checks one batch. Batches must come in order, from the log's first.
func (a *Audit) Apply(b *record.Batch) {
	if a.first == 0 {
		a.first = b.Seq
	}
	a.Books.Apply(b)
	if b.Subject == record.Decisions {
		a.stretch(b)
	}
	for i := range b.Records {
		a.record(b, i)
	}
}

func (a *Audit) record(b *record.Batch, i int) {
	switch r := &b.Records[i]; r.Kind {
	case record.KindEvent:
		a.pending = append(a.pending, b.At(i))
		a.unique(r.Event.ID, b.At(i))
	case record.KindRejected:
		a.unique(r.Rejected.Event.ID, b.At(i))
	case record.KindDecision:
		for _, run := range r.Decision.Runs {
			if _, twice := a.runs[a.hash(run.Run)]; twice {
				a.problem("run %s was started twice, the second time at %s", run.Run, b.At(i))
				continue
			}
			a.runs[a.hash(run.Run)] = &runAudit{}
		}
	case record.KindStepBegin:
		a.begin(r.Begin, b.At(i))
	case record.KindStepEnd:
		a.end(r.End, b.At(i))
	case record.KindRunEnd:
		a.runEnd(r.RunEnd, b.At(i))
	}
}

// stretch checks that a decision batch begins where the one before ended and
// that it counts the events of its stretch.
func (a *Audit) stretch(b *record.Batch) {
	if !a.started {
		a.started = true
		if !b.From.IsZero() { // retention took what was before
			a.through = b.From
			a.drop(b.From)
		}
	}
	if b.From != a.through {
		a.problem("the decisions at %d begin after %s, and those before ended at %s", b.Seq, b.From, a.through)
	}
	if b.Through.Less(b.From) {
		a.problem("the decisions at %d end at %s, before they begin at %s", b.Seq, b.Through, b.From)
	}
	n := a.drop(b.Through)
	// Of a stretch that begins before the log does, some events have left.
	if n != b.EventCount && b.From.Seq+1 >= a.first {
		a.problem("the decisions at %d say that %d events lie between %s and %s; there are %d", b.Seq, b.EventCount, b.From, b.Through, n)
	}
	var verdicts uint64
	last, own := b.From, true // the record at last has a decision of its own
	for i := range b.Records {
		d := b.Records[i].Decision
		if d == nil {
			continue
		}
		// What time decided stands beside what its record is about: several may
		// have been due, and a record that only brings time has no other.
		timed := !d.Due.IsZero()
		if inOrder := last.Less(d.At) || last == d.At && d.At != b.From && (timed || !own); !inOrder || b.Through.Less(d.At) && !(timed && b.From == b.Through) {
			a.problem("decision %s is about %s, outside its stretch or decided before", b.At(i), d.At)
		}
		own = !timed || own && last == d.At
		last = d.At
		if d.OfEvent() && d.Verdict != record.Unmatched {
			verdicts++
		}
	}
	if verdicts+b.UnmatchedCount != b.EventCount {
		a.problem("the decisions at %d have %d verdicts and %d unmatched for %d events", b.Seq, verdicts, b.UnmatchedCount, b.EventCount)
	}
	a.through = b.Through
}

// drop forgets the undecided events up to p and says how many they were.
func (a *Audit) drop(p record.Position) uint64 {
	n := 0
	for n < len(a.pending) && !p.Less(a.pending[n]) {
		n++
	}
	a.pending = a.pending[n:]
	return uint64(n)
}

func (a *Audit) begin(s *record.StepBegin, at record.Position) {
	r := a.run(s.Run, at)
	if r == nil {
		return
	}
	if r.ended {
		a.problem("step %s of run %s began at %s, after the run's end", s.Step, s.Run, at)
	}
	if r.done[s.Step] {
		a.problem("step %s of run %s was done again at %s", s.Step, s.Run, at)
	}
}

func (a *Audit) end(s *record.StepEnd, at record.Position) {
	r := a.run(s.Run, at)
	if r == nil || !s.OK {
		return
	}
	if r.done == nil {
		r.done = map[string]bool{}
	}
	r.done[s.Step] = true
}

func (a *Audit) runEnd(e *record.RunEnd, at record.Position) {
	r := a.run(e.Run, at)
	if r == nil {
		return
	}
	switch e.Outcome {
	case record.Requeued:
		r.ended = false
		return
	case record.Discarded: // closes what had ended in failure or doubt
	default:
		if r.ended {
			a.problem("run %s ended twice, the second time at %s", e.Run, at)
		}
	}
	r.ended = true
	if e.Outcome == record.Succeeded {
		r.done = nil
	}
}

func (a *Audit) run(id string, at record.Position) *runAudit {
	r := a.runs[a.hash(id)]
	if r == nil && !a.Books.Partial && a.started {
		a.problem("the journal at %s speaks of run %s, which nothing ordered", at, id)
	}
	return r
}

func (a *Audit) unique(id event.ID, at record.Position) {
	h := a.hash(string(id))
	if _, twice := a.events[h]; twice {
		a.problem("event %s is in the log twice, the second time at %s", id, at)
	}
	a.events[h] = struct{}{}
}

func (a *Audit) hash(s string) uint64 { return maphash.String(a.seed, s) }

func (a *Audit) problem(format string, args ...any) {
	if len(a.Problems) == MaxProblems {
		a.More++
		return
	}
	a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
}

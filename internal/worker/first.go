package worker

import (
	"time"

	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// firstMost bounds the steps that begin with one batch of decisions.
const firstMost = 256

// First gives the beginnings of steps that may be written with the decisions that
// order their runs, so that nothing need be written between a decision and its
// action: b is about to be appended, and takes them behind its decisions. Apply
// finds them there.
//
// They are the first steps of runs that can begin at once, as far as can be known
// before: the device has no other run, and the step has no condition, no loop, and
// may be repeated. So nothing is lost where it does not begin after all, because a
// crash or a stop comes first: it is repeated, as any step of its kind whose end
// is not known. Safe to be called beside all others.
func (w *Worker) First(b *record.Batch) []record.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.live || w.stopping() || len(w.recovery.backlog) > 0 || len(w.far.at) > 0 {
		return nil
	}
	var out []record.Record
	room := min(cap(w.room)-len(w.room), cap(w.slots)-len(w.slots), firstMost)
	devices := map[string]bool{}
	for i := range b.Records {
		d := b.Records[i].Decision
		if d == nil {
			continue
		}
		for k := range d.Runs {
			start := &d.Runs[k]
			r, ok := w.cfg.Rules.Rule(start.Rule, start.RuleVersion)
			if !ok || len(out) >= room {
				continue
			}
			alone := start.Device == "" || r.Lock == "none"
			if !alone && (devices[start.Device] || w.lanes[start.Device] != nil) {
				continue
			}
			devices[start.Device] = true
			if s := w.firstStep(r, start.Branch); s != nil {
				out = append(out, record.Record{Kind: record.KindStepBegin, Begin: &record.StepBegin{
					Run: start.Run, Step: s.Path, Attempt: 1, Action: s.Action, Idempotent: true}})
			}
		}
	}
	return out
}

// firstStep is the first step of a branch if it may begin with the decision.
func (w *Worker) firstStep(r *rule.Rule, branch string) *rule.Step {
	steps := r.Steps(branch)
	if len(steps) == 0 {
		return nil
	}
	s := steps[0]
	if s.Action == "" || s.When != nil || s.Loop != nil || len(s.Parallel) > 0 || len(s.Block) > 0 {
		return nil
	}
	if s.Idempotent != nil && !*s.Idempotent || s.Idempotent == nil && !w.repeatable[s.Action] {
		return nil
	}
	return s
}

// begun finds the beginnings that came with a batch of decisions, by run.
func begun(b *record.Batch) map[string]*record.Record {
	var out map[string]*record.Record
	for i := range b.Records {
		if r := &b.Records[i]; r.Kind == record.KindStepBegin {
			if out == nil {
				out = map[string]*record.Record{}
			}
			out[r.Begin.Run] = r
		}
	}
	return out
}

// begin notes that the run's first attempt is in the log already.
func (it *item) begin(r *record.Record, now time.Time) {
	r = record.CloneJournal(r)
	it.st.Apply(record.Position{}, now, r)
	it.ready = r.Begin
}

// taken gives the beginning that came with the decision, once.
func (t *thread) taken(path string) *record.StepBegin {
	it := t.x.it
	b := it.ready
	if b == nil || b.Step != path {
		return nil
	}
	it.ready = nil
	return b
}

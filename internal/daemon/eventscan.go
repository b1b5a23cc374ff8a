package daemon

import (
	"context"
	"errors"
	"slices"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// scan puts events and decisions together; the order is that of the log. An
// event waits until it is decided, which in a burst may be a million events
// later. So all that is kept of it, and of its decision, is where they stand:
// they are read again when they are given.
type scan struct {
	q       api.EventQuery
	f       *filter
	fetch   func(seq uint64) (*record.Batch, error)
	yield   func(*api.Entry) error // nil: keep the newest q.Limit
	waiting []waiting
	open    int // events in waiting
	kept    []fit
	given   int // how many fit so far

	// Batches that were read last: mostly an event is decided soon.
	near    map[uint64]*record.Batch
	order   []uint64 // of near, the oldest first
	records int      // in near
	room    int      // for records in near; one batch may have more
}

const nearRecords = 4096

// waiting are the events of one batch that fit and are not decided yet.
type waiting struct {
	seq uint64
	at  []uint32 // their places in the batch
}

// fit is an event that fits.
type fit struct {
	at     record.Position
	status string
	by     record.Position // of the decision; zero: none says more than the status
}

func (h history) scan(ctx context.Context, q api.EventQuery) *scan {
	return &scan{q: q, f: newFilter(q), near: map[uint64]*record.Batch{}, room: nearRecords,
		fetch: func(seq uint64) (*record.Batch, error) { return h.log.Get(ctx, seq) }}
}

func (s *scan) apply(b *record.Batch) error {
	if err := s.decisions(b); err != nil { // about what came before this batch
		return err
	}
	if !s.q.Until.IsZero() && b.Time.After(s.q.Until) {
		if s.open == 0 && !s.q.Follow {
			return eventlog.ErrStop
		}
		return nil
	}
	for i := range b.Records {
		if ev, ok := eventOf(&b.Records[i]); ok && s.f.event(ev) {
			if err := s.event(b, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// only is apply for one event: the others need not wait for their decisions.
func (s *scan) only(b *record.Batch, id event.ID) error {
	if err := s.decisions(b); err != nil {
		return err
	}
	for i := range b.Records {
		if ev, ok := eventOf(&b.Records[i]); ok && ev.ID == id {
			return s.event(b, i)
		}
	}
	return nil
}

// event takes an event that fits but for its status.
func (s *scan) event(b *record.Batch, i int) error {
	if b.Records[i].Kind == record.KindRejected {
		if s.q.Status != "" && s.q.Status != "rejected" {
			return nil
		}
		s.remember(b)
		return s.give(fit{at: b.At(i), status: "rejected"})
	}
	if s.q.Status == "rejected" {
		return nil
	}
	s.remember(b)
	if n := len(s.waiting); n == 0 || s.waiting[n-1].seq != b.Seq {
		s.waiting = append(s.waiting, waiting{seq: b.Seq})
	}
	w := &s.waiting[len(s.waiting)-1]
	w.at = append(w.at, uint32(i))
	s.open++
	return nil
}

// decisions ends the wait of what a batch decides about.
func (s *scan) decisions(b *record.Batch) error {
	if s.open == 0 || !b.Holds(record.Decisions) {
		return nil
	}
	if b.Through.Less(record.Position{Seq: s.waiting[0].seq, Index: s.waiting[0].at[0]}) {
		return nil
	}
	by := map[record.Position]int{}
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil && d.OfEvent() {
			by[d.At] = i
		}
	}
	s.remember(b)
	return s.end(b.Through, func(at record.Position) fit {
		i, ok := by[at]
		if !ok {
			return fit{at: at, status: statusOf(nil)}
		}
		return fit{at, statusOf(b.Records[i].Decision), b.At(i)}
	})
}

// end gives what waits up to a position, where its status is what is asked for.
func (s *scan) end(through record.Position, of func(record.Position) fit) error {
	for len(s.waiting) > 0 {
		w := &s.waiting[0]
		for len(w.at) > 0 {
			at := record.Position{Seq: w.seq, Index: w.at[0]}
			if through.Less(at) {
				return nil
			}
			w.at = w.at[1:]
			s.open--
			if x := of(at); s.q.Status == "" || s.q.Status == x.status {
				if err := s.give(x); err != nil {
					return err
				}
			}
		}
		s.waiting = s.waiting[1:]
	}
	return nil
}

// give hands on what fits, or keeps it while it may be among the newest.
func (s *scan) give(x fit) error {
	s.given++
	if s.yield != nil {
		return s.tell(x, s.yield)
	}
	s.kept = append(s.kept, x)
	if len(s.kept) >= 2*s.q.Limit+64 {
		s.kept = slices.Clone(s.kept[len(s.kept)-s.q.Limit:])
	}
	return nil
}

// enough says whether those that are asked for were found. What is not decided
// yet counts where it fits whatever becomes of it.
func (s *scan) enough() bool { return s.given+s.openFit() >= s.q.Limit }

// openFit is how many of those that wait fit as they are.
func (s *scan) openFit() int {
	if s.q.Status == "" || s.q.Status == "pending" {
		return s.open
	}
	return 0
}

// endOfPast gives what was kept, and what is not decided yet; what comes from
// now on is given as it comes.
func (s *scan) endOfPast(yield func(*api.Entry) error) error {
	limit := s.q.Limit
	if s.q.Follow { // they come when they are decided
		limit = max(limit-s.openFit(), 0)
	} else if n := len(s.waiting); n > 0 {
		last := record.Position{Seq: s.waiting[n-1].seq + 1}
		if err := s.end(last, func(at record.Position) fit { return fit{at: at, status: "pending"} }); err != nil {
			return err
		}
	}
	if s.yield != nil {
		return nil
	}
	for _, x := range s.kept[max(len(s.kept)-limit, 0):] {
		if err := s.tell(x, yield); err != nil {
			return err
		}
	}
	s.kept, s.yield = nil, yield
	return nil
}

// tell gives what fits as people see it. What has left the log meanwhile is
// left out.
func (s *scan) tell(x fit, yield func(*api.Entry) error) error {
	b, err := s.batch(x.at.Seq)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r := &b.Records[x.at.Index]
	ev, _ := eventOf(r)
	e := &api.Entry{Position: x.at.String(), LogTime: b.Time, Event: *ev, Status: x.status}
	if r.Kind == record.KindRejected {
		e.Reason = r.Rejected.Reason
	}
	if !x.by.IsZero() {
		b, err := s.batch(x.by.Seq)
		if err != nil {
			return err
		}
		d := b.Records[x.by.Index].Decision
		e.Reason, e.Of = d.Reason, d.Of
		for _, r := range d.Runs {
			e.Runs = append(e.Runs, r.Run)
		}
		for _, n := range d.Notes {
			e.Notes = append(e.Notes, noteOf(&n))
		}
		for _, c := range d.Situations {
			e.Situations = append(e.Situations, api.Change{ID: c.ID, Rule: c.Rule, Change: c.Change, State: c.State})
		}
	}
	return yield(e)
}

// batch gives a batch that has been read before.
func (s *scan) batch(seq uint64) (*record.Batch, error) {
	if b := s.near[seq]; b != nil {
		return b, nil
	}
	b, err := s.fetch(seq)
	if err == nil {
		s.remember(b)
	}
	return b, err
}

func (s *scan) remember(b *record.Batch) {
	if s.near[b.Seq] != nil {
		return
	}
	s.near[b.Seq] = b
	s.order = append(s.order, b.Seq)
	for s.records += len(b.Records); s.records > s.room && len(s.order) > 1; s.order = s.order[1:] {
		s.records -= len(s.near[s.order[0]].Records)
		delete(s.near, s.order[0])
	}
}

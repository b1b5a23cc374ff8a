package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// history reads events with what was decided about them.
type history struct{ log *eventlog.Log }

var both = []record.Subject{record.Events, record.Decisions}

// list gives the events that q asks for: the newest q.Limit of them, oldest
// first, and with q.Follow all that come after.
func (h history) list(ctx context.Context, q api.EventQuery, yield func(*api.Entry) error) error {
	st, err := h.log.State(ctx)
	if err != nil {
		return err
	}
	s, err := h.past(ctx, st, q, yield)
	if err != nil {
		return err
	}
	if err := s.endOfPast(yield); err != nil || !q.Follow {
		return err
	}
	return h.log.Read(ctx, before(st.Last+1), both, s.apply)
}

// firstWindow is how many of the newest batches are searched first.
const firstWindow = 64

// past reads what the log holds. For the newest q.Limit events it reads from a
// little before the end to the end, and from further back as long as those are
// too few: what was decided about an event comes after it, however long after.
func (h history) past(ctx context.Context, st eventlog.State, q api.EventQuery, yield func(*api.Entry) error) (*scan, error) {
	first, last, err := h.bounds(ctx, st, q)
	if err != nil {
		return nil, err
	}
	for window := uint64(firstWindow); ; window *= 4 {
		s := &scan{q: q}
		if first > last {
			return s, nil
		}
		from := first
		if q.Limit == 0 {
			s.yield = yield
		} else if last-first >= window {
			from = last - window + 1
		}
		read := h.log.Range
		if st.Last-from >= firstWindow {
			read = h.log.RangeFast
		}
		if err := read(ctx, before(from), record.Position{Seq: st.Last}, both, s.apply); err != nil {
			return nil, err
		}
		if from == first || s.enough() {
			return s, nil
		}
	}
}

// bounds are the first and the last batch that hold events that may fit.
func (h history) bounds(ctx context.Context, st eventlog.State, q api.EventQuery) (first, last uint64, err error) {
	first, last = st.First, st.Last
	if last < first {
		return 1, 0, nil
	}
	if !q.Since.IsZero() {
		if first, err = h.writtenAt(ctx, st, q.Since); err != nil {
			return 0, 0, err
		}
	}
	if !q.Until.IsZero() {
		next, err := h.writtenAt(ctx, st, q.Until.Add(1))
		if err != nil {
			return 0, 0, err
		}
		last = next - 1
	}
	if q.Status == "pending" { // all that came before the last decision has one
		switch b, err := h.log.Last(ctx, record.Decisions); {
		case err == nil:
			first = max(first, b.Through.Seq)
		case !errors.Is(err, eventlog.ErrNotFound):
			return 0, 0, err
		}
	}
	return first, last, nil
}

// writtenAt is the first batch that was written at t or after; where there is
// none, the next one.
func (h history) writtenAt(ctx context.Context, st eventlog.State, t time.Time) (uint64, error) {
	seq := st.Last + 1
	err := h.log.RangeSince(ctx, t, record.Position{Seq: st.Last}, both, func(b *record.Batch) error {
		seq = b.Seq
		return eventlog.ErrStop
	})
	return seq, err
}

// before is the position after which a batch begins.
func before(seq uint64) record.Position {
	if seq <= 1 {
		return record.Position{}
	}
	return record.Position{Seq: seq - 1, Index: math.MaxUint32}
}

func eventOf(r *record.Record) (*event.Event, bool) {
	switch r.Kind {
	case record.KindEvent:
		return r.Event, true
	case record.KindRejected:
		return &r.Rejected.Event, true
	}
	return nil, false
}

// filter is a query made ready.
type filter struct {
	q      api.EventQuery
	prefix string
	grep   []byte
}

func newFilter(q api.EventQuery) *filter {
	f := &filter{q: q, grep: []byte(q.Grep)}
	if p, ok := strings.CutSuffix(q.Type, "*"); ok {
		f.prefix = p
	}
	return f
}

func (f *filter) event(ev *event.Event) bool {
	q := &f.q
	switch {
	case q.Type != "" && f.prefix == "" && q.Type != "*" && ev.Type != q.Type,
		f.prefix != "" && !strings.HasPrefix(ev.Type, f.prefix),
		q.Device != "" && !strings.EqualFold(ev.Device, q.Device),
		q.Source != "" && ev.Source != q.Source:
		return false
	}
	return len(f.grep) == 0 || bytes.Contains(ev.Raw, f.grep) || bytes.Contains(ev.Data, f.grep)
}

// scan puts events and decisions together. Events wait until they are decided;
// the order is that of the log.
type scan struct {
	q       api.EventQuery
	f       *filter
	yield   func(*api.Entry) error // nil: keep the newest q.Limit
	waiting []*waitingEntry
	kept    []*api.Entry
	given   int // how many fit so far
}

type waitingEntry struct {
	at    record.Position
	entry *api.Entry
}

func (s *scan) apply(b *record.Batch) error {
	if s.f == nil {
		s.f = newFilter(s.q)
	}
	if b.Holds(record.Decisions) { // about what came before this batch
		if err := s.decisions(b); err != nil {
			return err
		}
	}
	if !s.q.Until.IsZero() && b.Time.After(s.q.Until) {
		if len(s.waiting) == 0 && !s.q.Follow {
			return eventlog.ErrStop
		}
		return nil
	}
	return s.events(b)
}

// enough says whether those that are asked for were found. What is not decided
// yet counts where it fits whatever becomes of it.
func (s *scan) enough() bool { return s.given+s.open() >= s.q.Limit }

// open is how many of those that wait fit as they are.
func (s *scan) open() int {
	if s.q.Status == "" || s.q.Status == "pending" {
		return len(s.waiting)
	}
	return 0
}

func (s *scan) decisions(b *record.Batch) error {
	byPos := map[record.Position]*record.Decision{}
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil && d.OfEvent() {
			byPos[d.At] = d
		}
	}
	for len(s.waiting) > 0 && !b.Through.Less(s.waiting[0].at) {
		w := s.waiting[0]
		s.waiting = s.waiting[1:]
		if err := s.decided(w, byPos[w.at]); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) events(b *record.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		ev, ok := eventOf(r)
		if !ok || !s.f.event(ev) {
			continue
		}
		e := &api.Entry{Position: b.At(i).String(), LogTime: b.Time, Event: *ev}
		if r.Kind == record.KindRejected {
			e.Status, e.Reason = "rejected", r.Rejected.Reason
			if s.q.Status == "" || s.q.Status == "rejected" {
				if err := s.give(e); err != nil {
					return err
				}
			}
			continue
		}
		if s.q.Status != "rejected" {
			s.waiting = append(s.waiting, &waitingEntry{at: b.At(i), entry: e})
		}
	}
	return nil
}

func (s *scan) decided(w *waitingEntry, d *record.Decision) error {
	w.entry.Status = statusOf(d)
	if d != nil {
		w.entry.Reason, w.entry.Of = d.Reason, d.Of
		for _, r := range d.Runs {
			w.entry.Runs = append(w.entry.Runs, r.Run)
		}
		for _, n := range d.Notes {
			w.entry.Notes = append(w.entry.Notes, noteOf(&n))
		}
		for _, c := range d.Situations {
			w.entry.Situations = append(w.entry.Situations, api.Change{ID: c.ID, Rule: c.Rule, Change: c.Change, State: c.State})
		}
	}
	if s.q.Status != "" && s.q.Status != w.entry.Status {
		return nil
	}
	return s.give(w.entry)
}

func (s *scan) give(e *api.Entry) error {
	s.given++
	if s.yield != nil {
		return s.yield(e)
	}
	s.kept = append(s.kept, e)
	if len(s.kept) >= 2*s.q.Limit+64 {
		s.kept = append(s.kept[:0:0], s.kept[len(s.kept)-s.q.Limit:]...)
	}
	return nil
}

// endOfPast gives what was kept, and what is not decided yet; what comes from
// now on is given as it comes.
func (s *scan) endOfPast(yield func(*api.Entry) error) error {
	limit := s.q.Limit
	if s.q.Follow { // they come when they are decided
		limit = max(limit-s.open(), 0)
	} else {
		for _, w := range s.waiting {
			w.entry.Status = "pending"
			if s.q.Status == "" || s.q.Status == "pending" {
				if err := s.give(w.entry); err != nil {
					return err
				}
			}
		}
		s.waiting = nil
	}
	if s.yield != nil {
		return nil
	}
	if len(s.kept) > limit {
		s.kept = s.kept[len(s.kept)-limit:]
	}
	for _, e := range s.kept {
		if err := yield(e); err != nil {
			return err
		}
	}
	s.kept, s.yield = nil, yield
	return nil
}

// find gives one event. Its id is a UUIDv7, which tells when it came.
func (h history) find(ctx context.Context, id event.ID) (*api.Entry, error) {
	u, err := uuid.Parse(string(id))
	if err != nil || u.Version() != 7 {
		return nil, fmt.Errorf("%w: %q is no id of an event", api.ErrInvalid, id)
	}
	sec, nsec := u.Time().UnixTime()
	came := time.Unix(sec, nsec)
	st, err := h.log.State(ctx)
	if err != nil {
		return nil, err
	}
	var found *api.Entry
	s := &scan{}
	s.yield = func(e *api.Entry) error {
		if e.Event.ID == id {
			found = e
			return errFound
		}
		return nil
	}
	// Clocks may be set while an event is on its way into the log: a minute is
	// allowed, and where that was not enough the whole log is read.
	for _, from := range []time.Time{came.Add(-time.Minute), {}} {
		s.waiting = nil
		err = h.log.RangeSince(ctx, from, record.Position{Seq: st.Last}, both, func(b *record.Batch) error { return s.only(b, id) })
		if err == nil {
			err = s.endOfPast(s.yield)
		}
		if found != nil {
			return found, h.later(ctx, found)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("event %s: %w", id, api.ErrNotFound)
}

// only is apply for one event: the others need not wait for their decisions.
func (s *scan) only(b *record.Batch, id event.ID) error {
	if s.f == nil {
		s.f = newFilter(s.q)
	}
	if b.Holds(record.Decisions) {
		if err := s.decisions(b); err != nil {
			return err
		}
	}
	for i := range b.Records {
		if ev, ok := eventOf(&b.Records[i]); ok && ev.ID == id {
			one := *b
			one.Records = b.Records[:i+1]
			before := len(s.waiting)
			if err := s.events(&one); err != nil {
				return err
			}
			if n := len(s.waiting); n > before {
				s.waiting = s.waiting[n-1:]
			}
		}
	}
	return nil
}

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
	begin := st.First
	if q.Limit > 0 && q.Since.IsZero() {
		if begin, err = h.begin(ctx, st, q); err != nil {
			return err
		}
	}
	s := &scan{q: q, end: st.Last}
	if q.Limit == 0 {
		s.yield = yield
	}
	fn := func(b *record.Batch) error {
		if err := s.apply(b); err != nil {
			return err
		}
		if b.Seq >= s.end && !s.live {
			return s.endOfPast(yield)
		}
		return nil
	}
	read := func(ctx context.Context, fn func(*record.Batch) error) error {
		if !q.Since.IsZero() {
			return h.log.ReadSince(ctx, q.Since, both, fn)
		}
		return h.log.Read(ctx, before(begin), both, fn)
	}
	switch {
	case q.Follow && s.end < st.First: // an empty log
		if err := s.endOfPast(yield); err != nil {
			return err
		}
		return read(ctx, fn)
	case q.Follow:
		return h.follow(ctx, s, read, fn, yield)
	case s.end < st.First:
		return nil
	}
	until := record.Position{Seq: s.end}
	if q.Since.IsZero() {
		err = h.log.Range(ctx, before(begin), until, both, fn)
	} else {
		err = h.log.RangeSince(ctx, q.Since, until, both, fn)
	}
	if err != nil && !errors.Is(err, eventlog.ErrStop) {
		return err
	}
	return s.endOfPast(yield)
}

// follow reads on for ever. Where the past ends with batches of a subject that
// is not read, a nudge ends it.
func (h history) follow(ctx context.Context, s *scan, read func(context.Context, func(*record.Batch) error) error, fn func(*record.Batch) error, yield func(*api.Entry) error) error {
	last := uint64(0)
	err := h.log.ReadBackwards(ctx, s.end+1, both, func(b *record.Batch) error {
		last = b.Seq
		return eventlog.ErrStop
	})
	if err != nil {
		return err
	}
	if s.end = last; last == 0 {
		if err := s.endOfPast(yield); err != nil {
			return err
		}
	}
	return read(ctx, fn)
}

// begin finds where to begin so that the newest q.Limit entries that fit come
// after it.
func (h history) begin(ctx context.Context, st eventlog.State, q api.EventQuery) (uint64, error) {
	n, at := 0, st.First
	f := newFilter(q)
	status := q.Status != "" && q.Status != "rejected"
	err := h.log.ReadBackwards(ctx, 0, both, func(b *record.Batch) error {
		at = b.Seq
		for i := range b.Records {
			ev, ok := eventOf(&b.Records[i])
			switch {
			case status && b.Records[i].Decision != nil:
				if d := b.Records[i].Decision; d.OfEvent() && d.Verdict != record.Unmatched && statusOf(d) == q.Status {
					n++
				}
			case !status && ok && f.event(ev):
				if q.Status == "" || b.Records[i].Kind == record.KindRejected {
					n++
				}
			}
		}
		if status && q.Status == "unmatched" {
			n += int(b.UnmatchedCount)
		}
		// With a status the decision comes after its event: some more are read
		// so that the events are among them.
		if n >= q.Limit && !status {
			return eventlog.ErrStop
		}
		if n >= 2*q.Limit+100 && b.Holds(record.Events) {
			return eventlog.ErrStop
		}
		return nil
	})
	return at, err
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
	end     uint64 // of the past
	live    bool
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
		return nil
	}
	return s.events(b)
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
	if s.live {
		return nil
	}
	if !s.q.Follow {
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
	s.live = true
	if s.yield != nil {
		return nil
	}
	if len(s.kept) > s.q.Limit {
		s.kept = s.kept[len(s.kept)-s.q.Limit:]
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
	s := &scan{end: st.Last}
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
		s.live = false
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

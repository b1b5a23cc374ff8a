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
		s := h.scan(ctx, q)
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
	s := h.scan(ctx, api.EventQuery{})
	s.yield = func(e *api.Entry) error {
		found = e
		return errFound
	}
	// Clocks may be set while an event is on its way into the log: a minute is
	// allowed, and where that was not enough the whole log is read.
	for _, from := range []time.Time{came.Add(-time.Minute), {}} {
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

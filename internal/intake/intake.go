// Package intake takes what sources bring to the log: it normalises, validates,
// names each event, and tells the source when it is on disk.
package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
	"signalbox/internal/schema"
	"signalbox/internal/source"
)

// Log is where events go.
type Log interface {
	Append(ctx context.Context, s record.Subject, recs []record.Record, done func([]record.Position, error)) error
}

// Observer counts what comes in. Its methods are cheap and safe for many
// goroutines.
type Observer interface {
	Accepted(source, eventType string)
	Rejected(source, eventType string)
	Unparsed(source, peer string)
	// Lost counts events of our own that did not get into the log; sources
	// count theirs themselves.
	Lost(source string, n int)
}

// Intake is the way in. It is safe for many goroutines at once.
type Intake struct {
	log    Log
	obs    Observer
	edge   atomic.Pointer[Edge]
	closed atomic.Bool
}

// Edge is what messages pass on their way in.
type Edge struct {
	Normalizer *normalize.Normalizer
	Catalogue  *schema.Catalogue
}

// New returns an intake that writes to log.
func New(log Log, e Edge, obs Observer) *Intake {
	in := &Intake{log: log, obs: obs}
	in.SetEdge(e)
	return in
}

// SetEdge changes mappings and event types for what comes in from now on.
func (in *Intake) SetEdge(e Edge) { in.edge.Store(&e) }

// Edge is the one in use.
func (in *Intake) Edge() Edge { return *in.edge.Load() }

// Close refuses what comes from now on, as a part of an orderly stop.
func (in *Intake) Close() { in.closed.Store(true) }

// Emit is what sources call: see source.Emit for the contract.
func (in *Intake) Emit(ctx context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
	if in.closed.Load() {
		return fmt.Errorf("%w: Signalbox is stopping", source.ErrUnavailable)
	}
	n := in.edge.Load().Normalizer
	recs := make([]record.Record, len(batch))
	receipts := make([]source.Receipt, len(batch))
	events := make([]event.Event, len(batch))
	names := newNames(len(batch))
	for i := range batch {
		res := n.Normalize(batch[i])
		ev := &events[i]
		*ev = res.Event
		names.give(ev)
		recs[i] = in.record(&batch[i], ev, &res)
		receipts[i].Rejected = res.Reject
		receipts[i].ID = string(ev.ID)
	}
	err := in.log.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
		in.settle(recs, receipts, err)
		done(receipts)
	})
	return classify(err)
}

// RejectedError says that an event of ours failed its schema. It is in the log
// as rejected.
type RejectedError struct {
	ID     event.ID
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("event %s was rejected: %s", e.ID, e.Reason)
}

// EmitEvent takes an event that Signalbox made itself (emitted, or put back) and
// waits until it is on disk. One that fails its schema is logged as rejected,
// and the error is a *RejectedError.
func (in *Intake) EmitEvent(ctx context.Context, ev event.Event) (event.ID, error) {
	newNames(1).give(&ev)
	if ev.Received.IsZero() {
		ev.Received = time.Now()
	}
	rec := record.Record{Kind: record.KindEvent, Event: &ev}
	var rejected error
	if err := in.edge.Load().Catalogue.Validate(&ev); err != nil {
		rejected = &RejectedError{ID: ev.ID, Reason: err.Error()}
		rec = record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: ev, Reason: err.Error()}}
	}
	wait := make(chan error, 1)
	recs := []record.Record{rec}
	err := in.log.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
		in.settle(recs, nil, err)
		wait <- err
	})
	if err != nil {
		in.obs.Lost(ev.Source, 1)
		return "", classify(err)
	}
	select {
	case err := <-wait:
		if err != nil {
			in.obs.Lost(ev.Source, 1)
			return "", classify(err)
		}
		return ev.ID, rejected
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (in *Intake) record(input *normalize.Input, ev *event.Event, res *normalize.Result) record.Record {
	if res.Unparsed {
		in.obs.Unparsed(input.Source, input.Peer)
	}
	if res.Reject != "" {
		keepHow(ev, input)
		return record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: *ev, Reason: res.Reject}}
	}
	return record.Record{Kind: record.KindEvent, Event: ev}
}

// MetaForm and MetaMapping are the keys of event.Meta under which a rejected
// event keeps how it was read, so that it can be read again.
const (
	MetaForm    = "signalbox-form"
	MetaMapping = "signalbox-mapping"
)

func keepHow(ev *event.Event, in *normalize.Input) {
	meta := map[string]string{MetaForm: string(in.Form)}
	maps.Copy(meta, in.Meta)
	if in.Mapping != "" {
		meta[MetaMapping] = in.Mapping
	}
	ev.Meta = meta
}

// settle counts what became of a batch and writes the error of all receipts.
func (in *Intake) settle(recs []record.Record, receipts []source.Receipt, err error) {
	if err != nil {
		err = classify(err)
		for i := range receipts {
			receipts[i].Err = err
		}
	}
	if err != nil {
		return
	}
	for i := range recs {
		switch r := &recs[i]; r.Kind {
		case record.KindRejected:
			in.obs.Rejected(r.Rejected.Event.Source, r.Rejected.Event.Type)
		default:
			in.obs.Accepted(r.Event.Source, r.Event.Type)
		}
	}
}

// classify turns the log's errors into those of the source contract.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventlog.ErrDiskFull):
		return fmt.Errorf("%w: %w: %w", source.ErrUnavailable, source.ErrDiskFull, err)
	case errors.Is(err, eventlog.ErrUnavailable):
		return fmt.Errorf("%w: %w", source.ErrUnavailable, err)
	case errors.Is(err, eventlog.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the log takes no more at present", source.ErrBusy)
	}
	return fmt.Errorf("%w: %w", source.ErrUnavailable, err)
}

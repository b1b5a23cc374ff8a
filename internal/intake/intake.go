// Package intake takes what sources bring to the log: it normalises, validates,
// names each event, and tells the source when it is on disk.
package intake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
	"signalbox/internal/source"
)

func init() { uuid.EnableRandPool() } // ids are names, not secrets

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
	Lost(source string, n int) // handed over, and the log gave no answer
}

// Intake is the way in. It is safe for many goroutines at once.
type Intake struct {
	log        Log
	obs        Observer
	normalizer atomic.Pointer[normalize.Normalizer]
	closed     atomic.Bool
}

// New returns an intake that writes to log.
func New(log Log, n *normalize.Normalizer, obs Observer) *Intake {
	in := &Intake{log: log, obs: obs}
	in.normalizer.Store(n)
	return in
}

// SetNormalizer changes the mappings for what comes in from now on.
func (in *Intake) SetNormalizer(n *normalize.Normalizer) { in.normalizer.Store(n) }

// Normalizer is the one in use.
func (in *Intake) Normalizer() *normalize.Normalizer { return in.normalizer.Load() }

// Close refuses what comes from now on, as a part of an orderly stop.
func (in *Intake) Close() { in.closed.Store(true) }

// Emit is what sources call: see source.Emit for the contract.
func (in *Intake) Emit(ctx context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
	if in.closed.Load() {
		return fmt.Errorf("%w: Signalbox is stopping", source.ErrUnavailable)
	}
	n := in.normalizer.Load()
	recs := make([]record.Record, len(batch))
	receipts := make([]source.Receipt, len(batch))
	for i := range batch {
		res := n.Normalize(batch[i])
		recs[i] = in.record(&batch[i], res)
		receipts[i].Rejected = res.Reject
		receipts[i].ID = string(idOf(&recs[i]))
	}
	err := in.log.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
		in.settle(recs, receipts, err)
		done(receipts)
	})
	return classify(err)
}

// EmitEvent takes an event that Signalbox made itself (the emit action) and
// waits until it is on disk.
func (in *Intake) EmitEvent(ctx context.Context, ev event.Event) (event.ID, error) {
	now := time.Now()
	ev.ID = newID()
	if ev.Received.IsZero() {
		ev.Received = now
	}
	if ev.TraceParent == "" {
		ev.TraceParent = NewTraceParent()
	}
	rec := record.Record{Kind: record.KindEvent, Event: &ev}
	if err := in.normalizer.Load().Validate(&ev); err != nil {
		return "", fmt.Errorf("emit %s: %w", ev.Type, err)
	}
	wait := make(chan error, 1)
	recs := []record.Record{rec}
	err := in.log.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
		in.settle(recs, make([]source.Receipt, 1), err)
		wait <- err
	})
	if err != nil {
		return "", classify(err)
	}
	select {
	case err := <-wait:
		return ev.ID, classify(err)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (in *Intake) record(input *normalize.Input, res normalize.Result) record.Record {
	ev := res.Event
	ev.ID = newID()
	if ev.TraceParent == "" {
		ev.TraceParent = NewTraceParent()
	}
	if res.Unparsed {
		in.obs.Unparsed(input.Source, input.Peer)
	}
	if res.Reject != "" {
		return record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: ev, Reason: res.Reject}}
	}
	return record.Record{Kind: record.KindEvent, Event: &ev}
}

func idOf(r *record.Record) event.ID {
	if r.Kind == record.KindRejected {
		return r.Rejected.Event.ID
	}
	return r.Event.ID
}

// settle counts what became of a batch and writes the error of all receipts.
func (in *Intake) settle(recs []record.Record, receipts []source.Receipt, err error) {
	if err != nil {
		err = classify(err)
		for i := range receipts {
			receipts[i].Err = err
		}
	}
	for i := range recs {
		switch r := &recs[i]; {
		case r.Kind == record.KindRejected && err == nil:
			in.obs.Rejected(r.Rejected.Event.Source, r.Rejected.Event.Type)
		case r.Kind == record.KindRejected:
			in.obs.Lost(r.Rejected.Event.Source, 1)
		case err == nil:
			in.obs.Accepted(r.Event.Source, r.Event.Type)
		default:
			in.obs.Lost(r.Event.Source, 1)
		}
	}
}

// classify turns the log's errors into those of the source contract.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventlog.ErrUnavailable):
		return fmt.Errorf("%w: %w", source.ErrUnavailable, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the log takes no more at present", source.ErrBusy)
	}
	return fmt.Errorf("%w: %w", source.ErrUnavailable, err)
}

func newID() event.ID { return event.ID(uuid.Must(uuid.NewV7()).String()) }

// NewTraceParent starts a W3C trace (version 00, not sampled).
func NewTraceParent() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	var out [55]byte
	copy(out[:], "00-")
	hex.Encode(out[3:35], b[:16])
	out[35] = '-'
	hex.Encode(out[36:52], b[16:])
	copy(out[52:], "-00")
	return string(out[:])
}

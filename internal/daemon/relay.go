package daemon

import (
	"context"
	"math"
	"sync/atomic"

	"signalbox/internal/record"
)

// relay hands decisions that are on disk to the worker of the same process, so
// that they need not come back through the log. Where the worker is behind and
// the relay is full, they are left to be read from there.
type relay struct {
	near chan *record.Batch
	left atomic.Uint64 // the newest sequence that was left to the log
	more chan struct{} // tells that there is such a one
}

// relayBatches bounds what waits in memory.
const relayBatches = 16

func newRelay() *relay {
	return &relay{near: make(chan *record.Batch, relayBatches), more: make(chan struct{}, 1)}
}

// hand never blocks.
func (r *relay) hand(b *record.Batch) {
	select {
	case r.near <- b:
		return
	default:
	}
	r.left.Store(b.Seq)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// stretches reads a stretch of the log.
type stretches interface {
	Range(ctx context.Context, from, to record.Position, subjects []record.Subject, fn func(*record.Batch) error) error
}

// following gives the worker all decisions in order and without a gap, be it
// from the relay or from the log.
type following struct {
	relay   *relay
	log     stretches
	apply   func(*record.Batch) error
	at      record.Position // the last batch that was applied
	through record.Position // what it decides ends here
}

func (f *following) run(ctx context.Context) error {
	if err := f.read(ctx, math.MaxUint64); err != nil { // to the log's present end
		return err
	}
	for {
		select {
		case b := <-f.relay.near:
			if f.gap(b) {
				if err := f.read(ctx, b.Seq-1); err != nil {
					return err
				}
			}
			if err := f.take(b); err != nil {
				return err
			}
		case <-f.relay.more:
			// What the relay holds is older: it is read here, and passed over
			// there.
			if err := f.read(ctx, f.relay.left.Load()); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// gap says whether something between the last batch and b was left to the log.
// A batch begins where the one before it ended; but not all stretches have a
// length.
func (f *following) gap(b *record.Batch) bool {
	left := f.relay.left.Load()
	return b.Seq > f.at.Seq && (b.From != f.through || left > f.at.Seq && left < b.Seq)
}

// read applies what the log has after the last batch, up to a sequence.
func (f *following) read(ctx context.Context, to uint64) error {
	if to <= f.at.Seq {
		return nil
	}
	return f.log.Range(ctx, f.at, record.Position{Seq: to}, []record.Subject{record.Decisions}, f.take)
}

func (f *following) take(b *record.Batch) error {
	if b.Seq <= f.at.Seq && !f.through.IsZero() {
		return nil
	}
	if err := f.apply(b); err != nil {
		return err
	}
	f.at, f.through = record.Position{Seq: b.Seq, Index: math.MaxUint32}, b.Through
	return nil
}

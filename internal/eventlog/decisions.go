package eventlog

import (
	"context"
	"errors"
	"fmt"

	"signalbox/internal/record"
)

// AppendDecisions writes a batch of decisions, on the condition that the batch
// before is still the last of its subject and ended where b begins. It fills
// in b's Subject, Writer, Number and Prev. When the answer of the log is lost
// it finds out what became of the batch, for as long as that takes (or ctx
// lasts). A batch whose stretch is empty is the beginning of what is decided
// about what follows. ErrConflict means that another engine has written: the
// caller is no longer the active one. The position is that of b's first record:
// decisions stand before all else that is written with them. b may carry the
// beginnings of steps behind its decisions (see worker.First).
func (l *Log) AppendDecisions(ctx context.Context, b *record.Batch) (record.Position, error) {
	if b.Through.Less(b.From) || b.From == b.Through && len(b.Records) == 0 {
		return record.Position{}, fmt.Errorf("decisions of the empty stretch %s to %s", b.From, b.Through)
	}
	var plain []byte
	for i := range b.Records {
		plain = record.AppendRecord(plain, &b.Records[i])
	}
	if len(plain) > maxRecord {
		return record.Position{}, fmt.Errorf("%w: the batch of decisions takes %d bytes, the log takes at most %d: decide a shorter stretch", ErrTooLarge, len(plain), maxRecord)
	}
	r := &ruling{n: len(b.Records), plain: plain, answer: make(chan ruled, 1), head: record.Batch{From: b.From, Through: b.Through,
		RulesVersion: b.RulesVersion, EventCount: b.EventCount, UnmatchedCount: b.UnmatchedCount}}
	select {
	case l.decisions <- struct{}{}: // until it is answered, even where ctx ends before
	case <-ctx.Done():
		return record.Position{}, ctx.Err()
	}
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil {
			r.runs += len(d.Runs)
		} else if b.Records[i].Begin != nil {
			r.runs-- // of this one nothing more need be written before its action
		}
	}
	l.committer.paced.Store(true)
	l.committer.rule(r)
	select {
	case a := <-r.answer:
		if a.err != nil {
			return record.Position{}, a.err
		}
		b.Seq, b.Subject, b.Writer, b.Number, b.Prev = a.head.Seq, a.head.Subject, a.head.Writer, a.head.Number, a.head.Prev
		return b.At(0), nil
	case <-ctx.Done():
		return record.Position{}, ctx.Err()
	}
}

// decided is the newest batch of decisions that this process knows.
type decided struct {
	seq     uint64
	through record.Position
	known   bool
}

// lastDecided is the sequence of the newest batch of decisions, if that batch
// ends at from.
func (l *Log) lastDecided(ctx context.Context, sess *session, from record.Position) (uint64, error) {
	if !l.decided.known {
		b, err := l.last(ctx, sess, record.Decisions)
		switch {
		case errors.Is(err, ErrNotFound):
			l.decided = decided{known: true}
		case err != nil:
			return 0, err
		default:
			l.decided = decided{seq: b.Seq, through: b.Through, known: true}
		}
	}
	if l.decided.seq != 0 && l.decided.through != from {
		return 0, fmt.Errorf("%w: the last batch (sequence %d) ends at %s, this one begins at %s", ErrConflict, l.decided.seq, l.decided.through, from)
	}
	return l.decided.seq, nil
}

// noteDecided remembers the newest batch; sequence 0 forgets it.
func (l *Log) noteDecided(seq uint64, through record.Position) {
	l.decided = decided{seq: seq, through: through, known: seq != 0}
}

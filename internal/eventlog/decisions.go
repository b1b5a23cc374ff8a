package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// AppendDecisions writes a batch of decisions, on the condition that the batch
// before is still the last of its subject and ended where b begins. It fills
// in b's Subject, Writer, Number and Prev. When the answer of the log is lost
// it finds out what became of the batch, for as long as that takes (or ctx
// lasts). A batch whose stretch is empty is the beginning of what is decided
// about what follows. ErrConflict means that another engine has written: the caller is no
// longer the active one. The position is that of b's first record.
func (l *Log) AppendDecisions(ctx context.Context, b *record.Batch) (record.Position, error) {
	if b.Through.Less(b.From) || b.From == b.Through && len(b.Records) == 0 {
		return record.Position{}, fmt.Errorf("decisions of the empty stretch %s to %s", b.From, b.Through)
	}
	l.decisions.Lock()
	defer l.decisions.Unlock()
	var plain []byte
	for i := range b.Records {
		plain = record.AppendRecord(plain, &b.Records[i])
	}
	if len(plain) > maxRecord {
		return record.Position{}, fmt.Errorf("%w: the batch of decisions takes %d bytes, the log takes at most %d: decide a shorter stretch", ErrTooLarge, len(plain), maxRecord)
	}
	for sent := []byte(nil); ; {
		sess, err := l.session(ctx)
		if err != nil {
			return record.Position{}, unavailable("%w", err)
		}
		if sent != nil {
			if seq, ok := l.found(record.Decisions, b.Number, sent); ok {
				l.noteDecided(seq, b.Through)
				b.Seq = seq
				return b.At(0), nil
			}
		}
		last, err := l.lastDecided(sess.ctx, sess, b.From)
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrCorrupt) {
			return record.Position{}, err
		}
		h := l.head(record.Decisions)
		b.Subject, b.Writer, b.Number, b.Prev = record.Decisions, l.writer(record.Decisions), h.Number+1, h.Hash
		sent = record.EncodeBatch(nil, b, len(b.Records), plain)
		var seq uint64
		began := time.Now()
		if err == nil {
			seq, err = l.publish(sess, record.Decisions, sent, jetstream.WithExpectLastSequencePerSubject(last))
		}
		if err == nil {
			l.landed(b, seq, sent)
			l.noteDecided(seq, b.Through)
			l.cfg.metrics().Appended(record.Decisions, len(b.Records), len(sent), time.Since(began))
			b.Seq = seq
			return b.At(0), nil
		}
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			l.noteDecided(0, record.Position{}) // look again: it says whether the conflict is real
			if msg, err := sess.stream.GetLastMsgForSubject(sess.ctx, string(record.Decisions)); err == nil && record.Hash(msg.Data) == record.Hash(sent) {
				l.landed(b, msg.Sequence, sent) // the first copy, late
				l.noteDecided(msg.Sequence, b.Through)
				b.Seq = msg.Sequence
				return b.At(0), nil
			}
			continue
		}
		if l.ctx.Err() != nil {
			return record.Position{}, ErrClosed
		}
		l.fail(sess, l.failure(err))
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

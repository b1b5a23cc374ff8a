package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/metrics"
	"signalbox/internal/record"
	"signalbox/internal/run"
	"signalbox/internal/worker"
)

// labour runs the worker on the log.
type labour struct {
	log    *eventlog.Log
	worker *worker.Worker
	state  stateDir
	logger *slog.Logger
	relay  *relay // from the decider
	saving sync.Mutex
}

// prepare brings the worker's state up to what the log says. Nothing is done
// yet. It gives the position from which to go on.
func (l *labour) prepare(ctx context.Context) (record.Position, error) {
	from := record.Position{}
	_, problems := l.state.load("worker", func(data []byte) error {
		pos, body, err := unseal(data)
		if err != nil {
			return err
		}
		if err := l.worker.Restore(pos, body); err != nil {
			return err
		}
		from = pos
		return nil
	})
	if problems != nil {
		l.logger.Warn("a snapshot of the runs cannot be used; the log is read instead", "err", problems)
	}
	st, err := l.log.State(ctx)
	if err != nil {
		return from, err
	}
	if st.Last >= st.First {
		err = l.log.RangeFast(ctx, from, record.Position{Seq: st.Last}, []record.Subject{record.Decisions, record.Journal}, l.worker.Recover)
		if err != nil {
			return from, fmt.Errorf("runs: %w", err)
		}
	}
	return l.worker.Resume()
}

// follow starts the runs that are decided from now on, until ctx ends.
func (l *labour) follow(ctx context.Context, from record.Position) error {
	saver, since := newSaver(), 0
	f := &following{relay: l.relay, log: l.log, at: from, apply: func(b *record.Batch) error {
		err := l.worker.Apply(b)
		if since += len(b.Records); err == nil && saver.due(since) {
			since = 0
			saver.start(l.save)
		}
		return err
	}}
	err := f.run(ctx)
	saver.wait()
	if errors.Is(err, worker.ErrStopped) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (l *labour) save() {
	l.saving.Lock()
	defer l.saving.Unlock()
	pos, data := l.worker.Snapshot()
	if data == nil {
		return
	}
	if err := l.state.save("worker", seal(pos, data)); err != nil {
		l.logger.Warn("the snapshot of the runs could not be written", "err", err)
	}
}

const sealMagic = "signalbox state 1\n"

// seal puts position and checksum around a snapshot.
func seal(pos record.Position, data []byte) []byte {
	b := []byte(sealMagic)
	b = binary.LittleEndian.AppendUint64(b, pos.Seq)
	b = binary.LittleEndian.AppendUint32(b, pos.Index)
	b = append(b, data...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func unseal(b []byte) (record.Position, []byte, error) {
	head := len(sealMagic)
	if len(b) < head+12+sha256.Size || !bytes.HasPrefix(b, []byte(sealMagic)) {
		return record.Position{}, nil, errors.New("not a snapshot, or of another version")
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return record.Position{}, nil, errors.New("its checksum is wrong")
	}
	pos := record.Position{Seq: binary.LittleEndian.Uint64(body[head:]), Index: binary.LittleEndian.Uint32(body[head+8:])}
	return pos, body[head+12:], nil
}

// archive finds runs in the log that memory does not hold any more.
type archive struct{ log *eventlog.Log }

// Batch reads one batch.
func (a archive) Batch(ctx context.Context, seq uint64) (*record.Batch, error) {
	b, err := a.log.Get(ctx, seq)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

var errFound = errors.New("found")

// Run reads one run's decision and journal. The id tells where to begin: a run
// is decided after its trigger.
func (a archive) Run(ctx context.Context, id string, decided record.Position) (*worker.History, error) {
	trigger, _, err := run.ParseID(id)
	if err != nil {
		return nil, err
	}
	from := trigger
	if !decided.IsZero() {
		from = before(decided.Seq)
	}
	st, err := a.log.State(ctx)
	if err != nil {
		return nil, err
	}
	h := &worker.History{}
	closed := false
	err = a.log.Range(ctx, from, record.Position{Seq: st.Last}, []record.Subject{record.Decisions, record.Journal}, func(b *record.Batch) error {
		if h.Decision == nil && b.Holds(record.Decisions) {
			findDecision(h, b, id)
			if h.Decision == nil && !b.From.Less(trigger) {
				return errFound // the trigger's stretch is past: there is no such run
			}
		}
		for i := range b.Records {
			r := &b.Records[i]
			if r.RunID() != id {
				continue
			}
			h.Journal = append(h.Journal, worker.Entry{At: b.At(i), Time: b.Time, Record: *r})
			closed = r.RunEnd != nil && (r.RunEnd.Outcome == record.Succeeded || r.RunEnd.Outcome == record.Discarded)
		}
		if closed {
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	return h, nil
}

func findDecision(h *worker.History, b *record.Batch, id string) {
	for i := range b.Records {
		d := b.Records[i].Decision
		if d == nil {
			continue
		}
		for _, r := range d.Runs {
			if r.Run == id {
				h.Decided, h.Decision = b.At(i), d
				return
			}
		}
	}
}

// runMetrics tells the metrics what the worker does.
type runMetrics struct{ m *metrics.Set }

func (r runMetrics) RunEnded(rule string, outcome record.Outcome, _ time.Duration) {
	r.m.Run(rule, worker.OutcomeName(outcome))
}
func (r runMetrics) EventDone(eventType string, since time.Duration) { r.m.Processed(eventType, since) }
func (r runMetrics) StepEnded(string, bool, time.Duration)           {}
func (r runMetrics) StepRetried(_, action string)                    { r.m.Retry(action) }
func (r runMetrics) DeadLetter(string)                               {}

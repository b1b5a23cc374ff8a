package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"signalbox/internal/record"
)

// Append writes records in order. It blocks while the queue is full: until ctx
// ends, then the error wraps ErrBusy. A nil error means that done will be
// called exactly once: with the records' positions when all of them are on
// disk, or with an error that wraps ErrUnavailable (some of them may be in the
// log all the same). Any other error means that nothing was taken and done
// will not be called: ErrUnavailable, ErrTooLarge, ErrClosed.
//
// Events are refused while the log is broken or the disk nearly full; records
// of the journal wait until it works again, and are never lost while the
// process lives. done is called from one goroutine a subject, in the order of
// the log; it must be cheap and must not block. Decisions go through
// AppendDecisions.
func (l *Log) Append(ctx context.Context, subject record.Subject, recs []record.Record, done func([]record.Position, error)) error {
	a, err := l.appender(subject)
	if err != nil {
		return err
	}
	pieces := make([]piece, 0, 1)
	p := piece{enc: slices.Grow(getBuf(), min(estimate(recs), l.cfg.BatchBytes))}
	for i := range recs {
		at := len(p.enc)
		p.enc = record.AppendRecord(p.enc, &recs[i])
		if size := len(p.enc) - at; size > maxRecord {
			return fmt.Errorf("%w: it takes %d bytes, the log takes at most %d", ErrTooLarge, size, maxRecord)
		} else if p.n > 0 && (p.n == l.cfg.BatchRecords || len(p.enc) > l.cfg.BatchBytes) {
			over := append(getBuf(), p.enc[at:]...)
			p.enc = p.enc[:at]
			pieces = append(pieces, p)
			p = piece{enc: over}
		}
		p.n++
	}
	return a.put(ctx, append(pieces, p), len(recs), done)
}

// estimate is about how many bytes records will take, so that their buffer need
// not grow step by step.
func estimate(recs []record.Record) int {
	n := 64
	for i := range recs {
		n += 64
		if ev := recs[i].Event; ev != nil {
			n += 320 + len(ev.Data) + len(ev.Raw)
		}
	}
	return n
}

// AppendEncoded is Append for records that AppendRecord has already encoded,
// one after the other; the log keeps encoded until done is called.
func (l *Log) AppendEncoded(ctx context.Context, subject record.Subject, encoded []byte, done func([]record.Position, error)) error {
	a, err := l.appender(subject)
	if err != nil {
		return err
	}
	var pieces []piece
	total := 0
	for start, at, n := 0, 0, 0; at < len(encoded); {
		size := record.RecordSize(encoded[at:])
		switch {
		case size == 0:
			return fmt.Errorf("encoded records: no whole record at byte %d", at)
		case size > maxRecord:
			return fmt.Errorf("%w: it takes %d bytes, the log takes at most %d", ErrTooLarge, size, maxRecord)
		}
		if n > 0 && (n == l.cfg.BatchRecords || at+size-start > l.cfg.BatchBytes) {
			pieces = append(pieces, piece{enc: encoded[start:at:at], n: n, foreign: true})
			start, n = at, 0
		}
		at, n, total = at+size, n+1, total+1
		if at == len(encoded) {
			pieces = append(pieces, piece{enc: encoded[start:at:at], n: n, foreign: true})
		}
	}
	return a.put(ctx, pieces, total, done)
}

func (l *Log) appender(s record.Subject) (*appender, error) {
	if a := l.subjects[s]; a != nil && s != record.Decisions {
		return a, nil
	}
	return nil, fmt.Errorf("subject %q does not take records by Append", s)
}

var bufs = sync.Pool{New: func() any { return new([]byte) }}

func getBuf() []byte { return (*bufs.Get().(*[]byte))[:0] }

func putBuf(b []byte) {
	if cap(b) <= 256<<10 { // rare large ones must not stay
		bufs.Put(&b)
	}
}

// piece is a run of records of one Append that goes into one batch.
type piece struct {
	enc     []byte
	n       int
	foreign bool // enc is the caller's
	call    *call
	last    bool // of its call
}

// call is one Append.
type call struct {
	done           func([]record.Position, error)
	positions      []record.Position
	err            error
	records, bytes int64 // room taken in the queue
}

// appender writes one subject: it gathers what waits into a batch while the
// batch before is being written.
type appender struct {
	l       *Log
	subject record.Subject

	records, bytes *semaphore.Weighted // room in the queue

	mu     sync.Mutex
	queue  []piece
	ending bool
	wake   chan struct{} // has room for one: a signal that is pending is enough

	finished chan finished // to complete; closed by run
	idle     chan struct{} // closed when all is written and told

	// Of run alone: the buffers of the batch under way.
	taken []piece
	plain []byte
	batch []byte
}

// finished is a batch whose fate is known.
type finished struct {
	pieces []piece
	seq    uint64
	err    error
}

func newAppender(l *Log, s record.Subject) *appender {
	return &appender{l: l, subject: s, records: semaphore.NewWeighted(int64(l.cfg.QueueRecords)), bytes: semaphore.NewWeighted(int64(l.cfg.QueueBytes)),
		wake: make(chan struct{}, 1), finished: make(chan finished, 1), idle: make(chan struct{})}
}

// Queued is how many records wait or are being written.
func (l *Log) Queued(s record.Subject) int {
	a := l.subjects[s]
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, p := range a.queue {
		n += p.n
	}
	return n
}

func (a *appender) weights(pieces []piece) (records, bytes int64) {
	for _, p := range pieces {
		records, bytes = records+int64(p.n), bytes+int64(len(p.enc))
	}
	// A call that is larger than the queue has it alone.
	return min(records, int64(a.l.cfg.QueueRecords)), min(bytes, int64(a.l.cfg.QueueBytes))
}

func (a *appender) put(ctx context.Context, pieces []piece, n int, done func([]record.Position, error)) error {
	if n == 0 {
		return errors.New("no records to append")
	}
	if err := a.refusal(); err != nil {
		return err
	}
	records, bytes := a.weights(pieces)
	if err := a.acquire(ctx, records, bytes); err != nil {
		return err
	}
	c := &call{done: done, positions: make([]record.Position, 0, n), records: records, bytes: bytes}
	for i := range pieces {
		pieces[i].call = c
	}
	pieces[len(pieces)-1].last = true
	a.mu.Lock()
	if a.ending {
		a.mu.Unlock()
		a.release(records, bytes)
		return ErrClosed
	}
	if err := a.refusal(); err != nil { // it may have broken while we waited
		a.mu.Unlock()
		a.release(records, bytes)
		return err
	}
	a.queue = append(a.queue, pieces...)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}

func (a *appender) acquire(ctx context.Context, records, bytes int64) error {
	if err := a.records.Acquire(ctx, records); err != nil {
		return fmt.Errorf("%w: %d records wait: %w", ErrBusy, a.l.cfg.QueueRecords, err)
	}
	if err := a.bytes.Acquire(ctx, bytes); err != nil {
		a.records.Release(records)
		return fmt.Errorf("%w: %d bytes wait: %w", ErrBusy, a.l.cfg.QueueBytes, err)
	}
	return nil
}

func (a *appender) release(records, bytes int64) {
	a.records.Release(records)
	a.bytes.Release(bytes)
}

func (a *appender) refusal() error {
	if a.subject != record.Events {
		return nil
	}
	return a.l.refusal()
}

// finish lets run end when the queue is empty.
func (a *appender) finish() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run writes batches until finish, or until the log's own life ends: then what
// is left is refused.
func (a *appender) run() {
	defer close(a.finished)
	for {
		n, ending := a.take()
		if n == 0 {
			if ending {
				return
			}
			select {
			case <-a.wake:
			case <-a.l.ctx.Done():
				a.refuse(ErrClosed)
				return
			}
			continue
		}
		seq, err := a.write(n)
		a.tell(seq, err)
	}
}

// take moves a batch's worth from the queue to taken.
func (a *appender) take() (records int, ending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, i := 0, 0
	for ; i < len(a.queue); i++ {
		p := &a.queue[i]
		if i > 0 && (records+p.n > a.l.cfg.BatchRecords || size+len(p.enc) > a.l.cfg.BatchBytes) {
			break
		}
		records, size = records+p.n, size+len(p.enc)
	}
	a.taken = append(make([]piece, 0, i), a.queue[:i]...)
	clear(a.queue[:i])
	if a.queue = a.queue[i:]; len(a.queue) == 0 && cap(a.queue) < 64 {
		a.queue = nil
	}
	return records, a.ending
}

// write puts the taken records in the log. For events that ends with an error
// when the log broke and they are not in it; for the journal it ends only when
// they are.
func (a *appender) write(n int) (uint64, error) {
	a.plain = a.plain[:0]
	for _, p := range a.taken {
		a.plain = append(a.plain, p.enc...)
	}
	if _, err := a.l.session(a.l.ctx); err != nil { // only then is the head known
		return 0, ErrClosed
	}
	h := a.l.head(a.subject)
	b := record.Batch{Subject: a.subject, Writer: a.l.writer(a.subject), Number: h.Number + 1, Prev: h.Hash}
	a.batch = record.EncodeBatch(a.batch[:0], &b, n, a.plain)
	if cap(a.plain) > 4*a.l.cfg.BatchBytes {
		a.plain = nil
	}
	return a.l.settle(a, &b, a.batch, n)
}

// tell passes on what became of the batch under way.
func (a *appender) tell(seq uint64, err error) {
	if len(a.taken) > 0 {
		a.finished <- finished{pieces: a.taken, seq: seq, err: err}
		a.taken = nil
	}
}

// refuse tells all that wait that they will not be written.
func (a *appender) refuse(err error) {
	a.mu.Lock()
	pieces := a.queue
	a.queue = nil
	a.mu.Unlock()
	if len(pieces) > 0 {
		a.finished <- finished{pieces: pieces, err: err}
	}
}

// complete tells callers what became of their records, in order.
func (a *appender) complete() {
	defer close(a.idle)
	for f := range a.finished {
		index := uint32(0)
		for _, p := range f.pieces {
			c := p.call
			if f.err != nil {
				c.err = f.err
			}
			for range p.n {
				c.positions = append(c.positions, record.Position{Seq: f.seq, Index: index})
				index++
			}
			if !p.foreign {
				putBuf(p.enc)
			}
			if p.last {
				a.release(c.records, c.bytes)
				if c.err != nil {
					c.done(nil, c.err)
				} else {
					c.done(c.positions, nil)
				}
			}
		}
	}
}

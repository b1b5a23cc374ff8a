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

// appender is the queue of one subject: what waits in it the committer writes.
type appender struct {
	l       *Log
	subject record.Subject

	records, bytes *semaphore.Weighted // room in the queue

	mu     sync.Mutex
	queue  []piece
	ending bool

	finished *results      // to complete; closed by the committer
	idle     chan struct{} // closed when all is written and told
}

// finished is what one message had of an appender, once its fate is known.
type finished struct {
	pieces []piece
	seq    uint64
	base   uint32 // index of the first record in the message
	err    error
}

// results is a queue that never keeps the committer waiting for a slow caller;
// the room of the appenders bounds it.
type results struct {
	mu     sync.Mutex
	more   sync.Cond
	queue  []finished
	closed bool
}

func newResults() *results {
	r := new(results)
	r.more.L = &r.mu
	return r
}

func (r *results) put(f finished) {
	r.mu.Lock()
	r.queue = append(r.queue, f)
	r.mu.Unlock()
	r.more.Signal()
}

func (r *results) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.more.Signal()
}

// take waits for results; none means that there will be no more. spare is a
// slice that take may use again.
func (r *results) take(spare []finished) []finished {
	clear(spare)
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.closed {
		r.more.Wait()
	}
	out := r.queue
	r.queue = spare[:0]
	return out
}

func newAppender(l *Log, s record.Subject) *appender {
	return &appender{l: l, subject: s, records: semaphore.NewWeighted(int64(l.cfg.QueueRecords)), bytes: semaphore.NewWeighted(int64(l.cfg.QueueBytes)),
		finished: newResults(), idle: make(chan struct{})}
}

// Queued is how many records of a subject wait. Decisions never do: they are
// one batch at a time.
func (l *Log) Queued(s record.Subject) int {
	a := l.subjects[s]
	if a == nil {
		return 0
	}
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
	a.l.committer.signal()
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

// finish refuses all that comes from now on.
func (a *appender) finish() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
}

// take takes pieces from the queue, at most a batch's worth and what there is
// room for. The first piece of all in a message is taken whatever its size; over
// says that a first piece was not taken because it is too large for the room.
func (a *appender) take(room int, first bool) (pieces []piece, records, size int, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, most := 0, min(room, a.l.cfg.BatchBytes)
	for ; i < len(a.queue); i++ {
		p := &a.queue[i]
		switch {
		case i == 0 && (first || len(p.enc) <= room):
		case i == 0:
			return nil, 0, 0, true
		case records+p.n > a.l.cfg.BatchRecords || size+len(p.enc) > most:
			return a.cut(i), records, size, false
		}
		records, size = records+p.n, size+len(p.enc)
	}
	return a.cut(i), records, size, false
}

// cut takes the first i pieces; mu is held.
func (a *appender) cut(i int) []piece {
	if i == 0 {
		return nil
	}
	pieces := append(make([]piece, 0, i), a.queue[:i]...)
	clear(a.queue[:i])
	if a.queue = a.queue[i:]; len(a.queue) == 0 && cap(a.queue) < 64 {
		a.queue = nil
	}
	return pieces
}

// refuse tells all that wait that they will not be written.
func (a *appender) refuse(err error) {
	a.mu.Lock()
	pieces := a.queue
	a.queue = nil
	a.mu.Unlock()
	if len(pieces) > 0 {
		a.finished.put(finished{pieces: pieces, err: err})
	}
}

// complete tells callers what became of their records, in order.
func (a *appender) complete() {
	defer close(a.idle)
	for all := a.finished.take(nil); len(all) > 0; all = a.finished.take(all) {
		for i := range all {
			a.told(&all[i])
		}
	}
}

func (a *appender) told(f *finished) {
	index := f.base
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
		if !p.last {
			continue
		}
		a.release(c.records, c.bytes)
		if c.err != nil {
			c.done(nil, c.err)
		} else {
			c.done(c.positions, nil)
		}
	}
}

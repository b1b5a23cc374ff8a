package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// committer is the one that writes: while a message is on its way to the disk,
// events, decisions and records of the journal gather, and the next message
// takes what there is of all of them. So one fsync is shared by all subjects,
// and none waits for the fsync of another.
type committer struct {
	l    *Log
	wake chan struct{} // has room for one: a signal that is pending is enough

	paced  atomic.Bool   // somebody decides in this process
	passed atomic.Uint64 // the sequence up to which there is nothing to decide at once

	mu      sync.Mutex
	waiting *ruling // decisions to be written: there is one at a time
	ending  bool
	ended   bool

	// Of run alone.
	timer *time.Timer
	first record.Subject // whose next piece found no room in the last message
	plain []byte
	batch []byte
}

// ruling is a batch of decisions on its way.
type ruling struct {
	head   record.Batch // without Records
	n      int
	runs   int // that it starts
	plain  []byte
	answer chan ruled // has room for its one answer
}

// rule has decisions written. They are answered in any case.
func (c *committer) rule(r *ruling) {
	c.mu.Lock()
	ended := c.ended
	if !ended {
		c.waiting = r
	}
	c.mu.Unlock()
	if ended {
		c.l.ruled(r, ruled{err: ErrClosed})
		return
	}
	c.signal()
}

// ruled answers, and lets the next decisions come.
func (l *Log) ruled(r *ruling, a ruled) {
	r.answer <- a
	<-l.decisions
}

// ruled is what became of a ruling: head is as it was written.
type ruled struct {
	head record.Batch
	err  error
}

func newCommitter(l *Log) *committer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &committer{l: l, wake: make(chan struct{}, 1), timer: t}
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// finish lets run end when nothing waits any more.
func (c *committer) finish() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.signal()
}

// run writes until finish, or until the log's own life ends: then what is left
// is refused.
func (c *committer) run() {
	defer c.end()
	for {
		c.mu.Lock()
		ending := c.ending
		c.mu.Unlock()
		m := c.gather()
		switch {
		case !m.empty():
			if seq := c.write(m); seq != 0 {
				c.pause(m, seq)
			}
			continue
		case ending:
			return
		}
		select {
		case <-c.wake:
		case <-c.l.ctx.Done():
			return
		}
	}
}

// end refuses what is left.
func (c *committer) end() {
	c.mu.Lock()
	left := c.waiting
	c.waiting, c.ended = nil, true
	c.mu.Unlock()
	if left != nil {
		c.l.ruled(left, ruled{err: ErrClosed})
	}
	for _, a := range c.l.subjects {
		a.finish()
		a.refuse(ErrClosed)
		a.finished.close()
	}
}

// message is what is written together. Its records stand in the order
// decisions (with the steps that begin with them), events, journal: a batch of decisions begins at index 0, as its
// writer counts.
type message struct {
	ruling *ruling
	parts  [2]part // events, journal
	size   int     // of all records

	number uint64
	data   []byte // as it was sent; nil: to be encoded
	lost   bool   // an answer about data was lost: it may be in the log
	reread bool   // the tail was read after that
}

// part is what a message has of one appender.
type part struct {
	a      *appender
	pieces []piece
	n      int
	size   int
	told   bool // the callers know already
}

func (m *message) empty() bool {
	return m.ruling == nil && m.parts[0].n == 0 && m.parts[1].n == 0
}

// subject is that of the message: whoever wants decisions, or the last of them,
// finds them by it.
func (m *message) subject() record.Subject {
	switch {
	case m.ruling != nil:
		return record.Decisions
	case m.parts[1].n > 0:
		return record.Journal
	}
	return record.Events
}

// gather takes what waits, as much as one message holds. Whoever found no room
// in the last one is first: a large record must not be passed by for ever.
func (c *committer) gather() *message {
	m := &message{parts: [2]part{{a: c.l.subjects[record.Events]}, {a: c.l.subjects[record.Journal]}}}
	order := []*part{&m.parts[1], &m.parts[0]}
	if c.first == record.Events {
		order[0], order[1] = order[1], order[0]
	}
	alone := c.first != ""
	c.first = ""
	ruling := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.waiting; r != nil && (m.size == 0 || m.size+len(r.plain) <= maxRecord) {
			m.ruling, m.size, c.waiting = r, m.size+len(r.plain), nil
		}
	}
	if !alone {
		ruling()
	}
	for _, p := range order {
		room := maxRecord - m.size
		var over bool
		p.pieces, p.n, p.size, over = p.a.take(room, m.empty())
		m.size += p.size
		if over && c.first == "" {
			c.first = p.a.subject
		}
	}
	if alone {
		ruling()
	}
	return m
}

// encode makes the message of what is left in m.
func (c *committer) encode(m *message) {
	s := m.subject()
	h := c.l.head(s)
	b := record.Batch{}
	n := 0
	c.plain = c.plain[:0]
	if r := m.ruling; r != nil {
		b, n = r.head, r.n
		c.plain = append(c.plain, r.plain...)
	}
	for i := range m.parts {
		for _, p := range m.parts[i].pieces {
			c.plain = append(c.plain, p.enc...)
		}
		n += m.parts[i].n
	}
	b.Subject, b.Writer, b.Number, b.Prev = s, c.l.writer(s), h.Number+1, h.Hash
	if r := m.ruling; r != nil {
		r.head = b
	}
	c.batch = record.EncodeBatch(c.batch[:0], &b, n, c.plain)
	m.number, m.data = b.Number, c.batch
	if cap(c.plain) > 4*c.l.cfg.BatchBytes {
		c.plain = nil
	}
}

// write puts a message in the log and tells all whose records it has. Events
// that did not land when the log broke are given back to their senders; what
// else is in the message is written again until it is in the log. So are the
// events on an external server, where the first copy may still be under way:
// were its number used for another batch, the chain would fork. Readers take
// two copies as one.
func (c *committer) write(m *message) (seq uint64) {
	l := c.l
	for !m.empty() {
		sess, err := l.session(l.ctx) // only then is the head known
		if err != nil {
			c.tell(m, 0, ErrClosed)
			return 0
		}
		var opts []jetstream.PublishOpt
		if m.ruling != nil {
			var last uint64
			last, err = l.lastDecided(sess.ctx, sess, m.ruling.head.From)
			if errors.Is(err, ErrConflict) || errors.Is(err, ErrCorrupt) {
				c.overruled(sess, m, err)
				continue
			}
			opts = append(opts, jetstream.WithExpectLastSequencePerSubject(last))
		}
		if m.data == nil {
			c.encode(m)
		}
		began := time.Now()
		if err == nil {
			seq, err = l.publish(sess, m.subject(), m.data, opts...)
		}
		if err == nil {
			c.landed(m, seq, time.Since(began))
			return seq
		}
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			l.noteDecided(0, record.Position{}) // look again: it says whether the conflict is real
			if msg, err := sess.stream.GetLastMsgForSubject(sess.ctx, string(record.Decisions)); err == nil && record.Hash(msg.Data) == record.Hash(m.data) {
				c.landed(m, msg.Sequence, time.Since(began)) // the first copy, late
				return msg.Sequence
			}
			continue
		}
		if l.ctx.Err() != nil {
			c.tell(m, 0, ErrClosed)
			return 0
		}
		m.lost, m.reread = true, false
		cause := l.failure(err)
		l.fail(sess, cause)
		if c.found(m, unavailable("%w", cause)) {
			return 0
		}
	}
	return 0
}

// A message is followed by what it sets off: events by decisions, decisions by
// the first steps of their runs. These come within a fraction of the time that
// an fsync takes, so the next message waits for them, if there are few, but no
// longer than followWithin. Without that they would come just too late for it,
// and wait for all of it; and while it is being synced the server lets nobody
// read what sets them off.
const (
	followWithin = 250 * time.Microsecond
	followMost   = 64
)

// Passed tells that there is nothing to decide at once about what the log has
// up to a sequence. Only a process that decides calls it.
func (l *Log) Passed(seq uint64) {
	l.committer.passed.Store(seq)
	l.committer.signal()
}

// pause waits for what follows on a message.
func (c *committer) pause(m *message, seq uint64) {
	rule := m.parts[0].n > 0 && m.parts[0].n <= followMost && c.paced.Load()
	runs := 0
	if m.ruling != nil && m.ruling.runs <= followMost {
		runs = m.ruling.runs
	}
	if !rule && runs == 0 {
		return
	}
	c.timer.Reset(followWithin)
	defer c.timer.Stop()
	for {
		if rule && c.passed.Load() < seq {
			c.mu.Lock()
			rule = c.waiting == nil
			c.mu.Unlock()
		} else {
			rule = false
		}
		if !rule && (runs == 0 || c.l.Queued(record.Journal) >= runs) {
			return
		}
		select {
		case <-c.wake:
		case <-c.timer.C:
			return
		case <-c.l.ctx.Done():
			return
		}
	}
}

// overruled gives decisions back that another engine's have overtaken. Where an
// answer was lost the message may be in the log all the same, before those of
// the other: then its number is taken, so the tail is read first.
func (c *committer) overruled(sess *session, m *message, why error) {
	if m.lost && !m.reread {
		c.l.fail(sess, fmt.Errorf("the answer to batch %d was lost, and %w", m.number, why))
		if c.found(m, unavailable("%w", why)) {
			return
		}
	}
	if m.ruling != nil {
		c.l.ruled(m.ruling, ruled{err: why})
		m.size -= len(m.ruling.plain)
	}
	m.ruling, m.data, m.lost = nil, nil, false
}

// found waits until the log works again, and says whether nothing is left to
// do: the message is in the log, or the log is closed.
func (c *committer) found(m *message, why error) bool {
	l := c.l
	events := &m.parts[0]
	events.a.refuse(why)
	soon, cancel := context.WithTimeout(l.ctx, tellWithin)
	if _, err := l.session(soon); err != nil && events.n > 0 {
		events.tell(0, 0, why)
	}
	cancel()
	if _, err := l.session(l.ctx); err != nil { // it has read the tail
		c.tell(m, 0, ErrClosed)
		return true
	}
	m.reread = true
	if m.data == nil {
		return false // it was never sent
	}
	if h := l.head(m.subject()); h.Number == m.number && h.Hash == hash(record.Hash(m.data)) {
		if m.ruling != nil {
			l.noteDecided(h.Seq, m.ruling.head.Through)
		}
		c.tell(m, h.Seq, nil)
		return true
	}
	if l.cfg.embedded() {
		events.tell(0, 0, why)
		m.size -= events.size
		*events = part{a: events.a}
		m.data, m.lost = nil, false
	}
	return false
}

// landed notes that a message is on disk, and tells everybody.
func (c *committer) landed(m *message, seq uint64, took time.Duration) {
	l := c.l
	l.landed(m.subject(), m.number, seq, m.data)
	metrics := l.cfg.metrics()
	share := func(size int) int { return int(int64(len(m.data)) * int64(size) / int64(max(m.size, 1))) }
	if r := m.ruling; r != nil {
		l.noteDecided(seq, r.head.Through)
		metrics.Appended(record.Decisions, r.n, share(len(r.plain)), took)
	}
	for i := range m.parts {
		if p := &m.parts[i]; p.n > 0 {
			metrics.Appended(p.a.subject, p.n, share(p.size), took)
		}
	}
	c.tell(m, seq, nil)
}

// tell passes on what became of a message.
func (c *committer) tell(m *message, seq uint64, err error) {
	base := 0
	if r := m.ruling; r != nil {
		r.head.Seq = seq
		c.l.ruled(r, ruled{head: r.head, err: err})
		base = r.n
	}
	for i := range m.parts {
		m.parts[i].tell(seq, base, err)
		base += m.parts[i].n
	}
}

// tell passes on what became of a part, once. base is the index of its first
// record.
func (p *part) tell(seq uint64, base int, err error) {
	if p.n > 0 && !p.told {
		p.told = true
		p.a.finished.put(finished{pieces: p.pieces, seq: seq, base: uint32(base), err: err})
	}
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"signalbox/internal/record"
)

// spaceEvery is how often the guard of free space looks.
const spaceEvery = 250 * time.Millisecond

// retentionEvery is how often what left is looked for, and told: not so often
// that the reports fill the log themselves. A variable for tests.
var retentionEvery = 5 * time.Second

// watchSpace refuses events before the disk is full: what is left is for the
// journal of runs under way.
func (l *Log) watchSpace() {
	if !l.cfg.embedded() || l.cfg.MinFree < 0 {
		return
	}
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		l.checkSpace()
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *Log) checkSpace() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(l.cfg.Dir, &fs); err != nil {
		l.log.Warn("free space of the log's disk is not known", "err", err)
		return
	}
	free, total := int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	limit := l.cfg.MinFree
	if limit == 0 {
		limit = min(max(512<<20, total/50), 4<<30)
	}
	was := l.lowSpace.Load() != nil
	switch {
	case !was && free < limit:
		err := unavailable("%w but for a reserve: %d MiB are free in %s, %d MiB are kept for runs under way", ErrDiskFull, free>>20, l.cfg.Dir, limit>>20)
		l.lowSpace.Store(&err)
		l.log.Error("events are refused: disk nearly full", "free_bytes", free, "needed_bytes", limit, "dir", l.cfg.Dir)
	case was && free >= limit+limit/16: // not at the edge, or it would go on and off
		l.lowSpace.Store(nil)
		l.log.Info("events are taken again: disk has room", "free_bytes", free)
	}
}

// watchRetention reports what left the log, and keeps what is not done from
// leaving.
func (l *Log) watchRetention() {
	tick := time.NewTicker(l.retentionEvery)
	defer tick.Stop()
	for {
		if st, err := l.State(l.ctx); err == nil {
			l.keepUndone(st)
			l.noteGone(st)
		}
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
	}
}

// noteGone looks for what has left since the last look, and tells it.
func (l *Log) noteGone(st State) {
	if st.Batches == 0 {
		st.First = st.Last + 1 // all has left
	}
	l.cpMu.Lock()
	before := l.cp
	before.Marks = slices.Clone(l.cp.Marks)
	if st.First <= before.First || before.First == 0 {
		l.cpMu.Unlock()
		return
	}
	l.cp.First, l.cp.Since, l.changed = st.First, st.FirstTime, true
	l.cp.dropMarksBefore(st.First)
	l.cpMu.Unlock()
	if e := l.mayHaveLeft(&before, st.First, st.Bytes); e != nil {
		l.corrupt(e)
		return
	}
	if l.cfg.Undone != nil {
		if u := l.cfg.Undone(); !u.IsZero() && u.Seq < st.First {
			l.corrupt(&CorruptError{From: u.Seq, To: st.First - 1, What: "left by age or size before it was decided and done",
				Advice: "raise log.max_age or log.max_bytes; what was lost is in the senders' hands"})
		}
	}
	l.reportGone(before, st)
}

// reportGone writes a Retention record. Where that fails what left is told
// later, with what leaves until then.
func (l *Log) reportGone(before checkpoint, now State) {
	r := &record.Retention{FirstSeq: before.First, LastSeq: now.First - 1, FirstTime: before.Since, LastTime: now.FirstTime, Reason: "size"}
	if l.cfg.MaxAge > 0 && time.Since(before.Since) >= l.cfg.MaxAge {
		r.Reason = "age"
	}
	later := func(err error) {
		l.log.Warn("what left the log could not be written in it yet", "err", err)
		l.cpMu.Lock()
		defer l.cpMu.Unlock()
		l.cp.First, l.cp.Since = before.First, before.Since
	}
	err := l.Append(l.ctx, record.Events, []record.Record{{Kind: record.KindRetention, Retention: r}}, func(_ []record.Position, err error) {
		if err != nil {
			later(err)
			return
		}
		l.log.Info("the oldest part of the log has left", "reason", r.Reason, "first_seq", r.FirstSeq, "last_seq", r.LastSeq,
			"first_time", r.FirstTime, "last_time", r.LastTime)
	})
	if err != nil {
		later(err)
	}
}

// keepUndone keeps what is not decided and done from leaving. Against size,
// events are refused: nothing new, nothing leaves. Time cannot be refused, so
// against age the limit is raised, which removes nothing; it is never lowered.
func (l *Log) keepUndone(st State) {
	if l.cfg.Undone == nil {
		return
	}
	undone := l.cfg.Undone()
	if undone.IsZero() || undone.Seq > st.Last {
		setRefusal(&l.full, nil)
		return
	}
	oldest := undone.Seq <= st.First+(st.Last-st.First)/10
	if oldest && st.Bytes > uint64(l.cfg.MaxBytes)/10*9 {
		if l.full.Load() == nil {
			l.log.Error("events are refused: the log is full of what is not done", "undone", undone.String(), "bytes", st.Bytes, "max_bytes", l.cfg.MaxBytes)
		}
		setRefusal(&l.full, unavailable("log full: what came in at %s is not decided and done yet, and would be the next to leave", undone))
		return
	}
	setRefusal(&l.full, nil)
	if err := l.stretchAge(undone, time.Now()); err != nil {
		l.log.Warn("the age of what is not done is not known", "undone", undone.String(), "err", err)
	}
}

func setRefusal(p *atomic.Pointer[error], err error) {
	if err == nil {
		p.Store(nil)
		return
	}
	p.Store(&err)
}

// stretchAge doubles the stream's age limit when something not done has
// reached half of it: half, so that a long stop of Signalbox does not run into
// the limit either.
func (l *Log) stretchAge(undone record.Position, now time.Time) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.PublishTimeout)
	defer cancel()
	sess, err := l.session(ctx)
	if err != nil {
		return err
	}
	have := sess.stream.CachedInfo().Config
	if have.MaxAge == 0 {
		return nil
	}
	msg, err := sess.stream.GetMsg(ctx, undone.Seq)
	if err != nil {
		return err
	}
	if now.Sub(msg.Time) < have.MaxAge/2 {
		return nil
	}
	want := have
	want.MaxAge = 2 * have.MaxAge
	if _, err := sess.js.UpdateStream(ctx, want); err != nil {
		return fmt.Errorf("raise the age limit: %w", err)
	}
	_, err = sess.stream.Info(ctx) // refreshes what is cached
	l.log.Warn("the log's age limit is raised: something that old is not done", "undone", undone.String(), "since", msg.Time, "max_age", want.MaxAge)
	return err
}

// keepCheckpoint writes the checkpoint every second when it has changed.
func (l *Log) keepCheckpoint() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := l.saveCheckpoint(); err != nil {
				l.log.Warn("checkpoint not written", "err", err)
			}
		case <-l.ctx.Done():
			return
		}
	}
}

// markEvery is how many sequences lie between two marks, at least.
const markEvery = 64

func (l *Log) saveCheckpoint() error {
	l.cpMu.Lock()
	if !l.changed || l.cp.Node == "" {
		l.cpMu.Unlock()
		return nil
	}
	if n := len(l.cp.Marks); n == 0 || l.cp.Last >= l.cp.Marks[n-1].Seq+markEvery {
		l.cp.addMark(mark{Seq: l.cp.Last, Time: time.Now()})
	}
	l.cp.Written = time.Now()
	c := l.cp
	c.Heads = make(map[string]head, len(l.cp.Heads))
	for w, h := range l.cp.Heads {
		c.Heads[w] = h
	}
	c.Marks = append([]mark(nil), l.cp.Marks...)
	l.changed = false
	l.cpMu.Unlock()
	if err := writeCheckpoint(l.cfg.Dir, &c); err != nil {
		l.cpMu.Lock()
		l.changed = true
		l.cpMu.Unlock()
		return err
	}
	return nil
}

// Verify reads the whole log and checks every batch and every chain. progress
// (optional) is told the sequence that is reached and the last. It returns a
// CorruptError for the first damage.
func (l *Log) Verify(ctx context.Context, progress func(seq, last uint64)) error {
	return l.verify(ctx, progress, nil, false)
}

// verify reads the log. With sealed the checksums, hashes and chains are looked
// at, and records are left as they are.
func (l *Log) verify(ctx context.Context, progress func(seq, last uint64), pace func(context.Context, int) error, sealed bool) error {
	st, err := l.State(ctx)
	if err != nil {
		return err
	}
	if st.Last < st.First || st.Last == 0 {
		return nil
	}
	r := reader{l: l, chain: newChain(), next: st.First, pace: pace, raw: sealed}
	return r.follow(ctx, st.Last, func(b *record.Batch) error {
		if progress != nil {
			progress(b.Seq, st.Last)
		}
		return nil
	})
}

// scrub verifies the log again and again, slowly, so that damage is found
// while there still is another copy. Decoding the records finds nothing that the
// checksums do not, and costs ten times as much.
func (l *Log) scrub() {
	if l.cfg.ScrubBytes <= 0 {
		return
	}
	limiter := rate.NewLimiter(rate.Limit(l.cfg.ScrubBytes), maxMessage)
	for {
		began := time.Now()
		err := l.verify(l.ctx, nil, limiter.WaitN, true)
		switch {
		case l.ctx.Err() != nil:
			return
		case errors.Is(err, ErrCorrupt): // told by corrupt
		case err != nil:
			l.log.Warn("scrub of the log put off", "err", err)
		default:
			l.log.Debug("scrub of the log found it whole", "took", time.Since(began))
		}
		select {
		case <-time.After(max(l.cfg.ScrubEvery, time.Minute)):
		case <-l.ctx.Done():
			return
		}
	}
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/internal/record"
)

// Log is the log, open. All its methods are safe for many goroutines.
type Log struct {
	cfg  Config
	log  *slog.Logger
	dir  *dataDir
	stop context.CancelFunc // ends ctx
	ctx  context.Context    // the log's own life: for its goroutines, never a caller's
	wg   sync.WaitGroup

	mu     sync.Mutex
	sess   *session      // nil while the log is broken
	opened chan struct{} // closed when sess is set or the log is closed; replaced when it breaks
	broken error         // why there is no session
	closed bool
	told   map[string]bool // damage that OnCorrupt has been told
	fatal  *CorruptError   // damage found while running: the first

	refused  atomic.Pointer[error] // why events are refused at present; nil for not
	lowSpace atomic.Pointer[error]
	full     atomic.Pointer[error]

	revived time.Time     // of revive alone, which never runs twice at once
	wait    time.Duration // the same

	failures chan error                   // from the server's log: a write has failed
	subjects map[record.Subject]*appender // events and journal

	committer *committer

	retentionEvery time.Duration

	cpMu    sync.Mutex
	cp      checkpoint
	changed bool
	dirty   *dirSync

	decisions chan struct{} // one batch of decisions at a time
	decided   decided       // of the committer alone
}

// Open opens the log in cfg.Dir, or on cfg.URL, and checks it: that it goes at
// least as far as its checkpoint says, that nothing is missing in it as far as
// the stream itself knows, and that what came after the checkpoint is whole.
// Damage is an error that wraps ErrCorrupt and says what to do. Close it.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	dir, err := openDataDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	l := &Log{cfg: cfg, log: log, dir: dir, opened: make(chan struct{}), told: make(map[string]bool),
		failures: make(chan error, 1), dirty: newDirSync(cfg), retentionEvery: retentionEvery, subjects: make(map[record.Subject]*appender)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.decisions, l.committer = make(chan struct{}, 1), newCommitter(l)
	for _, s := range []record.Subject{record.Events, record.Journal} {
		l.subjects[s] = newAppender(l, s)
	}
	if err := l.start(ctx); err != nil {
		l.stop()
		return nil, errors.Join(fmt.Errorf("event log: %w", err), dir.close())
	}
	l.wg.Go(l.keep)
	l.wg.Go(l.watchSpace)
	l.wg.Go(l.keepCheckpoint)
	l.wg.Go(l.watchRetention)
	l.wg.Go(l.scrub)
	l.wg.Go(l.committer.run)
	for _, a := range l.subjects {
		l.wg.Go(a.complete)
	}
	return l, nil
}

// Node is the name of this node, the same for ever: 12 hex digits.
func (l *Log) Node() string { return l.dir.node }

// writer is this node's name as a writer of messages of a subject. Each has a
// chain of its own, so that who reads only some can check them.
func (l *Log) writer(s record.Subject) string { return l.dir.node + "/" + string(s) }

// Close stops taking records, writes what was taken, and stops the server.
// What ctx does not give time for is refused to its callers.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	for _, a := range l.subjects {
		a.finish()
	}
	l.committer.finish()
	for _, a := range l.subjects {
		select {
		case <-a.idle:
		case <-ctx.Done():
		}
	}
	l.stop()
	l.wg.Wait()
	err := l.saveCheckpoint()
	l.mu.Lock()
	sess := l.sess
	l.sess = nil
	l.broken = ErrClosed
	l.mu.Unlock()
	if sess != nil {
		sess.close()
	}
	return errors.Join(err, l.dir.close())
}

// session waits until the log works.
func (l *Log) session(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		sess, opened := l.sess, l.opened
		l.mu.Unlock()
		if sess != nil {
			return sess, nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// Health is nil when all is well, and otherwise says what is wrong, in words:
// an error that wraps ErrUnavailable (events are refused) or ErrCorrupt
// (damage was found).
func (l *Log) Health() error {
	var errs []error
	if err := l.refusal(); err != nil {
		errs = append(errs, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal != nil {
		errs = append(errs, l.fatal)
	}
	return errors.Join(errs...)
}

// refusal says why events are refused at present.
func (l *Log) refusal() error {
	for _, p := range []*atomic.Pointer[error]{&l.refused, &l.lowSpace, &l.full} {
		if err := p.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// fail says that a session is broken. All but the first to say so are ignored.
func (l *Log) fail(sess *session, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sess != sess || sess == nil || l.closed && l.ctx.Err() != nil {
		return
	}
	err := unavailable("%w", why)
	l.sess, l.broken, l.opened = nil, why, make(chan struct{})
	l.refused.Store(&err)
	sess.kill()
	l.log.Error("event log broken: events are refused until it works again", "reason", why)
	l.wg.Go(func() { l.revive(sess) })
}

// revive makes a new session in place of a broken one, however often it takes.
func (l *Log) revive(old *session) {
	began := time.Now()
	old.close()
	// On a disk that stays full every session works until it is written to:
	// the wait grows over sessions, until one lives.
	if began.Sub(l.revived) > time.Minute {
		l.wait = 0
	}
	for ; l.ctx.Err() == nil; l.wait = min(2*l.wait, 4*time.Second) {
		if l.wait == 0 {
			l.wait = 25 * time.Millisecond
		} else if !l.sleep(l.wait) {
			return
		}
		err := l.tryRevive()
		if err == nil {
			l.revived = time.Now()
			l.log.Info("event log works again", "took", time.Since(began))
			l.cfg.metrics().Restarted()
			return
		}
		if c := (*CorruptError)(nil); errors.As(err, &c) {
			l.corrupt(c)
		}
		l.log.Error("event log not yet usable", "err", err)
		why := unavailable("%w", err)
		l.refused.Store(&why)
	}
}

// sleep waits, and says whether the log still lives.
func (l *Log) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *Log) tryRevive() error {
	if l.cfg.embedded() {
		// After a failed fsync the kernel has what was written in its cache,
		// says that it is clean, and may never write it. So what the tail now
		// reads as is written out again, before it is believed.
		if err := refresh(blocksDir(l.cfg)); err != nil {
			return fmt.Errorf("write the newest block out again: %w", err)
		}
	}
	select {
	case <-l.failures: // of the server that is gone
	default:
	}
	return l.start(l.ctx)
}

// keep turns what the server writes in its log into a broken session.
func (l *Log) keep() {
	for {
		select {
		case why := <-l.failures:
			l.mu.Lock()
			sess := l.sess
			l.mu.Unlock()
			l.fail(sess, why)
		case <-l.ctx.Done():
			return
		}
	}
}

// corrupt tells of damage, once each, and returns it.
func (l *Log) corrupt(e *CorruptError) *CorruptError {
	l.mu.Lock()
	first := !l.told[e.Error()]
	l.told[e.Error()] = true
	if l.fatal == nil {
		l.fatal = e
	}
	l.mu.Unlock()
	if first {
		l.log.Error("event log damaged", "from", e.From, "to", e.To, "file", e.File, "what", e.What, "advice", e.Advice)
		if l.cfg.OnCorrupt != nil {
			l.cfg.OnCorrupt(e)
		}
	}
	return e
}

// accepted says whether a person has accepted the loss of all of from..to.
func (l *Log) accepted(from, to uint64) bool {
	for from <= to {
		covered := false
		for _, r := range l.cfg.AcceptDamage {
			if r.From <= from && from <= r.To {
				if r.To == to || r.To > to {
					return true
				}
				from, covered = r.To+1, true
			}
		}
		if !covered {
			return false
		}
	}
	return true
}

// acceptedWithin says whether some loss between from and to was accepted.
func (l *Log) acceptedWithin(from, to uint64) bool {
	for _, r := range l.cfg.AcceptDamage {
		if r.From <= to && from <= r.To {
			return true
		}
	}
	return false
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"signalbox/internal/record"
)

// Raw is a batch as it is in the log: record.DecodeBatch reads Data.
type Raw struct {
	Seq  uint64
	Time time.Time
	Data []byte
}

// Batch decodes it.
func (r Raw) Batch() (*record.Batch, error) {
	b, err := record.DecodeBatch(r.Data)
	if err != nil {
		return nil, fmt.Errorf("sequence %d: %w", r.Seq, err)
	}
	b.Seq, b.Time = r.Seq, r.Time
	return b, nil
}

// RangeRaw is RangeSince for who passes batches on, or decodes them elsewhere:
// chains and checksums are checked, and records are decoded only where a batch
// might hold something of the subjects without being of one of them.
func (l *Log) RangeRaw(ctx context.Context, t time.Time, to record.Position, subjects []record.Subject, fn func(Raw) error) error {
	if to.Seq == 0 {
		return nil
	}
	r := l.reader(subjects)
	r.since, r.raw = t, true
	if t.IsZero() {
		r.next = 1
	}
	return r.follow(ctx, to.Seq, func(b *record.Batch) error { return fn(Raw{Seq: b.Seq, Time: b.Time, Data: r.data}) })
}

// Reader is the log opened to be read: nothing is written to it.
type Reader struct{ l *Log }

// OpenReader opens the log for reading alone, where no server runs. The data
// folder is locked meanwhile, so that none can start: the store must not be
// opened twice. The error wraps ErrLocked where one runs; then the log is to be
// read through it. A log on an external server is read beside those who write
// it, and needs no lock. Nothing is appended, no limit is changed, and the
// checkpoint stays as it is, so that the next start finds what it would have
// found. What is older than the log's age limit leaves at opening, as it would
// at any start.
func OpenReader(ctx context.Context, cfg Config, log *slog.Logger) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	l := &Log{cfg: cfg, log: log, opened: make(chan struct{}), told: make(map[string]bool)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	fail := func(err error) (*Reader, error) {
		l.stop()
		if l.dir != nil && l.dir.lock != nil {
			err = errors.Join(err, l.dir.close())
		}
		return nil, fmt.Errorf("event log: %w", err)
	}
	if cfg.embedded() {
		if _, err := os.Stat(filepath.Join(cfg.Dir, "node-id")); err != nil {
			return fail(fmt.Errorf("%s is no data folder of Signalbox: %w", cfg.Dir, err))
		}
		if len(blockFiles(blocksDir(cfg))) == 0 {
			return fail(fmt.Errorf("%s has no log yet", cfg.Dir))
		}
		dir, err := openDataDir(cfg.Dir)
		if err != nil {
			return fail(err)
		}
		l.dir = dir
	} else {
		l.dir = &dataDir{path: cfg.Dir, node: "reader"}
	}
	if err := l.startReading(ctx); err != nil {
		return fail(err)
	}
	return &Reader{l}, nil
}

// startReading is start for a Reader. What the server says of failed writes is
// no matter here: it is in the log.
func (l *Log) startReading(ctx context.Context) error {
	sess, err := connect(l.ctx, l.cfg, l.dir.node, l.log, func(error) {})
	if err != nil {
		return err
	}
	if sess.stream, err = sess.js.Stream(ctx, streamName); err != nil {
		sess.close()
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	if err := l.verifyReading(ctx, sess); err != nil {
		sess.close()
		return err
	}
	l.mu.Lock()
	l.sess = sess
	close(l.opened)
	l.mu.Unlock()
	return nil
}

// verifyReading refuses a log that ends before its checkpoint or has holes: what
// is told about it would be wrong.
func (l *Log) verifyReading(ctx context.Context, sess *session) error {
	if !l.cfg.embedded() {
		return nil
	}
	cp, err := readCheckpoint(l.cfg.Dir)
	if err != nil {
		return err
	}
	info, err := sess.stream.Info(ctx)
	if err != nil {
		return err
	}
	return l.verifyState(ctx, sess.stream, info.State, cp)
}

// State is Log.State.
func (r *Reader) State(ctx context.Context) (State, error) { return r.l.State(ctx) }

// Last is Log.Last.
func (r *Reader) Last(ctx context.Context, s record.Subject) (*record.Batch, error) {
	return r.l.Last(ctx, s)
}

// RangeRaw is Log.RangeRaw.
func (r *Reader) RangeRaw(ctx context.Context, t time.Time, to record.Position, subjects []record.Subject, fn func(Raw) error) error {
	return r.l.RangeRaw(ctx, t, to, subjects, fn)
}

// Close lets the data folder go.
func (r *Reader) Close() error {
	l := r.l
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.mu.Lock()
	sess := l.sess
	l.sess, l.broken = nil, ErrClosed
	l.mu.Unlock()
	if sess != nil {
		sess.close()
	}
	if l.dir.lock != nil {
		return l.dir.close()
	}
	return nil
}

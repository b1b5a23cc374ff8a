package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// tellWithin is how long the callers of a batch whose answer was lost wait for
// the truth before they are told that it is not known.
const tellWithin = 10 * time.Second

// publish writes one batch and waits until it is on disk, the session breaks,
// or it has taken too long.
func (l *Log) publish(sess *session, subject record.Subject, data []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(sess.ctx, l.cfg.PublishTimeout)
	defer cancel()
	opts = append(opts, jetstream.WithRetryAttempts(0)) // whether it landed is for us to find out
	ack, err := sess.js.PublishMsg(ctx, &nats.Msg{Subject: string(subject), Data: data}, opts...)
	if err != nil {
		return 0, err
	}
	if l.cfg.embedded() {
		if err := l.dirty.sync(); err != nil {
			return 0, fmt.Errorf("sync the directory of blocks: %w", err)
		}
	}
	return ack.Sequence, nil
}

// failure is why a publish failed, in words.
func (l *Log) failure(err error) error {
	l.mu.Lock()
	broken := l.broken
	l.mu.Unlock()
	if broken != nil {
		return broken
	}
	select { // the server's log knows more
	case why := <-l.failures:
		return why
	default:
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return fmt.Errorf("no answer in %s: the disk hangs or has failed", l.cfg.PublishTimeout)
	}
	return reason(err.Error())
}

// head is the last batch that this node wrote with a subject.
func (l *Log) head(s record.Subject) head {
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	return l.cp.Heads[l.writer(s)]
}

// landed notes that a batch is on disk.
func (l *Log) landed(s record.Subject, number, seq uint64, data []byte) {
	sum := record.Hash(data)
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	l.cp.Heads[l.writer(s)] = head{Number: number, Seq: seq, Hash: sum}
	l.cp.Last = max(l.cp.Last, seq)
	if l.cp.First == 0 {
		l.cp.First, l.cp.Since = seq, time.Now()
	}
	l.changed = true
}

// dirSync makes the names of new block files durable: the server syncs their
// content, but never their directory.
type dirSync struct {
	dir string

	mu   sync.Mutex
	mod  time.Time
	seen time.Time
}

func newDirSync(cfg Config) *dirSync { return &dirSync{dir: blocksDir(cfg)} }

// racy is how coarse a file system's times may be: a change within that time
// after our look may carry the same time.
const racy = 20 * time.Millisecond

// sync syncs the directory if it has changed since the last call. It is called
// after every write, so it must cost no more than a look.
func (d *dirSync) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.dir)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(d.mod) && d.seen.Sub(d.mod) > racy {
		return nil
	}
	seen := time.Now()
	if err := syncDir(d.dir); err != nil {
		return err
	}
	d.mod, d.seen = info.ModTime(), seen
	return nil
}

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
	l.cpMu.Lock()
	if l.floors == nil {
		l.floors = make(map[record.Subject]uint64, 3)
	}
	if _, again := l.floors[subject]; !again {
		l.floors[subject] = l.cp.Last
	}
	l.cpMu.Unlock()
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

// settle publishes a batch and, when that fails, finds out what became of it.
// Events that did not land are given back to their senders. All others are
// sent again until they are in the log; so are events on an external server,
// where the first copy may still be under way: were its number used for
// another batch, the chain would fork. Readers take two copies as one.
func (l *Log) settle(a *appender, b *record.Batch, data []byte, n int) (uint64, error) {
	for {
		sess, err := l.session(l.ctx)
		if err != nil {
			return 0, ErrClosed
		}
		began := time.Now()
		seq, err := l.publish(sess, a.subject, data)
		if err == nil {
			l.landed(b, seq, data)
			l.cfg.metrics().Appended(a.subject, n, len(data), time.Since(began))
			return seq, nil
		}
		if l.ctx.Err() != nil {
			return 0, ErrClosed
		}
		cause := l.failure(err)
		why := unavailable("%w", cause)
		l.fail(sess, cause)
		if a.subject == record.Events {
			a.refuse(why)
			soon, cancel := context.WithTimeout(l.ctx, tellWithin)
			if _, err := l.session(soon); err != nil {
				a.tell(0, why)
			}
			cancel()
		}
		if _, err := l.session(l.ctx); err != nil {
			return 0, ErrClosed
		}
		if seq, ok := l.found(a.subject, b.Number, data); ok {
			return seq, nil
		}
		if a.subject == record.Events && l.cfg.embedded() {
			return 0, why
		}
	}
}

// found says whether a batch is in the log as the last of its writer. A new
// session has read the tail.
func (l *Log) found(subject record.Subject, number uint64, data []byte) (uint64, bool) {
	h := l.head(subject)
	return h.Seq, h.Number == number && h.Hash == hash(record.Hash(data))
}

// head is the last batch that this node wrote to a subject.
func (l *Log) head(s record.Subject) head {
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	return l.cp.Heads[l.writer(s)]
}

// landed notes that a batch is on disk.
func (l *Log) landed(b *record.Batch, seq uint64, data []byte) {
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	l.cp.Heads[b.Writer] = head{Number: b.Number, Seq: seq, Hash: record.Hash(data)}
	l.cp.Last = max(l.cp.Last, seq)
	delete(l.floors, b.Subject)
	if l.cp.First == 0 {
		l.cp.First, l.cp.Since = seq, time.Now()
	}
	l.changed = true
}

// passed is the last position of which everything before is noted in the heads
// of the checkpoint. cpMu is held.
func (l *Log) passed() uint64 {
	last := l.cp.Last
	for _, floor := range l.floors {
		last = min(last, floor)
	}
	return last
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

package sourcetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
)

// Log stands in for the event log: it takes what a source emits, and does with
// it what the test says. It is safe for many goroutines.
type Log struct {
	mu      sync.Mutex
	seen    []taken // everything that was handed over, in order
	durable []normalize.Input
	held    []func() // answers that wait for Release
	hold    bool
	fail    func() error // asked by each Emit
	lose    func() error // asked for each answer
	reject  func(normalize.Input) string
	emitted int
	nextID  int
	done    sync.WaitGroup
}

// taken keeps a copy of Raw, to find sources that write into a buffer which is
// not theirs any more.
type taken struct {
	in   normalize.Input
	copy []byte
}

// Emit is a source.Emit.
func (l *Log) Emit(ctx context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", source.ErrBusy, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return err
		}
	}
	batch = slices.Clone(batch)
	l.emitted += len(batch)
	for _, in := range batch {
		l.seen = append(l.seen, taken{in, bytes.Clone(in.Raw)})
	}
	answer := func() { l.answer(batch, done) }
	if l.hold {
		l.held = append(l.held, answer)
		return nil
	}
	l.done.Go(answer)
	return nil
}

func (l *Log) answer(batch []normalize.Input, done func([]source.Receipt)) {
	l.mu.Lock()
	receipts := make([]source.Receipt, len(batch))
	var lost error
	if l.lose != nil {
		lost = l.lose()
	}
	for i, in := range batch {
		if lost != nil {
			receipts[i] = source.Receipt{Err: lost}
			continue
		}
		l.nextID++
		receipts[i].ID = fmt.Sprintf("01930000-0000-7000-8000-%012d", l.nextID)
		if l.reject != nil {
			receipts[i].Rejected = l.reject(in)
		}
		l.durable = append(l.durable, in)
	}
	l.mu.Unlock()
	done(receipts)
}

// Hold keeps all answers back until Release.
func (l *Log) Hold() { l.mu.Lock(); l.hold = true; l.mu.Unlock() }

// Release gives the answers that were held, and holds no more.
func (l *Log) Release() {
	l.mu.Lock()
	held := l.held
	l.held, l.hold = nil, false
	l.mu.Unlock()
	for _, answer := range held {
		l.done.Go(answer)
	}
}

// FailNext lets the next n calls of Emit return err.
func (l *Log) FailNext(n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = times(n, err)
}

// LoseNext lets the next n batches be taken and then answered with err: it is
// not known whether they are on disk.
func (l *Log) LoseNext(n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = times(n, err)
}

// Reject says which messages are logged as rejected, and why ("" for none).
func (l *Log) Reject(f func(normalize.Input) string) { l.mu.Lock(); l.reject = f; l.mu.Unlock() }

func times(n int, err error) func() error {
	return func() error {
		if n <= 0 {
			return nil
		}
		n--
		return err
	}
}

// Seen are the messages that were handed over, acknowledged or not.
func (l *Log) Seen() []normalize.Input {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]normalize.Input, len(l.seen))
	for i, s := range l.seen {
		out[i] = s.in
	}
	return out
}

// Durable are the messages that are on disk.
func (l *Log) Durable() []normalize.Input {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.durable)
}

// Emitted is how many messages were handed over.
func (l *Log) Emitted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.emitted
}

// changed lists messages whose Raw was written to after it was handed over.
func (l *Log) changed() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seen {
		if !bytes.Equal(s.in.Raw, s.copy) {
			out = append(out, string(s.copy))
		}
	}
	return out
}

// Counters counts for a test. It is safe for many goroutines.
type Counters struct {
	mu       sync.Mutex
	received int
	refused  map[string]int
	unparsed map[string]int
	drops    uint64
}

// Received implements source.Counters.
func (c *Counters) Received(n int) { c.mu.Lock(); c.received += n; c.mu.Unlock() }

// Refused implements source.Counters.
func (c *Counters) Refused(reason string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[reason] += n
}

// KernelDrops implements source.Counters.
func (c *Counters) KernelDrops(total uint64) { c.mu.Lock(); c.drops = total; c.mu.Unlock() }

// Unparsed implements source.Counters.
func (c *Counters) Unparsed(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unparsed == nil {
		c.unparsed = map[string]int{}
	}
	c.unparsed[peer]++
}

// Totals gives what was received and what was refused, for all reasons.
func (c *Counters) Totals() (received, refused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.refused {
		refused += n
	}
	return c.received, refused
}

// RefusedFor gives what was refused for one reason.
func (c *Counters) RefusedFor(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[reason]
}

// Health keeps what a source says of its state.
type Health struct {
	mu   sync.Mutex
	err  error
	told int
}

// Set is an Env.Health.
func (h *Health) Set(err error) { h.mu.Lock(); h.err = err; h.told++; h.mu.Unlock() }

// Err is what the source said last; nil means well.
func (h *Health) Err() error { h.mu.Lock(); defer h.mu.Unlock(); return h.err }

// deadline is how long a test waits for what must happen.
const deadline = 10 * time.Second

// Told is how often the source has said how it is.
func (h *Health) Told() int { h.mu.Lock(); defer h.mu.Unlock(); return h.told }

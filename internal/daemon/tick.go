package daemon

import (
	"context"
	"sync"
	"time"

	"signalbox/internal/record"
)

const (
	// tickEvery is how long after one tick the next may come: what is due in
	// between comes together.
	tickEvery = 10 * time.Millisecond
	// tickRetry is how long to wait where the log takes none.
	tickRetry = time.Second
)

// ticker writes a tick into the log when a timer of the engine is due and no
// record has come that tells the time. It sleeps until then: where no timer
// runs, for ever.
type ticker struct {
	mu   sync.Mutex
	due  time.Time       // of the engine's next timer; zero: none
	seen record.Position // the engine has decided up to here
	at   time.Time       // log time there
	// expects says that run waits for the engine.
	expects bool
	wake    chan struct{} // something of this has changed
}

func newTicker() ticker { return ticker{wake: make(chan struct{}, 1)} }

// next says when the engine's next timer is due.
func (t *ticker) next(due time.Time, ok bool) {
	if !ok {
		due = time.Time{}
	}
	t.mu.Lock()
	changed := t.due.IsZero() != due.IsZero() || due.Before(t.due)
	t.due = due
	t.mu.Unlock()
	if changed {
		t.poke()
	}
}

// came says that the engine has decided a batch.
func (t *ticker) came(b *record.Batch) {
	t.mu.Lock()
	t.seen, t.at = b.At(max(len(b.Records)-1, 0)), b.Time
	expects := t.expects
	t.mu.Unlock()
	if expects {
		t.poke()
	}
}

func (t *ticker) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// state gives when the next timer is due, and whether the engine has come to a
// position; if so, the log time there.
func (t *ticker) state(after record.Position) (due time.Time, there bool, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expects = t.seen.Less(after)
	return t.due, !t.expects, t.at
}

// run writes ticks until ctx ends.
func (t *ticker) run(ctx context.Context, tick func(context.Context) (record.Position, error)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last record.Position // of the tick before
	var ticked time.Time     // when it was written
	var earliest time.Time   // of the next
	for {
		due, there, at := t.state(last)
		var wait time.Duration
		switch {
		case due.IsZero():
			wait = -1 // until there is one
		case !there:
			wait = -1 // the engine is on its way, and may fire the timer
		case !last.IsZero() && at.Before(due) && !due.After(ticked):
			// The log's clock is behind ours, by about as much.
			wait = max(time.Until(earliest), min(due.Sub(at), tickRetry))
			earliest, last = time.Now().Add(wait), record.Position{}
		default:
			wait = max(time.Until(due), time.Until(earliest), 0)
		}
		if wait != 0 {
			if wait > 0 {
				timer.Reset(wait)
			} else {
				timer.Stop()
			}
			select {
			case <-ctx.Done():
				return nil
			case <-t.wake:
			case <-timer.C:
			}
			continue
		}
		ticked = time.Now()
		pos, err := tick(ctx)
		if ctx.Err() != nil {
			return nil
		}
		earliest = time.Now().Add(tickEvery)
		if err != nil { // the log is full or broken, which others tell; time goes on when it works again
			earliest = time.Now().Add(tickRetry)
			continue
		}
		last = pos
	}
}

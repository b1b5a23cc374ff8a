package worker

import (
	"errors"
	"time"

	"signalbox/internal/record"
)

// errStopped ends a walk that Drain stopped: the run stays open.
var errStopped = errors.New("stopped")

// Waits before records that could not be journalled are tried again. They are
// never given up: what an action did must be known.
const (
	againFirst = 100 * time.Millisecond
	againMost  = 5 * time.Second
)

// answer is what the journal said of one append.
type answer struct {
	at  []record.Position
	err error
}

// append writes records and waits until they are durable, trying again until
// they are or the worker was cut off. What could not be written is told once a
// try, in the log.
func (w *Worker) append(recs []record.Record) ([]record.Position, error) {
	for wait := againFirst; ; wait = min(2*wait, againMost) {
		ch := make(chan answer, 1)
		err := w.cfg.Journal.Append(w.base, record.Journal, recs, func(at []record.Position, err error) {
			ch <- answer{at, err}
		})
		if err == nil {
			select {
			case a := <-ch:
				if a.err == nil {
					return a.at, nil
				}
				err = a.err
			case <-w.base.Done():
				return nil, errStopped
			}
		}
		if !w.again(wait, err) {
			return nil, errStopped
		}
	}
}

// again waits before another try, and says no once the worker was cut off.
func (w *Worker) again(wait time.Duration, err error) bool {
	if w.base.Err() != nil {
		return false
	}
	w.log.Error("journal does not take records; trying again", "err", err, "wait", wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.base.Done():
		return false
	}
}

// appendEnd writes the last records of a run and calls w.closed when they are
// durable. It does not wait; who calls it lives until it.acked is closed or the
// worker is cut off, so that Drain waits for the answer.
func (w *Worker) appendEnd(it *item, recs []record.Record) {
	it.ending.Store(true)
	end := recs[len(recs)-1].RunEnd
	done := func(at []record.Position) {
		it.apply(at, w.cfg.Now(), recs)
		w.closed(it, end)
	}
	// retry runs where there is no goroutine of the run any more.
	retry := func(err error) {
		w.wg.Go(func() {
			if !w.again(againFirst, err) {
				return
			}
			if at, err := w.append(recs); err == nil {
				done(at)
			}
		})
	}
	err := w.cfg.Journal.Append(w.base, record.Journal, recs, func(at []record.Position, err error) {
		if err != nil {
			retry(err)
			return
		}
		done(at)
	})
	if err != nil {
		retry(err)
	}
}

// apply folds durable records into the run's state.
func (it *item) apply(at []record.Position, now time.Time, recs []record.Record) {
	it.mu.Lock()
	defer it.mu.Unlock()
	for i := range recs {
		var p record.Position
		if i < len(at) {
			p = at[i]
		}
		it.st.Apply(p, now, &recs[i])
	}
}

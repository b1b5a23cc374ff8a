package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/internal/record"
)

// ticked is a log that only takes ticks, and an engine that has timers.
type ticked struct {
	ticker ticker
	begin  time.Time
	seq    uint64
	at     []time.Duration // of the ticks
	fail   atomic.Bool
	behind atomic.Int64 // the log's clock, in ns
	timers []time.Duration
}

// record is one record of the log, at log time: timers that are due are gone.
func (k *ticked) record() record.Position {
	k.seq++
	b := &record.Batch{Seq: k.seq, Time: time.Now().Add(-time.Duration(k.behind.Load())), Records: make([]record.Record, 1)}
	for len(k.timers) > 0 && !b.Time.Before(k.begin.Add(k.timers[0])) {
		k.timers = k.timers[1:]
	}
	k.due()
	k.ticker.came(b)
	return b.At(0)
}

func (k *ticked) due() {
	if len(k.timers) == 0 {
		k.ticker.next(time.Time{}, false)
		return
	}
	k.ticker.next(k.begin.Add(k.timers[0]), true)
}

func (k *ticked) tick(context.Context) (record.Position, error) {
	k.at = append(k.at, time.Since(k.begin))
	if k.fail.Load() {
		return record.Position{}, errors.New("full")
	}
	return k.record(), nil
}

func runTicks(t *testing.T, timers []time.Duration, change func(*ticked), want ...time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &ticked{ticker: newTicker(), begin: time.Now(), timers: timers}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.ticker.run(ctx, k.tick) }()
		k.due()
		change(k)
		time.Sleep(time.Hour) // of the bubble's own clock
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(k.at) != len(want) {
			t.Fatalf("ticks at %v, want %v", k.at, want)
		}
		for i := range want {
			if k.at[i] != want[i] {
				t.Errorf("ticks at %v, want %v", k.at, want)
				break
			}
		}
	})
}

func TestTicks(t *testing.T) {
	s := time.Second
	nothing := func(*ticked) {}
	t.Run("an idle system has none", func(t *testing.T) { runTicks(t, nil, nothing) })
	t.Run("one at each time", func(t *testing.T) { runTicks(t, []time.Duration{5 * s, 7 * s}, nothing, 5*s, 7*s) })
	t.Run("what is due within a moment comes together", func(t *testing.T) {
		runTicks(t, []time.Duration{5 * s, 5*s + time.Millisecond, 5*s + 2*time.Millisecond}, nothing, 5*s, 5*s+10*time.Millisecond)
	})
	t.Run("a record that comes first is enough", func(t *testing.T) {
		runTicks(t, []time.Duration{5 * s, 9 * s}, func(k *ticked) {
			time.Sleep(4 * s)
			k.timers = k.timers[1:] // what it had to do was stopped
			k.record()
		}, 9*s)
	})
	t.Run("a log whose clock is behind", func(t *testing.T) {
		runTicks(t, []time.Duration{5 * s}, func(k *ticked) { k.behind.Store(int64(300 * time.Millisecond)) }, 5*s, 5*s+300*time.Millisecond)
	})
	t.Run("a log that takes none is asked now and then", func(t *testing.T) {
		runTicks(t, []time.Duration{5 * s}, func(k *ticked) {
			k.fail.Store(true)
			time.Sleep(7*s + s/2)
			k.fail.Store(false)
		}, 5*s, 6*s, 7*s, 8*s)
	})
	t.Run("what was due long ago is told at once", func(t *testing.T) {
		runTicks(t, []time.Duration{-24 * time.Hour}, nothing, 0)
	})
}

package daemon

import (
	"sync"
	"time"
)

// How much must be read again after a crash is bounded by time where little
// happens, and by what happened where much does. A start folds 140,000 events a
// second, so even the larger number is a matter of seconds.
const (
	snapshotEvery  = 5 * time.Minute
	snapshotEvents = 100_000 // when the saver has rested
	snapshotMost   = 250_000 // in any case
	// restFor is how many times as long as the last snapshot took to be written
	// none is written: the disk is the log's before all else.
	restFor = 10
)

// saver writes snapshots beside the work that they are of, one at a time.
type saver struct {
	mu    sync.Mutex
	wg    sync.WaitGroup
	busy  bool
	begun time.Time // of the last one, at first of the work
	rest  time.Time // until when it rests
}

func newSaver() *saver { return &saver{begun: time.Now()} }

// due says whether it is time for a snapshot after so many records. If so, one
// is to be given to start, and until it is written no other is due.
func (s *saver) due(records int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || records == 0 {
		return false
	}
	now := time.Now()
	if records < snapshotMost && (records < snapshotEvents || now.Before(s.rest)) && now.Sub(s.begun) < snapshotEvery {
		return false
	}
	s.busy, s.begun = true, now
	return true
}

// start runs write beside.
func (s *saver) start(write func()) {
	s.wg.Go(func() {
		begun := time.Now()
		write()
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy, s.rest = false, now.Add(restFor*now.Sub(begun))
	})
}

// wait returns when nothing is being written.
func (s *saver) wait() { s.wg.Wait() }

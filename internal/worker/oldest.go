package worker

import "signalbox/internal/record"

// Oldest is the oldest position of the log that an open run still needs: what
// set it off. It is zero where no run is open. Runs that wait for a person do
// not count: they are kept in the snapshot, whole, and must not keep the log
// from ageing.
func (w *Worker) Oldest() record.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	var oldest record.Position
	need := func(at record.Position) {
		if at.IsZero() {
			return // only its id is known: it is not to be found by position
		}
		if oldest.IsZero() || at.Less(oldest) {
			oldest = at
		}
	}
	for _, it := range w.open {
		if it.dec != nil {
			need(it.dec.At)
		}
		need(it.at)
	}
	for _, l := range w.lanes {
		for i := range l.far {
			need(l.far[i].at)
			need(l.far[i].about)
		}
	}
	for _, wr := range w.recovery.backlog {
		need(wr.at)
	}
	return oldest
}

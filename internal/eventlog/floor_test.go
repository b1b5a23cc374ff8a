package eventlog

import (
	"log/slog"
	"testing"

	"signalbox/event"
	"signalbox/internal/record"
)

// While a batch of one subject is being written, those of others are
// acknowledged. A checkpoint that passed the first would leave it out of the
// chain after a kill: the next start would miss a batch that is there.
func TestTheCheckpointWaitsForWhatIsUnderWay(t *testing.T) {
	cfg := DefaultConfig(t.TempDir())
	cfg.MinFree, cfg.ScrubBytes = -1, 0
	open := func() *Log {
		l, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	add := func(l *Log, n int) {
		for range n {
			done := make(chan error, 1)
			err := l.Append(t.Context(), record.Events, []record.Record{{Kind: record.KindEvent, Event: &event.Event{ID: "e", Type: "x"}}},
				func(_ []record.Position, err error) { done <- err })
			if err == nil {
				err = <-done
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	l := open()
	add(l, 3)
	l.cpMu.Lock()
	floor := l.cp.Last
	l.floors[record.Decisions] = floor // a batch of decisions is on its way
	l.cpMu.Unlock()
	add(l, 4)
	if err := l.saveCheckpoint(); err != nil {
		t.Fatal(err)
	}
	cp, err := readCheckpoint(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if cp.Last != floor || cp.Heads[l.writer(record.Events)].Seq != floor+4 {
		t.Errorf("the checkpoint goes to %d with events to %d, want %d and %d", cp.Last, cp.Heads[l.writer(record.Events)].Seq, floor, floor+4)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What lies between is read again, and is no break of the chain.
	l = open()
	add(l, 2)
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

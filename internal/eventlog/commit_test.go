package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"signalbox/event"
	"signalbox/internal/record"
)

func openLog(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testConfig(t *testing.T) Config {
	cfg := DefaultConfig(t.TempDir())
	cfg.MinFree, cfg.ScrubBytes = -1, 0
	return cfg
}

func eventOf(id string) record.Record {
	return record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(id), Type: "x"}}
}

func runEnd(id string) record.Record {
	return record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: id}}
}

func stretch(from, through uint64) *record.Batch {
	return &record.Batch{From: record.Position{Seq: from}, Through: record.Position{Seq: through}, RulesVersion: "v",
		Records: []record.Record{{Kind: record.KindDecision, Decision: &record.Decision{At: record.Position{Seq: through}, Verdict: record.Decided}}}}
}

// stop keeps the committer from writing until what it returns is called: what
// comes until then is written together.
func stop(l *Log) (resume func()) {
	l.mu.Lock()
	sess := l.sess
	l.sess, l.opened = nil, make(chan struct{})
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		l.sess = sess
		close(l.opened)
		l.mu.Unlock()
	}
}

// What waits is one message, whatever its subjects, and each reader finds its
// own in it, at the positions that the writers were told.
func TestAllSubjectsShareOneMessage(t *testing.T) {
	l := openLog(t, testConfig(t))
	resume := stop(l)
	var wg sync.WaitGroup
	told := make(chan string, 10)
	add := func(s record.Subject, id string, r record.Record) {
		t.Helper()
		wg.Add(1)
		err := l.Append(t.Context(), s, []record.Record{r}, func(at []record.Position, err error) {
			told <- fmt.Sprint(id, " ", at, " ", err)
			wg.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The first makes a message of its own, which waits for the session; the
	// others gather behind it.
	add(record.Events, "first", eventOf("first"))
	for l.Queued(record.Events) > 0 {
	}
	add(record.Journal, "j", runEnd("j"))
	add(record.Events, "e1", eventOf("e1"))
	wg.Go(func() {
		at, err := l.AppendDecisions(t.Context(), stretch(0, 1))
		told <- fmt.Sprint("d ", at, " ", err)
	})
	for waits := false; !waits; {
		l.committer.mu.Lock()
		waits = l.committer.waiting != nil
		l.committer.mu.Unlock()
	}
	add(record.Events, "e2", eventOf("e2"))
	resume()
	wg.Wait()
	close(told)
	got := map[string]bool{}
	for s := range told {
		got[s] = true
	}
	for _, want := range []string{"first [1/0] <nil>", "d 2/0 <nil>", "e1 [2/1] <nil>", "e2 [2/2] <nil>", "j [2/3] <nil>"} {
		if !got[want] {
			t.Errorf("nobody was told %q: %v", want, got)
		}
	}
	for _, s := range []record.Subject{record.Events, record.Decisions, record.Journal} {
		var at []record.Position
		err := l.Range(t.Context(), record.Position{Seq: 1, Index: 9}, record.Position{Seq: 2}, []record.Subject{s}, func(b *record.Batch) error {
			for i := range b.Records {
				if b.Records[i].Kind.Subject() == s {
					at = append(at, b.At(i))
				}
			}
			return nil
		})
		want := map[record.Subject]string{record.Events: "[2/1 2/2]", record.Decisions: "[2/0]", record.Journal: "[2/3]"}[s]
		if fmt.Sprint(at) != want || err != nil {
			t.Errorf("%s: read %v, %v, want %s", s, at, err, want)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Decisions that another engine has overtaken are refused alone: what would
// have been written with them is written.
func TestAConflictIsThatOfTheDecisionsAlone(t *testing.T) {
	l := openLog(t, testConfig(t))
	for range 3 {
		appendOne(t, l, record.Events, eventOf("e"))
	}
	if _, err := l.AppendDecisions(t.Context(), stretch(0, 1)); err != nil {
		t.Fatal(err)
	}
	// Another writes behind the back of this process, which does not know it.
	other := stretch(1, 2)
	other.Subject, other.Writer, other.Number = record.Decisions, "other/log.decisions", 1
	if _, err := l.sess.js.Publish(t.Context(), string(record.Decisions), record.Encode(other)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var conflict error
	wg.Go(func() { _, conflict = l.AppendDecisions(t.Context(), stretch(1, 3)) })
	for i := range 50 {
		wg.Go(func() { appendOne(t, l, record.Events, eventOf(fmt.Sprint(i))) })
		wg.Go(func() { appendOne(t, l, record.Journal, runEnd(fmt.Sprint(i))) })
	}
	wg.Wait()
	if !errors.Is(conflict, ErrConflict) {
		t.Errorf("the decisions: %v, want ErrConflict", conflict)
	}
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func appendOne(t *testing.T, l *Log, s record.Subject, r record.Record) {
	t.Helper()
	done := make(chan error, 1)
	err := l.Append(context.Background(), s, []record.Record{r}, func(_ []record.Position, err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Error(err)
	}
}

// A checkpoint that is written at any moment is one that the log can be opened
// with: nothing between it and its head is left out of the chain.
func TestTheCheckpointIsOfOneMoment(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				appendOne(t, l, record.Events, eventOf(fmt.Sprint(i)))
				appendOne(t, l, record.Journal, runEnd(fmt.Sprint(i)))
			}
		})
	}
	wg.Go(func() {
		for i := uint64(0); ctx.Err() == nil; i++ {
			if _, err := l.AppendDecisions(t.Context(), stretch(i, i+1)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 100 {
		if err := l.saveCheckpoint(); err != nil {
			t.Fatal(err)
		}
		cp, err := readCheckpoint(cfg.Dir)
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		for _, h := range cp.Heads {
			last = max(last, h.Seq)
		}
		if last != cp.Last {
			t.Fatalf("the checkpoint goes to %d, and the last batch in it is %d", cp.Last, last)
		}
	}
	cancel()
	wg.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, cfg)
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

func TestMain(m *testing.M) {
	if os.Getenv("EVENTLOG_CHILD") != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m,
		// nats-server's own, one a process, never stopped.
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/klauspost/compress/zstd.startStreamDecoder"),
	)
}

// quiet is a logger for tests: it shows only with -v.
func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type writer struct{ t testing.TB }

func (w writer) Write(b []byte) (int, error) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, "%s: %s", w.t.Name(), b)
	}
	return len(b), nil
}

func config(dir string) eventlog.Config {
	cfg := eventlog.DefaultConfig(dir)
	cfg.MaxBytes = 256 << 20
	cfg.MinFree = -1
	cfg.ScrubBytes = 0
	cfg.PublishTimeout = 5 * time.Second
	return cfg
}

func open(t testing.TB, cfg eventlog.Config) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(t.Context(), cfg, quiet(t))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeLog(t, l) })
	return l
}

func closeLog(t testing.TB, l *eventlog.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func ev(id string) record.Record {
	return record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(id), Type: "interface_down", Device: "sw1", Interface: "Gi0/1",
		Raw: []byte("<189>45: sw1: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down")}}
}

// add appends and waits.
func add(l *eventlog.Log, s record.Subject, recs ...record.Record) ([]record.Position, error) {
	type answer struct {
		at  []record.Position
		err error
	}
	done := make(chan answer, 1)
	err := l.Append(context.Background(), s, recs, func(at []record.Position, err error) { done <- answer{at, err} })
	if err != nil {
		return nil, err
	}
	a := <-done
	return a.at, a.err
}

func mustAdd(t testing.TB, l *eventlog.Log, s record.Subject, recs ...record.Record) []record.Position {
	t.Helper()
	at, err := add(l, s, recs...)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return at
}

// readAll reads all that is there now, and gives the ids of events by position.
func readAll(t testing.TB, l *eventlog.Log, subjects ...record.Subject) (ids []string, at []record.Position, err error) {
	t.Helper()
	st, err := l.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = l.Range(ctx, record.Position{}, record.Position{Seq: st.Last}, subjects, func(b *record.Batch) error {
		for i, r := range b.Records {
			if r.Event != nil {
				ids, at = append(ids, string(r.Event.ID)), append(at, b.At(i))
			}
		}
		return nil
	})
	return ids, at, err
}

func TestAppendThenRead(t *testing.T) {
	cfg := config(t.TempDir())
	l := open(t, cfg)
	p1 := mustAdd(t, l, record.Events, ev("1"), ev("2"))
	p2 := mustAdd(t, l, record.Journal, record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r", Outcome: record.Succeeded}})
	p3 := mustAdd(t, l, record.Events, ev("3"))
	if !p1[0].Less(p1[1]) || !p1[1].Less(p2[0]) || !p2[0].Less(p3[0]) {
		t.Fatalf("positions are not in order: %v %v %v", p1, p2, p3)
	}
	ids, at, err := readAll(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(ids) != "[1 2 3]" || at[0] != p1[0] || at[1] != p1[1] || at[2] != p3[0] {
		t.Errorf("read %v at %v", ids, at)
	}
	if ids, _, err := readAll(t, l, record.Journal); err != nil || len(ids) != 0 {
		t.Errorf("journal has events %v, %v", ids, err)
	}
	if b, err := l.Last(t.Context(), record.Journal); err != nil || b.Seq != p2[0].Seq || b.Time.IsZero() {
		t.Errorf("last of the journal = %+v, %v", b, err)
	}
	if _, err := l.Last(t.Context(), record.Decisions); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("last decision: %v, want ErrNotFound", err)
	}
	if _, err := l.Get(t.Context(), 99); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("get 99: %v, want ErrNotFound", err)
	}
}

func TestReadFollowsFromAPosition(t *testing.T) {
	l := open(t, config(t.TempDir()))
	at := mustAdd(t, l, record.Events, ev("1"), ev("2"), ev("3"))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Read(ctx, at[1], nil, func(b *record.Batch) error {
			for i, r := range b.Records {
				if at[1].Less(b.At(i)) {
					got <- string(r.Event.ID)
				}
			}
			return nil
		})
	}()
	want := func(id string) {
		t.Helper()
		select {
		case g := <-got:
			if g != id {
				t.Fatalf("read %q, want %q", g, id)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q did not come", id)
		}
	}
	want("3")
	mustAdd(t, l, record.Events, ev("4"))
	want("4")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("read ended with %v, want nil", err)
	}
}

func TestManyAppendersAndRestarts(t *testing.T) {
	cfg := config(t.TempDir())
	const appenders, each = 1024, 8
	want := make(map[string]record.Position)
	for round := range 3 {
		l, err := eventlog.Open(t.Context(), cfg, quiet(t))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		for a := range appenders {
			wg.Go(func() {
				var last record.Position
				for i := range each {
					id := fmt.Sprintf("%d-%d-%d", round, a, i)
					at, err := add(l, record.Events, ev(id))
					if err != nil {
						t.Error(err)
						return
					}
					if !last.Less(at[0]) {
						t.Errorf("%s at %s after %s", id, at[0], last)
					}
					last = at[0]
					mu.Lock()
					want[id] = at[0]
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		ids, at, err := readAll(t, l)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) != len(want) {
			t.Fatalf("read %d events, want %d", len(ids), len(want))
		}
		for i, id := range ids {
			if want[id] != at[i] {
				t.Fatalf("%s read at %s, appended at %s", id, at[i], want[id])
			}
		}
		closeLog(t, l)
	}
}

package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

func decisions(from, through record.Position) *record.Batch {
	return &record.Batch{From: from, Through: through, RulesVersion: "v", EventCount: 1,
		Records: []record.Record{{Kind: record.KindDecision, Decision: &record.Decision{At: through, Verdict: record.Unmatched}}}}
}

func pos(seq uint64) record.Position { return record.Position{Seq: seq} }

func TestDecisionsAreAChain(t *testing.T) {
	cfg := config(t.TempDir())
	l := open(t, cfg)
	mustAdd(t, l, record.Events, ev("1"), ev("2"))
	first, err := l.AppendDecisions(t.Context(), decisions(pos(0), pos(1)))
	if err != nil || first != pos(2) {
		t.Fatalf("first: %v, %v", first, err)
	}
	if _, err := l.AppendDecisions(t.Context(), decisions(pos(1), record.Position{Seq: 1, Index: 1})); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*record.Batch{
		"the same stretch again":  decisions(pos(1), record.Position{Seq: 1, Index: 1}),
		"from the beginning":      decisions(pos(0), pos(1)),
		"a stretch that skips":    decisions(pos(2), pos(3)),
		"an engine long replaced": decisions(pos(0), pos(9)),
	} {
		if _, err := l.AppendDecisions(t.Context(), b); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	empty := decisions(pos(3), pos(3))
	empty.Records = nil
	if _, err := l.AppendDecisions(t.Context(), empty); err == nil || errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("an empty stretch: %v, want an error", err)
	}
	last, err := l.Last(t.Context(), record.Decisions)
	if err != nil {
		t.Fatal(err)
	}
	if last.Number != 2 || last.Writer != l.Node()+"/log.decisions" || last.RulesVersion != "v" {
		t.Errorf("last = %+v", last)
	}
	closeLog(t, l)
	l = open(t, cfg)
	if _, err := l.AppendDecisions(t.Context(), decisions(last.Through, pos(4))); err != nil {
		t.Errorf("goes on after a restart: %v", err)
	}
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// Whatever breaks under load: the journal and decisions lose nothing and have
// nothing twice, acknowledged events are there, followers go on.
func TestBreaksUnderLoad(t *testing.T) {
	l := open(t, config(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var followed []string
	followErr := make(chan error, 1)
	const runs = 400
	go func() {
		followErr <- l.Read(t.Context(), record.Position{}, []record.Subject{record.Journal}, func(b *record.Batch) error {
			for _, r := range b.Records {
				if r.RunEnd != nil { // what was written with it comes with it
					followed = append(followed, strings.Clone(r.RunEnd.Run))
				}
			}
			if len(followed) == runs {
				return eventlog.ErrStop
			}
			return nil
		})
	}()
	acked := make(map[string]bool)
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			id := fmt.Sprint(i)
			if _, err := add(l, record.Events, ev(id)); err == nil {
				acked[id] = true
			}
		}
	})
	decided := 0
	wg.Go(func() {
		for i := uint64(0); ctx.Err() == nil; i++ {
			if _, err := l.AppendDecisions(ctx, decisions(pos(i), pos(i+1))); err != nil {
				if ctx.Err() == nil {
					t.Errorf("decisions: %v", err)
				}
				return
			}
			decided++
		}
	})
	for i := range runs {
		if i%100 == 50 {
			l.Break(errors.New("made to break"))
		}
		mustAdd(t, l, record.Journal, record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: fmt.Sprint(i)}})
	}
	cancel()
	wg.Wait()
	if err := <-followErr; err != nil {
		t.Fatal(err)
	}
	for i, run := range followed {
		if run != fmt.Sprint(i) {
			t.Fatalf("journal has %q at %d", run, i)
		}
	}
	ids, _, err := readAll(t, l)
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]int)
	for _, id := range ids {
		there[id]++
	}
	for id := range acked {
		if there[id] != 1 {
			t.Errorf("%s is there %d times", id, there[id])
		}
	}
	last, err := l.Last(t.Context(), record.Decisions)
	if err != nil || last.Through.Seq < uint64(decided) || last.Through.Seq > uint64(decided)+1 {
		t.Errorf("the last batch of decisions goes through %s, %d were answered (%v)", last.Through, decided, err)
	}
}

func TestLargeAppendIsCutAndStaysInOrder(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.BatchRecords, cfg.QueueRecords = 10, 20
	l := open(t, cfg)
	var recs []record.Record
	var enc []byte
	for i := range 95 {
		recs = append(recs, ev(fmt.Sprint(i)))
		enc = record.AppendRecord(enc, &recs[i])
	}
	at := mustAdd(t, l, record.Events, recs...)
	if len(at) != 95 || !slices.IsSortedFunc(at, func(a, b record.Position) int {
		if a.Less(b) {
			return -1
		}
		return 1
	}) {
		t.Errorf("positions: %v", at)
	}
	done := make(chan error, 1)
	if err := l.AppendEncoded(t.Context(), record.Events, enc, func(at []record.Position, err error) {
		if err == nil && len(at) != 95 {
			err = fmt.Errorf("%d positions", len(at))
		}
		done <- err
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ids, _, err := readAll(t, l)
	if err != nil || len(ids) != 190 {
		t.Fatalf("read %d, %v", len(ids), err)
	}
	for i, id := range ids {
		if id != fmt.Sprint(i%95) {
			t.Fatalf("%q at %d", id, i)
		}
	}
}

func TestRefusals(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.QueueRecords, cfg.BatchRecords = 4, 4
	l := open(t, cfg)
	none := func([]record.Position, error) { t.Error("done was called") }
	if err := l.Append(t.Context(), record.Events, nil, none); err == nil {
		t.Error("no records: no error")
	}
	if err := l.Append(t.Context(), record.Decisions, []record.Record{ev("1")}, none); err == nil {
		t.Error("decisions by Append: no error")
	}
	if err := l.Append(t.Context(), record.Events, []record.Record{big("1", 8<<20)}, none); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Errorf("8 MiB: %v, want ErrTooLarge", err)
	}
	if err := l.AppendEncoded(t.Context(), record.Events, []byte("rubbish"), none); err == nil {
		t.Error("rubbish: no error")
	}
	if _, err := add(l, record.Events, big("large", 5<<20)); err != nil {
		t.Errorf("5 MiB: %v", err)
	}

	// A done that does not return holds the queue: then Append waits, and says
	// so when its time is over.
	hold := make(chan struct{})
	var held sync.WaitGroup
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		held.Add(1)
		err := l.Append(ctx, record.Events, []record.Record{ev("x"), ev("y")}, func([]record.Position, error) { <-hold; held.Done() })
		cancel()
		if err == nil {
			continue
		}
		held.Done()
		if !errors.Is(err, eventlog.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("queue full: %v, want ErrBusy", err)
		}
		break
	}
	close(hold)
	held.Wait()

	if _, err := eventlog.Open(t.Context(), cfg, quiet(t)); !errors.Is(err, eventlog.ErrLocked) {
		t.Errorf("open twice: %v, want ErrLocked", err)
	}
	closeLog(t, l)
	if err := l.Append(t.Context(), record.Events, []record.Record{ev("1")}, none); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("after close: %v, want ErrClosed", err)
	}
}

func TestBrokenLogRefusesEventsAtOnceAndInWords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, config(dir))
	mustAdd(t, l, record.Events, ev("1"))
	l.Break(errors.New("disk full"))
	err := l.Append(t.Context(), record.Events, []record.Record{ev("2")}, func([]record.Position, error) {})
	if err != nil && (!errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "disk full")) {
		t.Errorf("refused with %v", err)
	}
	eventually(t, 10*time.Second, "the log works again", func() bool { return l.Health() == nil })
	mustAdd(t, l, record.Events, ev("3"))
}

func TestWhatLeavesIsTold(t *testing.T) {
	defer eventlog.LookForRetentionEvery(20 * time.Millisecond)()
	cfg := config(t.TempDir())
	cfg.MaxBytes = 3 << 20
	l := open(t, cfg)
	for i := range 100 {
		mustAdd(t, l, record.Events, big(fmt.Sprint(i), 50_000))
	}
	var told []*record.Retention
	eventually(t, 10*time.Second, "the report of what left", func() bool {
		told = nil
		st, err := l.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = l.Range(t.Context(), record.Position{}, record.Position{Seq: st.Last}, nil, func(b *record.Batch) error {
			for _, r := range b.Records {
				if r.Retention != nil {
					told = append(told, r.Retention)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(told) > 0 && told[len(told)-1].LastSeq >= 30
	})
	r := told[len(told)-1]
	if r.Reason != "size" || r.LastSeq < r.FirstSeq || r.FirstTime.IsZero() || r.LastTime.Before(r.FirstTime) {
		t.Errorf("report = %+v", r)
	}
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Errorf("a log whose head has left does not verify: %v", err)
	}
	closeLog(t, l)
	l = open(t, cfg) // and opens
	if err := l.Health(); err != nil {
		t.Error(err)
	}
}

func TestNothingUndoneLeavesBySize(t *testing.T) {
	defer eventlog.LookForRetentionEvery(5 * time.Millisecond)()
	cfg := config(t.TempDir())
	cfg.MaxBytes = 4 << 20
	var mu sync.Mutex
	undone := pos(1)
	cfg.Undone = func() record.Position { mu.Lock(); defer mu.Unlock(); return undone }
	l := open(t, cfg)
	refused := error(nil)
	for i := 0; i < 1000 && refused == nil; i++ {
		_, refused = add(l, record.Events, big(fmt.Sprint(i), 10_000))
	}
	if !errors.Is(refused, eventlog.ErrUnavailable) || !strings.Contains(refused.Error(), "log full") {
		t.Fatalf("refused with %v, want ErrUnavailable that says that the log is full", refused)
	}
	if st, err := l.State(t.Context()); err != nil || st.First != 1 {
		t.Fatalf("the undone event has left: log begins at %d (%v)", st.First, err)
	}
	mustAdd(t, l, record.Journal, record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r"}})
	mu.Lock()
	undone = pos(1 << 40)
	mu.Unlock()
	eventually(t, 10*time.Second, "events are taken again", func() bool { _, err := add(l, record.Events, ev("later")); return err == nil })
}

func TestNothingUndoneLeavesByAge(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxAge = time.Hour
	l := open(t, cfg)
	at := mustAdd(t, l, record.Events, ev("1"))[0]
	for _, step := range []struct{ after, want time.Duration }{
		{20 * time.Minute, time.Hour}, {31 * time.Minute, 2 * time.Hour}, {59 * time.Minute, 2 * time.Hour}, {61 * time.Minute, 4 * time.Hour},
	} {
		if err := l.StretchAge(at, time.Now().Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if got := l.MaxAge(); got != step.want {
			t.Errorf("undone for %s: the age limit is %s, want %s", step.after, got, step.want)
		}
	}
	closeLog(t, l)
	l = open(t, cfg)
	if got := l.MaxAge(); got != 4*time.Hour {
		t.Errorf("after a restart the limit is %s: a smaller one removes what is in the log", got)
	}
}

// What was written must be the same, byte for byte, after it was written out
// again.
func TestRefreshChangesNothing(t *testing.T) {
	dir, ids := oldLog(t, true)
	msgs := filepath.Dir(blocks(t, dir)[0])
	if err := eventlog.Refresh(msgs); err != nil {
		t.Fatal(err)
	}
	if err := verdictOf(t, dir, ids); err != nil {
		t.Error(err)
	}
}

func TestReadBackwards(t *testing.T) {
	l := open(t, config(t.TempDir()))
	for i := range 50 {
		mustAdd(t, l, record.Events, ev(fmt.Sprint(i)))
	}
	var got []string
	err := l.ReadBackwards(t.Context(), 0, []record.Subject{record.Events}, func(b *record.Batch) error {
		for _, r := range slices.Backward(b.Records) {
			got = append(got, string(r.Event.ID))
		}
		if len(got) >= 40 {
			return eventlog.ErrStop
		}
		return nil
	})
	if err != nil || len(got) != 40 || got[0] != "49" || got[39] != "10" {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestReadSince(t *testing.T) {
	l := open(t, config(t.TempDir()))
	mustAdd(t, l, record.Events, ev("old"))
	b, err := l.Last(t.Context(), record.Events)
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, record.Events, ev("new"))
	var got string
	err = l.ReadSince(t.Context(), b.Time.Add(time.Nanosecond), nil, func(b *record.Batch) error {
		got = string(b.Records[0].Event.ID)
		return eventlog.ErrStop
	})
	if err != nil || got != "new" {
		t.Errorf("read %q, %v", got, err)
	}
}

// A bit that flips while the log is open is found by the next reading of it from
// the disk; until then the server may have the block in its cache, for seconds.
func TestLiveFlip(t *testing.T) {
	from, _ := oldLog(t, true)
	cfg := small(from)
	found := make(chan *eventlog.CorruptError, 10)
	cfg.OnCorrupt = func(e *eventlog.CorruptError) { found <- e }
	l := open(t, cfg)
	if err := l.Health(); err != nil {
		t.Fatal(err)
	}
	file := blocks(t, from)[1]
	flipBit(t, file, size(t, file)/2)
	err := l.Verify(t.Context(), nil)
	for end := time.Now().Add(30 * time.Second); err == nil && time.Now().Before(end); err = l.Verify(t.Context(), nil) {
		<-time.After(100 * time.Millisecond)
	}
	c := (*eventlog.CorruptError)(nil)
	if !errors.As(err, &c) || c.From == 0 || c.From != c.To {
		t.Fatalf("verify: %v, want a CorruptError of one sequence", err)
	}
	if e := <-found; e.Error() != c.Error() {
		t.Errorf("OnCorrupt was told %v", e)
	}
	if err := l.Health(); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("health = %v", err)
	}
	mustAdd(t, l, record.Events, ev("goes on")) // taking events in is no harm
	closeLog(t, l)

	cfg.AcceptDamage = []eventlog.Range{{From: c.From, To: c.To}}
	l = open(t, cfg)
	if err := l.Verify(t.Context(), nil); err != nil {
		t.Errorf("accepted damage: %v", err)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	cfg := eventlog.Config{AcceptDamage: []eventlog.Range{{From: 5, To: 3}}, Cert: "x"}
	err := cfg.Validate()
	for _, want := range []string{"dir:", "max_bytes:", "batch_records:", "publish_timeout:", "cert and key", "accept_damage: 5 to 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if err := eventlog.DefaultConfig("x").Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestNoSecretInErrors(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.URL = "nats://user:canary-secret@127.0.0.1:1"
	_, err := eventlog.Open(t.Context(), cfg, quiet(t))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error = %v, want one without the password", err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files: %v, %v", files, err)
	}
	if bytes.Contains([]byte(strings.Join(files, "")), []byte("canary")) {
		t.Error("a file carries the password")
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// logged is a log with events of which some are decided.
type logged struct {
	t   *testing.T
	log *eventlog.Log
	ids map[string]event.ID // by device
	at  map[string]record.Position
	end record.Position
}

func newLogged(t *testing.T) *logged {
	t.Helper()
	cfg := eventlog.DefaultConfig(t.TempDir())
	cfg.MinFree = -1
	l, err := eventlog.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return &logged{t: t, log: l, ids: map[string]event.ID{}, at: map[string]record.Position{}}
}

// event logs one event about a device named after what is to become of it.
func (l *logged) event(device, typ string, rejected string) {
	l.t.Helper()
	id := event.ID(uuid.Must(uuid.NewV7()).String())
	l.ids[device] = id
	ev := event.Event{ID: id, Source: "s", Type: typ, Device: device, Raw: []byte("raw of " + device), Received: time.Now()}
	r := record.Record{Kind: record.KindEvent, Event: &ev}
	if rejected != "" {
		r = record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: ev, Reason: rejected}}
	}
	done := make(chan error, 1)
	err := l.log.Append(l.t.Context(), record.Events, []record.Record{r}, func(p []record.Position, err error) {
		if err == nil {
			l.at[device] = p[0]
		}
		done <- err
	})
	if err == nil {
		err = <-done
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// decide decides all events up to the one about through.
func (l *logged) decide(through string, events, unmatched uint64, ds ...*record.Decision) {
	l.t.Helper()
	b := &record.Batch{Subject: record.Decisions, From: l.end, Through: l.at[through], EventCount: events, UnmatchedCount: unmatched}
	for _, d := range ds {
		b.Records = append(b.Records, record.Record{Kind: record.KindDecision, Decision: d})
	}
	if _, err := l.log.AppendDecisions(l.t.Context(), b); err != nil {
		l.t.Fatal(err)
	}
	l.end = b.Through
}

func (l *logged) list(q api.EventQuery) []string {
	l.t.Helper()
	var out []string
	err := history{l.log}.list(l.t.Context(), q, func(e *api.Entry) error {
		out = append(out, e.Event.Device+" "+e.Status)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func filled(t *testing.T) *logged {
	l := newLogged(t)
	l.event("a", "interface_down", "")
	l.event("b", "bgp_neighbor_down", "")
	l.event("bad", "interface_down", "data.speed: want a number")
	l.event("c", "interface_down", "")
	l.decide("c", 3, 1,
		&record.Decision{At: l.at["a"], Verdict: record.Decided, Runs: []record.RunStart{{Run: "r1-0-000000000000", Rule: "x"}}},
		&record.Decision{At: l.at["c"], Verdict: record.Duplicate, Of: l.ids["a"]})
	l.event("late", "interface_up", "")
	return l
}

func TestEventsWithWhatBecameOfThem(t *testing.T) {
	l := filled(t)
	tests := []struct {
		name string
		q    api.EventQuery
		want []string
	}{
		{"all, in order", api.EventQuery{}, []string{"bad rejected", "a decided", "b unmatched", "c duplicate", "late pending"}},
		{"the newest two", api.EventQuery{Limit: 2}, []string{"c duplicate", "late pending"}},
		{"by status", api.EventQuery{Status: "unmatched"}, []string{"b unmatched"}},
		{"rejected ones", api.EventQuery{Status: "rejected", Limit: 5}, []string{"bad rejected"}},
		{"duplicates, with a limit", api.EventQuery{Status: "duplicate", Limit: 1}, []string{"c duplicate"}},
		{"pending", api.EventQuery{Status: "pending", Limit: 9}, []string{"late pending"}},
		{"by type", api.EventQuery{Type: "interface_down"}, []string{"bad rejected", "a decided", "c duplicate"}},
		{"by prefix", api.EventQuery{Type: "bgp_*"}, []string{"b unmatched"}},
		{"by device, in any case", api.EventQuery{Device: "A"}, []string{"a decided"}},
		{"by text of the raw message", api.EventQuery{Grep: "raw of c"}, []string{"c duplicate"}},
		{"since now", api.EventQuery{Since: time.Now().Add(time.Hour)}, nil},
		{"until long ago", api.EventQuery{Until: time.Now().Add(-time.Hour)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.t = t
			if d := cmp.Diff(tt.want, l.list(tt.q)); d != "" {
				t.Error(d)
			}
		})
	}
}

// What fits may be far behind the newest, and what was decided about it far
// behind itself; a limit is about what fits, whatever else there is.
func TestTheNewestThatFitAreFoundHoweverFarBack(t *testing.T) {
	l := newLogged(t)
	l.event("first", "interface_down", "")
	l.event("second", "bgp_neighbor_down", "")
	between := time.Now()
	for i := range 2 * firstWindow {
		l.event(fmt.Sprintf("d%d", i), "interface_up", "")
	}
	l.event("third", "interface_down", "")
	n := uint64(2*firstWindow + 3)
	l.decide("third", n, n-2, &record.Decision{At: l.at["first"], Verdict: record.Duplicate, Of: l.ids["first"]},
		&record.Decision{At: l.at["third"], Verdict: record.Duplicate, Of: l.ids["first"]})
	last := fmt.Sprintf("d%d", 2*firstWindow-1)
	l.event("open", "interface_down", "")
	tests := []struct {
		name string
		q    api.EventQuery
		want []string
	}{
		{"one type", api.EventQuery{Type: "interface_down", Limit: 3}, []string{"first duplicate", "third duplicate", "open pending"}},
		{"a device", api.EventQuery{Device: "second", Limit: 1}, []string{"second unmatched"}},
		{"none", api.EventQuery{Device: "nothere", Limit: 1}, nil},
		{"a status and a device", api.EventQuery{Device: "first", Status: "duplicate", Limit: 1}, []string{"first duplicate"}},
		{"a status and a type", api.EventQuery{Type: "interface_up", Status: "unmatched", Limit: 1}, []string{last + " unmatched"}},
		{"pending", api.EventQuery{Status: "pending", Limit: 1}, []string{"open pending"}},
		{"before a time", api.EventQuery{Until: between, Limit: 1}, []string{"second unmatched"}},
		{"all before a time", api.EventQuery{Until: between}, []string{"first duplicate", "second unmatched"}},
		{"after a time", api.EventQuery{Since: between, Type: "interface_down", Limit: 9}, []string{"third duplicate", "open pending"}},
		{"between two times", api.EventQuery{Since: between, Until: between, Limit: 9}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.t = t
			if d := cmp.Diff(tt.want, l.list(tt.q)); d != "" {
				t.Error(d)
			}
		})
	}
}

// What waits for long is not kept in memory, but read again.
func TestWhatWaitsIsReadAgain(t *testing.T) {
	l := filled(t)
	l.event("later", "interface_down", "")
	l.decide("later", 2, 1, &record.Decision{At: l.at["later"], Verdict: record.Duplicate, Of: l.ids["a"]})
	st, err := l.log.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := history{l.log}.scan(t.Context(), api.EventQuery{})
	s.room = 1
	var got []string
	s.yield = func(e *api.Entry) error {
		got = append(got, e.Event.Device+" "+e.Status+" "+string(e.Event.Raw)+" "+string(e.Of))
		if len(s.near) > 1 {
			t.Errorf("%d batches are kept", len(s.near))
		}
		return nil
	}
	if err := l.log.Range(t.Context(), record.Position{}, record.Position{Seq: st.Last}, both, s.apply); err != nil {
		t.Fatal(err)
	}
	a := string(l.ids["a"])
	want := []string{"bad rejected raw of bad ", "a decided raw of a ", "b unmatched raw of b ", "c duplicate raw of c " + a,
		"late unmatched raw of late ", "later duplicate raw of later " + a}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFollowingGoesOn(t *testing.T) {
	l := filled(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got := make(chan string, 16)
	ended := make(chan error, 1)
	go func() {
		ended <- history{l.log}.list(ctx, api.EventQuery{Follow: true, Limit: 1}, func(e *api.Entry) error {
			got <- fmt.Sprint(e.Event.Device, " ", e.Status)
			return nil
		})
	}()
	want := func(line string) {
		t.Helper()
		select {
		case g := <-got:
			if g != line {
				t.Fatalf("got %q, want %q", g, line)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came; want %q", line)
		}
	}
	l.decide("late", 1, 1)
	want("late unmatched")
	l.event("new", "interface_down", "")
	l.decide("new", 1, 0, &record.Decision{At: l.at["new"], Verdict: record.Suppressed, Reason: "a rule's own window"})
	want("new suppressed")
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOneEventIsFoundByItsID(t *testing.T) {
	l := filled(t)
	h := history{l.log}
	e, err := h.find(t.Context(), l.ids["c"])
	if err != nil {
		t.Fatal(err)
	}
	if e.Status != "duplicate" || e.Of != l.ids["a"] || string(e.Event.Raw) != "raw of c" {
		t.Errorf("found %+v", e)
	}
	if e, err := h.find(t.Context(), l.ids["bad"]); err != nil || e.Reason == "" {
		t.Errorf("the rejected event: %+v, %v", e, err)
	}
	if _, err := h.find(t.Context(), event.ID(uuid.Must(uuid.NewV7()).String())); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("an id that nobody has: %v", err)
	}
	if _, err := h.find(t.Context(), "nonsense"); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("no id at all: %v", err)
	}
}

func TestADamagedSnapshotGivesWayToTheOlder(t *testing.T) {
	d := stateDir(t.TempDir())
	for _, text := range []string{"one", "two"} {
		if err := d.save("x", seal(record.Position{Seq: 7}, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		got := ""
		_, _ = d.load("x", func(b []byte) error {
			pos, body, err := unseal(b)
			if err == nil {
				got = fmt.Sprint(pos.Seq, string(body))
			}
			return err
		})
		return got
	}
	if got := read(); got != "7two" {
		t.Errorf("read %q", got)
	}
	if err := writeFile(string(d)+"/x", []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "7one" {
		t.Errorf("with the newest damaged, read %q", got)
	}
}

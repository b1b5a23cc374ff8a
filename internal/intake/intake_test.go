package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
	"signalbox/internal/schema"
	"signalbox/internal/source"
)

// memory is a log in memory. Appends are answered from another goroutine, as
// the real one does.
type memory struct {
	mu      sync.Mutex
	recs    []record.Record
	refuse  error // Append gives it and takes nothing
	fail    error // done gets it
	silent  bool  // done is never called
	answers sync.WaitGroup
}

func (m *memory) Append(ctx context.Context, s record.Subject, recs []record.Record, done func([]record.Position, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	if s != record.Events {
		return fmt.Errorf("written to %s", s)
	}
	if m.silent {
		return nil
	}
	if m.fail == nil {
		m.recs = append(m.recs, recs...)
	}
	fail := m.fail
	m.answers.Go(func() { done(make([]record.Position, len(recs)), fail) })
	return nil
}

func (m *memory) all() []record.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.recs)
}

// counts is an observer.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func newCounts() *counts { return &counts{n: map[string]int{}} }

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what] += n
}

func (c *counts) Accepted(source, typ string)  { c.add("accepted "+source+" "+typ, 1) }
func (c *counts) Rejected(source, typ string)  { c.add("rejected "+source+" "+typ, 1) }
func (c *counts) Unparsed(source, peer string) { c.add("unparsed "+source+" "+peer, 1) }
func (c *counts) Lost(source string, n int)    { c.add("lost "+source, n) }
func (c *counts) snapshot() map[string]int     { c.mu.Lock(); defer c.mu.Unlock(); return maps.Clone(c.n) }

// edge is the built-in mappings and types; loading them takes a moment.
var edge = sync.OnceValue(func() Edge {
	cat, err := schema.Load()
	if err != nil {
		panic(err)
	}
	n, err := normalize.New(normalize.Options{Catalogue: cat})
	if err != nil {
		panic(err)
	}
	return Edge{Normalizer: n, Catalogue: cat}
})

func body(s string) normalize.Input {
	return normalize.Input{Source: "w", Form: normalize.Payload, Raw: []byte(s), Peer: "192.0.2.7:4000", Received: time.Now(), SenderID: "s1"}
}

func syslog(s string) normalize.Input {
	return normalize.Input{Source: "s", Form: normalize.Syslog, Raw: []byte(s), Peer: "192.0.2.7:514", Received: time.Now()}
}

// emit hands messages over and waits for the receipts.
func emit(t *testing.T, in *Intake, batch ...normalize.Input) []source.Receipt {
	t.Helper()
	got := make(chan []source.Receipt, 1)
	if err := in.Emit(context.Background(), batch, func(r []source.Receipt) { got <- r }); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-got:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no receipts")
		return nil
	}
}

const down = `{"event_type":"interface_down","device":"switch-01","interface":"Eth1/1","timestamp":1640000000}`

func TestReceiptsNameWhatIsLogged(t *testing.T) {
	log, obs := &memory{}, newCounts()
	in := New(log, edge(), obs)
	receipts := emit(t, in, body(down), body(`{"event_type":"bgp_neighbor_down","device":"r1"}`),
		syslog("<189>45: sw1: %LINK-3-UPDOWN: Interface Gi0/1, changed state to down"), syslog("\x00\xff"))
	log.answers.Wait()
	recs := log.all()
	if len(receipts) != 4 || len(recs) != 4 {
		t.Fatalf("%d receipts, %d records", len(receipts), len(recs))
	}
	seen := map[string]bool{}
	for i, r := range receipts {
		id := string(idOf(&recs[i]))
		if r.ID != id || r.Err != nil || seen[id] {
			t.Errorf("receipt %d: %+v, the record is %s", i, r, id)
		}
		seen[id] = true
		if u, err := uuid.Parse(id); err != nil || u.Version() != 7 {
			t.Errorf("%s is no UUIDv7: %v", id, err)
		}
		if (r.Rejected != "") != (recs[i].Kind == record.KindRejected) {
			t.Errorf("receipt %d says %q and the record is of kind %d", i, r.Rejected, recs[i].Kind)
		}
	}
	if ev := recs[0].Event; ev.Type != "interface_down" || ev.Device != "switch-01" || ev.Interface != "Eth1/1" || string(ev.Raw) != down || ev.SenderID != "s1" {
		t.Errorf("%+v", ev)
	}
	rej := recs[1].Rejected
	if rej == nil || !strings.Contains(rej.Reason, "neighbor") || receipts[1].Rejected != rej.Reason {
		t.Errorf("a schema that is failed: %+v, receipt %q", rej, receipts[1].Rejected)
	}
	if rej != nil && (rej.Event.Meta[MetaForm] != "payload" || len(rej.Event.Raw) == 0) {
		t.Errorf("what is rejected does not tell how it was read: %+v", rej.Event)
	}
	want := map[string]int{"accepted w interface_down": 1, "rejected w bgp_neighbor_down": 1, "accepted s interface_down": 1,
		"accepted s syslog_message": 1, "unparsed s 192.0.2.7:514": 1}
	if d := cmp.Diff(want, obs.snapshot()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}

// Nothing is counted as logged that is not on disk.
func TestFailuresHaveAClass(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"broken", eventlog.ErrUnavailable, source.ErrUnavailable},
		{"disk full", fmt.Errorf("%w: %w", eventlog.ErrUnavailable, eventlog.ErrDiskFull), source.ErrUnavailable},
		{"queue full", fmt.Errorf("%w: %w", eventlog.ErrBusy, context.DeadlineExceeded), source.ErrBusy},
		{"the caller's time is over", context.DeadlineExceeded, source.ErrBusy},
		{"the caller has gone", context.Canceled, source.ErrBusy},
		{"closed", eventlog.ErrClosed, source.ErrUnavailable},
		{"anything else", errors.New("a bug"), source.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			obs := newCounts()
			in := New(&memory{refuse: tt.err}, edge(), obs)
			err := in.Emit(context.Background(), []normalize.Input{body(down)}, func([]source.Receipt) { t.Error("done was called for what was not taken") })
			if !errors.Is(err, tt.want) {
				t.Errorf("refused with %v, want %v", err, tt.want)
			}
			log := &memory{fail: tt.err}
			in = New(log, edge(), obs)
			for _, r := range emit(t, in, body(down), body(down)) {
				if !errors.Is(r.Err, tt.want) {
					t.Errorf("receipt %v, want %v", r.Err, tt.want)
				}
			}
			log.answers.Wait()
			if n := obs.snapshot(); len(n) != 0 {
				t.Errorf("counted %v", n)
			}
			for _, l := range []*memory{{refuse: tt.err}, {fail: tt.err}} {
				obs := newCounts()
				if id, err := New(l, edge(), obs).EmitEvent(context.Background(), event.Event{Source: "signalbox", Type: "x"}); !errors.Is(err, tt.want) || id != "" {
					t.Errorf("EmitEvent gives %q, %v", id, err)
				}
				if d := cmp.Diff(map[string]int{"lost signalbox": 1}, obs.snapshot()); d != "" {
					t.Errorf("counted (-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestClosedTakesNothing(t *testing.T) {
	log := &memory{}
	in := New(log, edge(), newCounts())
	in.Close()
	err := in.Emit(context.Background(), []normalize.Input{body(down)}, func([]source.Receipt) { t.Error("done was called") })
	if !errors.Is(err, source.ErrUnavailable) || len(log.all()) != 0 {
		t.Errorf("%v, %d logged", err, len(log.all()))
	}
}

func TestEmitEvent(t *testing.T) {
	log, obs := &memory{}, newCounts()
	in := New(log, edge(), obs)
	id, err := in.EmitEvent(context.Background(), event.Event{Source: "signalbox", Type: "device_unreachable", Device: "r1", Data: []byte(`{"reason":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	ev := log.all()[0].Event
	if ev.ID != id || ev.Received.IsZero() {
		t.Errorf("%+v, returned %s", ev, id)
	}
	// Its trace is its own, and leads to it.
	if want := "00-" + strings.ReplaceAll(string(id), "-", "") + "-"; !strings.HasPrefix(ev.TraceParent, want) || len(ev.TraceParent) != 55 {
		t.Errorf("traceparent %q, want %s…", ev.TraceParent, want)
	}
	const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if _, err := in.EmitEvent(context.Background(), event.Event{Source: "signalbox", Type: "x", TraceParent: given}); err != nil {
		t.Fatal(err)
	}
	if got := log.all()[1].Event.TraceParent; got != given {
		t.Errorf("the sender's trace became %q", got)
	}
	_, err = in.EmitEvent(context.Background(), event.Event{Source: "signalbox", Type: "bgp_neighbor_down", Device: "r1", Data: []byte(`{"neighbor":7}`)})
	var rejected *RejectedError
	if !errors.As(err, &rejected) || rejected.ID == "" || !strings.Contains(rejected.Reason, "neighbor") {
		t.Fatalf("%v", err)
	}
	if r := log.all()[2]; r.Kind != record.KindRejected || r.Rejected.Event.ID != rejected.ID || r.Rejected.Reason != rejected.Reason {
		t.Errorf("logged as %+v", r)
	}
	log.answers.Wait()
	want := map[string]int{"accepted signalbox device_unreachable": 1, "accepted signalbox x": 1, "rejected signalbox bgp_neighbor_down": 1}
	if d := cmp.Diff(want, obs.snapshot()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(&memory{silent: true}, edge(), obs).EmitEvent(ctx, event.Event{Type: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a log that never answers: %v", err)
	}
}

// Many sources at once, while mappings change: each message has one receipt and
// one record, by its own id, and all are counted.
func TestManyAtOnce(t *testing.T) {
	log, obs := &memory{}, newCounts()
	in := New(log, edge(), obs)
	const senders, batches, size = 8, 50, 4
	var mu sync.Mutex
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for range batches {
				var batch []normalize.Input
				for range size {
					m := body(down)
					m.Source = fmt.Sprint("w", s)
					batch = append(batch, m)
				}
				done := make(chan []source.Receipt, 1)
				if err := in.Emit(context.Background(), batch, func(r []source.Receipt) { done <- r }); err != nil {
					t.Error(err)
					return
				}
				for _, r := range <-done {
					mu.Lock()
					if ids[r.ID] {
						t.Errorf("%s was given twice", r.ID)
					}
					ids[r.ID] = true
					mu.Unlock()
				}
				in.SetEdge(edge())
			}
		})
	}
	wg.Wait()
	log.answers.Wait()
	recs := log.all()
	if len(ids) != senders*batches*size || len(recs) != len(ids) {
		t.Fatalf("%d receipts, %d records", len(ids), len(recs))
	}
	for _, r := range recs {
		if !ids[string(r.Event.ID)] {
			t.Errorf("%s has no receipt", r.Event.ID)
		}
	}
	for s := range senders {
		if n := obs.snapshot()[fmt.Sprintf("accepted w%d interface_down", s)]; n != batches*size {
			t.Errorf("source %d counted %d", s, n)
		}
	}
}

func idOf(r *record.Record) event.ID {
	if r.Kind == record.KindRejected {
		return r.Rejected.Event.ID
	}
	return r.Event.ID
}

package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/action"
	httpaction "signalbox/internal/action/http"
	"signalbox/internal/action/logaction"
	"signalbox/internal/eventlog"
	"signalbox/internal/inventory"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/run"
	"signalbox/internal/worker"
)

// house is the real log with real rules and real actions around a worker.
type house struct {
	t    *testing.T
	dir  string
	log  *eventlog.Log
	set  *rule.Set
	inv  *inventory.Inventory
	acts *action.Registry
	cfg  worker.Config

	w    *worker.Worker
	end  func()
	from record.Position // snapshot
	snap []byte
}

func newHouse(t *testing.T, rules string, out io.Writer) *house {
	h := &house{t: t, dir: t.TempDir(), cfg: worker.DefaultConfig()}
	h.cfg.Log = slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	hc := httpaction.DefaultConfig()
	hc.AllowLoopback = true
	web, err := httpaction.New(hc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(web.Close)
	lc := logaction.DefaultConfig()
	lc.Dir = h.dir
	logs, err := logaction.New(lc, h.cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	h.acts = action.NewRegistry(web, logs)
	var diags []rule.Diagnostic
	h.set, h.inv, diags = rule.Load(rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(rules)}}}, rule.Options{Actions: h.acts.Specs()})
	if h.set == nil {
		t.Fatal(diags)
	}
	return h
}

// Rule is what the worker asks for.
func (h *house) Rule(name, version string) (*rule.Rule, bool) {
	for _, r := range h.set.Rules {
		if r.Name == name && r.Version == version {
			return r, true
		}
	}
	return nil, false
}

// Batch and Run are the worker's archive.
func (h *house) Batch(ctx context.Context, seq uint64) (*record.Batch, error) {
	return h.log.Get(ctx, seq)
}

func (h *house) Run(ctx context.Context, id string, _ record.Position) (*worker.History, error) {
	out := &worker.History{}
	h.scan(ctx, func(b *record.Batch) {
		for i := range b.Records {
			switch r := &b.Records[i]; {
			case r.Decision != nil:
				for _, s := range r.Decision.Runs {
					if s.Run == id {
						out.Decided, out.Decision = b.At(i), r.Decision
					}
				}
			case about(r) == id:
				out.Journal = append(out.Journal, worker.Entry{At: b.At(i), Time: b.Time, Record: *r})
			}
		}
	})
	return out, nil
}

func about(r *record.Record) string {
	switch {
	case r.Begin != nil:
		return r.Begin.Run
	case r.End != nil:
		return r.End.Run
	case r.RunEnd != nil:
		return r.RunEnd.Run
	}
	return ""
}

// scan reads the log from its beginning to its end.
func (h *house) scan(ctx context.Context, f func(*record.Batch)) {
	st, err := h.log.State(ctx)
	if err == nil && st.Last > 0 {
		err = h.log.Range(ctx, record.Position{}, record.Position{Seq: st.Last},
			[]record.Subject{record.Decisions, record.Journal}, func(b *record.Batch) error { f(b); return nil })
	}
	if err != nil {
		h.t.Error(err)
	}
}

// open starts log and worker, as a process start does; close ends both.
func (h *house) open() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	var err error
	if h.log, err = eventlog.Open(ctx, eventlog.DefaultConfig(filepath.Join(h.dir, "log")), slog.New(slog.DiscardHandler)); err != nil {
		h.t.Fatal(err)
	}
	cfg := h.cfg
	cfg.Journal, cfg.Rules, cfg.Actions, cfg.Archive = h.log, h, h.acts, h
	cfg.Scope = func(ev *event.Event) *rule.Scope { return rule.NewScope(ev, h.inv) }
	if h.w, err = worker.New(cfg); err != nil {
		h.t.Fatal(err)
	}
	if h.snap != nil {
		if err := h.w.Restore(h.from, h.snap); err != nil {
			h.t.Fatal(err)
		}
	}
	st, err := h.log.State(ctx)
	if err == nil && st.Last > 0 {
		err = h.log.Range(ctx, h.from, record.Position{Seq: st.Last}, []record.Subject{record.Decisions, record.Journal}, h.w.Recover)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	from, err := h.w.Resume()
	if err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.log.Read(ctx, from, []record.Subject{record.Decisions}, h.w.Apply)
	}()
	h.end = func() {
		drain, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		_ = h.w.Drain(drain)
		cancel()
		<-done
		if err := h.log.Close(context.Background()); err != nil {
			h.t.Error(err)
		}
	}
}

// decide writes one batch of decisions: for each event, one run of each rule.
func (h *house) decide(events ...*event.Event) {
	h.t.Helper()
	var recs []record.Record
	for _, ev := range events {
		recs = append(recs, record.Record{Kind: record.KindEvent, Event: ev})
	}
	type answer struct {
		at  []record.Position
		err error
	}
	ch := make(chan answer, 1)
	if err := h.log.Append(h.t.Context(), record.Events, recs, func(at []record.Position, err error) { ch <- answer{at, err} }); err != nil {
		h.t.Fatal(err)
	}
	a := <-ch
	if a.err != nil {
		h.t.Fatal(a.err)
	}
	b := &record.Batch{Subject: record.Decisions, Through: a.at[len(a.at)-1]}
	if last, err := h.log.Last(h.t.Context(), record.Decisions); err == nil {
		b.From = last.Through
	}
	for i, ev := range events {
		d := &record.Decision{At: a.at[i], Verdict: record.Decided, Event: ev}
		for _, r := range h.set.Rules {
			d.Runs = append(d.Runs, record.RunStart{Run: run.ID(r.Name, r.Version, a.at[i]), Rule: r.Name, RuleVersion: r.Version,
				Device: ev.Device, Partition: run.Partition(ev.Device)})
		}
		b.Records = append(b.Records, record.Record{Kind: record.KindDecision, Decision: d})
	}
	if _, err := h.log.AppendDecisions(h.t.Context(), b); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			h.t.Fatalf("it never came to this: %s; %+v", what, h.w.Depths())
		}
	}
}

func down(device, id string) *event.Event {
	return &event.Event{ID: event.ID(id), Type: "interface_down", Device: device, Interface: "Gi1/0/1",
		Source: "test", Received: time.Now(), Data: json.RawMessage(`{}`)}
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}
func (b *syncBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// Secrets reach the real actions and come out of none of them: not in a line
// of the log, a file, an output or an error, and not over a redirect to another
// host.
func TestSecretsWithRealActions(t *testing.T) {
	const canary = `CA"NARY&17`
	var mu sync.Mutex
	var got []string
	note := func(s string) { mu.Lock(); defer mu.Unlock(); got = append(got, s) }
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(fmt.Sprintf("other %q", r.Header["X-Token"]))
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(fmt.Sprintf("first %q", r.Header["X-Token"]))
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	}))
	defer first.Close()
	var out syncBuffer
	h := newHouse(t, fmt.Sprintf(`rules:
  - name: tell
    on: interface_down
    do:
      - log: {message: "token ${secret('tok')}", level: info, file: said.jsonl, fields: {k: "${secret('tok')}"}}
        register: said
      - log: {message: "it was ${said.message}"}
      - http: {url: %q, method: GET, headers: {X-Token: "${secret('tok')}"}}
        ignore_errors: true
      - http: {url: "http://127.0.0.1:1/${secret('tok')}", method: GET}
        retry: {attempts: 1}
`, first.URL), &out)
	h.cfg.Secrets = func(string) (string, error) { return canary, nil }
	h.open()
	h.decide(down("sw1", "e1"))
	h.until("the run has failed", func() bool { return h.w.Depths().Dead == 1 })
	h.scan(t.Context(), func(b *record.Batch) {
		for _, r := range b.Records {
			if r.End != nil {
				fmt.Fprintf(&out, "%s %s\n", r.End.Output, r.End.Error)
			}
		}
	})
	h.end()
	if s := out.String(); strings.Contains(s, "NARY") || !strings.Contains(s, "token [redacted]") {
		t.Errorf("written: %s", s)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 2 || got[0] != fmt.Sprintf("first %q", []string{canary}) {
		t.Fatalf("the peers got %q; both must be asked, the first with the secret\n%s", got, out.String())
	}
	for _, s := range got[1:] {
		if strings.Contains(s, "NARY") {
			t.Errorf("the secret went on to another host: %q", got)
		}
	}
}

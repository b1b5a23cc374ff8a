package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/metrics"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// bundleOf is a rule set as the log carries it, and how it is loaded.
func bundleOf(t *testing.T, rules string) (bundle []byte, load func([]byte) (engine.Rules, error)) {
	t.Helper()
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	b := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(rules)}}, Catalogue: cat.Version}
	for _, typ := range cat.Types() {
		b.Types = append(b.Types, rule.File{Name: typ.Name, Data: typ.Source})
	}
	return b.Encode(), func(bundle []byte) (engine.Rules, error) {
		return decide.Load(bundle, []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}, Idempotent: true}})
	}
}

// write appends records to the log and gives the position of the last.
func (l *logged) write(recs ...record.Record) (last record.Position) {
	l.t.Helper()
	done := make(chan error, 1)
	err := l.log.Append(l.t.Context(), record.Events, recs, func(at []record.Position, err error) {
		if err == nil {
			last = at[len(at)-1]
		}
		done <- err
	})
	if err == nil {
		err = <-done
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return last
}

// batches reads all of a subject.
func (l *logged) batches(subject record.Subject) (out []*record.Batch) {
	l.t.Helper()
	st, err := l.log.State(l.t.Context())
	if err == nil {
		err = l.log.Range(l.t.Context(), record.Position{}, record.Position{Seq: st.Last}, []record.Subject{subject}, func(b *record.Batch) error {
			out = append(out, b)
			return nil
		})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

const manySilent = "rules:\n  - name: s\n    on: interface_up\n    silent: {by: [device], for: 300ms}\n    do: [{log: {message: x}}]\n"

// silence logs so many devices that fall silent that what is decided at one
// tick takes several batches, and gives what an engine decides about it all.
func (l *logged) silence(bundle []byte, load func([]byte) (engine.Rules, error)) []engine.Stretch {
	l.t.Helper()
	l.write(record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: "v", Parts: 1, Data: bundle}})
	var recs []record.Record
	for i := range 6000 {
		recs = append(recs, record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(uuid.Must(uuid.NewV7()).String()), Source: "s",
			Type: "interface_up", Device: fmt.Sprintf("sw%d", i), Interface: "Gi0/1", Received: time.Now()}})
	}
	l.write(recs...)
	quiet := time.NewTimer(400 * time.Millisecond) // by the log's clock, which is this machine's
	<-quiet.C
	l.write(record.Record{Kind: record.KindTick})
	e := engine.New(load)
	var all []engine.Stretch
	for _, b := range l.batches(record.Events) {
		got, err := e.Step(b)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, got...)
	}
	return all
}

func encoded(d *record.Decision) []byte {
	return record.AppendRecord(nil, &record.Record{Kind: record.KindDecision, Decision: d})
}

// A stop in the middle of what was decided at one record: the decider goes on
// where the log ends, and writes nothing twice and leaves nothing out.
func TestAStopInTheMiddleOfManyTimers(t *testing.T) {
	bundle, load := bundleOf(t, manySilent)
	for _, tt := range []struct {
		name     string
		parts    int // of the series that are in the log
		halves   bool
		snapshot bool // of the engine, from before the series
	}{
		{"before all", 0, false, false},
		{"after the first", 1, false, false},
		{"after the first, with a snapshot", 1, false, true},
		{"after two", 2, false, true},
		{"after one that was cut elsewhere", 1, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLogged(t)
			all := l.silence(bundle, load)
			var want [][]byte
			series, written := 0, 0
			state := stateDir(t.TempDir())
			for i := range all {
				s := &all[i]
				for _, r := range s.Records {
					want = append(want, encoded(r.Decision))
				}
				if s.From == s.Through {
					series++
				}
				if series > tt.parts || written != i {
					continue
				}
				written++
				recs := s.Records
				if tt.halves && s.From == s.Through {
					recs = recs[:len(recs)/2]
				}
				if _, err := l.log.AppendDecisions(t.Context(), &record.Batch{Subject: record.Decisions, From: s.From, Through: s.Through,
					RulesVersion: s.RulesVersion, EventCount: s.Events, UnmatchedCount: s.Unmatched, Records: recs}); err != nil {
					t.Fatal(err)
				}
			}
			if series < 3 {
				t.Fatalf("only %d batches begin where they end", series)
			}
			if tt.snapshot {
				saveBefore(t, l, load, state, all[len(all)-1].From)
			}
			resume(t, l, load, state)
			var got [][]byte
			for _, b := range l.batches(record.Decisions) {
				for _, r := range b.Records {
					if r.Decision != nil {
						got = append(got, encoded(r.Decision))
					}
				}
			}
			if len(got) != len(want) {
				t.Fatalf("the log has %d decisions, want %d", len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("decision %d differs", i)
				}
			}
		})
	}
}

// saveBefore saves the engine as it was at a position.
func saveBefore(t *testing.T, l *logged, load func([]byte) (engine.Rules, error), state stateDir, at record.Position) {
	t.Helper()
	e := engine.New(load)
	for _, b := range l.batches(record.Events) {
		if b.Seq <= at.Seq {
			if _, err := e.Step(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e.Through() != at {
		t.Fatalf("the snapshot is of %v, not of %v", e.Through(), at)
	}
	if err := state.save("engine", e.Snapshot()); err != nil {
		t.Fatal(err)
	}
}

// resume runs a decider until all is decided that came in.
func resume(t *testing.T, l *logged, load func([]byte) (engine.Rules, error), state stateDir) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	d, err := newDecider(l.log, newBookkeeper(l.log, stateDir(t.TempDir()), logger), load, state, metrics.New(), logger)
	if err != nil {
		t.Fatal(err)
	}
	all := l.batches(record.Events)
	last := all[len(all)-1]
	end := last.At(len(last.Records) - 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for d.Decided().Less(end) {
		select {
		case <-poll.C:
		case err := <-ended:
			t.Fatalf("the decider ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("decided up to %v, want %v", d.Decided(), end)
		}
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// A replay feeds what is asked for, and closes with the end of its stretch.
func TestReplayHasAnEnd(t *testing.T) {
	l := newLogged(t)
	l.event("sw1", "interface_down", "")
	l.event("sw2", "login_failed", "")
	l.event("sw3", "interface_down", "")
	in := l.batches(record.Events)
	b := backend{&daemon{log: l.log}}
	read := func(r api.ReplayRequest) (told []string, end time.Time) {
		t.Helper()
		from := len(l.batches(record.Events))
		res, err := b.Replay(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range l.batches(record.Events)[from:] {
			for _, r := range b.Records {
				c := r.Command
				if c == nil || c.ID != res.ID || c.Verb != "replay" || !c.DryRun {
					t.Fatalf("record %+v", r)
				}
				if c.Event != nil {
					told = append(told, c.Event.Device)
				} else {
					told, end = append(told, "end"), c.End
				}
			}
		}
		if want := max(len(told)-1, 0); res.Events != want {
			t.Errorf("%d events are told, want %d", res.Events, want)
		}
		return told, end
	}
	since := in[0].Time.Add(-time.Minute)
	told, end := read(api.ReplayRequest{Since: since, Type: "interface_down"})
	if fmt.Sprint(told) != "[sw1 sw3 end]" || !end.Equal(in[2].Time) {
		t.Errorf("%v, end %v, want that of the last batch, %v", told, end, in[2].Time)
	}
	until := in[0].Time.Add(time.Nanosecond)
	told, end = read(api.ReplayRequest{Since: since, Until: until})
	if fmt.Sprint(told) != "[sw1 end]" || !end.Equal(until) {
		t.Errorf("%v, end %v, want %v", told, end, until)
	}
	if told, _ = read(api.ReplayRequest{Since: since, Device: "nobody"}); told != nil {
		t.Errorf("nothing was to be replayed: %v", told)
	}
}

// The decisions of a backlog come after all of it in the log: a start does not
// read them again, and what comes behind them is decided all the same.
func TestAStartReadsOnBehindTheDecisions(t *testing.T) {
	bundle, load := bundleOf(t, "rules:\n  - name: r\n    on: interface_down\n    do: [{log: {message: x}}]\n")
	l := newLogged(t)
	l.write(record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: "v", Parts: 1, Data: bundle}})
	l.event("sw1", "interface_down", "")
	l.event("sw2", "interface_down", "")
	state := stateDir(t.TempDir())
	resume(t, l, load, state)
	decided := l.batches(record.Decisions)
	end := decided[len(decided)-1].Seq
	snapshot := func() *engine.Engine {
		e, problems := restoreEngine(state, load).engineFor(record.Position{Seq: end})
		if e == nil || problems != nil {
			t.Fatalf("no snapshot was left: %v", problems)
		}
		return e
	}
	e := snapshot()
	for deadline := time.Now().Add(30 * time.Second); e.ReadFrom().Seq < end && time.Now().Before(deadline); e = snapshot() {
		resume(t, l, load, state) // ends as soon as all is decided: maybe before all was read
	}
	if e.ReadFrom().Seq != end || e.Through().Seq >= end {
		t.Fatalf("a start reads on after %v, and all was decided at %d", e.ReadFrom(), end)
	}
	l.event("sw3", "interface_down", "")
	resume(t, l, load, state)
	decided = l.batches(record.Decisions)
	if d := decided[len(decided)-1].Records[0].Decision; d.At.Seq != end+1 || d.Event.Device != "sw3" {
		t.Errorf("the last decision is about %v, %v", d.At, d.Event)
	}

	// A log that was put back to a copy goes on with other batches of the same
	// numbers.
	other := newLogged(t)
	other.write(record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: "v", Parts: 1, Data: bundle}})
	other.event("sw1", "interface_down", "")
	resume(t, other, load, stateDir(t.TempDir()))
	e = engine.New(load)
	for _, b := range other.batches(record.Events) {
		if _, err := e.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	e.Passed(50)
	if err := state.save("engine", e.Snapshot()); err != nil {
		t.Fatal(err)
	}
	other.event("sw2", "interface_down", "")
	resume(t, other, load, state)
	decided = other.batches(record.Decisions)
	if d := decided[len(decided)-1].Records[0].Decision; d.Event.Device != "sw2" {
		t.Errorf("the last decision is about %v, %v", d.At, d.Event)
	}
}

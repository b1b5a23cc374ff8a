package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate/reference"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bundle packs rules as the log carries them.
func bundle(rules []byte) ([]byte, error) {
	cat, err := schema.Load()
	if err != nil {
		return nil, err
	}
	b := rule.Bundle{Rules: []rule.File{{Name: "rules.yml", Data: rules}}, Catalogue: cat.Version, Global: rule.Global{Off: true}}
	for _, t := range cat.Types() {
		b.Types = append(b.Types, rule.File{Name: t.Name, Data: t.Source})
	}
	return b.Encode(), nil
}

// actions are those that the rules of this bench use.
var actions = []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}, Idempotent: true}}

func load(data []byte) (engine.Rules, error) { return decide.Load(data, actions) }

// rulesRecord puts a bundle in force.
func rulesRecord(bundle []byte) record.Record {
	return record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: "bench", Parts: 1, Data: bundle}}
}

// eventOf is a happening as Signalbox has it.
func eventOf(n int, h *happening) *event.Event {
	at := zero.Add(time.Duration(h.T * 1e9)).Round(time.Millisecond)
	return &event.Event{ID: event.ID(fmt.Sprintf("01900000-0000-7000-8000-%012x", n)), Source: "bench", Type: h.Type,
		Device: h.Device, Interface: h.Interface, Received: at, Data: json.RawMessage("{}")}
}

// batches makes a log of events, with a tick at the end of it.
func batches(all []happening) []*record.Batch {
	var out []*record.Batch
	for i := range all {
		ev := eventOf(i, &all[i])
		out = append(out, &record.Batch{Seq: uint64(i + 2), Time: ev.Received, Subject: record.Events,
			Records: []record.Record{{Kind: record.KindEvent, Event: ev}}})
	}
	return append(out, &record.Batch{Seq: uint64(len(all) + 2), Time: zero.Add(24 * time.Hour), Subject: record.Events,
		Records: []record.Record{{Kind: record.KindTick}}})
}

// told writes a run as the peers do: the times of its events.
func told(r *record.RunStart, at map[event.ID]float64) string {
	if len(r.Events) == 0 {
		return r.Rule + " of one event"
	}
	words := []string{r.Rule, r.Events[0].Device}
	for _, ev := range r.Events {
		words = append(words, fmt.Sprint(at[ev.ID]))
	}
	return strings.Join(words, " ")
}

func times(all []happening) map[event.ID]float64 {
	out := map[event.ID]float64{}
	for i := range all {
		out[eventOf(i, &all[i]).ID] = all[i].T
	}
	return out
}

// expected is what there is to find.
func expected(s *settings, all []happening) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "rules.yml"))
	if err != nil {
		return nil, err
	}
	data, err := bundle(text)
	if err != nil {
		return nil, err
	}
	rules, err := load(data)
	if err != nil {
		return nil, err
	}
	at := times(all)
	c := reference.New(rules)
	var out []string
	for _, b := range batches(all) {
		for _, d := range c.Step(b) {
			for i := range d.Runs {
				out = append(out, told(&d.Runs[i], at))
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// engineUnder is Signalbox's engine with the rules of the comparison.
func engineUnder(s *settings) (*engine.Engine, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "rules.yml"))
	if err != nil {
		return nil, err
	}
	data, err := bundle(text)
	if err != nil {
		return nil, err
	}
	e := engine.New(load)
	_, err = e.Step(&record.Batch{Seq: 1, Time: zero.Add(-time.Hour), Subject: record.Events, Records: []record.Record{rulesRecord(data)}})
	return e, err
}

// signalboxFound is what the engine finds; with restart it is thrown away in
// the middle, and another goes on from the snapshot that it left ten records
// before, as after a crash.
func signalboxFound(s *settings, all []happening, restart bool) ([]string, error) {
	e, err := engineUnder(s)
	if err != nil {
		return nil, err
	}
	at := times(all)
	var out []string
	log := batches(all)
	var snap []byte
	crashed := false
	for i := 0; i < len(log); i++ {
		if restart && !crashed && i == len(log)/2-10 {
			snap = e.Snapshot()
		}
		if restart && !crashed && i == len(log)/2 {
			e = engine.New(load)
			if err := e.Restore(snap); err != nil {
				return nil, err
			}
			crashed = true
			for j := i - 10; j < i; j++ { // decided already: the answer is known
				if _, err := e.Step(log[j]); err != nil {
					return nil, err
				}
			}
		}
		stretches, err := e.Step(log[i])
		if err != nil {
			return nil, err
		}
		for _, st := range stretches {
			for _, rec := range st.Records {
				for k := range rec.Decision.Runs {
					out = append(out, told(&rec.Decision.Runs[k], at))
				}
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// signalboxSpeed reads lines of JSON, as the peers do, and decides about them
// in batches, as the daemon does; each batch of decisions is encoded, too.
func signalboxSpeed(ctx context.Context, s *settings, all []happening) (found int, took, cpu time.Duration, err error) {
	e, err := engineUnder(s)
	if err != nil {
		return 0, 0, 0, err
	}
	var lines [][]byte
	for i := range all {
		line, err := json.Marshal(&all[i])
		if err != nil {
			return 0, 0, 0, err
		}
		lines = append(lines, line)
	}
	begun, busy := time.Now(), processor()
	seq := uint64(2)
	for n := 0; n < len(lines); seq++ {
		b := &record.Batch{Seq: seq, Subject: record.Events}
		for ; n < len(lines) && len(b.Records) < 256; n++ {
			var h happening
			if err := json.Unmarshal(lines[n], &h); err != nil {
				return 0, 0, 0, err
			}
			ev := eventOf(n, &h)
			b.Time = ev.Received
			b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: ev})
		}
		stretches, err := e.Step(b)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, 0, 0, err
		}
		for _, st := range stretches {
			record.Encode(&record.Batch{Subject: record.Decisions, Records: st.Records})
			for _, rec := range st.Records {
				found += len(rec.Decision.Runs)
			}
		}
	}
	return found, time.Since(begun), processor() - busy, nil
}

// processor is the processor time that this process used so far.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package ruletest

import (
	"fmt"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Emission is an emit step of a run, with its arguments evaluated.
type Emission struct {
	Run, Step, Rule string
	Event           *event.Event   // of the run
	Events          []*event.Event // that made it up
	Args            map[string]any
}

// maxEmitted bounds the events that the runs of one test put in: rules that feed
// each other are stopped by the engine, but not at once.
const maxEmitted = 1000

// advance lets the timers fire that are due by a time, each at its own, as the
// server does: what their runs emit comes in then, and not with the next event.
func (t *trial) advance(to time.Duration) error {
	for {
		due, ok := t.eng.NextTimer()
		at := due.Sub(t.test.Start)
		if !ok || at > to {
			return nil
		}
		if err := t.feed(at, record.Record{Kind: record.KindTick}); err != nil {
			return err
		}
	}
}

// emitting is an event that a run puts in.
type emitting struct {
	ev event.Event
	by string
}

// emits notes what the run puts in with its emit steps, if its steps go as the
// outputs of the test say.
func (t *trial) emits(h *Happening) {
	r := t.env.Set.Rule(h.Rule)
	if r == nil || h.about == nil || t.env.Emit == nil || !slices.ContainsFunc(r.Steps(h.run.Branch), hasEmit) {
		return
	}
	for _, d := range t.env.walk(h, t.test.Outputs).done {
		if d.Action != "emit" || d.Err != "" {
			continue
		}
		ev, err := t.env.Emit(Emission{Run: h.run.Run, Step: d.Path, Rule: h.Rule, Event: h.about, Events: h.run.Events, Args: d.Args})
		if err == nil { // otherwise the run ends with it, and emits nothing
			t.emitting = append(t.emitting, emitting{ev, h.Rule})
		}
	}
}

func hasEmit(s *rule.Step) bool {
	if s.Action == "emit" {
		return true
	}
	for _, list := range [][]*rule.Step{s.Parallel, s.Block, s.Rescue, s.Always} {
		if slices.ContainsFunc(list, hasEmit) {
			return true
		}
	}
	return false
}

// feedBack gives the engine what runs have emitted, and what follows from it.
func (t *trial) feedBack(at time.Duration) error {
	for len(t.emitting) > 0 {
		e := t.emitting[0]
		t.emitting = t.emitting[1:]
		if t.emitted++; t.emitted > maxEmitted {
			return fmt.Errorf("the runs of this test emit more than %d events: rules may feed each other", maxEmitted)
		}
		ev := e.ev
		ev.Received = t.test.Start.Add(at)
		if known, ok := t.env.Inventory.Known(ev.Device, ""); ok {
			ev.Device = known
		}
		why := ""
		if err := t.env.Catalogue.Validate(&ev); err != nil {
			why = err.Error()
		}
		if err := t.put(fed{at: at, ev: &ev, why: why, by: e.by}); err != nil {
			return err
		}
	}
	return nil
}

package ruletest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/action/emit"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

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

// collector is an emit.Emitter that keeps what it is given.
type collector struct {
	into *[]emitting
	by   string
}

func (c collector) Emit(_ context.Context, e event.Event) (event.ID, error) {
	*c.into = append(*c.into, emitting{e, c.by})
	return "", nil
}

// emits notes what the run puts in with its emit steps, if its steps go as the
// outputs of the test say.
func (t *trial) emits(h *Happening) {
	r := t.env.Set.Rule(h.Rule)
	if r == nil || h.about == nil || !slices.ContainsFunc(r.Steps(h.run.Branch), hasEmit) {
		return
	}
	do := emit.New(collector{&t.emitting, h.Rule})
	for _, d := range t.env.walk(h, t.test.Outputs).done {
		if d.Action != "emit" || d.Err != "" {
			continue
		}
		// What is wrong with the arguments is what the run ends with, and is told
		// where steps are expected.
		_, _ = do.Do(context.Background(), action.Call{Run: h.run.Run, Step: d.Path, Attempt: 1, Rule: h.Rule,
			Event: h.about, Events: h.run.Events, Device: map[string]any{}, Args: d.Args, Key: h.run.Run + "/" + d.Path})
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

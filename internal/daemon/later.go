package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// An event's own decision is not always the end: it may be held until a window
// ends, or be one of many that make up what a rule finds later.

// laterFor is for how long after an event the log is searched for what came of
// it. Windows may be longer; what they found then is seen from its run.
const laterFor = 26 * time.Hour

// laterPatience is how long that may take.
const laterPatience = 10 * time.Second

func noteOf(n *record.RuleNote) api.Note {
	return api.Note{Rule: n.Rule, Outcome: n.Outcome, Detail: n.Detail, Of: n.Of, Key: n.Key}
}

// waits says whether something may come of the event after its own decision.
func waits(e *api.Entry) bool {
	return slices.ContainsFunc(e.Notes, func(n api.Note) bool {
		switch n.Outcome {
		case "joined", "held", "grouped", "dampened", "upstream":
			return true
		}
		return false
	})
}

// later adds to an entry what came of its event after it was decided.
func (h history) later(ctx context.Context, e *api.Entry) error {
	if !waits(e) {
		return nil
	}
	st, err := h.log.State(ctx)
	if err != nil {
		return err
	}
	at, err := record.ParsePosition(e.Position)
	if err != nil {
		return err
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, laterPatience)
	defer cancel()
	end := e.LogTime.Add(laterFor)
	err = h.log.RangeFast(ctx, before(at.Seq), record.Position{Seq: st.Last}, []record.Subject{record.Decisions}, func(b *record.Batch) error {
		if b.Time.After(end) {
			return eventlog.ErrStop
		}
		for i := range b.Records {
			if d := b.Records[i].Decision; d != nil && !d.Replay && (d.At != at || !d.Due.IsZero()) {
				e.Later = append(e.Later, cameOf(e.Event.ID, b.Time, d)...)
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, eventlog.ErrStop):
		return nil
	case err != nil && ctx.Err() != nil && asked.Err() == nil:
		// The event is worth having without it.
		e.Later = append(e.Later, api.Later{Outcome: "unknown", Detail: fmt.Sprintf("the log after it could not be read to its end in %s", laterPatience)})
		return nil
	}
	return err
}

// ends are what can become of an event that a rule had taken, beside a run.
var ends = []string{"absorbed", "released", "limited"}

// cameOf is what a decision that is not about the event itself says of it.
func cameOf(id event.ID, when time.Time, d *record.Decision) []api.Later {
	var out []api.Later
	say := func(rule, outcome, detail, run, situation string) {
		out = append(out, api.Later{Position: d.At.String(), LogTime: when, Due: d.Due,
			Rule: rule, Outcome: outcome, Detail: detail, Run: run, Situation: situation})
	}
	told := map[string]bool{}
	for i := range d.Runs {
		r := &d.Runs[i]
		n := slices.IndexFunc(r.Events, func(ev *event.Event) bool { return ev.ID == id })
		switch {
		case n >= 0:
			detail := "by this event alone"
			if total := max(int(r.Total), len(r.Events)); total > 1 {
				detail = fmt.Sprintf("one of %d events", total)
			}
			if n < len(r.As) && r.As[n] != "" {
				detail += ", as " + r.As[n]
			}
			say(r.Rule, "found", detail, r.Run, r.Situation)
			told[r.Rule] = true
		case len(r.Events) == 0 && d.Event != nil && d.Event.ID == id:
			say(r.Rule, "released", "run as a single event", r.Run, r.Situation)
			told[r.Rule] = true
		}
	}
	for i := range d.Notes {
		n := &d.Notes[i]
		// Others that repeat it, or are suppressed because of it, are not its own.
		if n.Of != id || !slices.Contains(ends, n.Outcome) || told[n.Rule] {
			continue
		}
		run := ""
		if n.Outcome == "absorbed" { // by what this decision found
			for j := range d.Runs {
				if slices.ContainsFunc(d.Runs[j].Events, func(ev *event.Event) bool { return ev.ID == id }) {
					run = d.Runs[j].Run
				}
			}
		}
		say(n.Rule, n.Outcome, n.Detail, run, "")
	}
	for i := range d.Situations {
		if c := &d.Situations[i]; c.Event == id && !told[c.Rule] {
			say(c.Rule, c.Change, "", c.Run, c.ID)
		}
	}
	return out
}

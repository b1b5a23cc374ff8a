package run

import (
	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// EventOf is what set a run off: the event of its decision, or where time made
// the decision the last of those that made up what was found. It is nil where
// neither is known; d may be nil.
func EventOf(d *record.Decision, start *record.RunStart) *event.Event {
	switch n := len(start.Events); {
	case d != nil && d.Event != nil:
		return d.Event
	case n > 0:
		return start.Events[n-1]
	}
	return nil
}

// Found puts what a run's rule has found into the scope of its steps: all events,
// those that the rule has named, and the situation as it was when the run was
// decided.
func Found(s *rule.Scope, d *record.Decision, start *record.RunStart) {
	if len(start.Events) > 0 {
		s.Events = start.Events
	}
	s.Named, s.Situation = named(start), situation(d, start)
}

func named(start *record.RunStart) map[string]*event.Event {
	var named map[string]*event.Event
	for i, name := range start.As {
		if name == "" || i >= len(start.Events) {
			continue
		}
		if named == nil {
			named = map[string]*event.Event{}
		}
		if named[name] == nil { // a second one for the same part is in events
			named[name] = start.Events[i]
		}
	}
	return named
}

func situation(d *record.Decision, s *record.RunStart) map[string]any {
	if s.Situation == "" {
		return nil
	}
	m := map[string]any{"id": s.Situation, "key": s.Key, "count": int64(max(int(s.Total), len(s.Events), 1)),
		"change": "opened", "state": "open"}
	if s.Branch != "" {
		m["change"] = s.Branch
	}
	if s.Branch == "resolved" {
		m["state"] = "resolved"
	}
	if c := ChangeOf(d, s); c != nil {
		m["change"], m["state"], m["key"] = c.Change, c.State, c.Key
		if c.Count > 0 {
			m["count"] = int64(c.Count)
		}
	}
	return m
}

// ChangeOf finds what the decision says of the run's situation; nil for nothing.
func ChangeOf(d *record.Decision, s *record.RunStart) *record.SituationChange {
	if d == nil {
		return nil
	}
	for i := range d.Situations {
		if c := &d.Situations[i]; c.ID == s.Situation && (c.Run == s.Run || c.Run == "") {
			return c
		}
	}
	return nil
}

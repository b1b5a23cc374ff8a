package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

var due = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// finding is a decision that time made: a run of rule "found" with three events.
func finding(r *rig) *record.Decision {
	r.seq++
	return &record.Decision{At: record.Position{Seq: r.seq}, Verdict: record.Decided, Due: due,
		Situations: []record.SituationChange{{ID: "s0", State: "resolved"}, {ID: "s1", Key: "sw1 1", Change: "opened", State: "acknowledged", Run: "r1-0-found", Count: 9}},
		Runs: []record.RunStart{{Run: "r1-0-found", Rule: "found", RuleVersion: "v1", Device: "sw1", Key: "sw1 Gi0/1", Total: 7,
			Events: []*event.Event{{ID: "e1", Type: "config_change", Device: "sw1"}, {ID: "e2", Type: "interface_down", Device: "sw1"},
				{ID: "e3", Type: "bgp_neighbor_down", Device: "sw1"}},
			As: []string{"change", "", "down"}, Situation: "s1"}}}
}

// look is a step that notes what it sees.
func look(r *rig, seen map[string]any) *rule.Step {
	s := do("do")
	s.Args = r.eval.value(func(sc *rule.Scope) (any, error) {
		seen["event"] = sc.Event.ID
		var ids []event.ID
		for _, e := range sc.Events {
			ids = append(ids, e.ID)
		}
		seen["events"] = ids
		for _, name := range []string{"change", "down", ""} {
			_, seen["has "+name] = sc.Named[name]
		}
		seen["situation"] = fmt.Sprintln(sc.Situation["id"], sc.Situation["state"], sc.Situation["change"], sc.Situation["key"], sc.Situation["count"])
		return map[string]any{}, nil
	})
	return s
}

// TestRunOfManyEvents: steps see the last event, all of them, and those that have
// a name, also after a crash in the middle of the run; people see them too.
func TestRunOfManyEvents(t *testing.T) {
	want := map[string]any{"event": event.ID("e3"), "events": []event.ID{"e1", "e2", "e3"},
		"has change": true, "has down": true, "has ": false, "situation": "s1 acknowledged opened sw1 1 9\n"}
	for _, snapshot := range []bool{false, true} {
		r := newRig(t)
		var got []*event.Event
		r.acts = append(r.acts, &fakeAction{name: "hand", idem: true, do: func(_ context.Context, c action.Call) (action.Result, error) {
			got = c.Events
			return action.Result{}, nil
		}})
		seen := map[string]any{}
		r.rule("found", do("hand"), look(r, seen))
		r.log.decide(finding(r))
		r.log.revive(2, true) // the second step's begin is the last that reaches the log
		r.start(record.Position{}, nil)
		r.feed()
		<-r.log.deaths
		pos, snap := r.w.Snapshot()
		r.stop()
		if !snapshot {
			pos, snap = record.Position{}, nil
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Error(diff)
		}
		if len(got) != 3 {
			t.Errorf("the action was given %d events", len(got))
		}
		clear(seen)
		r.log.revive(-1, true)
		r.start(pos, snap)
		r.feed()
		r.settle()
		r.stop()
		v, err := r.w.Find(t.Context(), "r1-0-found")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, seen); diff != "" || v.Status != "succeeded" {
			t.Errorf("after the crash the run %s: %s", v.Status, diff)
		}
		if v.Key != "sw1 Gi0/1" || !v.Due.Equal(due) || v.Total != 7 || v.Situation != "s1" || v.EventID != "e3" ||
			len(v.Events) != 3 || v.Events[0].As != "change" || v.Events[1].As != "" || v.Events[2].ID != "e3" {
			t.Errorf("snapshot %v: people see %+v", snapshot, v)
		}
	}
}

// TestBranches: a run does the steps of its branch; their paths are their own.
func TestBranches(t *testing.T) {
	r := newRig(t)
	x := r.rule("incident", do("do"))
	x.Resolved = []*rule.Step{do("once"), do("do")}
	paths("resolved.", 1, x.Resolved)
	d := r.decision("sw1", "incident", "incident")
	d.Runs[1].Run, d.Runs[1].Branch = d.Runs[1].Run+"-resolved", "resolved"
	none := r.decision("sw2", "incident")
	none.Runs[0].Branch = "updated"
	r.log.decide(d, none)
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	r.stop()
	want := lines("begin resolved.1 once #1", "end resolved.1 #1 ok", "begin resolved.2 do #1", "end resolved.2 #1 ok", "run succeeded")
	if diff := cmp.Diff(want, transcript(r.log.journal(d.Runs[1].Run))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lines("begin 1 do #1", "end 1 #1 ok", "run succeeded"), transcript(r.log.journal(d.Runs[0].Run))); diff != "" {
		t.Error(diff)
	}
	if got := transcript(r.log.journal(none.Runs[0].Run)); got != lines(`run failed: rule incident, version v1, has no steps "updated"`) {
		t.Error(got)
	}
}

// TestFindingPutBack: a dead letter of many events keeps them when it is put back.
func TestFindingPutBack(t *testing.T) {
	r := newRig(t)
	seen := map[string]any{}
	r.rule("found", look(r, seen), do("bad"))
	r.log.decide(finding(r))
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	clear(seen)
	r.rule("found", look(r, map[string]any{}), look(r, seen))
	r.log.decide(&record.Decision{At: record.Position{Seq: 9}, Verdict: record.Decided,
		Command: &record.Command{Verb: "requeue", Run: "r1-0-found", By: "ann"}})
	r.feed()
	r.until("the run has succeeded", func() bool {
		v, err := r.w.Find(t.Context(), "r1-0-found")
		return err == nil && v.Status == "succeeded"
	})
	r.stop()
	if ids, _ := seen["events"].([]event.ID); len(ids) != 3 {
		t.Errorf("seen %v", seen)
	}
}

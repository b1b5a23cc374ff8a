package enginetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// drawEverything draws a few rules, each with any stages beside its form.
func drawEverything(t *rapid.T) *world {
	w := &world{coarse: time.Millisecond, senders: true}
	if rapid.Bool().Draw(t, "topology") {
		w.topology = &correlate.Topology{Roots: []string{"root"}, Links: []correlate.Link{
			{A: "root", B: "a", BInterface: "up"}, {A: "a", AInterface: "b1", B: "b", BInterface: "b1"}}}
	}
	if rapid.IntRange(0, 3).Draw(t, "global window") == 0 {
		w.global = 2 * unit
	}
	all := []string{"single", "count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}
	n := rapid.IntRange(1, 3).Draw(t, "rules")
	for i := range n {
		form := rapid.SampledFrom(all).Draw(t, "form")
		r := drawRule(t, fmt.Sprintf("%s %d", form, i), form)
		some := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
		if some("own") {
			r.own = unit
		}
		if some("dampen") {
			r.plan.Dampen = &correlate.Dampen{HalfLife: 3 * unit, Max: 7 * unit, Penalty: 1000, Reuse: 731, Suppress: 1913, Signature: "d"}
		}
		if w.topology != nil && some("upstream") {
			r.plan.Upstream = &correlate.Upstream{Wait: unit * time.Duration(rapid.IntRange(0, 2).Draw(t, "wait")), Signature: "u"}
		}
		if some("event time") {
			r.plan.EventTime, r.plan.Lateness = true, 2*unit
		}
		if some("group") {
			drawGrouping(t, r)
		}
		if some("situation") {
			drawStory(t, r)
		}
		if some("limits") {
			r.limits = drawLimits(t)
		}
		w.rules = append(w.rules, r)
	}
	for i, r := range w.rules[:n-1] {
		if slices.Contains(holding, formName(r.plan.Form)) && rapid.Bool().Draw(t, "holds") {
			r.plan.Holds = []string{w.rules[i+1].name}
		}
	}
	return w
}

func formName(f correlate.Form) string {
	return []string{"single", "count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}[f]
}

func drawGrouping(t *rapid.T, r *worldRule) {
	r.plan.Group = &correlate.Group{Wait: unit * time.Duration(rapid.IntRange(1, 2).Draw(t, "group wait")),
		Interval: unit * time.Duration(rapid.IntRange(1, 3).Draw(t, "interval")), Signature: "g"}
	if rapid.Bool().Draw(t, "clears") {
		r.plan.Group.Clears = true
		r.plan.Group.Repeat = unit * time.Duration(rapid.SampledFrom([]int{0, 2, 900}).Draw(t, "repeat"))
		if r.plan.Group.Repeat == 2*unit {
			r.plan.Group.Repeat = 7 * time.Minute
		}
		delete(r.parts, "up")
		r.also("up", correlate.PartClear)
	}
}

func drawStory(t *rapid.T, r *worldRule) {
	r.plan.Situation = &correlate.Situation{Updated: rapid.Bool().Draw(t, "updated"), Resolved: rapid.Bool().Draw(t, "resolved"), Signature: "s"}
	delete(r.parts, "other")
	r.also("other", correlate.PartResolve)
}

func (r *worldRule) also(typ string, role int) {
	if r.roles == nil {
		r.roles = map[string][]int{}
	}
	r.roles[typ] = append(r.roles[typ], role)
}

// TestBatchesChangeNothing puts records of one time in one batch or in many:
// what is decided is the same.
func TestBatchesChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawEverything(t)
		log := drawLog(t, w, true)
		got, _ := fast(t, w, log, never)
		var single []*record.Batch
		for _, b := range log {
			for _, r := range b.Records {
				single = append(single, &record.Batch{Seq: uint64(len(single) + 2), Time: b.Time, Subject: record.Events, Records: []record.Record{r}})
			}
		}
		again, _ := fast(t, w, single, never)
		if diff := cmp.Diff(facts(w, got, log), facts(w, again, single)); diff != "" {
			t.Fatalf("(-batches +one by one):\n%s\nrules:\n%s\nlog:\n%s", diff, w, story(w, log))
		}
	})
}

// TestSituationsAndPeople lets a person speak in between.
func TestSituationsAndPeople(t *testing.T) {
	w := &world{rules: []*worldRule{{name: "port", parts: map[string][]int{"down": {0}}, roles: map[string][]int{"up": {correlate.PartResolve}},
		plan: &correlate.Plan{Situation: &correlate.Situation{Resolved: true, Signature: "s"}}}}}
	log := written(t, w, "0 down a, 1 down b, 2 down a, 3 tick, 4 down a, 5 tick, 6 down a, 7 up a, 8 up b")
	got, _ := fast(t, w, log[:2], never)
	opened := got[0].Situations[0].ID
	for i, verb := range map[int]string{3: "acknowledge", 5: "resolve"} {
		log[i].Records = []record.Record{{Kind: record.KindCommand, Command: &record.Command{ID: "c", Verb: verb, Run: opened, By: "ann"}}}
	}
	got, _ = fast(t, w, log, func(i int) bool { return i%2 == 0 })
	want := []string{
		"0 now: run port [e1]", "0 now: situation port a opened open e1", "0 now: verdict 1 of ",
		"1 now: run port [e2]", "1 now: situation port b opened open e2", "1 now: verdict 1 of ",
		"2 now: situation port a updated open e3", "2 now: verdict 1 of ",
		"3 now: situation port a acknowledged acknowledged ",
		"4 now: situation port a updated acknowledged e5", "4 now: verdict 1 of ",
		"5 now: run port resolved[e5]", "5 now: situation port a resolved resolved ",
		"6 now: run port [e7]", "6 now: situation port a opened open e7", "6 now: verdict 1 of ",
		"7 now: run port resolved[e8]", "7 now: situation port a resolved resolved e8", "7 now: verdict 1 of ",
		"8 now: run port resolved[e9]", "8 now: situation port b resolved resolved e9", "8 now: verdict 1 of ",
	}
	if diff := cmp.Diff(want, facts(w, got, log)); diff != "" {
		t.Errorf("decided (-want +got):\n%s", diff)
	}
}

// drawSender gives some events a sender's id that came before.
func drawSender(t *rapid.T, ev *event.Event) {
	if rapid.IntRange(0, 3).Draw(t, "has a sender's id") == 0 {
		ev.SenderID = rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "sender's id")
	}
}

package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// TestLook: what an event would meet is told, and looking changes nothing.
func TestLook(t *testing.T) {
	above := 90.0
	within := 10 * time.Second
	rules := []planned{
		{name: "count", on: []string{"fail"}, plan: with(planOf(correlate.Count, within), func(p *correlate.Plan) { p.AtLeast = 3 })},
		{name: "distinct", on: []string{"fail"}, plan: with(planOf(correlate.Count, within), func(p *correlate.Plan) { p.AtLeast, p.Distinct = 3, true })},
		{name: "flap", on: []string{"up", "down"}, plan: with(planOf(correlate.Flap, within), func(p *correlate.Plan) { p.Changes = 3 })},
		{name: "sequence", on: []string{"change=0", "down=1", "lost=2"}, plan: with(planOf(correlate.Sequence, within), func(p *correlate.Plan) {
			p.Parts = []correlate.Part{{As: "c"}, {As: "d"}, {}}
		})},
		{name: "all", on: []string{"down=0", "lost=1"}, plan: with(planOf(correlate.All, within), func(p *correlate.Plan) { p.Parts = []correlate.Part{{}, {}} })},
		{name: "unless", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(p *correlate.Plan) { p.Parts = []correlate.Part{{}, {}} })},
		{name: "silent", on: []string{"beat"}, plan: with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})},
		{name: "hot", on: []string{"load"}, plan: with(planOf(correlate.Threshold, within), func(p *correlate.Plan) { p.Limit.Above = &above })},
		{name: "damp", on: []string{"flip"}, plan: with(planOf(correlate.Single, 0), func(p *correlate.Plan) {
			p.Dampen = &correlate.Dampen{HalfLife: time.Minute, Max: time.Hour, Penalty: 1000, Suppress: 1500, Reuse: 500, Signature: "d"}
		})},
		{name: "group", on: []string{"fail"}, plan: with(planOf(correlate.Single, 0), func(p *correlate.Plan) {
			p.Group = &correlate.Group{Wait: time.Minute, Interval: time.Minute, Signature: "g"}
		})},
		{name: "incident", on: []string{"lost"}, plan: with(planOf(correlate.Single, 0), func(p *correlate.Plan) {
			p.Situation = &correlate.Situation{Signature: "s"}
		})},
	}
	e := engineOf(rules...)
	log := logOf("0s fail sw1 a", "1s fail sw1 a", "2s change sw1", "3s down sw1", "4s beat sw1", "4s load sw1 - 95", "5s flip sw1", "5s flip sw1", "5s other sw1")
	told(t, e, log)
	before := e.Snapshot()
	id := func(n int) string { return string(evRecord(n, "x", "x").Event.ID) }
	look := func(rule, typ string) []string {
		ev := &event.Event{Type: typ, Device: "sw1"}
		for _, m := range e.rules.Match(ev, nil) {
			if m.Rule == rule {
				return e.Look(rule, m.Inputs, t0.Add(6*time.Second))
			}
		}
		return nil
	}
	for _, tt := range []struct {
		rule, typ string
		want      []string
	}{
		{"count", "fail", []string{"before: 2 of 3 events within 10s", "  " + id(1) + " fail sw1 a, 6s before", "  " + id(2) + " fail sw1 a, 5s before"}},
		{"distinct", "fail", []string{"before: 1 of 3 values within 10s", "  " + id(1) + " fail sw1 a, 6s before", "  " + id(2) + " fail sw1 a, 5s before"}},
		{"flap", "down", []string{"before: 1 of 3 changes within 10s", "  " + id(4) + " down sw1, 3s before"}},
		{"sequence", "lost", []string{"before: 2 of 3 parts, begun 4s before", "  " + id(3) + " change sw1 as c", "  " + id(4) + " down sw1 as d"}},
		{"all", "lost", []string{"before: 1 of 2 parts, 1 events within 10s", "  " + id(4) + " down sw1 as part 1, 3s before"}},
		{"unless", "up", []string{"it waits for the end of 1m0s since:", "  " + id(4) + " down sw1"}},
		{"silent", "beat", []string{"the last that came:", "  " + id(5) + " beat sw1"}},
		{"hot", "load", []string{"before: over the limit for 2s of 10s, 1 samples"}},
		{"damp", "flip", []string{"before: penalty 1977, suppressed"}},
		{"group", "fail", []string{"before: a group of 1, 1 of them not told yet, no run yet"}},
		{"incident", "lost", nil},
		{"no such rule", "lost", nil},
	} {
		if diff := cmp.Diff(tt.want, look(tt.rule, tt.typ)); diff != "" {
			t.Errorf("%s: %s", tt.rule, diff)
		}
	}
	if diff := cmp.Diff(before, e.Snapshot()); diff != "" {
		t.Error("looking has changed something")
	}
	told(t, e, logOf("0s x x", "1s x x", "2s x x", "3s x x", "4s x x", "5s x x", "6s x x", "7s x x", "8s x x", "9s lost sw1")[10:])
	if got := look("incident", "lost"); len(got) != 1 {
		t.Errorf("incident: %q", got)
	}
}

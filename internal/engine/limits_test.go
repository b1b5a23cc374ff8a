package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// limit lets so many runs through within 10 s.
func limit(most int, change func(*fakeLimit)) fakeLimit {
	l := fakeLimit{RunLimit: correlate.RunLimit{Text: "limit", Signature: "runs", Within: 10 * time.Second}, most: most}
	if change != nil {
		change(&l)
	}
	return l
}

func byDevice(l *fakeLimit) { l.byDevice, l.Signature = true, "by device" }
func devices(l *fakeLimit)  { l.Devices, l.Signature = true, "devices" }

// TestLimits says what limits refuse. The number of an event is its line.
func TestLimits(t *testing.T) {
	down := func(limits ...fakeLimit) planned { return planned{name: "r", on: []string{"down"}, limits: limits} }
	tests := []struct {
		name  string
		rules plannedRules
		log   []string
		want  []string
	}{
		{
			name:  "a window slides, and what was refused is not counted",
			rules: plannedRules{rules: []planned{down(limit(2, nil))}},
			log:   []string{"0s down a", "4s down b", "9s down c", "10s down d", "13s down e", "14s down f"},
			want: []string{"2 decided, run r of 1", "3 decided, run r of 2", "4 suppressed, r limited", "5 decided, run r of 4",
				"6 suppressed, r limited", "7 decided, run r of 6"},
		},
		{
			name:  "each key has a count of its own",
			rules: plannedRules{rules: []planned{down(limit(1, byDevice))}},
			log:   []string{"0s down a", "1s down b", "2s down a"},
			want:  []string{"2 decided, run r of 1", "3 decided, run r of 2", "4 suppressed, r limited"},
		},
		{
			name:  "a device counts once, and for as long as its last run",
			rules: plannedRules{rules: []planned{down(limit(2, devices))}},
			log:   []string{"0s down a", "1s down b", "8s down a", "9s down c", "11s down c", "12s down b", "13s down"},
			want: []string{"2 decided, run r of 1", "3 decided, run r of 2", "4 decided, run r of 3", "5 suppressed, r limited",
				"6 decided, run r of 5", "7 suppressed, r limited", "8 decided, run r of 7"},
		},
		{
			name:  "all limits must have room, or none counts",
			rules: plannedRules{rules: []planned{down(limit(3, nil), limit(1, byDevice))}},
			log:   []string{"0s down a", "1s down a", "2s down a", "3s down b", "4s down c", "5s down d"},
			want: []string{"2 decided, run r of 1", "3 suppressed, r limited", "4 suppressed, r limited", "5 decided, run r of 4",
				"6 decided, run r of 5", "7 suppressed, r limited"},
		},
		{
			name: "those of all rules come after a rule's own, and a shadow counts for nobody else",
			rules: plannedRules{limits: []fakeLimit{limit(2, nil)}, rules: []planned{
				{name: "shadow", on: []string{"down"}, shadow: true, limits: []fakeLimit{limit(1, nil)}}, {name: "r", on: []string{"down"}}, {name: "s", on: []string{"down"}}}},
			log:  []string{"0s down a", "1s down b", "12s down c"},
			want: []string{"2 decided, run r of 1, run s of 1, shadow shadow", "3 suppressed, shadow limited, r limited, s limited", "4 decided, run r of 3, run s of 3, shadow shadow"},
		},
		{
			name: "what time finds is limited, too",
			rules: plannedRules{rules: []planned{{name: "r", on: []string{"down"}, plan: with(planOf(correlate.Unless, 3*time.Second), func(p *correlate.Plan) {
				p.Parts = make([]correlate.Part, 2)
			}), limits: []fakeLimit{limit(1, nil)}}}},
			log:  []string{"0s down a", "1s down b", "20s tick"},
			want: []string{"2 decided, r joined", "3 decided, r joined", "4 due 3s, run r [1]", "4 due 4s, r limited 2"},
		},
		{
			name: "a situation is opened and resolved without its runs",
			rules: plannedRules{rules: []planned{{name: "r", on: []string{"down", "up=-1"}, plan: &correlate.Plan{Situation: &correlate.Situation{Resolved: true, Signature: "s"}},
				limits: []fakeLimit{limit(1, nil)}}}},
			log: []string{"0s down a", "1s down b", "2s up a"},
			want: []string{"2 decided, run r of 1, situation opened by 1", "3 decided, r limited, situation opened by 2",
				"4 decided, r limited, situation resolved by 3"},
		},
		{
			name: "a run is for the devices of all its events",
			rules: plannedRules{rules: []planned{{name: "r", on: []string{"down"}, plan: &correlate.Plan{Group: &correlate.Group{Wait: time.Second, Interval: time.Second, Signature: "g"}},
				limits: []fakeLimit{limit(3, devices)}}}},
			log: []string{"0s down a", "0s down b", "5s down b", "5s down c", "10s down d", "10s down e", "30s down a", "30s down b", "30s down c", "30s down d", "40s tick"},
			want: []string{"2 decided, r grouped", "3 decided, r grouped", "4 due 1s, run r [1 2]", "4 decided, r grouped", "5 decided, r grouped",
				"6 due 6s, run r [3 4]", "6 decided, r grouped", "7 decided, r grouped", "8 due 11s, r limited 6",
				"8 decided, r grouped", "9 decided, r grouped", "10 decided, r grouped", "11 decided, r grouped", "12 due 31s, r limited a"},
		},
		{
			name:  "what cannot be counted is not started",
			rules: plannedRules{rules: []planned{down(limit(0, nil))}},
			log:   []string{"0s down a"},
			want:  []string{"2 suppressed, r limited"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := logOf(tt.log...)
			if diff := cmp.Diff(tt.want, told(t, New(sets{"rules": &tt.rules}.load), log)); diff != "" {
				t.Errorf("decided (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLimitOfAReplay lets a replay, whose events are old, start runs: devices are
// touched now, so it shares the count with what happens now. A dry run does not.
func TestLimitOfAReplay(t *testing.T) {
	for _, dry := range []bool{false, true} {
		e := New(sets{"rules": {rules: []planned{{name: "r", on: []string{"down"}, limits: []fakeLimit{limit(2, nil)}}}}}.load)
		log := logOf("0s down a", "5s tick", "6s tick", "7s down b")
		for i, seq := range []int{2, 3} {
			c := &record.Command{ID: "c", Verb: "replay", DryRun: dry, Event: evRecord(90+i, "down", "z").Event}
			c.Event.Received = t0.Add(-time.Hour + time.Duration(i)*time.Minute) // a minute apart, and replayed within a second
			log[seq].Records = []record.Record{{Kind: record.KindCommand, Command: c}}
		}
		want := []string{"2 decided, run r of 1", "3 decided, run r of 5a", "4 suppressed, r limited", "5 suppressed, r limited"}
		if dry {
			want = []string{"2 decided, run r of 1", "3 decided, run r of 5a", "4 decided, run r of 5b", "5 decided, run r of 4"}
		}
		var got []string
		for i := range log {
			if i > 0 { // a snapshot between any two of them changes nothing
				again := New(e.load)
				if err := again.Restore(e.Snapshot()); err != nil {
					t.Fatal(err)
				}
				e = again
			}
			got = append(got, told(t, e, log[i:i+1])...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dry run %v (-want +got):\n%s", dry, diff)
		}
	}
}

// TestLimitChanges puts other limits in force: what was counted stays where the
// same is counted, however many there may be now.
func TestLimitChanges(t *testing.T) {
	rules := func(limits ...fakeLimit) *plannedRules {
		return &plannedRules{rules: []planned{{name: "r", on: []string{"down"}, limits: limits}}}
	}
	e := New(sets{"rules": rules(limit(3, nil)), "fewer": rules(limit(1, nil)), "others": rules(limit(1, byDevice)), "more": rules(limit(3, nil))}.load)
	got := told(t, e, logOf("0s down a", "1s down b", "2s rules fewer", "3s down c", "10s down d", "11s down e",
		"12s rules others", "13s down f", "14s rules more", "15s down g", "16s down h", "17s down i", "18s down j"))
	want := []string{"2 decided, run r of 1", "3 decided, run r of 2", "5 suppressed, r limited", "6 suppressed, r limited", "7 decided, run r of 6",
		"reset: rule r: its limits changed; 1 key was reset", "9 decided, run r of 8",
		"reset: rule r: its limits changed; 1 key was reset", "11 decided, run r of a", "12 decided, run r of b", "13 decided, run r of c", "14 suppressed, r limited"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decided (-want +got):\n%s", diff)
	}
}

// A limit's memory is of what was started within its window, and no more.
func TestLimitForgets(t *testing.T) {
	e := New(sets{"rules": {rules: []planned{{name: "r", on: []string{"down"}, limits: []fakeLimit{limit(1, byDevice)}}}}}.load)
	told(t, e, logOf(repeat(2000, func(i int) string {
		return fmt.Sprintf("%ds down device-%d", i, i)
	})...))
	for name, l := range e.live.limits {
		if held := l.Keys().Held; held == 0 || held > 20 {
			t.Errorf("limit %q holds %d keys", name, held)
		}
	}
}

// When there is room again is told in whole seconds, and not too early.
func TestLimitSaysWhenThereIsRoom(t *testing.T) {
	e := engineOf(planned{name: "r", on: []string{"down"}, limits: []fakeLimit{limit(1, nil)}})
	var got []string
	for _, b := range logOf("200ms down a", "5s down b", "10s down c") {
		stretches, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range stretches[0].Records {
			got = append(got, r.Decision.Reason)
		}
	}
	again := "rule r: limit; room again from 2026-01-01T00:00:11Z"
	if diff := cmp.Diff([]string{"", again, again}, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// A run for more devices than there may be is never let through, and says so.
func TestLimitBelowTheRun(t *testing.T) {
	e := engineOf(planned{name: "r", on: []string{"down"}, plan: &correlate.Plan{Group: &correlate.Group{Wait: time.Second, Interval: time.Second, Signature: "g"}},
		limits: []fakeLimit{limit(1, devices)}})
	var got []string
	for _, b := range logOf("0s down a", "0s down b", "0s down a", "5s tick") {
		stretches, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range stretches[0].Records {
			for _, n := range r.Decision.Notes {
				got = append(got, n.Outcome+": "+n.Detail)
			}
		}
	}
	want := []string{"grouped: ", "grouped: ", "grouped: ", "limited: limit; the run is for 2 devices"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

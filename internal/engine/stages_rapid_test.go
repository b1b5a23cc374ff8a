package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// drawPlanned draws a rule of any form with any stages around it.
func drawPlanned(t *rapid.T, name string) planned {
	some := func(what string) bool { return rapid.Bool().Draw(t, what) }
	seconds := func(what string, from, to int) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, what)) * time.Second
	}
	form := rapid.SampledFrom([]correlate.Form{correlate.Single, correlate.Count, correlate.Flap, correlate.Sequence,
		correlate.All, correlate.Any, correlate.Unless, correlate.Silent, correlate.Threshold}).Draw(t, "form")
	p := planOf(form, seconds("within", 1, 9))
	p.AtLeast, p.Changes, p.Distinct, p.Tumbling = rapid.IntRange(1, 3).Draw(t, "at least"), 2, some("distinct"), some("tumbling")
	limit, clear := 5.0, 3.0
	p.Limit = correlate.Limit{Above: &limit, Clear: &clear, Rate: some("rate"), Counter: some("counter")}
	p.MaxKeys, p.Refuse = rapid.IntRange(1, 4).Draw(t, "max keys"), some("refuse")
	on := []string{"down=0"}
	switch form {
	case correlate.Sequence, correlate.All, correlate.Any, correlate.Unless:
		p.Parts = parts("a", "b")
		p.Parts[1].Bound = some("bound")
		on = []string{"down=0", "up=1", "fault=0", "fault=1"}
	case correlate.Count, correlate.Flap, correlate.Single:
		on = []string{"down=0", "up=0"}
	}
	if some("dampen") {
		p.Dampen = &correlate.Dampen{HalfLife: seconds("half-life", 1, 9), Max: seconds("max", 5, 30), Penalty: 1000, Suppress: 1500, Reuse: 700, Signature: "d"}
	}
	if some("upstream") {
		p.Upstream = &correlate.Upstream{Wait: seconds("upstream wait", 0, 3), Signature: "u"}
		on = append(on, "gone=0", "back=0")
	}
	if some("group") {
		p.Group = &correlate.Group{Wait: seconds("group wait", 0, 3), Interval: seconds("interval", 1, 9), Repeat: seconds("repeat", 0, 20), Clears: some("clears"), Signature: "g"}
		on = append(on, "clear=-2")
	}
	if some("situation") {
		p.Situation = &correlate.Situation{Updated: some("updated"), Resolved: some("resolved"), Signature: "s"}
		on = append(on, "clear=-1")
	}
	if some("event time") {
		p.EventTime, p.Lateness = true, seconds("lateness", 0, 4)
	}
	if name != "plain" && some("holds") {
		p.Holds = []string{"plain"}
	}
	return planned{name: name, on: on, plan: &p}
}

func drawLog(t *rapid.T) []*record.Batch {
	var lines []string
	at := time.Duration(0)
	for range rapid.IntRange(1, 40).Draw(t, "events") {
		at += time.Duration(rapid.SampledFrom([]int{0, 0, 1, 1, 2, 5, 30}).Draw(t, "gap")) * time.Second
		typ := rapid.SampledFrom([]string{"down", "up", "gone", "back", "fault", "clear", "tick", "rules"}).Draw(t, "type")
		where := rapid.SampledFrom([]string{"dist1", "sw1", "ap1"}).Draw(t, "device")
		if typ == "rules" {
			where = rapid.SampledFrom([]string{"rules", "others"}).Draw(t, "set")
		}
		lines = append(lines, fmt.Sprint(at, " ", typ, " ", where, " p", rapid.IntRange(0, 1).Draw(t, "interface"), " ", rapid.IntRange(1, 9).Draw(t, "number")))
	}
	return logOf(lines...)
}

// Whatever stands in the pipe of whatever form: the same log gives the same
// decisions, byte for byte, whatever restarts come in between, and a restored
// state is the state.
func TestStagesAreDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fresh := placed(planned{name: "plain", on: []string{"down", "fault"}}, drawPlanned(t, "a"), drawPlanned(t, "b"))
		straight, restarted := fresh(), fresh()
		for _, b := range drawLog(t) {
			want, err := straight.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := restarted.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				for j := range want[i].Records {
					if d := cmp.Diff(want[i].Records[j], got[i].Records[j]); d != "" {
						t.Fatalf("after a restart batch %d differs: %s", b.Seq, d)
					}
				}
			}
			if d := cmp.Diff(straight.Situations(), restarted.Situations()); d != "" {
				t.Fatalf("situations differ: %s", d)
			}
			if rapid.Bool().Draw(t, "restart") {
				snap := restarted.Snapshot()
				restarted = fresh()
				if err := restarted.Restore(snap); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(snap, restarted.Snapshot()) {
					t.Fatal("a restored engine's snapshot differs")
				}
			}
		}
	})
}

// No event is lost: every one has one outcome, and each situation that was
// opened is open or resolved.
func TestStagesKeepTheBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := placed(drawPlanned(t, "a"), drawPlanned(t, "b"))()
		open := map[string]bool{}
		for _, b := range drawLog(t) {
			stretches, err := e.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range stretches {
				outcomes := uint64(0)
				for _, r := range s.Records {
					d := r.Decision
					if d.Due.IsZero() && d.Command == nil && d.Verdict != record.Unmatched {
						outcomes++
					}
					for _, c := range d.Situations {
						if was := open[c.ID]; was == (c.Change == "opened") {
							t.Fatalf("batch %d: situation %s is %s", b.Seq, c.ID, c.Change)
						}
						open[c.ID] = true
						if c.State == "resolved" {
							delete(open, c.ID)
						}
					}
				}
				if outcomes+s.Unmatched != s.Events {
					t.Fatalf("batch %d: %d events, %d outcomes, %d unmatched", b.Seq, s.Events, outcomes, s.Unmatched)
				}
				for _, reset := range s.Resets {
					if strings.Contains(reset, "situation") {
						clear(open)
					}
				}
			}
		}
		if got := e.Situations(); len(got) != len(open) {
			t.Fatalf("%d situations are open, the decisions say %d", len(got), len(open))
		}
	})
}

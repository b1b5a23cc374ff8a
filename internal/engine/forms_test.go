package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

type formTest struct {
	name string
	log  []string
	want []string
}

func runForms(t *testing.T, tests []formTest, rules ...planned) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, told(t, engineOf(rules...), logOf(tt.log...))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCount(t *testing.T) {
	runForms(t, []formTest{
		{"the third within the window finds all three", []string{"0s fail sw1", "9s fail sw1", "9.999s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, run c [1 2 3]"}},
		{"exactly the window apart is not within it", []string{"0s fail sw1", "5s fail sw1", "10s fail sw1", "14s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, c joined", "5 decided, run c [2 3 4]"}},
		{"each key for itself", []string{"0s fail sw1", "1s fail sw2", "2s fail sw1", "3s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, c joined", "5 decided, run c [1 3 4]"}},
		{"what made a finding is used up", []string{"0s fail sw1", "1s fail sw1", "2s fail sw1", "3s fail sw1", "4s fail sw1", "5s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, run c [1 2 3]", "5 decided, c joined", "6 decided, c joined", "7 decided, run c [4 5 6]"}},
	}, planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast = 3 })})
}

func TestCountTumblingAndDistinct(t *testing.T) {
	runForms(t, []formTest{
		{"windows stand side by side", []string{"8s fail sw1", "10s fail sw1", "19.999s fail sw1", "20s fail sw1", "21s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, run c [2 3]", "5 decided, c joined", "6 decided, run c [4 5]"}},
		{"a window starts anew after a finding", []string{"0s fail sw1", "1s fail sw1", "2s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, run c [1 2]", "4 decided, c joined"}},
	}, planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast, p.Tumbling = 2, true })})
	runForms(t, []formTest{
		{"the same value again is no other", []string{"0s fail sw1 a", "1s fail sw1 a", "2s fail sw1 b"},
			[]string{"2 decided, d joined", "3 decided, d joined", "4 decided, run d [1 2 3]"}},
		{"a value counts from when it was last seen", []string{"0s fail sw1 a", "9s fail sw1 a", "12s fail sw1 b"},
			[]string{"2 decided, d joined", "3 decided, d joined", "4 decided, run d [2 3]"}},
		{"a value that has left counts no more", []string{"0s fail sw1 a", "10s fail sw1 b", "11s fail sw1 a"},
			[]string{"2 decided, d joined", "3 decided, d joined", "4 decided, run d [2 3]"}},
	}, planned{name: "d", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast, p.Distinct = 2, true })})
}

func TestAFindingCarriesTheOldestAndTheNewest(t *testing.T) {
	e := engineOf(planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, time.Hour), func(p *correlate.Plan) { p.AtLeast = 300 })})
	log := logOf(repeat(300, func(int) string { return "0s fail sw1" })...)
	var last *[]string
	for _, b := range log {
		s, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s[0].Records {
			for _, run := range r.Decision.Runs {
				if run.Total != 300 || len(run.Events) != correlate.MaxKept {
					t.Fatalf("total %d, %d events", run.Total, len(run.Events))
				}
				ids := []string{string(run.Events[0].ID), string(run.Events[49].ID), string(run.Events[50].ID), string(run.Events[99].ID)}
				last = &ids
			}
		}
	}
	if last == nil {
		t.Fatal("no run")
	}
	if d := cmp.Diff([]string{string(id(1)), string(id(50)), string(id(251)), string(id(300))}, *last); d != "" {
		t.Error(d)
	}
}

func flapRule(within time.Duration, holds ...string) planned {
	return planned{name: "f", on: []string{"down", "up"}, plan: with(planOf(correlate.Flap, within), func(p *correlate.Plan) { p.Changes, p.Holds = 3, holds })}
}

func TestFlap(t *testing.T) {
	runForms(t, []formTest{
		{"down, up, down are three changes", []string{"0s down sw1 d", "1s up sw1 u", "2s down sw1 d"},
			[]string{"2 decided, f joined", "3 decided, f joined", "4 decided, run f [1 2 3]"}},
		{"the same state again is no change", []string{"0s down sw1 d", "1s down sw1 d", "2s up sw1 u", "3s down sw1 d"},
			[]string{"2 decided, f joined", "3 decided, f joined", "4 decided, f joined", "5 decided, run f [1 3 4]"}},
		{"while it goes on nothing new is found", []string{"0s down sw1 d", "1s up sw1 u", "2s down sw1 d", "6s up sw1 u", "10s down sw1 d", "15s up sw1 u", "16s down sw1 d", "17s up sw1 u"},
			[]string{"2 decided, f joined", "3 decided, f joined", "4 decided, run f [1 2 3]", "5 decided, f joined", "6 decided, f joined",
				"7 decided, f joined", "8 decided, f joined", "9 decided, run f [6 7 8]"}},
		{"after a window of silence the first event is a change", []string{"0s down sw1 d", "5s down sw1 d", "6s up sw1 u", "7s down sw1 d"},
			[]string{"2 decided, f joined", "3 decided, f joined", "4 decided, f joined", "5 decided, run f [2 3 4]"}},
	}, flapRule(5*time.Second))
}

func TestHolds(t *testing.T) {
	down := planned{name: "d", on: []string{"down"}}
	runForms(t, []formTest{
		{"no flap: the event runs alone, late by the window", []string{"0s down sw1 d", "4.999s tick", "5s tick"},
			[]string{"2 decided, f joined, d held", "4 due 5s, run d of 1, d released 1"}},
		{"a flap absorbs what was held, and what follows", []string{"0s down sw1 d", "1s up sw1 u", "2s down sw1 d", "3s up sw1 u", "4s down sw1 d", "20s tick"},
			[]string{"2 decided, f joined, d held", "3 decided, f joined", "4 decided, run f [1 2 3], d absorbed 1, d absorbed 3", "5 decided, f joined", "6 decided, f joined, d absorbed 5"}},
		{"time is told by whatever comes, and each at its own", []string{"0s down sw1 d", "1s down sw2 d", "1h other x"},
			[]string{"2 decided, f joined, d held", "3 decided, f joined, d held", "4 due 5s, run d of 1, d released 1", "4 due 6s, run d of 2, d released 2"}},
		{"an event that repeats the state is absorbed, too", []string{"0s down sw1 d", "1s down sw1 d", "2s up sw1 u", "3s down sw1 d"},
			[]string{"2 decided, f joined, d held", "3 decided, f joined, d held", "4 decided, f joined", "5 decided, run f [1 3 4], d absorbed 1, d absorbed 2, d absorbed 4"}},
	}, down, flapRule(5*time.Second, "d"))
}

func TestHoldsOfMoreThanOneRule(t *testing.T) {
	down := planned{name: "d", on: []string{"down"}}
	long := flapRule(10*time.Second, "d")
	long.name = "long"
	stop := planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(p *correlate.Plan) { p.Holds = []string{"d"} })}
	runForms(t, []formTest{
		{"it waits for all", []string{"0s down sw1 d", "5s tick", "10s tick"},
			[]string{"2 decided, f joined, long joined, d held", "4 due 10s, run d of 1, d released 1"}},
	}, down, flapRule(5*time.Second, "d"), long)
	runForms(t, []formTest{
		{"what it waited for was stopped", []string{"0s down sw1", "5s up sw1"},
			[]string{"2 decided, u joined, d held", "3 decided, u joined", "3 due 5s, run d of 1, d released 1"}},
		{"it became a part of what was found", []string{"0s down sw1", "30s down sw1", "60s tick"},
			[]string{"2 decided, u joined, d held", "3 decided, u joined, d held", "4 due 1m0s, run u [1 2], d absorbed 1, d absorbed 2"}},
	}, down, stop)
}

func TestUnless(t *testing.T) {
	runForms(t, []formTest{
		{"not followed in time", []string{"0s down sw1", "10s down sw1", "59s tick", "60s tick", "61s up sw1"},
			[]string{"2 decided, u joined", "3 decided, u joined", "5 due 1m0s, run u [1 2]"}},
		{"followed in time", []string{"0s down sw1", "59.999s up sw1", "5m tick"}, []string{"2 decided, u joined", "3 decided, u joined"}},
		{"exactly at the end is too late", []string{"0s down sw1", "60s up sw1"}, []string{"2 decided, u joined", "3 due 1m0s, run u [1]"}},
		{"it begins anew", []string{"0s down sw1", "10s up sw1", "20s down sw1", "80s tick"},
			[]string{"2 decided, u joined", "3 decided, u joined", "4 decided, u joined", "5 due 1m20s, run u [3]"}},
		{"timers of one record fire in their order", []string{"0s down sw2", "1s down sw1", "2h tick"},
			[]string{"2 decided, u joined", "3 decided, u joined", "4 due 1m0s, run u [1]", "4 due 1m1s, run u [2]"}},
	}, planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(*correlate.Plan) {})})
	bound := with(planOf(correlate.Unless, time.Minute), func(p *correlate.Plan) { p.Parts = []correlate.Part{{As: "down"}, {Bound: true}} })
	runForms(t, []formTest{
		{"a follow-up of another interface stops nothing", []string{"0s down sw1 a", "1s up sw1 b", "60s tick"},
			[]string{"2 decided, u joined", "4 due 1m0s, run u [down=1]"}},
	}, planned{name: "u", on: []string{"down=0", "up=1"}, plan: bound})
}

func TestSilent(t *testing.T) {
	runForms(t, []formTest{
		{"once, and again only after a new event", []string{"0s beat sw1", "30s beat sw1", "89.999s tick", "90s tick", "10m tick", "11m beat sw1", "12m tick"},
			[]string{"2 decided, s joined", "3 decided, s joined", "5 due 1m30s, run s [2]", "7 decided, s joined", "8 due 12m0s, run s [6]"}},
	}, planned{name: "s", on: []string{"beat"}, plan: with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})})
}

func TestBounds(t *testing.T) {
	plan := func(refuse bool) *correlate.Plan {
		return with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast, p.MaxKeys, p.Refuse = 2, 2, refuse })
	}
	runForms(t, []formTest{
		{"the key that was idle longest is forgotten", []string{"0s fail a", "1s fail b", "2s fail c", "3s fail a", "4s fail c"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, c joined", "5 decided, c joined", "6 decided, run c [3 5]"}},
	}, planned{name: "c", on: []string{"fail"}, plan: plan(false)})
	runForms(t, []formTest{
		{"one more is refused, until another has left", []string{"0s fail a", "1s fail b", "2s fail c", "3s fail a", "10s fail c", "12s fail c"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 suppressed, c full", "5 decided, run c [1 4]", "6 decided, c joined", "7 decided, run c [5 6]"}},
	}, planned{name: "c", on: []string{"fail"}, plan: plan(true)})
}

func TestFormsLookAtRepeatedEvents(t *testing.T) {
	rules := &plannedRules{global: time.Minute, rules: []planned{
		{name: "plain", on: []string{"fail"}},
		{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, time.Minute), func(p *correlate.Plan) { p.AtLeast = 3 })}}}
	e := New(sets{"rules": rules}.load)
	want := []string{"2 decided, run plain of 1, c joined", "3 decided, c joined", "4 decided, run c [1 2 3]", "6 duplicate"}
	if d := cmp.Diff(want, told(t, e, logOf("0s fail sw1", "1s fail sw1", "2s fail sw1", "3s only sw1", "4s only sw1"))); d != "" {
		t.Error(d)
	}
}

// stamped sets the events' own times: "at" of the line is when they came.
func stamped(own map[int]time.Duration, lines ...string) []*record.Batch {
	log := logOf(lines...)
	for n, at := range own {
		log[n].Records[0].Event.Time = t0.Add(at)
	}
	return log
}

func TestEventTime(t *testing.T) {
	count := func(p *correlate.Plan) { p.AtLeast, p.EventTime, p.Lateness = 2, true, 30*time.Second }
	c := planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), count)}
	u := planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(p *correlate.Plan) { p.EventTime, p.Lateness = true, 30*time.Second })}
	tests := []struct {
		name string
		rule planned
		own  map[int]time.Duration
		log  []string
		want []string
	}{
		{"taken in order of their own time, that late", c, map[int]time.Duration{1: 60 * time.Second, 2: 51 * time.Second}, []string{"65s fail sw1", "66s fail sw1", "80s tick", "90s tick"},
			[]string{"2 decided, c joined", "3 decided, c joined", "5 due 1m30s, run c [2 1]"}},
		{"by their own time they are a window apart", c, map[int]time.Duration{1: 60 * time.Second, 2: 50 * time.Second}, []string{"65s fail sw1", "66s fail sw1", "5m tick"},
			[]string{"2 decided, c joined", "3 decided, c joined"}},
		{"one that is too late is not taken", c, map[int]time.Duration{1: 60 * time.Second, 2: 59 * time.Second}, []string{"90s fail sw1", "90s fail sw1", "95s fail sw1"},
			[]string{"2 decided, c joined", "3 suppressed, c late", "4 decided, c joined"}},
		{"one of the future is of now", c, map[int]time.Duration{1: time.Hour, 2: 61 * time.Second}, []string{"60s fail sw1", "61s fail sw1", "91s tick"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 due 1m31s, run c [1 2]"}},
		{"its timers run by it, too", u, map[int]time.Duration{1: 0}, []string{"10s down sw1", "89s tick", "90s tick"},
			[]string{"2 decided, u joined", "4 due 1m30s, run u [1]"}},
		{"a late end counts at its own time", u, map[int]time.Duration{1: 0, 2: 59 * time.Second}, []string{"10s down sw1", "88s up sw1", "5m tick"},
			[]string{"2 decided, u joined", "3 decided, u joined"}},
		{"an end exactly at the end is too late", u, map[int]time.Duration{1: 0, 2: 60 * time.Second}, []string{"10s down sw1", "61s up sw1", "5m tick"},
			[]string{"2 decided, u joined", "3 decided, u joined", "4 due 1m30s, run u [1]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, told(t, engineOf(tt.rule), stamped(tt.own, tt.log...))); d != "" {
				t.Error(d)
			}
		})
	}
}

// What is replayed has windows and timers of its own, and touches nothing live.
func TestReplay(t *testing.T) {
	e := engineOf(planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(*correlate.Plan) {})})
	log := logOf("10m down sw1")
	again := func(seq uint64, at, received time.Duration, n int, typ string) *record.Batch {
		r := evRecord(n, typ, "sw1")
		r.Event.Received = t0.Add(received)
		return batch(seq, at, record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "replay-1", Verb: "replay", Event: r.Event, DryRun: true}})
	}
	log = append(log,
		again(3, 10*time.Minute+time.Second, 0, 51, "down"),
		again(4, 10*time.Minute+2*time.Second, 30*time.Second, 52, "up"),
		again(5, 10*time.Minute+3*time.Second, 2*time.Minute, 53, "down"),
		again(6, 10*time.Minute+4*time.Second, 4*time.Minute, 54, "other"),
	)
	log = append(log, batch(7, 11*time.Minute, record.Record{Kind: record.KindTick}))
	var replayed []bool
	var lines []string
	for _, b := range log {
		s, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s[0].Records {
			lines = append(lines, tell(r.Decision))
			replayed = append(replayed, r.Decision.Replay && r.Decision.DryRun)
		}
	}
	want := []string{"2 decided, u joined", "3 decided, u joined", "4 decided, u joined", "5 decided, u joined", "6 due 3m0s, run u [53]", "6 unmatched", "7 due 11m0s, run u [1]"}
	for i := range want {
		if want[i] == "6 due 3m0s, run u [53]" {
			want[i] = "6 due 3m0s, run u [35]" // 53 in hex
		}
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]bool{false, true, true, true, true, true, false}, replayed); d != "" {
		t.Errorf("which belong to the replay: %s", d)
	}
}

// The end of a replay brings what is due by the end of its stretch, and no
// more; then the replay is forgotten.
func TestEndOfAReplay(t *testing.T) {
	silent := with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})
	e := engineOf(planned{name: "s", on: []string{"beat"}, plan: silent})
	command := func(seq uint64, c record.Command) *record.Batch {
		c.Verb, c.DryRun = "replay", true
		return batch(seq, time.Hour, record.Record{Kind: record.KindCommand, Command: &c})
	}
	beat := func(n int, device string, received time.Duration) *event.Event {
		ev := evRecord(n, "beat", device).Event
		ev.Received = t0.Add(received)
		return ev
	}
	got := told(t, e, append(logOf("0s rules rules"),
		command(3, record.Command{ID: "a", Event: beat(1, "sw1", 0)}),
		command(4, record.Command{ID: "a", Event: beat(2, "sw2", 20*time.Second)}),
		command(5, record.Command{ID: "b", End: t0.Add(time.Hour)}), // of another
		command(6, record.Command{ID: "a", End: t0.Add(79 * time.Second)}),
		command(7, record.Command{ID: "a", End: t0.Add(time.Hour)}),
	))
	want := []string{"3 decided, s joined", "4 decided, s joined", "5 decided", "6 due 1m0s, run s [1]", "6 decided", "7 decided"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if e.replay != nil {
		t.Error("the replay is not forgotten")
	}
}

// What is due at the end of a replay may be more than one batch holds.
func TestEndOfALargeReplay(t *testing.T) {
	const keys = 5000
	silent := with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})
	e := engineOf(planned{name: "s", on: []string{"beat"}, plan: silent})
	told(t, e, logOf())
	var recs []record.Record
	for i := range keys {
		ev := evRecord(i+1, "beat", fmt.Sprintf("sw%d", i)).Event
		ev.Received = t0
		recs = append(recs, record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "a", Verb: "replay", Event: ev}})
	}
	if _, err := e.Step(batch(2, 0, recs...)); err != nil {
		t.Fatal(err)
	}
	from := e.Through()
	got, err := e.Step(batch(3, 0, record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "a", Verb: "replay", End: t0.Add(time.Hour)}}))
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for i, s := range got {
		if last := i == len(got)-1; s.From != from || last != (s.Through != from) || s.Size > 2*maxStretch {
			t.Errorf("stretch %d is %v to %v with %d bytes", i, s.From, s.Through, s.Size)
		}
		for _, r := range s.Records {
			if runs += len(r.Decision.Runs); !r.Decision.Replay {
				t.Fatal("it does not say that it is of a replay")
			}
		}
	}
	if len(got) < 3 || runs != keys {
		t.Errorf("%d runs in %d stretches", runs, len(got))
	}
}

func TestRuleChanges(t *testing.T) {
	count := func(within time.Duration, max int) *correlate.Plan {
		return with(planOf(correlate.Count, within), func(p *correlate.Plan) { p.AtLeast, p.MaxKeys = 2, max })
	}
	unless := planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(*correlate.Plan) {})}
	all := sets{
		"rules":  {rules: []planned{{name: "c", on: []string{"fail"}, plan: count(10*time.Second, 0)}, unless}},
		"same":   {rules: []planned{{name: "new", on: []string{"x"}, plan: count(time.Second, 0)}, unless, {name: "c", on: []string{"fail"}, plan: count(10*time.Second, 7)}}},
		"longer": {rules: []planned{{name: "c", on: []string{"fail"}, plan: count(20*time.Second, 0)}, unless}},
		"gone":   {rules: []planned{{name: "c", on: []string{"fail"}, plan: count(10*time.Second, 0)}}},
	}
	for _, tt := range []formTest{
		{"what means the same is kept", []string{"0s fail sw1", "0s down sw1", "1s rules same", "2s fail sw1", "60s tick"},
			[]string{"2 decided, c joined", "3 decided, u joined", "5 decided, run c [1 4]", "6 due 1m0s, run u [2]"}},
		{"another window is another meaning", []string{"0s fail sw1", "1s rules longer", "2s fail sw1"},
			[]string{"2 decided, c joined", "reset: rule c: what it looks for changed; 1 key was reset", "4 decided, c joined"}},
		{"a rule that is gone fires no more", []string{"0s down sw1", "1s rules gone", "60s tick"},
			[]string{"2 decided, u joined", "reset: rule u: what it looks for changed; 1 key was reset"}},
		{"what was due before is decided by the rules before", []string{"0s down sw1", "2m rules gone"},
			[]string{"2 decided, u joined", "3 due 1m0s, run u [1]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, told(t, New(all.load), logOf(tt.log...))); d != "" {
				t.Error(d)
			}
		})
	}
}

// Stretches follow each other without a gap, also where time decides before a
// rule set comes into force.
func TestStretchesWhereTimeAndRulesMeet(t *testing.T) {
	unless := planned{name: "u", on: []string{"down=0", "up=1"}, plan: with(planOf(correlate.Unless, time.Minute), func(*correlate.Plan) {})}
	e := New(sets{"rules": {rules: []planned{unless}}, "next": {rules: []planned{unless}}}.load)
	told(t, e, logOf("0s down sw1"))
	got, err := e.Step(batch(3, 2*time.Minute, rulesRecord("next"), evRecord(9, "down", "sw2")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].RulesVersion != "rules" || got[1].RulesVersion != "next" || len(got[0].Records) != 1 || len(got[1].Records) != 1 {
		t.Fatalf("stretches: %+v", got)
	}
	if got[0].From != (record.Position{Seq: 2}) || got[0].Through != (record.Position{Seq: 3}) || got[1].From != got[0].Through || got[1].Through != (record.Position{Seq: 3, Index: 1}) {
		t.Errorf("stretches %v to %v, %v to %v", got[0].From, got[0].Through, got[1].From, got[1].Through)
	}
	got, err = e.Step(batch(4, time.Hour, rulesRecord("rules")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].RulesVersion != "next" || got[0].Through != (record.Position{Seq: 4}) || e.RulesVersion() != "rules" {
		t.Errorf("stretches: %+v, then in force %s", got, e.RulesVersion())
	}
}

func TestNextTimer(t *testing.T) {
	e := engineOf(planned{name: "s", on: []string{"beat"}, plan: with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})})
	if _, ok := e.NextTimer(); ok {
		t.Error("a timer before anything has come")
	}
	told(t, e, logOf("0s beat sw1", "10s beat sw2", "20s beat sw1"))
	if at, ok := e.NextTimer(); !ok || !at.Equal(t0.Add(70*time.Second)) {
		t.Errorf("next timer %v %v, want 70s", at.Sub(t0), ok)
	}
}

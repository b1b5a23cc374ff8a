package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// placedRules are planned rules on a network:
//
//	core1 (root) ── dist1 ── sw1 ── ap1
type placedRules struct{ *plannedRules }

func (placedRules) Topology() *correlate.Topology {
	return &correlate.Topology{Roots: []string{"core1"}, Links: []correlate.Link{
		{A: "core1", AInterface: "p1", B: "dist1", BInterface: "p0"},
		{A: "dist1", AInterface: "p1", B: "sw1", BInterface: "p0"},
		{A: "sw1", AInterface: "p1", B: "ap1", BInterface: "p0"},
	}}
}

func (placedRules) Effect(typ string) correlate.Effect {
	return map[string]correlate.Effect{"gone": correlate.DeviceDown, "back": correlate.DeviceUp,
		"down": correlate.LinkDown, "up": correlate.LinkUp}[typ]
}

func placed(rules ...planned) func() *Engine {
	return func() *Engine {
		s := sets{"rules": {rules: rules}, "others": {rules: rules}}
		return New(func(bundle []byte) (Rules, error) {
			r, err := s.load(bundle)
			if err != nil {
				return nil, err
			}
			return placedRules{r.(*plannedRules)}, nil
		})
	}
}

// runStages runs each log in one go, and again with a restart before every
// batch: both must tell the same.
func runStages(t *testing.T, tests []formTest, rules ...planned) {
	t.Helper()
	fresh := placed(rules...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := logOf(tt.log...)
			if d := cmp.Diff(tt.want, told(t, fresh(), log)); d != "" {
				t.Error(d)
			}
			e := fresh()
			var got []string
			for _, b := range log {
				snap := e.Snapshot()
				if e = fresh(); b.Seq > 1 {
					if err := e.Restore(snap); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, told(t, e, []*record.Batch{b})...)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("restarted before every batch: %s", d)
			}
		})
	}
}

func parts(names ...string) (out []correlate.Part) {
	for _, n := range names {
		out = append(out, correlate.Part{As: n})
	}
	return out
}

func TestSequence(t *testing.T) {
	p := planOf(correlate.Sequence, 10*time.Second)
	p.Parts = parts("a", "b", "c")
	runStages(t, []formTest{
		{"in order", []string{"0s a sw1", "1s b sw1", "9.999s c sw1"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, run s [a=1 b=2 c=3]"}},
		{"the window is reached exactly", []string{"0s a sw1", "1s b sw1", "10s c sw1"},
			[]string{"2 decided, s joined", "3 decided, s joined"}},
		{"out of order", []string{"0s b sw1", "1s a sw1", "2s c sw1", "3s b sw1", "4s c sw1"},
			[]string{"3 decided, s joined", "5 decided, s joined", "6 decided, run s [a=2 b=4 c=5]"}},
		{"each key for itself", []string{"0s a sw1", "1s a sw2", "2s b sw1", "3s b sw2", "4s c sw2"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, s joined", "5 decided, s joined", "6 decided, run s [a=2 b=4 c=5]"}},
		{"the oldest goes on", []string{"0s a sw1", "1s a sw1", "2s b sw1", "3s c sw1", "4s b sw1", "5s c sw1"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, s joined", "5 decided, run s [a=1 b=3 c=4]",
				"6 decided, s joined", "7 decided, run s [a=2 b=5 c=6]"}},
		{"the oldest leaves, the next goes on", []string{"0s a sw1", "5s a sw1", "11s b sw1", "12s c sw1"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, s joined", "5 decided, run s [a=2 b=3 c=4]"}},
	}, planned{name: "s", on: []string{"a=0", "b=1", "c=2"}, plan: &p})

	q := planOf(correlate.Sequence, 10*time.Second)
	q.Parts = parts("a", "b")
	q.Parts[1].Bound = true
	runStages(t, []formTest{
		{"fields compared", []string{"0s a sw1 x", "1s a sw1 y", "2s b sw1 y", "3s b sw1 z", "4s b sw1 x"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, run s [a=2 b=3]", "6 decided, run s [a=1 b=5]"}},
		{"an event that is both parts goes on before it begins", []string{"0s ab sw1 x", "1s ab sw1 x", "2s ab sw1 x"},
			[]string{"2 decided, s joined", "3 decided, run s [a=1 b=2]", "4 decided, s joined"}},
	}, planned{name: "s", on: []string{"a=0", "b=1", "ab=0", "ab=1"}, plan: &q})
}

func TestSequenceIsBounded(t *testing.T) {
	p := planOf(correlate.Sequence, time.Minute)
	p.Parts, p.MaxKeys = parts("a", "b"), 2
	runStages(t, []formTest{
		{"the key idle longest is forgotten", []string{"0s a sw1", "1s a sw2", "2s a sw3", "3s b sw1", "4s b sw2"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 decided, s joined", "6 decided, run s [a=2 b=5]"}},
	}, planned{name: "s", on: []string{"a=0", "b=1"}, plan: &p})
	q := p
	q.Refuse = true
	runStages(t, []formTest{
		{"one more key is refused", []string{"0s a sw1", "1s a sw2", "2s a sw3", "3s b sw1", "4s a sw3"},
			[]string{"2 decided, s joined", "3 decided, s joined", "4 suppressed, s full", "5 decided, run s [a=1 b=4]", "6 decided, s joined"}},
	}, planned{name: "s", on: []string{"a=0", "b=1"}, plan: &q})
}

func TestSequenceHolds(t *testing.T) {
	p := planOf(correlate.Sequence, 10*time.Second)
	p.Parts, p.Holds = parts("a", "b"), []string{"plain"}
	runStages(t, []formTest{
		{"what becomes part of it is absorbed", []string{"0s a sw1", "1s b sw1", "30s tick"},
			[]string{"2 decided, s joined, plain held", "3 decided, run s [a=1 b=2], plain absorbed 1"}},
		{"what does not runs when its window is over", []string{"0s a sw1", "30s tick"},
			[]string{"2 decided, s joined, plain held", "3 due 10s, run plain of 1, plain released 1"}},
	}, planned{name: "plain", on: []string{"a"}}, planned{name: "s", on: []string{"a=0", "b=1"}, plan: &p})
}

func TestAll(t *testing.T) {
	p := planOf(correlate.All, 10*time.Second)
	p.Parts = parts("a", "b")
	runStages(t, []formTest{
		{"in any order", []string{"0s b sw1", "9.999s a sw1"},
			[]string{"2 decided, a joined", "3 decided, run a [b=1 a=2]"}},
		{"the window is reached exactly", []string{"0s b sw1", "10s a sw1", "11s b sw1"},
			[]string{"2 decided, a joined", "3 decided, a joined", "4 decided, run a [a=2 b=3]"}},
		{"all are kept, not the latest of each", []string{"0s a sw1", "1s a sw1", "2s a sw1", "3s b sw1", "4s b sw1"},
			[]string{"2 decided, a joined", "3 decided, a joined", "4 decided, a joined", "5 decided, run a [a=1 2 3 b=4]", "6 decided, a joined"}},
	}, planned{name: "a", on: []string{"a=0", "b=1"}, plan: &p})
}

func TestAllKeepsItsPartsBesideTheMany(t *testing.T) {
	p := planOf(correlate.All, time.Hour)
	p.Parts = parts("a", "b", "c")
	log := append(repeat(120, func(int) string { return "0s a sw1" }), "1s b sw1")
	log = append(log, repeat(120, func(int) string { return "1s a sw1" })...)
	e := placed(planned{name: "a", on: []string{"a=0", "b=1", "c=2"}, plan: &p})()
	told(t, e, logOf(log...))
	last := logOf("2s c sw1")[1]
	last.Seq = 1000
	out, err := e.Step(last)
	if err != nil {
		t.Fatal(err)
	}
	run := out[0].Records[0].Decision.Runs[0]
	names := map[string]int{}
	for _, as := range run.As {
		names[as]++
	}
	if run.Total != 242 || len(run.Events) > correlate.MaxKept+3 || names["a"] != 1 || names["b"] != 1 || names["c"] != 1 {
		t.Errorf("%d of %d events, with the names %v", len(run.Events), run.Total, names)
	}
}

func TestAny(t *testing.T) {
	p := planOf(correlate.Any, 0)
	p.Parts = parts("a", "b")
	runStages(t, []formTest{
		{"each for itself", []string{"0s b sw1", "0s a sw1", "0s c sw1"}, []string{"2 decided, run y [b=1]", "3 decided, run y [a=2]"}},
		{"two parts are one", []string{"0s ab sw1"}, []string{"2 decided, run y [a=1]"}},
	}, planned{name: "y", on: []string{"a=0", "b=1", "ab=0", "ab=1"}, plan: &p})
}

func TestThreshold(t *testing.T) {
	limit, clear := 90.0, 75.0
	p := planOf(correlate.Threshold, 2*time.Minute)
	p.Limit = correlate.Limit{Above: &limit, Clear: &clear}
	runStages(t, []formTest{
		{"over for long enough", []string{"0s n sw1 - 91", "60s n sw1 - 95", "119s n sw1 - 92", "121s n sw1 - 99"},
			[]string{"2 decided, t joined", "3 decided, t joined", "4 decided, t joined", "5 due 2m0s, run t [1 2 3]", "5 decided, t joined"}},
		{"no more samples", []string{"0s n sw1 - 91", "10m tick"}, []string{"2 decided, t joined", "3 due 2m0s, run t [1]"}},
		{"the time is reached exactly, by a sample that is not over", []string{"0s n sw1 - 91", "2m n sw1 - 10"},
			[]string{"2 decided, t joined", "3 due 2m0s, run t [1]"}},
		{"one sample not over begins anew", []string{"0s n sw1 - 91", "60s n sw1 - 90", "61s n sw1 - 91", "180s tick", "181s tick"},
			[]string{"2 decided, t joined", "4 decided, t joined", "6 due 3m1s, run t [3]"}},
		{"once until it has cleared", []string{"0s n sw1 - 91", "3m n sw1 - 99", "4m n sw1 - 80", "5m n sw1 - 99", "9m n sw1 - 74", "10m n sw1 - 99", "12m tick"},
			[]string{"2 decided, t joined", "3 due 2m0s, run t [1]", "3 decided, t joined", "4 decided, t joined", "5 decided, t joined", "7 decided, t joined", "8 due 12m0s, run t [6]"}},
	}, planned{name: "t", on: []string{"n"}, plan: &p})

	zero := 0.0
	q := planOf(correlate.Threshold, 0)
	q.Limit = correlate.Limit{Above: &zero, Rate: true, Counter: true}
	runStages(t, []formTest{
		{"a counter of errors", []string{"0s n sw1 - 100", "10s n sw1 - 100", "20s n sw1 - 130", "30s n sw1 - 140", "40s n sw1 - 140", "50s n sw1 - 141", "60s n sw1 - 5"},
			[]string{"4 decided, run t [3]", "5 decided, t joined", "7 decided, run t [6]"}},
	}, planned{name: "t", on: []string{"n"}, plan: &q})
}

// Nothing holds back what only stops an absence: neither the rule's own window,
// nor dampening, nor what is known of the network.
func TestWhatStopsAnAbsenceIsNeverHeldBack(t *testing.T) {
	p := planOf(correlate.Unless, time.Minute)
	p.Parts = parts("a", "")
	p.Dampen = &correlate.Dampen{HalfLife: time.Hour, Max: 4 * time.Hour, Penalty: 1000, Suppress: 1500, Reuse: 700, Signature: "d"}
	p.Upstream = &correlate.Upstream{Signature: "u"}
	runStages(t, []formTest{
		{"it stops", []string{"0s fault ap1", "1s gone dist1", "2s fine ap1", "2m tick"}, []string{"2 decided, r joined", "4 decided, r joined"}},
		{"it does not come", []string{"0s fault ap1", "1s gone dist1", "2m tick"}, []string{"2 decided, r joined", "4 due 1m0s, run r [a=1]"}},
	}, planned{name: "r", on: []string{"fault=0", "fine=1"}, plan: &p, within: time.Hour})
}

func dampened() *correlate.Plan {
	return &correlate.Plan{Dampen: &correlate.Dampen{HalfLife: 15 * time.Minute, Max: time.Hour, Penalty: 1000, Suppress: 2000, Reuse: 750, Signature: "d"}}
}

func TestDampen(t *testing.T) {
	// 3000 points and a little less are down to 750 after two half-lives.
	runStages(t, []formTest{
		{"the limit itself is let through", []string{"0s down sw1", "0s up sw1"},
			[]string{"2 decided, run d of 1", "3 decided, run d of 2"}},
		{"the third is suppressed, and given on as the state is another", []string{"0s down sw1", "0s up sw1", "0s down sw1", "29m tick", "31m tick"},
			[]string{"2 decided, run d of 1", "3 decided, run d of 2", "4 suppressed, d dampened", "6 due 30m0s, run d of 3, d released 3"}},
		{"the state is the same: nothing is given on", []string{"0s down sw1", "0s up sw1", "0s down sw1", "0s up sw1", "50m down sw1"},
			[]string{"2 decided, run d of 1", "3 decided, run d of 2", "4 suppressed, d dampened", "5 suppressed, d dampened", "6 decided, run d of 5"}},
		{"each key for itself", []string{"0s down sw1", "0s up sw1", "0s down sw2"},
			[]string{"2 decided, run d of 1", "3 decided, run d of 2", "4 decided, run d of 3"}},
		{"while it goes on it stays suppressed", []string{"0s down sw1", "0s up sw1", "0s down sw1", "20m up sw1", "31m tick", "40m down sw1"},
			[]string{"2 decided, run d of 1", "3 decided, run d of 2", "4 suppressed, d dampened", "5 suppressed, d dampened", "7 suppressed, d dampened"}},
	}, planned{name: "d", on: []string{"down", "up"}, plan: dampened()})
}

// However much came, a key that has become quiet is let through after max.
func TestDampenForMaxAtMost(t *testing.T) {
	log := repeat(500, func(i int) string { return "0s " + []string{"down", "up"}[i%2] + " sw1" })
	e := placed(planned{name: "d", on: []string{"down", "up"}, plan: dampened()})()
	told(t, e, logOf(log...))
	due, ok := e.NextTimer()
	if !ok {
		t.Fatal("no timer is set")
	}
	tick := func(at time.Time, seq uint64) []string {
		return told(t, e, []*record.Batch{{Seq: seq, Time: at, Subject: record.Events, Records: []record.Record{{Kind: record.KindTick}}}})
	}
	if got := tick(t0.Add(time.Hour-time.Minute), 1000); len(got) > 0 {
		t.Errorf("a minute before max: %v", got)
	}
	tick(t0.Add(time.Hour), 1001)
	last := logOf("1h down sw1")[1]
	last.Seq = 1002
	if d := cmp.Diff([]string{"1002 decided, run d of 1"}, told(t, e, []*record.Batch{last})); d != "" {
		t.Errorf("first timer %v: %s", due.Sub(t0), d)
	}
}

func TestUpstreamSuppresses(t *testing.T) {
	plan := &correlate.Plan{Upstream: &correlate.Upstream{Signature: "u"}}
	runStages(t, []formTest{
		{"what is behind it", []string{"0s gone dist1", "1s gone sw1", "2s gone ap1", "3s fault ap1", "4s fault core1"},
			[]string{"2 decided, run u of 1", "3 suppressed, u upstream 1", "4 suppressed, u upstream 1", "5 suppressed, u upstream 1", "6 decided, run u of 5"}},
		{"until it is back", []string{"0s gone dist1", "1s fault sw1", "2s back dist1", "3s fault sw1"},
			[]string{"2 decided, run u of 1", "3 suppressed, u upstream 1", "4 decided, run u of 3", "5 decided, run u of 4"}},
		{"a link, told by its near end", []string{"0s down dist1 p1", "1s fault ap1", "2s down sw1 p0", "3s up sw1 p0", "4s fault ap1"},
			[]string{"2 decided, run u of 1", "3 suppressed, u upstream 1", "4 decided, run u of 3", "5 decided, run u of 4", "6 decided, run u of 5"}},
		{"a device that nobody knows", []string{"0s gone dist1", "1s fault printer"}, []string{"2 decided, run u of 1", "3 decided, run u of 2"}},
		{"another rule set", []string{"0s gone dist1", "1s rules others", "2s fault ap1"}, []string{"2 decided, run u of 1", "4 suppressed, u upstream 1"}},
	}, planned{name: "u", on: []string{"gone", "back", "down", "up", "fault"}, plan: plan})
}

func TestUpstreamWaits(t *testing.T) {
	plan := &correlate.Plan{Upstream: &correlate.Upstream{Wait: 10 * time.Second, Signature: "u"}}
	runStages(t, []formTest{
		{"no news", []string{"0s gone ap1", "20s tick"}, []string{"2 decided, u held", "3 due 10s, run u of 1, u released 1"}},
		{"the cause comes after it", []string{"0s gone ap1", "3s gone sw1", "4s gone dist1", "30s tick"},
			[]string{"2 decided, u held", "3 decided, u upstream 2, u held", "4 decided, u upstream 3, u held", "5 due 14s, run u of 3, u released 3"}},
		{"it comes when the wait is over", []string{"0s gone ap1", "10s gone sw1"},
			[]string{"2 decided, u held", "3 due 10s, run u of 1, u released 1", "3 decided, u held"}},
		{"it is over before the wait is", []string{"0s fault ap1", "1s gone sw1", "2s back sw1", "30s tick"},
			[]string{"2 decided, u held", "3 decided, u upstream 2, u held", "4 decided, u held", "5 due 11s, run u of 2, u released 2", "5 due 12s, run u of 3, u released 3"}},
		{"who cannot be cut off does not wait", []string{"0s fault printer"}, []string{"2 decided, run u of 1"}},
	}, planned{name: "u", on: []string{"gone", "back", "fault"}, plan: plan})
}

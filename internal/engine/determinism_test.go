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

// everyForm are rules of all forms and stages, some of which hold others.
func everyForm(within time.Duration) []planned {
	ninety, seventy := 90.0, 70.0
	p := func(form correlate.Form, change func(*correlate.Plan)) *correlate.Plan {
		return with(planOf(form, within), func(p *correlate.Plan) { p.MaxKeys = 3; change(p) })
	}
	return []planned{
		{name: "plain", on: []string{"down"}},
		{name: "own", on: []string{"up"}, within: within},
		{name: "count", on: []string{"down"}, plan: p(correlate.Count, func(p *correlate.Plan) { p.AtLeast = 3 })},
		{name: "distinct", on: []string{"down", "up"}, plan: p(correlate.Count, func(p *correlate.Plan) { p.AtLeast, p.Distinct, p.Tumbling = 2, true, true })},
		{name: "flap", on: []string{"down", "up"}, plan: p(correlate.Flap, func(p *correlate.Plan) { p.Changes, p.Holds = 3, []string{"plain", "count", "unless"} })},
		{name: "unless", on: []string{"down=0", "up=1"}, plan: p(correlate.Unless, func(p *correlate.Plan) {
			p.Parts, p.Holds = []correlate.Part{{As: "d"}, {Bound: true}}, []string{"own", "plain"}
		})},
		{name: "silent", on: []string{"up"}, plan: p(correlate.Silent, func(p *correlate.Plan) { p.Refuse = true })},
		{name: "late", on: []string{"down=0", "up=1"}, plan: p(correlate.Unless, func(p *correlate.Plan) {
			p.EventTime, p.Lateness, p.Holds = true, 5*time.Second, []string{"silent"}
		})},
		{name: "latecount", on: []string{"down", "up"}, plan: p(correlate.Count, func(p *correlate.Plan) { p.EventTime, p.Lateness, p.AtLeast = true, 7*time.Second, 2 })},
		{name: "seq", on: []string{"down=0", "up=1", "down=2"}, plan: p(correlate.Sequence, func(p *correlate.Plan) { p.Parts = []correlate.Part{{As: "a"}, {As: "b", Bound: true}, {As: "c"}} })},
		{name: "all", on: []string{"down=0", "up=1"}, plan: p(correlate.All, func(p *correlate.Plan) { p.Parts = make([]correlate.Part, 2) })},
		{name: "hot", on: []string{"load"}, plan: p(correlate.Threshold, func(p *correlate.Plan) {
			p.Limit = correlate.Limit{Above: &ninety, Clear: &seventy}
			p.Group = &correlate.Group{Wait: 3 * time.Second, Interval: 10 * time.Second, Repeat: time.Minute, Signature: "g"}
		})},
		{name: "damp", on: []string{"down", "up"}, plan: p(correlate.Single, func(p *correlate.Plan) {
			p.Dampen = &correlate.Dampen{HalfLife: 10 * time.Second, Max: 40 * time.Second, Penalty: 1000, Suppress: 2000, Reuse: 750, Signature: "d"}
		})},
		{name: "story", on: []string{"down=0", "up=-1"}, plan: p(correlate.Single, func(p *correlate.Plan) {
			p.Situation = &correlate.Situation{Updated: true, Resolved: true, Signature: "s"}
		})},
		{name: "shade", on: []string{"down"}, shadow: true, plan: p(correlate.Count, func(p *correlate.Plan) { p.AtLeast = 2 })},
	}
}

var everySet = sets{
	"rules": {global: 3 * time.Second, rules: everyForm(10 * time.Second)},
	"other": {global: 3 * time.Second, rules: append(everyForm(10 * time.Second)[1:], everyForm(4 * time.Second)[0])},
	"short": {global: 3 * time.Second, rules: everyForm(4 * time.Second)},
}

// moment are the records of one log time.
type moment struct {
	at   time.Duration
	recs []record.Record
}

func drawMoments(t *rapid.T) (log []moment) {
	log = append(log, moment{0, []record.Record{rulesRecord("rules")}})
	at, n := time.Duration(0), 0
	for range rapid.IntRange(1, 40).Draw(t, "moments") {
		// Whole seconds, so that the ends of windows are met exactly.
		at += time.Duration(rapid.SampledFrom([]int{0, 1, 1, 2, 3, 4, 5, 10, 30}).Draw(t, "gap")) * time.Second
		m := moment{at: at}
		for range rapid.IntRange(1, 5).Draw(t, "records") {
			n++
			m.recs = append(m.recs, drawMoment(t, n, at))
		}
		log = append(log, m)
	}
	return log
}

func drawMoment(t *rapid.T, n int, at time.Duration) record.Record {
	typ := rapid.SampledFrom([]string{"down", "down", "up", "up", "load", "other"}).Draw(t, "type")
	device := rapid.SampledFrom([]string{"sw1", "sw1", "sw2", "sw3", "sw4"}).Draw(t, "device")
	r := evRecord(n, typ, device)
	r.Event.Interface = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "interface")
	r.Event.Received = t0.Add(at)
	r.Event.Raw = []byte("raw")
	if typ == "load" {
		r.Event.Data = fmt.Appendf(nil, "%d", rapid.SampledFrom([]int{50, 80, 95}).Draw(t, "load"))
	}
	if rapid.Bool().Draw(t, "own time") {
		r.Event.Time = t0.Add(at - time.Duration(rapid.IntRange(-1, 9).Draw(t, "late"))*time.Second)
	}
	switch rapid.IntRange(0, 30).Draw(t, "kind") {
	case 0:
		return record.Record{Kind: record.KindTick}
	case 1:
		return rulesRecord(rapid.SampledFrom([]string{"rules", "other", "short"}).Draw(t, "rules"))
	case 4:
		return record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "replay", Verb: "replay", End: t0.Add(at)}}
	case 2, 3:
		return record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "replay", Verb: "replay", Event: r.Event}}
	}
	return r
}

func encodedStretches(stretches []Stretch) []byte {
	var out []byte
	for _, s := range stretches {
		out = fmt.Appendf(out, "%v %v %s %d %d %q\n", s.From, s.Through, s.RulesVersion, s.Events, s.Unmatched, s.Resets)
		for _, r := range s.Records {
			out = record.AppendRecord(out, &r)
		}
	}
	return out
}

// The same log gives the same decisions, byte for byte, whatever the snapshots
// and restarts in between, and a restored engine's snapshot is the same.
func TestRestartsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		straight, restarted := New(everySet.load), New(everySet.load)
		for i, m := range drawMoments(t) {
			b := batch(uint64(i+1), m.at, m.recs...)
			want, err := straight.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := restarted.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encodedStretches(want), encodedStretches(got)) {
				t.Fatal(cmp.Diff(lines(want), lines(got)))
			}
			if at, ok := straight.NextTimer(); true {
				if at2, ok2 := restarted.NextTimer(); ok != ok2 || !at.Equal(at2) {
					t.Fatalf("next timer %v %v, restarted %v %v", at, ok, at2, ok2)
				}
			}
			if rapid.Bool().Draw(t, "restart") {
				snap := restarted.Snapshot()
				restarted = New(everySet.load)
				if err := restarted.Restore(snap); err != nil {
					t.Fatal(err)
				}
				if again := restarted.Snapshot(); !bytes.Equal(snap, again) {
					t.Fatal("a restored engine's snapshot differs")
				}
			}
		}
	})
}

func lines(stretches []Stretch) (out []string) {
	for _, s := range stretches {
		for _, r := range s.Records {
			out = append(out, tell(r.Decision))
		}
	}
	return out
}

// Records decide the same whether they come in one batch or in many, but for
// their positions.
func TestBatchesChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		together, apart := New(everySet.load), New(everySet.load)
		seq := uint64(0)
		for i, m := range drawMoments(t) {
			want, err := together.Step(batch(uint64(i+1), m.at, m.recs...))
			if err != nil {
				t.Fatal(err)
			}
			var got []Stretch
			for _, r := range m.recs {
				seq++
				s, err := apart.Step(batch(seq, m.at, r))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, s...)
			}
			if d := cmp.Diff(placeless(want), placeless(got)); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// placeless are decisions without positions and what is made of them.
func placeless(stretches []Stretch) (out []string) {
	for _, line := range lines(stretches) {
		_, line, _ = strings.Cut(line, " ")
		out = append(out, line)
	}
	return out
}

// Every run has an id of its own, and each event one outcome.
func TestEveryEventHasOneOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := New(everySet.load)
		runs := map[string]bool{}
		for i, m := range drawMoments(t) {
			b := batch(uint64(i+1), m.at, m.recs...)
			stretches, err := e.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			var events, unmatched, outcomes uint64
			for _, s := range stretches {
				events += s.Events
				unmatched += s.Unmatched
				for _, r := range s.Records {
					d := r.Decision
					if d.OfEvent() && d.Verdict != record.Unmatched {
						outcomes++
					}
					for _, run := range d.Runs {
						if runs[run.Run] {
							t.Fatalf("run %s of rule %s twice", run.Run, run.Rule)
						}
						runs[run.Run] = true
						if d.Event == nil {
							t.Fatal("runs without their event")
						}
					}
				}
			}
			if events != outcomes+unmatched {
				t.Fatalf("%d events, %d outcomes and %d unmatched", events, outcomes, unmatched)
			}
		}
	})
}

// Nothing of a batch is needed when it is gone: its buffer is used again.
func TestNothingOfABatchIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept, gone := New(everySet.load), New(everySet.load)
		for i, m := range drawMoments(t) {
			data := record.Encode(batch(uint64(i+1), m.at, m.recs...))
			a, b := decodeAt(t, bytes.Clone(data), uint64(i+1), m.at), decodeAt(t, data, uint64(i+1), m.at)
			want, err := kept.Step(a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := gone.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encodedStretches(want), encodedStretches(got)) {
				t.Fatal(cmp.Diff(lines(want), lines(got)))
			}
			for i := range data {
				data[i] = 'x'
			}
		}
		if !bytes.Equal(kept.Snapshot(), gone.Snapshot()) {
			t.Fatal("the state has changed with a batch that is gone")
		}
	})
}

func decodeAt(t *rapid.T, data []byte, seq uint64, at time.Duration) *record.Batch {
	b, err := record.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	b.Seq, b.Time = seq, t0.Add(at)
	return b
}

// A damaged snapshot of correlation is refused, too; so is one of version 1.
func TestADamagedSnapshotOfCorrelationIsRefused(t *testing.T) {
	e := New(everySet.load)
	told(t, e, logOf("0s down sw1 a", "0s down sw2 b", "1s up sw1 a", "1s load sw1 a 95", "2s up sw3 a"))
	snap := e.Snapshot()
	if err := New(everySet.load).Restore(snap); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(snap); i += 7 {
		bad := bytes.Clone(snap)
		bad[i] ^= 1
		if err := New(everySet.load).Restore(bad); err == nil {
			t.Fatalf("byte %d was flipped and nobody noticed", i)
		}
	}
	old := bytes.Replace(snap, []byte("signalbox engine 4"), []byte("signalbox engine 3"), 1)
	if err := New(everySet.load).Restore(old); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("a snapshot of version 2: %v", err)
	}
	if err := New(sets{"rules": {rules: everyForm(time.Hour)}}.load).Restore(snap); err == nil {
		t.Error("a snapshot of rules that mean another thing was taken")
	}
}

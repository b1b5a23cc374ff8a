package run

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Ids and partitions are on disk: these must never change.
func TestGolden(t *testing.T) {
	ids := []struct{ got, want string }{
		{ID("port-down", "0123456789ab", record.Position{Seq: 42, Index: 7}), "r42-7-218e8aecabb9"},
		{ID("port-down", "0123456789ab", record.Position{Seq: 42, Index: 7}, "sw1"), "r42-7-5c7564ebc13d"},
		{ID("", "", record.Position{}), "r0-0-390feabc786e"},
	}
	for _, id := range ids {
		if id.got != id.want {
			t.Errorf("id = %s, want %s", id.got, id.want)
		}
	}
	for device, want := range map[string]uint32{"": 25, "switch-01": 34, "core-1": 40, "192.0.2.7": 15, "leaf-éà": 54} {
		if got := Partition(device); got != want {
			t.Errorf("Partition(%q) = %d, want %d", device, got, want)
		}
	}
}

func TestIDTellsApart(t *testing.T) {
	at := record.Position{Seq: 1}
	seen := map[string]string{}
	for _, parts := range [][]string{{"a", "bc"}, {"ab", "c"}, {"a", "bc", ""}, {"a", "b", "c"}, {"a", "bc", "x"}, {"a", "bc", "x", "y"}, {"a", "bc", "xy"}} {
		id := ID(parts[0], parts[1], at, parts[2:]...)
		if other, dup := seen[id]; dup {
			t.Errorf("%v and %s have the same id %s", parts, other, id)
		}
		seen[id] = fmt.Sprint(parts)
	}
}

func TestParseID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := record.Position{Seq: rapid.Uint64().Draw(t, "seq"), Index: rapid.Uint32().Draw(t, "index")}
		id := ID(rapid.String().Draw(t, "rule"), rapid.String().Draw(t, "version"), at)
		got, _, err := ParseID(id)
		if err != nil || got != at {
			t.Fatalf("ParseID(%s) = %v, %v; want %v", id, got, err, at)
		}
	})
	for _, bad := range []string{"", "r", "42-7-d2df8c6dfba6", "r42-7", "r42-7-d2df8c6dfba", "r42-7-D2DF8C6DFBA6",
		"r042-7-d2df8c6dfba6", "r+42-7-d2df8c6dfba6", "r42-4294967296-d2df8c6dfba6", "r42-7-d2df8c6dfba6-1",
		"r18446744073709551616-0-d2df8c6dfba6", "r42-7-+2df8c6dfba6", "r42-7-d2df8c6dfbag"} {
		if _, _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) took it", bad)
		}
	}
}

func TestPartitionsAreEven(t *testing.T) {
	const devices = 64_000
	var n [Partitions]int
	for i := range devices {
		n[Partition(fmt.Sprintf("switch-%d", i))]++
	}
	for p, got := range n {
		if got < devices/Partitions*3/4 || got > devices/Partitions*5/4 {
			t.Errorf("partition %d has %d of %d devices", p, got, devices)
		}
	}
}

func TestDelay(t *testing.T) {
	plain := rule.Retry{Attempts: 4, Backoff: 2 * time.Second, Factor: 2, Max: 10 * time.Second}
	tests := []struct {
		name  string
		p     rule.Retry
		n     int
		after time.Duration
		want  time.Duration
	}{
		{"first", plain, 1, 0, 2 * time.Second},
		{"grows", plain, 3, 0, 8 * time.Second},
		{"up to max", plain, 4, 0, 10 * time.Second},
		{"no overflow", plain, 1 << 20, 0, 10 * time.Second},
		{"the peer asks for more", plain, 1, time.Minute, time.Minute},
		{"the peer asks for less", plain, 2, time.Second, 4 * time.Second},
		{"the peer asks for a year", plain, 1, 365 * 24 * time.Hour, MaxAfter},
		{"a factor below one", rule.Retry{Backoff: time.Second, Factor: 0.1}, 5, 0, time.Second},
		{"nothing set", rule.Retry{}, 3, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Delay(tt.p, "r1-0-0", "1", tt.n, tt.after); got != tt.want {
				t.Errorf("Delay = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	p := rule.Retry{Backoff: time.Second, Factor: 2, Max: time.Minute, Jitter: true}
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		id := fmt.Sprintf("r%d-0-0", i)
		d := Delay(p, id, "1", 1, 0)
		if d < time.Second/2 || d > time.Second {
			t.Fatalf("delay %s is outside half to all of the backoff", d)
		}
		if d != Delay(p, id, "1", 1, 0) {
			t.Fatal("the same attempt has two delays")
		}
		seen[d] = true
	}
	if len(seen) < 990 {
		t.Errorf("1000 runs share %d delays", len(seen))
	}
}

func begin(step string, n uint32, idem bool) record.Record {
	return record.Record{Kind: record.KindStepBegin, Begin: &record.StepBegin{Run: "r", Step: step, Attempt: n, Action: "x", Idempotent: idem}}
}

func ended(e record.StepEnd) record.Record {
	return record.Record{Kind: record.KindStepEnd, End: &e}
}

func over(o record.Outcome) record.Record {
	return record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r", Outcome: o}}
}

func TestState(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	due := t0.Add(time.Hour)
	type want struct {
		status                     Status
		tries, untils, interrupted int
		gen                        uint32
		attempts                   int
		open                       bool
	}
	tests := []struct {
		name string
		recs []record.Record
		want want
	}{
		{"begun", []record.Record{begin("1", 1, true)}, want{Begun, 0, 0, 0, 0, 1, true}},
		{"done", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, OK: true})}, want{Done, 0, 0, 0, 0, 1, true}},
		{"skipped", []record.Record{ended(record.StepEnd{Step: "1", OK: true, Skipped: true})}, want{Skipped, 0, 0, 0, 0, 0, true}},
		{"waits", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, RetryAt: due})}, want{Waiting, 1, 0, 0, 0, 1, true}},
		{"until", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, OK: true, RetryAt: due})}, want{Waiting, 0, 1, 0, 0, 1, true}},
		{"interrupted twice", []record.Record{begin("1", 1, true), begin("1", 2, true), begin("1", 3, true)}, want{Begun, 0, 0, 2, 0, 3, true}},
		{"an end ends the interruptions", []record.Record{begin("1", 1, true), begin("1", 2, true), ended(record.StepEnd{Step: "1", Attempt: 2, RetryAt: due}), begin("1", 3, true)}, want{Begun, 1, 0, 0, 0, 3, true}},
		{"begin written twice", []record.Record{begin("1", 1, true), begin("1", 1, true)}, want{Begun, 0, 0, 0, 0, 1, true}},
		{"end written twice", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, RetryAt: due}), ended(record.StepEnd{Step: "1", Attempt: 1, RetryAt: due})}, want{Waiting, 1, 0, 0, 0, 1, true}},
		{"failed before it could begin", []record.Record{ended(record.StepEnd{Step: "1", Attempt: 1, Error: "when"})}, want{StepFail, 0, 0, 0, 0, 1, true}},
		{"run failed", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1}), over(record.Failed)}, want{StepFail, 0, 0, 0, 0, 1, false}},
		{"put back", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, RetryAt: due}), begin("1", 2, true), ended(record.StepEnd{Step: "1", Attempt: 2}), over(record.Failed), over(record.Requeued)}, want{StepFail, 1, 0, 0, 0, 2, true}},
		{"a fresh budget", []record.Record{begin("1", 1, true), ended(record.StepEnd{Step: "1", Attempt: 1, RetryAt: due}), begin("1", 2, true), ended(record.StepEnd{Step: "1", Attempt: 2}), over(record.Failed), over(record.Requeued), begin("1", 3, true)}, want{Begun, 0, 0, 0, 1, 3, true}},
		{"in doubt, put back, begun again", []record.Record{begin("1", 1, false), over(record.InDoubt), over(record.Requeued), begin("1", 2, false)}, want{Begun, 0, 0, 0, 1, 2, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s State
			for i := range tt.recs {
				at := record.Position{Seq: uint64(i + 1)}
				s.Apply(at, t0, &tt.recs[i])
				s.Apply(at, t0, &tt.recs[i]) // read twice: no change
			}
			st := s.Step("1")
			got := want{st.Status, st.Tries, st.Untils, st.Interrupted, st.Gen, len(st.Attempts), s.Open()}
			if got != tt.want {
				t.Errorf("state = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A state that was cloned, or folded in two parts, is the same as one folded in
// one go; and it stays bounded.
func TestStateFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var recs []record.Record
		n := map[string]uint32{}
		for range rapid.IntRange(0, 300).Draw(t, "records") {
			step := rapid.SampledFrom([]string{"1", "1.block.0", "2#0", "2#1", "3.parallel.0", "3.parallel.1", "4", "5", "6", "7"}).Draw(t, "step")
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0, 1, 2, 3:
				n[step]++
				recs = append(recs, begin(step, n[step], true))
			case 8:
				recs = append(recs, over(record.Failed))
			case 9:
				recs = append(recs, over(record.Requeued))
			default:
				recs = append(recs, ended(record.StepEnd{Step: step, Attempt: n[step], OK: rapid.Bool().Draw(t, "ok")}))
			}
		}
		var whole State
		parts := &State{}
		cut := rapid.IntRange(0, len(recs)).Draw(t, "cut")
		for i := range recs {
			whole.Apply(record.Position{Seq: uint64(i + 1)}, time.Unix(int64(i), 0), &recs[i])
			if i == cut {
				parts = parts.Clone()
			}
			parts.Apply(record.Position{Seq: uint64(i + 1)}, time.Unix(int64(i), 0), &recs[i])
		}
		if d := cmp.Diff(whole.Clone(), parts.Clone(), cmp.AllowUnexported(State{})); d != "" {
			t.Fatal(d)
		}
		for _, st := range whole.Steps {
			if len(st.Attempts) > maxAttempts || whole.Step(st.Path) != st {
				t.Fatalf("step %s: %d attempts kept, found %v", st.Path, len(st.Attempts), whole.Step(st.Path))
			}
		}
		if len(whole.Ends) > maxEnds {
			t.Fatalf("%d ends kept", len(whole.Ends))
		}
	})
}

func TestWithin(t *testing.T) {
	var s State
	for i, p := range []string{"1.block.0", "20", "3#0.block.1"} {
		r := begin(p, 1, true)
		s.Apply(record.Position{Seq: uint64(i + 1)}, time.Time{}, &r)
	}
	for path, want := range map[string]bool{"1": true, "1.block": true, "1.block.0": false, "2": false, "3": true, "3#0": true, "3#1": false} {
		if got := s.Within(path); got != want {
			t.Errorf("Within(%q) = %v, want %v", path, got, want)
		}
	}
}

package engine

import (
	"fmt"
	"testing"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// BenchmarkSnapshot is of a state of 1,000,000 keys of the global dedup window
// and 200,000 keys of a rule: how long the engine stands still (capture), how
// long the rest takes beside it, and how long a start needs.
func BenchmarkSnapshot(b *testing.B) {
	e := large(b, 1_000_000, 200_000)
	data := e.Snapshot()
	b.Run("capture", func(b *testing.B) {
		for b.Loop() {
			e.Capture()
		}
		b.ReportMetric(float64(len(data))/1e6, "MB")
	})
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			e.Snapshot()
		}
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if err := New(e.load).Restore(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// large is an engine that holds so many keys.
func large(tb testing.TB, dedup, keys int) *Engine {
	plan := counted(func(p *correlate.Plan) { p.AtLeast, p.Within = 1000, 24*time.Hour })
	plan.MaxKeys = 1_000_000
	rules := &plannedRules{version: "rules", global: 24 * time.Hour, rules: []planned{{name: "r", on: []string{"down"}, plan: plan}}}
	e := New(func([]byte) (Rules, error) { return rules, nil })
	if _, err := e.Step(batch(1, 0, rulesRecord("rules"))); err != nil {
		tb.Fatal(err)
	}
	const part = 1000
	for i := 0; i < dedup; i += part {
		recs := make([]record.Record, part)
		for j := range recs {
			n := i + j
			recs[j] = evRecord(n+1, "other", fmt.Sprintf("switch-%07d", n))
			if n < keys {
				recs[j].Event.Type, recs[j].Event.Interface = "down", "GigabitEthernet1/0/24"
			}
		}
		if _, err := e.Step(batch(uint64(i/part+2), time.Second, recs...)); err != nil {
			tb.Fatal(err)
		}
	}
	return e
}

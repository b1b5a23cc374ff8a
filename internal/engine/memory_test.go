package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// What a live key costs, with its one event, in each stage that keeps some.
// The bound is the project's: 500 bytes.
func TestMemoryOfAKey(t *testing.T) {
	limit := 5.0
	seq := planOf(correlate.Sequence, time.Hour)
	seq.Parts = parts("a", "b")
	all := seq
	all.Form = correlate.All
	hot := planOf(correlate.Threshold, time.Hour)
	hot.Limit = correlate.Limit{Above: &limit}
	rate := planOf(correlate.Threshold, 0)
	rate.Limit = correlate.Limit{Above: &limit, Rate: true}
	for _, tt := range []struct {
		name string
		plan *correlate.Plan
	}{
		{"count", counted(func(p *correlate.Plan) { p.AtLeast = 5 })}, {"distinct", counted(func(p *correlate.Plan) { p.AtLeast, p.Distinct = 5, true })},
		{"flap", flapRule(time.Hour).plan}, {"unless", lasting(correlate.Unless)}, {"silent", lasting(correlate.Silent)},
		{"sequence", &seq}, {"all", &all}, {"threshold", &hot}, {"rate", &rate}, {"dampen", dampened()},
		{"situation", situated(correlate.Plan{})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const keys = 14_000
			e := placed(planned{name: "r", on: []string{"down"}, plan: tt.plan})()
			told(t, e, logOf()[:1])
			before := heap()
			for i := range keys / 100 {
				var recs []record.Record
				for j := range 100 {
					r := evRecord(i*100+j+1, "down", fmt.Sprintf("switch-%06d", i*100+j))
					r.Event.Interface, r.Event.Data = "GigabitEthernet1/0/24", []byte(`7`)
					recs = append(recs, r)
				}
				if _, err := e.Step(batch(uint64(i+2), time.Second, recs...)); err != nil {
					t.Fatal(err)
				}
			}
			cost := (heap() - before) / keys
			t.Logf("%d bytes", cost)
			if cost > 500 {
				t.Errorf("a key costs %d bytes", cost)
			}
			runtime.KeepAlive(e)
		})
	}
}

func counted(change func(*correlate.Plan)) *correlate.Plan {
	return with(planOf(correlate.Count, time.Hour), change)
}

func lasting(f correlate.Form) *correlate.Plan {
	return with(planOf(f, time.Hour), func(*correlate.Plan) {})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

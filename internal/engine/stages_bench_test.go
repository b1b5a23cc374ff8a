package engine

import (
	"fmt"
	"testing"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// One rule, 10,000 devices, one event after the other: what an event costs by
// the form or stage of the rule.
func BenchmarkStages(b *testing.B) {
	limit := 5.0
	form := func(f correlate.Form, change func(*correlate.Plan)) *correlate.Plan {
		p := planOf(f, time.Minute)
		p.Parts = parts("a", "b")
		change(&p)
		return &p
	}
	for _, bb := range []struct {
		name string
		plan *correlate.Plan
	}{
		{"plain", nil},
		{"sequence", form(correlate.Sequence, func(*correlate.Plan) {})},
		{"sequence, fields compared", form(correlate.Sequence, func(p *correlate.Plan) { p.Parts[1].Bound = true })},
		{"all", form(correlate.All, func(*correlate.Plan) {})},
		{"all, fields compared", form(correlate.All, func(p *correlate.Plan) { p.Parts[1].Bound = true })},
		{"threshold", form(correlate.Threshold, func(p *correlate.Plan) { p.Limit = correlate.Limit{Above: &limit} })},
		{"rate", form(correlate.Threshold, func(p *correlate.Plan) { p.Limit = correlate.Limit{Above: &limit, Rate: true, Counter: true} })},
		{"dampen", dampened()},
		{"upstream", &correlate.Plan{Upstream: &correlate.Upstream{}}},
		{"group", grouped(true, 0)},
		{"situation", situated(correlate.Plan{})},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e := placed(planned{name: "r", on: []string{"on=0", "off=1"}, plan: bb.plan})()
			if _, err := e.Step(batch(1, 0, rulesRecord("rules"))); err != nil {
				b.Fatal(err)
			}
			const size = 250
			var recs [80][]record.Record // 20,000 events
			for i := range recs {
				for j := range size {
					n := i*size + j
					r := evRecord(n+1, []string{"on", "off"}[n/10000], fmt.Sprintf("switch-%05d", n%10000))
					r.Event.Data = fmt.Appendf(nil, "%d", n%7)
					recs[i] = append(recs[i], r)
				}
			}
			n := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				n++
				if _, err := e.Step(batch(n+1, time.Duration(n)*20*time.Millisecond, recs[n%80]...)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

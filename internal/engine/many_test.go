package engine

import (
	"fmt"
	"testing"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// More timers at one record than a batch of decisions holds come in stretches
// that begin where they end, and the last one ends at the record.
func TestManyTimersAtOneRecord(t *testing.T) {
	const keys = 5000
	e := engineOf(planned{name: "s", on: []string{"beat"}, plan: with(planOf(correlate.Silent, time.Minute), func(*correlate.Plan) {})})
	told(t, e, logOf(repeat(keys, func(i int) string { return fmt.Sprintf("1s beat sw%d", i) })...))
	from := e.Through()
	got, err := e.Step(batch(from.Seq+1, time.Hour, record.Record{Kind: record.KindTick}, evRecord(1, "beat", "sw1")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 3 {
		t.Fatalf("%d stretches", len(got))
	}
	runs := map[string]bool{}
	for i, s := range got {
		last := i == len(got)-1
		if s.From != from || last != (s.Through != from) {
			t.Errorf("stretch %d is %v to %v", i, s.From, s.Through)
		}
		if s.Size > 2*maxStretch {
			t.Errorf("stretch %d takes %d bytes", i, s.Size)
		}
		var buf []byte
		for _, r := range s.Records {
			buf = record.AppendRecord(buf[:0], &r)
			for _, run := range r.Decision.Runs {
				runs[run.Run] = true
			}
			if n := sizeOf(r.Decision); n < len(buf) {
				t.Fatalf("a decision of %d bytes is taken for one of %d", len(buf), n)
			}
		}
	}
	if len(runs) != keys || got[len(got)-1].Events != 1 {
		t.Errorf("%d runs, and %d events in the last stretch", len(runs), got[len(got)-1].Events)
	}
}

package engine

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// Windows that end at once are forgotten a few at a time: no record pays for
// all of them, and in the end none is left.
func TestManyWindowsThatEndAtOnceStopNothing(t *testing.T) {
	const keys = 50_000
	e := engineOf(planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast = 2 })})
	told(t, e, logOf())
	seq := uint64(1)
	for at := 0; at < keys; at += 250 {
		seq++
		var recs []record.Record
		for i := range 250 {
			recs = append(recs, evRecord(at+i, "fail", fmt.Sprintf("sw%d", at+i)))
		}
		if _, err := e.Step(batch(seq, time.Second, recs...)); err != nil {
			t.Fatal(err)
		}
	}
	if held := e.RuleKeys()[0].Held; held != keys {
		t.Fatalf("%d keys are held", held)
	}
	longest := time.Duration(0)
	for n := 0; e.RuleKeys()[0].Held > 0; n++ {
		if n > keys {
			t.Fatalf("%d keys are still held", e.RuleKeys()[0].Held)
		}
		seq++
		before := processorTime(t)
		if _, err := e.Step(batch(seq, time.Hour, evRecord(keys+n, "other", "x"))); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, processorTime(t)-before)
	}
	if longest > 10*time.Millisecond {
		t.Errorf("one record took %v", longest)
	}
}

func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package worker

import (
	"slices"
	"sync"
	"testing"

	"signalbox/internal/record"
)

// Who watches gets every change of a run, in order and without the steps, until
// it stops.
func TestWatch(t *testing.T) {
	r := newRig(t)
	r.rule("x", do("do"))
	r.start(record.Position{}, nil)
	var mu sync.Mutex
	var got []string
	stop := r.w.Watch(func(v RunView) {
		mu.Lock()
		defer mu.Unlock()
		if v.Rule != "x" || v.Device != "sw1" || v.EventType != "interface_down" || v.Steps != nil || v.Event != nil {
			t.Errorf("view = %+v", v)
		}
		if n := len(got); n == 0 || got[n-1] != v.Status {
			got = append(got, v.Status)
		}
	})
	r.log.decide(r.decision("sw1", "x"))
	r.feed()
	r.settle()
	r.until("the end is told", func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(got, "succeeded") })
	stop()
	r.log.decide(r.decision("sw1", "x"))
	r.feed()
	r.settle()
	r.stop()
	want := []string{"running", "succeeded"}
	if got[0] == "pending" { // the run may begin before its place is told
		want = append([]string{"pending"}, want...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

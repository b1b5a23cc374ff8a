package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/run"
)

// gated is an action that waits, on one device, until the gate is open.
func gated(r *rig, device string, gate <-chan struct{}) *fakeAction {
	return &fakeAction{name: "gated", idem: true, do: func(ctx context.Context, c action.Call) (action.Result, error) {
		if c.Event.Device == device {
			select {
			case <-gate:
			case <-ctx.Done():
				return action.Result{}, ctx.Err()
			}
		}
		r.eff.add(c)
		return action.Result{}, nil
	}}
}

// A device that does not answer, with many more runs than fit into memory, keeps
// no other device waiting; and its own runs are done once and in order after all.
func TestSlowDeviceKeepsNobodyWaiting(t *testing.T) {
	r := newRig(t)
	r.cfg.Pending, r.cfg.Near, r.cfg.Slow = 20, 5, time.Millisecond
	gate := make(chan struct{})
	r.acts = append(r.acts, gated(r, "slow", gate))
	r.rule("x", do("gated"))
	r.start(record.Position{}, nil)
	var slow []string
	for i := range 600 {
		d := r.decision("slow", "x")
		slow = append(slow, d.Runs[0].Run+"/1")
		r.log.decide(d, r.decision(fmt.Sprintf("sw%d", i%7), "x"))
	}
	r.feed()
	r.until("all others are done", func() bool { return len(r.log.ends()) == 600 })
	d := r.w.Depths()
	if d.Open != 600 || d.Far < 570 || d.Running != 1 {
		t.Errorf("depths = %+v", d)
	}
	first := r.log.read()[0]
	if at := r.w.Oldest(); at.Seq != first.Records[0].Decision.At.Seq {
		t.Errorf("oldest = %v", at)
	}
	if n := r.w.Versions()[RuleVersion{"x", "v1"}]; n != 600 {
		t.Errorf("%d runs need the rule, want 600", n)
	}
	last := strings.TrimSuffix(slow[599], "/1")
	if v := r.w.Runs(Filter{Fits: of("slow"), Limit: 3}); len(v) != 3 || v[0].ID != last || v[0].Status != "pending" {
		t.Errorf("newest runs = %+v", v)
	}
	if v, err := r.w.Find(t.Context(), last); err != nil || v.Status != "pending" || v.Event == nil {
		t.Errorf("find = %+v, %v", v, err)
	}
	r.command("requeue", last) // open already: it changes nothing
	r.feed()
	close(gate)
	r.settle()
	if d := r.w.Depths(); d.Far != 0 || len(r.w.room) != 0 || len(r.w.farRoom) != 0 {
		t.Errorf("at the end: %+v", d)
	}
	r.stop()
	var got []string
	for _, key := range r.eff.all() {
		if slices.Contains(slow, key) {
			got = append(got, key)
		}
	}
	if !slices.Equal(got, slow) {
		t.Errorf("the slow device's runs were not done once and in order: %v", got)
	}
}

// Memory's other bound: Apply blocks when too many runs are kept by name.
func TestFarRunsAreBounded(t *testing.T) {
	r := newRig(t)
	r.cfg.Pending, r.cfg.Slow, r.cfg.Near, r.cfg.Far = 3, 0, 2, 10
	gate := make(chan struct{})
	r.acts = append(r.acts, gated(r, "slow", gate))
	r.rule("x", do("gated"))
	for range 40 {
		r.log.decide(r.decision("slow", "x"))
	}
	r.start(record.Position{}, nil)
	done := make(chan struct{})
	go func() { defer close(done); r.feed() }()
	r.until("the bound is reached", func() bool { return r.w.Depths().Far == 10 })
	if isClosed(done) {
		t.Error("Apply did not wait")
	}
	close(gate)
	<-done
	r.settle()
	r.stop()
	if n := len(r.log.ends()); n != 40 {
		t.Errorf("%d runs ended, want 40", n)
	}
}

// Crashes at any append, with and without snapshots, while most runs of the
// devices are in memory by name only: each is done, in its device's order.
func TestCrashesWithFarRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(&fatal{T: t})
		r.cfg.Interrupted = 1000
		r.cfg.Near, r.cfg.Pending = rapid.IntRange(1, 3).Draw(t, "near"), rapid.IntRange(2, 6).Draw(t, "pending")
		r.cfg.Slow = 0
		r.rule("x", do("do"), do("flaky"))
		r.rule("y", do("do"), do("bad"))
		var ids []string
		order := map[string][]string{}
		for range rapid.IntRange(5, 30).Draw(t, "decisions") {
			device := rapid.SampledFrom([]string{"sw1", "sw1", "sw1", "sw2"}).Draw(t, "device")
			d := r.decision(device, rapid.SampledFrom([][]string{{"x"}, {"y"}, {"x", "y"}}).Draw(t, "rules")...)
			r.log.decide(d)
			for _, s := range d.Runs {
				ids, order[device] = append(ids, s.Run), append(order[device], s.Run)
			}
		}
		crashes(t, r)
		check(t, r, ids, record.Succeeded, record.Failed)
		for device, want := range order {
			var got []string
			for _, e := range r.log.journal("") {
				if re := e.Record.RunEnd; re != nil && slices.Contains(want, re.Run) {
					got = append(got, re.Run)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: runs ended in the order %v, want %v", device, got, want)
			}
		}
	})
}

// What is kept of a far run is small.
func TestFarRunsAreSmall(t *testing.T) {
	r := newRig(t)
	gate := make(chan struct{})
	r.acts = append(r.acts, gated(r, "slow", gate))
	r.rule("x", do("gated"))
	r.cfg.Pending, r.cfg.Slow = 100, 0
	r.start(record.Position{}, nil)
	const n = 100_000
	var batches []record.Batch
	for i := range n / 100 {
		b := record.Batch{Seq: uint64(i + 1), Subject: record.Decisions}
		for j := range 100 {
			d := r.decision("slow", "x")
			d.Runs[0].Run = run.ID("x", "v1", record.Position{Seq: uint64(1_000_000 + i), Index: uint32(j)})
			b.Records = append(b.Records, record.Record{Decision: d})
		}
		batches = append(batches, b)
	}
	before := heap()
	for i := range batches {
		if err := r.w.Apply(&batches[i]); err != nil {
			t.Fatal(err)
		}
	}
	size := float64(heap()-before) / n
	t.Logf("%.0f bytes a run", size)
	if d := r.w.Depths(); size > 300 || d.Far < n-110 {
		t.Errorf("%.0f bytes a run, want 300 at most; %+v", size, d)
	}
	runtime.KeepAlive(batches)
	r.stop()
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A dead letter whose log has aged away, or cannot be read, is put back for
// nothing: the person gets to know why, and the device goes on.
func TestRequeueOfWhatTheLogHasNot(t *testing.T) {
	for _, broken := range []error{nil, errors.New("bad sector")} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.cfg.DeadDetails = 1
			r.rule("x", do("bad"))
			r.rule("y", do("do"))
			old := r.decision("sw1", "x")
			r.log.decide(old)
			r.start(record.Position{}, nil)
			r.feed()
			synctest.Wait()
			r.log.decide(r.decision("sw2", "x"))
			r.feed()
			synctest.Wait()
			r.log.gone, r.log.broken = true, broken
			id := old.Runs[0].Run
			for range 2 { // it can be asked again
				r.command("requeue", id)
				r.log.decide(r.decision("sw1", "y"))
				r.feed()
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			want := "has left the log"
			if broken != nil {
				want = "bad sector"
			}
			dead := r.w.DeadLetters(Filter{Fits: of("sw1")})
			if len(dead) != 1 || !strings.Contains(dead[0].Error, want) || dead[0].Rule != "x" {
				t.Errorf("dead letters of sw1: %+v", dead)
			}
			ends := r.log.ends()
			if got, want := fmt.Sprint(ends[id]), fmt.Sprint([]record.Outcome{record.Failed, record.Requeued, record.Failed, record.Requeued, record.Failed}); got != want {
				t.Errorf("it ended as %v, want %v", got, want)
			}
			if len(ends) != 4 || r.w.Depths().Open != 0 {
				t.Errorf("the device does not go on: %v, %+v", ends, r.w.Depths())
			}
			r.stop()
		})
	}
}

// eventsDone counts how often each event was told as done.
type eventsDone struct {
	noMetrics
	mu sync.Mutex
	n  int
}

func (e *eventsDone) EventDone(string, time.Duration) { e.mu.Lock(); defer e.mu.Unlock(); e.n++ }

// An event is told as done once, also when its runs go on one by one after a
// restart, and when one of them is put back.
func TestEventIsDoneOnce(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		r := newRig(t)
		var told eventsDone
		r.cfg.Metrics = &told
		gate := make(chan struct{})
		r.acts = append(r.acts, gated(r, "sw1", gate))
		r.rule("a", do("do"))
		r.rule("b", do("gated"))
		r.rule("c", do("bad"))
		d := r.decision("sw1", "a", "b", "c")
		r.log.decide(d)
		r.start(record.Position{}, nil)
		r.feed()
		r.until("the second run is under way", func() bool { return r.w.Depths().Running == 1 && len(r.log.ends()) == 1 })
		var pos record.Position
		var snap []byte
		if snapshot {
			pos, snap = r.w.Snapshot()
		}
		r.crash()
		r.log.revive(-1, true)
		r.start(pos, snap)
		r.feed()
		close(gate)
		r.settle()
		r.command("requeue", d.Runs[2].Run)
		r.feed()
		r.settle()
		r.stop()
		if told.n != 1 {
			t.Errorf("snapshot %v: the event was told as done %d times", snapshot, told.n)
		}
	}
}

// of chooses the runs of a device.
func of(device string) func(*RunView) bool {
	return func(v *RunView) bool { return v.Device == device }
}

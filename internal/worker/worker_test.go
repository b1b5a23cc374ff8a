package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

func (r *rig) command(verb, run string) {
	r.log.decide(&record.Decision{Command: &record.Command{ID: "c", Verb: verb, Run: run, By: "ann"}})
}

func TestRequeueAndDiscard(t *testing.T) {
	for _, details := range []int{1000, 1} { // 1: most are read again from the log
		r := newRig(t)
		r.cfg.DeadDetails = details
		broken := true
		var mu sync.Mutex
		r.acts = append(r.acts, &fakeAction{name: "mend", do: func(_ context.Context, c action.Call) (action.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			r.eff.add(c)
			if broken {
				return action.Result{}, errors.New("broken")
			}
			return action.Result{}, nil
		}})
		r.rule("x", do("once"), do("mend"), do("once"))
		var ids []string
		for range 3 {
			d := r.decision("sw1", "x")
			r.log.decide(d)
			ids = append(ids, d.Runs[0].Run)
		}
		r.start(record.Position{}, nil)
		r.feed()
		r.settle()
		if got := r.w.Depths().Dead; got != 3 {
			t.Fatalf("%d dead letters, want 3", got)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		r.command("requeue", ids[0])
		r.command("requeue", ids[0]) // asked twice
		r.command("discard", ids[1])
		r.command("requeue", "r9-nobody")
		r.feed()
		r.settle()
		r.stop()
		ends := r.log.ends()
		want := fmt.Sprint([]record.Outcome{record.Failed, record.Requeued, record.Succeeded},
			[]record.Outcome{record.Failed, record.Discarded}, []record.Outcome{record.Failed})
		if got := fmt.Sprint(ends[ids[0]], ends[ids[1]], ends[ids[2]]); got != want {
			t.Errorf("details %d: ends = %s, want %s", details, got, want)
		}
		if n := r.eff.count(ids[0] + "/1"); n != 1 {
			t.Errorf("step 1, which was done, was done %d times", n)
		}
		if n := r.eff.count(ids[0] + "/2"); n != 2 {
			t.Errorf("step 2 was tried %d times, want 2", n)
		}
		// A restart comes to the same.
		r.start(record.Position{}, nil)
		r.feed()
		r.settle()
		v, err := r.w.Find(t.Context(), ids[2])
		if err != nil || v.Status != "failed" || len(v.Steps) != 2 || v.Event == nil || v.Steps[1].Attempts[0].Error != "broken" {
			t.Errorf("after a restart the dead letter is %+v, %v", v, err)
		}
		if d := r.w.Depths(); d.Dead != 1 || d.Open != 0 {
			t.Errorf("after a restart: %+v", d)
		}
		r.stop()
	}
}

func TestInDoubtIsAskedAndDoneAgain(t *testing.T) {
	r := newRig(t)
	r.rule("x", do("once"), do("do"))
	d := r.decision("sw1", "x")
	id := d.Runs[0].Run
	r.log.decide(d)
	r.log.revive(1, false) // the begin is durable, nobody knows of the rest
	r.start(record.Position{}, nil)
	r.feed()
	<-r.log.deaths
	r.crash()
	r.log.revive(-1, true)
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	v := r.w.DeadLetters(Filter{})
	if len(v) != 1 || v[0].Status != "in_doubt" || !strings.Contains(v[0].Error, "requeue or discard") {
		t.Fatalf("dead letters = %+v", v)
	}
	r.command("requeue", id)
	r.feed()
	r.settle()
	r.stop()
	want := lines("begin 1 once #1", "run in_doubt: "+v[0].Error, "run requeued", "begin 1 once #2", "end 1 #2 ok", "begin 2 do #1", "end 2 #1 ok", "run succeeded")
	if got := transcript(r.log.journal(id)); got != want {
		t.Errorf("journal:\n%s\nwant:\n%s", got, want)
	}
}

// Runs of one device are done in order and one at a time, those of others
// meanwhile.
func TestDeviceOrder(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	under, last := map[string]int{}, map[string]int{}
	r.acts = append(r.acts, &fakeAction{name: "turn", do: func(_ context.Context, c action.Call) (action.Result, error) {
		var seq int
		fmt.Sscanf(c.Run, "r%d-x", &seq)
		mu.Lock()
		under[c.Event.Device]++
		if under[c.Event.Device] > 1 || seq < last[c.Event.Device] {
			t.Errorf("%s: run %d among %d, after run %d", c.Event.Device, seq, under[c.Event.Device], last[c.Event.Device])
		}
		last[c.Event.Device] = seq
		mu.Unlock()
		mu.Lock()
		under[c.Event.Device]--
		mu.Unlock()
		return action.Result{}, nil
	}})
	r.rule("x", do("turn"), do("turn"))
	r.start(record.Position{}, nil)
	for i := range 2000 {
		r.log.decide(r.decision(fmt.Sprintf("sw%d", i%17), "x"))
	}
	r.feed()
	r.settle()
	r.stop()
	if n := len(r.log.ends()); n != 2000 {
		t.Errorf("%d runs ended, want 2000", n)
	}
}

// With a full house Apply blocks, and a decision that is read twice is one run.
func TestBounds(t *testing.T) {
	r := newRig(t)
	r.cfg.Pending, r.cfg.Concurrent = 4, 2
	gate := make(chan struct{})
	r.acts = append(r.acts, &fakeAction{name: "wait", do: func(ctx context.Context, c action.Call) (action.Result, error) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		r.eff.add(c)
		return action.Result{}, nil
	}})
	r.rule("x", do("wait"))
	for i := range 20 {
		r.log.decide(r.decision(fmt.Sprintf("sw%d", i), "x"))
	}
	r.start(record.Position{}, nil)
	done := make(chan struct{})
	go func() { defer close(done); r.feed(); r.read = 0; r.feed() }()
	r.until("four are open, two under way", func() bool { d := r.w.Depths(); return d.Open == 4 && d.Running == 2 })
	select {
	case <-done:
		t.Fatal("Apply did not wait for room")
	default:
	}
	close(gate)
	<-done
	r.settle()
	r.stop()
	for id, e := range r.log.ends() {
		if len(e) != 1 || r.eff.count(id+"/1") != 1 {
			t.Errorf("%s ended as %v, done %d times", id, e, r.eff.count(id+"/1"))
		}
	}
	if n := len(r.log.ends()); n != 20 {
		t.Errorf("%d runs ended, want 20", n)
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	r := newRig(t)
	r.cfg.DeadDetails, r.cfg.DeadIndex, r.cfg.Recent = 3, 10, 2
	r.rule("x", do("bad"))
	var first string
	for i := range 25 {
		d := r.decision("", "x")
		if i == 0 {
			first = d.Runs[0].Run
		}
		r.log.decide(d)
	}
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	if d := r.w.Depths(); d.Dead != 25 || d.Unlisted != 15 || len(r.w.dead.byID) != 10 || r.w.dead.whole.Len() != 3 {
		t.Errorf("depths = %+v, %d by id, %d whole", d, len(r.w.dead.byID), r.w.dead.whole.Len())
	}
	r.command("discard", first)
	r.feed()
	r.settle()
	if d := r.w.Depths(); d.Dead != 24 {
		t.Errorf("after one was discarded: %+v", d)
	}
	r.stop()
}

func TestPanicIsPermanent(t *testing.T) {
	var out bytes.Buffer
	r := newRig(t)
	r.cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
	r.acts = append(r.acts, &fakeAction{name: "boom", do: func(context.Context, action.Call) (action.Result, error) { panic("aargh") }})
	r.rule("x", do("boom"))
	r.one("x")
	if got := transcript(r.log.journal("")); !strings.Contains(got, "run failed: step 1 (boom): action boom panicked: aargh") {
		t.Error(got)
	}
	if !strings.Contains(out.String(), "worker_test.go") {
		t.Error("the log has no stack")
	}
}

// A secret that a step uses is in nothing that is written.
func TestSecretsAreHidden(t *testing.T) {
	const canary = `ca"nary&17`
	var out bytes.Buffer
	r := newRig(t)
	r.cfg.Log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.cfg.Secrets = func(string) (string, error) { return canary, nil }
	r.acts = append(r.acts, &fakeAction{name: "leak", do: func(_ context.Context, c action.Call) (action.Result, error) {
		c.Log.With("tok", canary).Info("with "+canary, "err", errors.New(canary), slog.Group("g", "k", canary))
		if c.Args["token"] != canary {
			return action.Result{}, errors.New("no secret came")
		}
		return action.Result{Output: map[string]any{"k" + canary: []any{canary, "x?" + canary}}}, fmt.Errorf("bad %q", canary)
	}})
	r.rule("x", with(do("leak"), func(s *rule.Step) {
		s.Args = r.eval.value(func(s *rule.Scope) (any, error) {
			v, err := s.Secret("t")
			return map[string]any{"token": v}, err
		})
	}))
	r.one("x")
	for _, e := range r.log.journal("") {
		if e.Record.End != nil {
			fmt.Fprintf(&out, "%s %s", e.Record.End.Output, e.Record.End.Error)
		}
	}
	if s := out.String(); strings.Contains(s, "nary") || !strings.Contains(s, redacted) {
		t.Errorf("written: %s", s)
	}
}

func TestDrain(t *testing.T) {
	r := newRig(t)
	begun, gate := make(chan struct{}, 1), make(chan struct{})
	r.acts = append(r.acts, &fakeAction{name: "slow", idem: true, do: func(ctx context.Context, c action.Call) (action.Result, error) {
		begun <- struct{}{}
		select {
		case <-gate:
			return action.Result{}, nil
		case <-ctx.Done():
			return action.Result{}, ctx.Err()
		}
	}})
	r.rule("x", do("slow"), do("do"))
	r.log.decide(r.decision("sw1", "x"))
	r.start(record.Position{}, nil)
	r.feed()
	<-begun
	done := make(chan error)
	go func() { done <- r.w.Drain(context.Background()) }()
	<-r.w.stop
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := transcript(r.log.journal("")); got != lines("begin 1 slow #1", "end 1 #1 ok") {
		t.Errorf("what was under way ends, nothing new begins; journal:\n%s", got)
	}
	if err := r.w.Apply(&record.Batch{Seq: 99, Subject: record.Decisions, Records: []record.Record{{Decision: r.decision("sw1", "x")}}}); !errors.Is(err, ErrStopped) {
		t.Errorf("Apply after Drain: %v", err)
	}
}

// The waits before retries are kept, over a restart too; a step's and a rule's
// time end what takes too long.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var at []time.Duration
		t0 := time.Now()
		r.acts = append(r.acts, &fakeAction{name: "later", idem: true, do: func(ctx context.Context, c action.Call) (action.Result, error) {
			at = append(at, time.Since(t0))
			if len(at) < 4 {
				return action.Result{}, action.Recoverable(errors.New("503"), map[int]time.Duration{2: time.Minute}[len(at)])
			}
			return action.Result{}, nil
		}}, &fakeAction{name: "hang", do: func(ctx context.Context, c action.Call) (action.Result, error) {
			<-ctx.Done()
			return action.Result{}, ctx.Err()
		}})
		x := r.rule("x", do("later"))
		x.Retry = rule.Retry{Attempts: 4, Backoff: 2 * time.Second, Factor: 2, Max: time.Minute}
		r.log.decide(r.decision("sw1", "x"))
		r.start(record.Position{}, nil)
		r.feed()
		synctest.Wait()
		if d := r.w.Depths(); d.Waiting != 1 || d.Running != 0 || len(r.w.slots) != 0 {
			t.Errorf("a run that waits holds no slot: %+v", d)
		}
		time.Sleep(time.Second)
		r.crash()
		r.log.revive(-1, true)
		r.start(record.Position{}, nil)
		r.feed()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got, want := fmt.Sprint(at), "[0s 2s 1m2s 1m10s]"; got != want {
			t.Errorf("attempts at %s, want %s", got, want)
		}
		r.rule("step", with(do("hang"), func(s *rule.Step) { s.Timeout = time.Second }))
		y := r.rule("rule", &rule.Step{Block: []*rule.Step{do("hang"), do("do")}, Rescue: []*rule.Step{do("do")}, Always: []*rule.Step{do("do")}})
		y.Timeout = time.Minute
		d := r.decision("sw2", "step", "rule")
		r.log.decide(d)
		r.feed()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.stop()
		if got := transcript(r.log.journal(d.Runs[0].Run)); !strings.Contains(got, "run failed: step 1 (hang): the step's time of 1s is up") {
			t.Error(got)
		}
		got := transcript(r.log.journal(d.Runs[1].Run))
		if !strings.Contains(got, "the rule's time of 1m0s is up") || !strings.Contains(got, "end 1.always.0 #1 ok") || strings.Contains(got, "rescue") {
			t.Error(got)
		}
	})
}

// Records that the log does not take are offered until it does, and nothing is
// done before.
func TestJournalFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.rule("x", do("once"), do("once"))
		r.log.decide(r.decision("sw1", "x"), r.decision("sw1", "x"))
		r.log.fails = 3
		r.start(record.Position{}, nil)
		r.feed()
		synctest.Wait()
		if n := len(r.eff.all()); n != 0 {
			t.Errorf("%d effects before the begin was durable", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r.stop()
		if n := len(r.eff.all()); n != 4 || len(r.log.ends()) != 2 {
			t.Errorf("%d effects, want 4; ends %v", n, r.log.ends())
		}
	})
}

func TestRuleThatIsGone(t *testing.T) {
	r := newRig(t)
	r.rule("x", do("do"))
	d := r.decision("sw1", "x")
	d.Runs[0].RuleVersion = "v0"
	r.log.decide(d)
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	r.stop()
	if got := transcript(r.log.journal("")); !strings.HasPrefix(got, "run failed: rule x, version v0, is not loaded any more") {
		t.Error(got)
	}
}

func BenchmarkRuns(b *testing.B) {
	r := newRig(b)
	r.acts = []action.Action{&fakeAction{name: "log", idem: true, do: func(context.Context, action.Call) (action.Result, error) { return action.Result{}, nil }}}
	x := r.rule("x", do("log"))
	x.Timeout = 5 * time.Minute
	r.start(record.Position{}, nil)
	var batches []record.Batch
	for n := 0; n < b.N; n += 100 {
		batch := record.Batch{Seq: uint64(n/100 + 1), Subject: record.Decisions}
		for i := range min(100, b.N-n) {
			batch.Records = append(batch.Records, record.Record{Decision: r.decision(fmt.Sprintf("sw%d", (n+i)%2000), "x")})
		}
		batches = append(batches, batch)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range batches {
		if err := r.w.Apply(&batches[i]); err != nil {
			b.Fatal(err)
		}
	}
	r.settle()
	b.StopTimer()
	r.stop()
}

// A backlog longer than memory's bound goes through a restart: it is read again
// from the log, and each of its runs is done once.
func TestBacklogOverRestart(t *testing.T) {
	r := newRig(t)
	r.cfg.Pending = 3
	r.rule("x", do("once"), do("do"))
	for i := range 50 {
		r.log.decide(r.decision(fmt.Sprintf("sw%d", i%5), "x"), r.decision("", "x"))
	}
	r.log.revive(60, true)
	r.start(record.Position{}, nil)
	done := make(chan struct{})
	go func() { defer close(done); r.feed() }()
	<-r.log.deaths
	r.crash()
	<-done
	r.log.revive(-1, true)
	r.start(record.Position{}, nil)
	go func() { // what the daemon asks meanwhile
		for !r.w.stopping() {
			r.w.Oldest()
			r.w.Snapshot()
			r.w.Runs(Filter{})
		}
	}()
	r.feed()
	r.settle()
	if n := len(r.w.recovery.backlog); n != 0 {
		t.Errorf("%d runs left in the backlog", n)
	}
	r.stop()
	for id, e := range r.log.ends() {
		if len(e) != 1 || r.eff.count(id+"/1") > 1 {
			t.Errorf("%s ended as %v, done %d times", id, e, r.eff.count(id+"/1"))
		}
	}
	if n := len(r.log.ends()); n != 100 {
		t.Errorf("%d runs ended, want 100", n)
	}
}

package worker

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// tree draws a random list of steps. actions are what its leaves do.
func tree(t *rapid.T, r *rig, actions []string, depth int) []*rule.Step {
	var steps []*rule.Step
	for range rapid.IntRange(1, 3).Draw(t, "steps") {
		s := &rule.Step{}
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 5).Draw(t, "kind")
		}
		switch kind {
		case 4:
			s.Parallel = tree(t, r, actions, depth-1)
		case 5:
			s.Block = tree(t, r, actions, depth-1)
			if rapid.Bool().Draw(t, "rescue") {
				s.Rescue = tree(t, r, actions, depth-1)
			}
			if rapid.Bool().Draw(t, "always") {
				s.Always = tree(t, r, actions, depth-1)
			}
		default:
			s.Action = rapid.SampledFrom(actions).Draw(t, "action")
			s.Register = rapid.SampledFrom([]string{"", "", "a"}).Draw(t, "register")
		}
		s.IgnoreErrors = rapid.IntRange(0, 3).Draw(t, "ignore") == 0
		switch rapid.IntRange(0, 5).Draw(t, "when") {
		case 0:
			s.When = r.eval.expr(func(*rule.Scope) (bool, error) { return false, nil })
		case 1:
			s.When = r.eval.expr(func(*rule.Scope) (bool, error) { return true, nil })
		case 2:
			// Depends on what an earlier step gave, which a restart must know.
			s.When = r.eval.expr(func(s *rule.Scope) (bool, error) {
				m, _ := s.Registers["a"].(map[string]any)
				return m["ok"] == true, nil
			})
		}
		if rapid.IntRange(0, 5).Draw(t, "loop") == 0 {
			s.Loop = r.eval.value(func(*rule.Scope) (any, error) { return []any{"x", "y"}, nil })
		}
		steps = append(steps, s)
	}
	return steps
}

// check holds the log against what was promised.
func check(t *rapid.T, r *rig, ids []string, mayBe ...record.Outcome) {
	ends := r.log.ends()
	for _, id := range ids {
		if len(ends[id]) != 1 || !slices.Contains(mayBe, ends[id][0]) {
			t.Fatalf("run %s ended as %v:\n%s", id, ends[id], transcript(r.log.journal(id)))
		}
	}
	if len(ends) != len(ids) {
		t.Fatalf("%d runs have ended, %d are due", len(ends), len(ids))
	}
	// An attempt after one that is known to be done, and a second attempt of
	// what may not be repeated, are what must never be.
	type key struct{ run, step string }
	done, begun := map[key]bool{}, map[key]bool{}
	for _, e := range r.log.journal("") {
		switch rec := e.Record; {
		case rec.Begin != nil:
			k := key{rec.Begin.Run, rec.Begin.Step}
			if done[k] || begun[k] && !rec.Begin.Idempotent {
				t.Fatalf("step %s was done again:\n%s", k.step, transcript(r.log.journal(k.run)))
			}
			begun[k] = true
		case rec.End != nil && rec.End.RetryAt.IsZero():
			k := key{rec.End.Run, rec.End.Step}
			if done[k] {
				t.Fatalf("step %s ended twice:\n%s", k.step, transcript(r.log.journal(k.run)))
			}
			done[k] = true
		}
	}
}

// crashes runs the rules of the rig to their end, crashing after every so many
// appends, with or without a snapshot.
func crashes(t *rapid.T, r *rig) {
	var pos record.Position
	var snap []byte
	for lives := 0; ; lives++ {
		if lives > 500 {
			t.Fatalf("no end after %d lives:\n%s", lives, transcript(r.log.journal("")))
		}
		// Every life gets a little further, so that it ends at last.
		r.log.revive(rapid.IntRange(1, 2+lives).Draw(t, "appends"), rapid.Bool().Draw(t, "answer"))
		r.start(pos, snap)
		fed := make(chan struct{})
		go func() { defer close(fed); r.feed() }() // it waits where memory is full
		for {
			if isClosed(fed) && r.w.Depths().Open == 0 {
				r.stop()
				return
			}
			select {
			case <-r.log.deaths:
			case <-time.After(20 * time.Microsecond):
				continue
			}
			break
		}
		// A snapshot taken at any time before is as good.
		if rapid.Bool().Draw(t, "snapshot") { // also one that lacks what the log had last
			if p, s := r.w.Snapshot(); s != nil {
				pos, snap = p, s
			}
		}
		r.crash()
		<-fed
	}
}

// drawDecide says whether steps begin with the decisions.
func drawDecide(t *rapid.T, r *rig) func(*record.Decision) {
	if rapid.Bool().Draw(t, "steps begin with decisions") {
		return func(d *record.Decision) { r.decideFirst(d) }
	}
	return func(d *record.Decision) { r.log.decide(d) }
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The crash test over random step trees: crash at any append, as often as it
// takes; every due run ends exactly once, no step that is known to be done is
// done again, and none that may not be repeated is begun twice.
func TestCrashAtAnyAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(&fatal{T: t})
		r.cfg.Interrupted = 1000
		r.rule("x", tree(t, r, []string{"do", "once", "flaky", "bad"}, 2)...)
		r.rule("y", tree(t, r, []string{"do", "once"}, 1)...)
		var ids []string
		decide := drawDecide(t, r)
		for _, d := range []*record.Decision{r.decision("sw1", "x", "y"), r.decision("sw2", "x"), r.decision("sw1", "y")} {
			decide(d)
			for _, s := range d.Runs {
				ids = append(ids, s.Run)
			}
		}
		crashes(t, r)
		check(t, r, ids, record.Succeeded, record.Failed, record.InDoubt)
		for key, n := range r.eff.n {
			// An effect whose end was not written may be repeated if that is
			// harmless; of the others there is one at most.
			if n > 1 && slices.ContainsFunc(r.log.journal(""), func(e Entry) bool {
				return e.Record.Begin != nil && e.Record.Begin.Run+"/"+e.Record.Begin.Step == key && e.Record.Begin.Action == "once"
			}) {
				t.Fatalf("%s was done %d times", key, n)
			}
		}
	})
}

// Without steps that may not be repeated, crashes change nothing about how a run
// ends and what it does.
func TestCrashesChangeNoOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(&fatal{T: t})
		r.cfg.Interrupted = 1000
		r.rule("x", tree(t, r, []string{"do", "flaky", "bad"}, 2)...)
		d := r.decision("sw1", "x")
		r.log.decide(d)
		r.start(record.Position{}, nil)
		r.feed()
		r.settle()
		r.stop()
		want, wantSteps := r.log.ends()[d.Runs[0].Run], endings(r.log.journal(""))

		r.log.batches, r.eff.n, r.eff.list, r.w = nil, nil, nil, nil
		drawDecide(t, r)(d)
		crashes(t, r)
		check(t, r, []string{d.Runs[0].Run}, want[0])
		if got := endings(r.log.journal("")); !slices.Equal(got, wantSteps) {
			t.Fatalf("steps ended as\n%v, without a crash as\n%v", got, wantSteps)
		}
	})
}

// endings is how each step ended, in the order of paths.
func endings(es []Entry) []string {
	var out []string
	for _, e := range es {
		if r := e.Record.End; r != nil && r.RetryAt.IsZero() {
			out = append(out, fmt.Sprintf("%s ok=%v skipped=%v", r.Step, r.OK, r.Skipped))
		}
	}
	slices.Sort(out)
	return out
}

// fatal makes a rapid.T what the rig takes.
type fatal struct {
	testing.TB
	T *rapid.T
}

func (f *fatal) Helper()                   {}
func (f *fatal) Fatal(a ...any)            { f.T.Fatal(a...) }
func (f *fatal) Fatalf(s string, a ...any) { f.T.Fatalf(s, a...) }

// A crash at each append in turn, of a run with all kinds of steps.
func TestCrashAtEveryAppend(t *testing.T) {
	for _, answer := range []bool{false, true} {
		for n := 1; ; n++ {
			r := newRig(t)
			r.rule("x", do("do"), &rule.Step{Parallel: []*rule.Step{do("flaky"), do("do")}},
				&rule.Step{Block: []*rule.Step{do("bad")}, Rescue: []*rule.Step{do("do")}, Always: []*rule.Step{do("do")}})
			d := r.decision("sw1", "x")
			r.log.decide(d)
			r.log.revive(n, answer)
			r.start(record.Position{}, nil)
			r.feed()
			crashed := false
			r.until("the crash or the end", func() bool {
				select {
				case <-r.log.deaths:
					crashed = true
				default:
				}
				return crashed || r.w.Depths().Open == 0
			})
			r.crash()
			r.log.revive(-1, true)
			r.start(record.Position{}, nil)
			r.feed()
			r.settle()
			if err := r.w.Drain(context.Background()); err != nil {
				t.Fatal(err)
			}
			if ends := r.log.ends()[d.Runs[0].Run]; len(ends) != 1 || ends[0] != record.Succeeded {
				t.Fatalf("crash after append %d (answered: %v): ended as %v\n%s", n, answer, ends, transcript(r.log.journal("")))
			}
			if !crashed {
				break
			}
		}
	}
}

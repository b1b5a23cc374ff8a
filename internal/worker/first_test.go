package worker

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Which steps begin with the decision that orders their run.
func TestFirst(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name string
		step *rule.Step
		want bool
	}{
		{"one that may be repeated", do("do"), true},
		{"one that may not", do("once"), false},
		{"the user says that it may", with(do("once"), func(s *rule.Step) { s.Idempotent = &yes }), true},
		{"the user says that it may not", with(do("do"), func(s *rule.Step) { s.Idempotent = &no }), false},
		{"with a condition", with(do("do"), func(s *rule.Step) { s.When = &rule.Expr{} }), false},
		{"with a loop", with(do("do"), func(s *rule.Step) { s.Loop = &rule.Value{} }), false},
		{"a block", &rule.Step{Block: []*rule.Step{do("do")}}, false},
		{"several at once", &rule.Step{Parallel: []*rule.Step{do("do")}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.rule("x", tt.step, do("do"))
			b := r.decideFirst(r.decision("sw1", "x"))
			if got := len(b.Records) == 2; got != tt.want {
				t.Fatalf("%d records, want the step's beginning: %t", len(b.Records), tt.want)
			}
			if tt.want && (b.Records[1].Begin == nil || *b.Records[1].Begin != record.StepBegin{Run: "r1-x", Step: "1", Attempt: 1, Action: tt.step.Action, Idempotent: true}) {
				t.Errorf("it is %+v", b.Records[1].Begin)
			}
		})
	}
}

// Runs of one device begin one after the other: only the first can with its
// decision.
func TestFirstOfADevice(t *testing.T) {
	r := newRig(t)
	r.rule("x", do("do"))
	r.rule("free", do("do")).Lock = "none"
	var runs []string
	for _, rec := range r.decideFirst(r.decision("sw1", "x", "x", "free"), r.decision("sw2", "x"), r.decision("", "x"), r.decision("", "x"), r.decision("sw1", "x")).Records {
		if rec.Begin != nil {
			runs = append(runs, rec.Begin.Run)
		}
	}
	if want := []string{"r1-x", "r1-free", "r2-x", "r3-x", "r4-x"}; !slices.Equal(runs, want) {
		t.Errorf("%v begin, want %v", runs, want)
	}
}

// A step that began with its decision is done as that attempt, and nothing is
// written before; where a crash came first, it is repeated.
func TestBegunWithTheDecision(t *testing.T) {
	r := newRig(t)
	r.rule("x", do("do"), do("once"))
	d := r.decision("sw1", "x")
	r.decideFirst(d)
	r.start(record.Position{}, nil) // knows of the decision as one from before
	r.feed()
	r.settle()
	r.stop()
	if got, want := attempts(r, d.Runs[0].Run), "begin 1/1, begin 1/2, end 1/2, begin 2/1, end 2/1"; got != want {
		t.Errorf("after a crash: %s, want %s", got, want)
	}
	r.start(record.Position{}, nil)
	d = r.decision("sw1", "x")
	r.decideFirst(d)
	r.feed()
	r.settle()
	r.stop()
	if got, want := attempts(r, d.Runs[0].Run), "begin 1/1, end 1/1, begin 2/1, end 2/1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	v, err := r.w.Find(t.Context(), d.Runs[0].Run)
	if err != nil || v.Status != "succeeded" || len(v.Steps) != 2 || v.Begun.IsZero() {
		t.Errorf("%+v, %v", v, err)
	}
}

// attempts are the steps of a run as the log has them, with their attempts.
func attempts(r *rig, id string) (out string) {
	for _, e := range r.log.journal(id) {
		switch rec := e.Record; {
		case rec.Begin != nil:
			out += fmt.Sprintf(", begin %s/%d", rec.Begin.Step, rec.Begin.Attempt)
		case rec.End != nil:
			out += fmt.Sprintf(", end %s/%d", rec.End.Step, rec.End.Attempt)
		}
	}
	return out[2:]
}

// A run that began in the log while another of its device was still to be taken
// waits for its turn all the same.
func TestBegunWaitsForItsTurn(t *testing.T) {
	r := newRig(t)
	gate := make(chan struct{})
	r.acts = append(r.acts, &fakeAction{name: "slow", idem: true, do: func(_ context.Context, c action.Call) (action.Result, error) {
		<-gate
		r.eff.add(c)
		return action.Result{}, nil
	}})
	r.rule("first", do("slow"))
	r.rule("then", do("do"))
	r.start(record.Position{}, nil)
	a, b := r.decision("sw1", "first"), r.decision("sw1", "then")
	r.decideFirst(a)
	if n := len(r.decideFirst(b).Records); n != 2 {
		t.Fatalf("the second has %d records: the worker knows of the first already", n)
	}
	r.feed()
	r.until("the first is under way", func() bool { return r.w.Depths().Running == 1 })
	if got := r.eff.all(); len(got) != 0 {
		t.Fatalf("%v was done", got)
	}
	close(gate)
	r.settle()
	r.stop()
	if got, want := r.eff.all(), []string{a.Runs[0].Run + "/1", b.Runs[0].Run + "/1"}; !slices.Equal(got, want) {
		t.Errorf("done in the order %v, want %v", got, want)
	}
}

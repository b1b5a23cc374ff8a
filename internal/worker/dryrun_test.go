package worker

import (
	"context"
	"errors"
	"testing"

	"signalbox/internal/action"
	"signalbox/internal/record"
)

// A dry run that fails is listed as failed and waits for nobody, before and
// after a restart.
func TestADryRunIsNoDeadLetter(t *testing.T) {
	r := newRig(t)
	r.acts = append(r.acts, &fakeAction{name: "broken", do: func(context.Context, action.Call) (action.Result, error) {
		return action.Result{}, errors.New("it would not work")
	}})
	r.rule("x", do("broken"))
	d := r.decision("sw1", "x")
	d.Replay, d.DryRun = true, true
	r.log.decide(d)
	check := func(when string) {
		t.Helper()
		if n := r.w.Depths().Dead; n != 0 {
			t.Errorf("%s: %d dead letters, want none", when, n)
		}
		v, err := r.w.Find(t.Context(), d.Runs[0].Run)
		if err != nil || v.Status != "failed" || !v.DryRun {
			t.Errorf("%s: found %+v, %v", when, v, err)
		}
	}
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	check("live")
	r.stop()
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	check("after a restart")
	r.stop()
}

package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// transcript writes a run's journal in short lines.
func transcript(es []Entry) string {
	var b strings.Builder
	for _, e := range es {
		switch r := e.Record; {
		case r.Begin != nil:
			fmt.Fprintf(&b, "begin %s %s #%d\n", r.Begin.Step, r.Begin.Action, r.Begin.Attempt)
		case r.End != nil && r.End.Skipped:
			fmt.Fprintf(&b, "skip %s\n", r.End.Step)
		case r.End != nil:
			word := "ok"
			if !r.End.OK {
				word = "failed: " + r.End.Error
			}
			if !r.End.RetryAt.IsZero() {
				word += ", again"
			}
			fmt.Fprintf(&b, "end %s #%d %s\n", r.End.Step, r.End.Attempt, word)
		case r.RunEnd != nil:
			fmt.Fprintf(&b, "run %s", OutcomeName(r.RunEnd.Outcome))
			if r.RunEnd.Error != "" {
				fmt.Fprintf(&b, ": %s", r.RunEnd.Error)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

func TestScenarios(t *testing.T) {
	reg := func(name string) func(*rule.Step) { return func(s *rule.Step) { s.Register = name } }
	ignore := func(s *rule.Step) { s.IgnoreErrors = true }
	tests := []struct {
		name  string
		steps func(r *rig) []*rule.Step
		want  string
	}{
		{"a sequence", func(*rig) []*rule.Step { return []*rule.Step{do("do"), do("once")} },
			lines("begin 1 do #1", "end 1 #1 ok", "begin 2 once #1", "end 2 #1 ok", "run succeeded")},
		{"a failure ends the run", func(*rig) []*rule.Step { return []*rule.Step{do("bad"), do("do")} },
			lines("begin 1 bad #1", "end 1 #1 failed: refused", "run failed: step 1 (bad): refused")},
		{"ignore_errors", func(*rig) []*rule.Step { return []*rule.Step{with(do("bad"), ignore), do("do")} },
			lines("begin 1 bad #1", "end 1 #1 failed: refused", "begin 2 do #1", "end 2 #1 ok", "run succeeded")},
		{"when, register", func(r *rig) []*rule.Step {
			return []*rule.Step{
				with(do("do"), reg("first")),
				with(do("do"), func(s *rule.Step) {
					s.When = r.eval.expr(func(s *rule.Scope) (bool, error) {
						m := s.Registers["first"].(map[string]any)
						return m["n"] != int64(5) || m["ok"] != true, nil
					})
					s.Register = "second"
				}),
				with(do("do"), func(s *rule.Step) {
					s.When = r.eval.expr(func(s *rule.Scope) (bool, error) {
						return s.Registers["second"].(map[string]any)["skipped"] == true, nil
					})
				}),
			}
		}, lines("begin 1 do #1", "end 1 #1 ok", "skip 2", "begin 3 do #1", "end 3 #1 ok", "run succeeded")},
		{"a condition that cannot be evaluated", func(r *rig) []*rule.Step {
			return []*rule.Step{with(do("do"), func(s *rule.Step) {
				s.When = r.eval.expr(func(*rule.Scope) (bool, error) { return false, fmt.Errorf("division by zero") })
			})}
		}, lines("end 1 #1 failed: when: division by zero", "run failed: step 1 (do): when: division by zero")},
		{"arguments that cannot be evaluated", func(r *rig) []*rule.Step {
			return []*rule.Step{with(do("do"), func(s *rule.Step) {
				s.Args = r.eval.value(func(*rule.Scope) (any, error) { return nil, fmt.Errorf("no such key") })
			})}
		}, lines("end 1 #1 failed: arguments: no such key", "run failed: step 1 (do): arguments: no such key")},
		{"retries", func(*rig) []*rule.Step { return []*rule.Step{do("flaky")} },
			lines("begin 1 flaky #1", "end 1 #1 failed: busy, again", "begin 1 flaky #2", "end 1 #2 failed: busy, again",
				"begin 1 flaky #3", "end 1 #3 ok", "run succeeded")},
		{"retries used up", func(*rig) []*rule.Step {
			return []*rule.Step{with(do("flaky"), func(s *rule.Step) { s.Retry = &rule.Retry{Attempts: 2} })}
		}, lines("begin 1 flaky #1", "end 1 #1 failed: busy, again", "begin 1 flaky #2", "end 1 #2 failed: busy",
			"run failed: step 1 (flaky): busy")},
		{"until", func(r *rig) []*rule.Step {
			return []*rule.Step{with(do("do"), reg("x"), func(s *rule.Step) {
				n := 0
				s.Retries = 5
				s.Until = r.eval.expr(func(s *rule.Scope) (bool, error) {
					n++
					return n == 3 && s.Registers["x"].(map[string]any)["n"] == int64(5), nil
				})
			})}
		}, lines("begin 1 do #1", "end 1 #1 ok, again", "begin 1 do #2", "end 1 #2 ok, again", "begin 1 do #3", "end 1 #3 ok", "run succeeded")},
		{"until that never comes", func(r *rig) []*rule.Step {
			return []*rule.Step{with(do("do"), func(s *rule.Step) {
				s.Retries = 1
				s.Until = r.eval.expr(func(*rule.Scope) (bool, error) { return false, nil })
			})}
		}, lines("begin 1 do #1", "end 1 #1 ok, again", "begin 1 do #2", "end 1 #2 failed: until is still false after 2 attempts",
			"run failed: step 1 (do): until is still false after 2 attempts")},
		{"a loop does all elements, then fails", func(r *rig) []*rule.Step {
			return []*rule.Step{
				with(do("bad"), ignore, reg("all"), func(s *rule.Step) {
					s.Loop = r.eval.value(func(*rule.Scope) (any, error) { return []any{"a", int64(2), "c"}, nil })
					s.When = r.eval.expr(func(s *rule.Scope) (bool, error) { return s.HasItem && s.Item != int64(2), nil })
				}),
				with(do("do"), func(s *rule.Step) {
					s.When = r.eval.expr(func(s *rule.Scope) (bool, error) {
						m := s.Registers["all"].(map[string]any)
						rs := m["results"].([]any)
						return m["failed"] == true && len(rs) == 3 && rs[1].(map[string]any)["skipped"] == true, nil
					})
				}),
			}
		}, lines("end 1 #1 ok", "begin 1#0 bad #1", "end 1#0 #1 failed: refused", "skip 1#1", "begin 1#2 bad #1", "end 1#2 #1 failed: refused",
			"begin 2 do #1", "end 2 #1 ok", "run succeeded")},
		{"rescue and always", func(*rig) []*rule.Step {
			return []*rule.Step{{Block: []*rule.Step{do("bad"), do("do")}, Rescue: []*rule.Step{do("do")}, Always: []*rule.Step{do("once")}}, do("do")}
		}, lines("begin 1.block.0 bad #1", "end 1.block.0 #1 failed: refused", "begin 1.rescue.0 do #1", "end 1.rescue.0 #1 ok",
			"begin 1.always.0 once #1", "end 1.always.0 #1 ok", "begin 2 do #1", "end 2 #1 ok", "run succeeded")},
		{"always, and then the failure", func(*rig) []*rule.Step {
			return []*rule.Step{{Block: []*rule.Step{do("bad")}, Always: []*rule.Step{do("do")}}, do("do")}
		}, lines("begin 1.block.0 bad #1", "end 1.block.0 #1 failed: refused", "begin 1.always.0 do #1", "end 1.always.0 #1 ok",
			"run failed: step 1.block.0 (bad): refused")},
		{"a loop over a block", func(r *rig) []*rule.Step {
			return []*rule.Step{{Block: []*rule.Step{do("do"), do("do")},
				Loop: r.eval.value(func(*rule.Scope) (any, error) { return []string{"a", "b"}, nil })}}
		}, lines("end 1 #1 ok", "begin 1#0.block.0 do #1", "end 1#0.block.0 #1 ok", "begin 1#0.block.1 do #1", "end 1#0.block.1 #1 ok",
			"begin 1#1.block.0 do #1", "end 1#1.block.0 #1 ok", "begin 1#1.block.1 do #1", "end 1#1.block.1 #1 ok", "run succeeded")},
		{"a block that is skipped", func(r *rig) []*rule.Step {
			return []*rule.Step{{Block: []*rule.Step{do("do")}, When: r.eval.expr(func(*rule.Scope) (bool, error) { return false, nil })}}
		}, lines("skip 1", "run succeeded")},
		{"an action that is not there", func(*rig) []*rule.Step { return []*rule.Step{do("nowhere")} },
			lines(`end 1 #1 failed: there is no action "nowhere" in this binary`, `run failed: step 1 (nowhere): there is no action "nowhere" in this binary`)},
		{"nothing to do", func(*rig) []*rule.Step { return nil }, lines("run succeeded")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.rule("x", tt.steps(r)...)
			r.one("x")
			if d := cmp.Diff(tt.want, transcript(r.log.journal(""))); d != "" {
				t.Error(d)
			}
			// Read again, the log gives the same: nothing is open, nothing done.
			n := len(r.eff.all())
			r.start(record.Position{}, nil)
			r.feed()
			r.settle()
			r.stop()
			if got := len(r.eff.all()); got != n {
				t.Errorf("%d more effects after a restart", got-n)
			}
		})
	}
}

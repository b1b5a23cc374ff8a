package rule_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/rule"
)

// FuzzLoad loads anything: it must end soon, with a place for whatever is
// wrong, and what it takes must match and evaluate without a panic.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte(portDown))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 16<<10 {
			return
		}
		begin := time.Now()
		b := bundle("")
		b.Rules[0].Data = src
		set, inv, diags := rule.Load(b, options())
		for _, d := range diags {
			if d.Pos.Line < 1 || d.Pos.Col < 1 || d.Message == "" {
				t.Errorf("a diagnostic without a place: %+v", d)
			}
			_ = d.Format(src)
		}
		if (set == nil) != rule.HasErrors(diags) {
			t.Errorf("set %v, diagnostics %v", set, diags)
		}
		if set != nil {
			scope := rule.NewScope(newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"x","members":["a"]}`), inv)
			for _, m := range set.MatchScope(scope) {
				_, _, _, _ = set.Dedup(m.Rule, scope)
				evaluate(m.Rule.Do, scope)
				evaluate(m.Rule.Updated, scope)
				evaluate(m.Rule.Resolved, scope)
			}
			ask := set.Decide(scope.Event, inv, rule.Deciding{})
			for _, m := range ask.Match(nil) {
				inputs, _ := ask.Inputs(m)
				for _, in := range inputs {
					_, _ = set.Binds(m.Rule, in.Part, scope.Event, []*event.Event{scope.Event}, inv)
				}
			}
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func evaluate(steps []*rule.Step, s *rule.Scope) {
	for _, st := range steps {
		if st.When != nil {
			_, _ = st.When.Bool(s)
		}
		if st.Args != nil {
			_, _ = st.Args.Eval(s)
		}
		for _, inner := range [][]*rule.Step{st.Parallel, st.Block, st.Rescue, st.Always} {
			evaluate(inner, s)
		}
	}
}

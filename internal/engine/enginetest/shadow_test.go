package enginetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestShadowChangesNothing puts a rule in shadow, with any form and stages, beside
// the others and before them: what these do stays the same, it starts no run,
// opens no situation, and what it would have done is what it does when active.
func TestShadowChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawEverything(t)
		log := drawLog(t, w, true)
		form := rapid.SampledFrom([]string{"single", "count", "flap", "sequence", "all", "unless", "threshold"}).Draw(t, "form of the shadow")
		r := drawRule(t, "shadow", form)
		r.mode = shadow
		if slices.Contains(holding, form) {
			for _, other := range w.rules {
				r.plan.Holds = append(r.plan.Holds, other.name)
			}
		}
		if rapid.Bool().Draw(t, "with a situation") {
			drawStory(t, r)
		}
		without, _ := fast(t, w, log, never)
		beside := *w
		beside.rules = slices.Insert(slices.Clone(w.rules), 0, r)
		with, _ := fast(t, &beside, log, never)
		for i := range with {
			for _, run := range with[i].Runs {
				if run.Rule == "shadow" {
					t.Fatalf("a rule in shadow started a run")
				}
			}
		}
		if diff := cmp.Diff(others(facts(w, without, log)), others(facts(&beside, with, log))); diff != "" {
			t.Fatalf("(-without +beside the shadow):\n%s\nrules:\n%s\nlog:\n%s", diff, &beside, story(w, log))
		}
	})
}

// others leaves out what is said of the rule in shadow, and verdicts, which are
// of all rules together.
func others(facts []string) []string {
	return slices.DeleteFunc(append([]string{}, facts...), func(f string) bool {
		return strings.Contains(f, ": verdict ") || strings.Contains(f, " shadow ")
	})
}

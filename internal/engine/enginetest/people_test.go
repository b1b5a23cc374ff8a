package enginetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/record"
)

// TestPeopleAgree lets a person acknowledge and resolve situations in the course
// of a generated log, also such as are resolved or never were. The two correlators
// name situations in their own way, so each gets the command about the one that it
// opened as the n-th.
func TestPeopleAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawSituation(t)
		log := drawLog(t, w, false)
		mine, theirs := slices.Clone(log), slices.Clone(log)
		for i := range log {
			if rapid.IntRange(0, 3).Draw(t, "a person speaks") > 0 {
				continue
			}
			verb := rapid.SampledFrom([]string{"acknowledge", "resolve"}).Draw(t, "verb")
			nth := rapid.IntRange(0, 3).Draw(t, "which")
			did, _ := fast(t, w, mine[:i], never)
			mine[i] = spoken(log[i], verb, opened(did, nth))
			theirs[i] = spoken(log[i], verb, opened(slow(w, theirs[:i]), nth))
		}
		got, _ := fast(t, w, mine, never)
		if diff := cmp.Diff(facts(w, slow(w, theirs), theirs), facts(w, got, mine)); diff != "" {
			t.Fatalf("the engine differs (-reference +engine):\n%s\nrules:\n%s\nlog:\n%s", diff, w, story(w, mine))
		}
	})
}

// opened is the id of the n-th situation that was opened.
func opened(all []record.Decision, n int) string {
	for i := range all {
		for _, s := range all[i].Situations {
			if s.Change != "opened" {
				continue
			}
			if n == 0 {
				return s.ID
			}
			n--
		}
	}
	return "none"
}

// spoken is a batch with a person's word before its records.
func spoken(b *record.Batch, verb, situation string) *record.Batch {
	c := *b
	c.Records = append([]record.Record{{Kind: record.KindCommand, Command: &record.Command{ID: "c", Verb: verb, Run: situation, By: "ann"}}}, b.Records...)
	return &c
}

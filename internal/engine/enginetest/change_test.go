package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// change is a log in whose course another rule set comes into force.
type change struct {
	before, after *world
	log           []*record.Batch
	at            int // the batch that brings it
}

// drawChange draws two rule sets, with rules in another order, of which one stays
// as it is, one means another thing, one goes and one comes.
func drawChange(t *rapid.T) *change {
	forms := []string{"single", "count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}
	draw := func(name string) *worldRule {
		r := drawRule(t, name, rapid.SampledFrom(forms).Draw(t, "form of "+name))
		r.own = unit * time.Duration(rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "own dedup of "+name))
		if rapid.Bool().Draw(t, name+" dampens") {
			r.plan.Dampen = drawDampen(t).rules[0].plan.Dampen
		}
		if rapid.Bool().Draw(t, name+" has limits") {
			r.limits = drawLimits(t)
		}
		return r
	}
	kept, changed, gone := draw("kept"), draw("changed"), draw("gone")
	c := &change{before: &world{rules: []*worldRule{kept, changed, gone}, coarse: time.Millisecond}}
	other, fresh := draw("changed"), draw("new")
	other.plan.Signature = "t"
	if d := other.plan.Dampen; d != nil {
		d.Signature = "t"
	}
	for i := range other.limits {
		other.limits[i].Signature += "t"
	}
	c.after = &world{rules: []*worldRule{fresh, other, kept}, coarse: time.Millisecond, without: map[string]bool{"changed": true, "gone": true}}
	c.log = drawLog(t, c.before, false)
	c.after.said = c.before.said
	c.at = rapid.IntRange(0, len(c.log)-1).Draw(t, "change before batch")
	c.log = slices.Insert(c.log, c.at, &record.Batch{Time: c.log[c.at].Time, Subject: record.Events, Records: []record.Record{
		{Kind: record.KindRules, Rules: &record.Rules{Version: "after", Parts: 1, Data: []byte("after")}}}})
	for i, b := range c.log {
		b.Seq = uint64(i + 2)
	}
	return c
}

// load gives the rule set of a bundle.
func (c *change) load(bundle []byte) (engine.Rules, error) {
	switch string(bundle) {
	case "w":
		return c.before, nil
	case "after":
		return c.after, nil
	}
	return nil, fmt.Errorf("no rule set %q", bundle)
}

// alone is what the reference says about one rule that is in force for a part of
// the log.
func (c *change) alone(r *worldRule, part []*record.Batch) []string {
	w := &world{rules: []*worldRule{r}, coarse: c.before.coarse, said: c.before.said}
	return facts(w, slow(w, part), c.log)
}

// want is what must come of the whole log: a rule that stays sees all of it, the
// others what came while they were in force.
func (c *change) want() []string {
	var out []string
	for _, r := range c.before.rules {
		part := c.log
		if c.after.without[r.name] {
			part = c.log[:c.at+1]
		}
		out = append(out, c.alone(r, part)...)
	}
	for _, r := range c.after.rules {
		if !slices.Contains(c.before.rules, r) {
			out = append(out, c.alone(r, c.log[c.at+1:])...)
		}
	}
	return ofRules(out)
}

// got is what the engine says, with the words of the rule set that said it.
func (c *change) got(all []record.Decision) []string {
	end := slices.IndexFunc(all, func(d record.Decision) bool { return d.At.Seq > c.log[c.at].Seq })
	if end < 0 {
		end = len(all)
	}
	return ofRules(append(facts(c.before, all[:end], c.log), facts(c.after, all[end:], c.log)...))
}

// ofRules leaves out verdicts, which are of all rules together, and sorts.
func ofRules(facts []string) []string {
	out := slices.DeleteFunc(facts, func(f string) bool { return strings.Contains(f, ": verdict ") })
	slices.Sort(out)
	return out
}

// TestRuleChangesAgree changes the rules in the course of a log: what stays the
// same goes on as if nothing had happened, what means another thing begins anew,
// and a snapshot on either side of it changes nothing.
func TestRuleChangesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChange(t)
		all, encoded := fastLoaded(t, c.load, c.log, never)
		if diff := cmp.Diff(c.want(), c.got(all)); diff != "" {
			t.Fatalf("the engine differs (-reference +engine):\n%s\nrules before:\n%s\nafter batch %d:\n%s\nlog:\n%s", diff, c.before, c.at, c.after, story(c.before, c.log))
		}
		every := rapid.IntRange(1, 3).Draw(t, "restored every")
		if _, again := fastLoaded(t, c.load, c.log, func(i int) bool { return i%every == 0 }); string(again) != string(encoded) {
			t.Fatalf("restored every %d batches, the decisions differ\nrules before:\n%s\nafter batch %d:\n%s\nlog:\n%s", every, c.before, c.at, c.after, story(c.before, c.log))
		}
	})
}

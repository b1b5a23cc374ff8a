package ruletest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/internal/rule"
)

// Failure is one thing that is not as the test expects.
type Failure struct {
	Pos     rule.Pos
	Message string
}

// Result is what became of a test.
type Result struct {
	Test     *Test
	Failures []Failure
	// Timeline tells all that happened, in order of time, with what was
	// expected and did not come ("-") and what came and was not expected
	// ("+"). Only of tests that failed.
	Timeline string
}

// OK says whether all was as expected.
func (r *Result) OK() bool { return len(r.Failures) == 0 }

// Trace runs the events of a test and tells what came of them, in order of
// time, whatever the test expects.
func (e *Env) Trace(test *Test) ([]Happening, error) {
	t := &trial{env: e, test: test}
	if err := t.decideAll(); err != nil {
		return nil, err
	}
	t.sort()
	for _, f := range t.fails {
		return t.out, fmt.Errorf("line %d: %s", f.Pos.Line, f.Message)
	}
	return t.out, nil
}

func (t *trial) sort() {
	slices.SortStableFunc(t.out, func(a, b Happening) int { return int(min(max(a.At-b.At, -1), 1)) })
}

// Run runs one test. It is safe for many goroutines only where Env.Coverage is
// nil.
func (e *Env) Run(test *Test) *Result {
	t := &trial{env: e, test: test}
	t.names()
	if err := t.decideAll(); err != nil {
		t.fail(test.Pos, "the engine: %v", err)
	}
	t.sort()
	missing := t.match()
	t.unexpected()
	t.counts()
	t.cover()
	res := &Result{Test: test, Failures: t.fails}
	if len(t.fails) > 0 {
		res.Timeline = t.timeline(missing)
	}
	return res
}

// names finds rules that a test names and that there are not: such a test would
// say that all is well for ever.
func (t *trial) names() {
	var known []string
	for _, r := range t.env.Set.Rules {
		known = append(known, r.Name)
	}
	check := func(p rule.Pos, name string) {
		if name == "" || slices.Contains(known, name) {
			return
		}
		hint := rule.Likely(name, known)
		if hint != "" {
			hint = " (" + hint + ")"
		}
		t.fail(p, "there is no rule %q%s", name, hint)
	}
	for i := range t.test.Expect {
		check(t.test.Expect[i].Pos, t.test.Expect[i].Rule)
	}
	for _, n := range append(slices.Clone(t.test.Rules), t.test.Never...) {
		check(n.Pos, n.Text)
	}
}

// fits says whether a happening is what x expects, or what is different.
func (t *trial) fits(x *Expectation, index int, h *Happening) (diffs []string) {
	differ := func(what string, want, got any) {
		diffs = append(diffs, fmt.Sprintf("%s: expected %v, came %v", what, want, got))
	}
	if x.At != nil && *x.At != h.At {
		differ("at", span(*x.At), span(h.At))
	}
	for _, f := range []struct {
		what string
		want *string
		got  string
	}{{"device", x.Device, h.Device}, {"interface", x.Interface, h.Interface}, {"key", x.Key, h.Key},
		{"branch", x.Branch, h.Branch}, {"situation", x.Situation, h.Situation}} {
		if f.want != nil && *f.want != f.got {
			differ(f.what, or(*f.want, "none"), or(f.got, "none"))
		}
	}
	if x.Events != nil && *x.Events != h.Events {
		differ("events", *x.Events, h.Events)
	}
	if x.Verdict != "" && x.Verdict != h.Verdict {
		differ("event", x.Verdict, h.Verdict)
	}
	if x.Kind == "run" && (x.HasSteps || x.Ends != nil) {
		diffs = append(diffs, t.fitsSteps(x, index, h)...)
	}
	return diffs
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// same says whether a happening is of the kind that x asks about.
func (x *Expectation) same(h *Happening) bool {
	if x.Kind == "suppressed" {
		return h.Rule == x.Rule && slices.Contains(heldBack, h.Kind)
	}
	return h.Kind == x.Kind && h.Rule == x.Rule
}

// wanted is one expectation, once.
type wanted struct {
	x     *Expectation
	index int
}

// match gives each expectation a happening of its own, as many as can be, and
// reports those that get none. It is a maximum matching, so the order of the
// expectations does not matter.
func (t *trial) match() (missing []wanted) {
	var all []wanted
	for i := range t.test.Expect {
		for range t.test.Expect[i].Times {
			all = append(all, wanted{&t.test.Expect[i], i})
		}
	}
	m := matcher{t: t, all: all, by: map[int]int{}}
	for i := range all {
		m.seen = map[int]bool{}
		if !m.place(i) {
			missing = append(missing, all[i])
		}
	}
	for h := range m.by {
		t.out[h].taken = true
	}
	reported := map[int]int{}
	for _, w := range missing {
		reported[w.index]++
	}
	for i := range t.test.Expect {
		if n := reported[i]; n > 0 {
			t.missed(&t.test.Expect[i], i, n)
		}
	}
	return missing
}

// matcher finds a maximum matching by augmenting paths.
type matcher struct {
	t    *trial
	all  []wanted
	by   map[int]int // happening → expectation
	seen map[int]bool
}

func (m *matcher) place(i int) bool {
	w := m.all[i]
	// What is free goes first: in a long series each takes the next.
	for _, free := range []bool{true, false} {
		for h := range m.t.out {
			_, used := m.by[h]
			if used == free || m.seen[h] || !w.x.same(&m.t.out[h]) || len(m.t.fits(w.x, w.index, &m.t.out[h])) > 0 {
				continue
			}
			m.seen[h] = true
			if free || m.place(m.by[h]) {
				m.by[h] = i
				return true
			}
		}
	}
	return false
}

// missed reports an expectation that nothing came for, with what came nearest.
func (t *trial) missed(x *Expectation, index, n int) {
	text := x.text()
	if x.Times > 1 {
		text += fmt.Sprintf(" (%d of %d times)", n, x.Times)
	}
	var best []string
	var near *Happening
	for i := range t.out {
		h := &t.out[i]
		if h.taken || !x.same(h) {
			continue
		}
		if d := t.fits(x, index, h); best == nil || len(d) < len(best) {
			best, near = d, h
		}
	}
	if near != nil {
		near.near = true
	}
	switch {
	case x.Kind == "event":
		t.fail(x.Pos, "%s: it did not come", text)
	case best != nil:
		t.fail(x.Pos, "%s: the nearest differs in %s%s", text, strings.Join(best, "; "), t.reason(x, x.At))
	default:
		t.fail(x.Pos, "%s: it did not come%s", text, or(t.reason(x, nil), "; the rule took no event"))
	}
}

// reason says what the rule did instead of what was expected, at a time or at
// any.
func (t *trial) reason(x *Expectation, at *time.Duration) string {
	if x.Rule == "" {
		return ""
	}
	var said []string
	for i := range t.out {
		h := &t.out[i]
		if h.Rule != x.Rule || h.taken || h.Kind == "run" || h.Kind == "event" || h.Kind == x.Kind || at != nil && h.At != *at {
			continue
		}
		s := h.note() + " at " + span(h.At)
		if len(said) < 3 && !slices.Contains(said, s) {
			said = append(said, s)
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; instead: " + strings.Join(said, "; ")
}

// unexpected reports runs of rules under test that nothing expected.
func (t *trial) unexpected() {
	under := t.test.under(t.env.Set)
	for i := range t.out {
		h := &t.out[i]
		if h.taken || h.near || h.Kind != "run" && h.Kind != "shadow" || !under[h.Rule] {
			continue
		}
		pos, why := t.test.Pos, "was not expected"
		for _, n := range t.test.Never {
			if n.Text == h.Rule {
				pos, why = n.Pos, "must never come"
			}
		}
		t.fail(pos, "%s at %s %s", h.text(), span(h.At), why)
	}
}

// counts checks what is counted over the whole test, and that events that were
// rejected were meant to be.
func (t *trial) counts() {
	unmatched := 0
	wantsRejected := slices.ContainsFunc(t.test.Expect, func(x Expectation) bool { return x.Verdict == "rejected" })
	for i := range t.out {
		h := &t.out[i]
		switch {
		case h.Kind != "event":
		case h.Verdict == "unmatched":
			unmatched++
		case h.Verdict == "rejected" && !wantsRejected:
			t.fail(t.events[h.Number-1].pos, "event %d was rejected: %s", h.Number, h.Detail)
		}
	}
	if u := t.test.Unmatched; u != nil && u.N != unmatched {
		t.fail(u.Pos, "unmatched: expected %d events, came %d", u.N, unmatched)
	}
}

// cover walks the steps of all runs that no expectation has walked.
func (t *trial) cover() {
	if t.env.Coverage == nil {
		return
	}
	for i := range t.out {
		if h := &t.out[i]; h.Kind == "run" && len(h.walked) == 0 {
			t.env.walk(h, t.test.Outputs)
		}
	}
}

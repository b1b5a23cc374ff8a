package explain

import (
	"fmt"
	"strings"
	"time"

	"signalbox/internal/rule"
)

// Text writes the answer for people, a line each. What came from the network is
// in it as it came: make it safe before it goes to a terminal.
func (x *Explanation) Text() string {
	w := &writer{}
	e := &x.Event
	w.line("event %s  %s  %s", e.ID, e.Type, strings.TrimSpace(e.Device+" "+e.Interface))
	if !e.LogTime.IsZero() {
		w.line("  logged  %s at %s, from %s", stamp(e.LogTime), x.Position, e.Source)
	}
	outcome := x.Status
	if x.Reason != "" {
		outcome += ": " + x.Reason
	}
	w.line("  outcome %s", outcome)
	if x.RuleSet != "" {
		w.line("  rules   %s", x.RuleSet)
	}
	if x.Remark != "" {
		w.line("  remark  %s", x.Remark)
	}
	for i := range x.Rules {
		w.line("")
		w.rule(x, &x.Rules[i])
	}
	if len(x.Hints) > 0 {
		w.line("")
		for _, h := range x.Hints {
			w.line("%s", h)
		}
	}
	if x.Others > 0 {
		w.line("")
		more := "more rules listen"
		if x.Others == 1 {
			more = "more rule listens"
		}
		w.line("%d %s to other types", x.Others, more)
	}
	if len(x.Later) > 0 {
		w.line("")
		w.line("later")
		for i := range x.Later {
			w.later(&x.Later[i])
		}
	}
	for i := range x.Runs {
		w.line("")
		w.run(&x.Runs[i])
	}
	return w.b.String()
}

type writer struct{ b strings.Builder }

func (w *writer) line(format string, args ...any) {
	w.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	w.b.WriteByte('\n')
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }

func (w *writer) rule(x *Explanation, r *Rule) {
	mode := ""
	if r.Mode != "" {
		mode = " (" + r.Mode + ")"
	}
	w.line("rule %s%s: %s", r.Rule, mode, r.Result)
	for i := range r.Stages {
		s := &r.Stages[i]
		mark := map[string]string{Passed: "✓", Stopped: "✗", Waits: "…"}[s.State]
		detail := s.Detail
		if s.Of != "" && s.Of != x.Event.ID {
			detail += " of " + string(s.Of)
		}
		if len(s.Whens) == 0 {
			w.line("  %s %-10s %s", mark, s.Name, detail)
		}
		for _, c := range s.Whens {
			w.condition(mark, &c)
		}
		for _, l := range s.Lines {
			w.line("    %-10s %s", "", l)
		}
	}
}

func (w *writer) condition(mark string, c *rule.ExplainedCondition) {
	name := "when"
	if c.Where != "when" {
		name = c.Where
	}
	if !c.Met {
		mark = "✗"
	}
	w.line("  %s %-10s %s → %s", mark, name, c.Root.Text, c.Root.Value)
	if c.Index != "" {
		w.line("    %-10s not even asked: by the index, %s", "", c.Index)
	}
	w.because(&c.Root, 1)
	w.parts(&c.Root, 1)
}

func (w *writer) parts(p *rule.ExplainedPart, depth int) {
	for i := range p.Parts {
		q := &p.Parts[i]
		w.line("    %-10s %s%s → %s", "", strings.Repeat("  ", depth), q.Text, q.Value)
		w.because(q, depth+1)
		w.parts(q, depth+1)
	}
}

func (w *writer) because(p *rule.ExplainedPart, depth int) {
	for _, r := range p.Because {
		w.line("    %-10s %s%s is %s", "", strings.Repeat("  ", depth), r.Text, r.Value)
	}
}

func (w *writer) later(l *Later) {
	when := stamp(l.Time)
	if !l.Due.IsZero() {
		when += " (due " + stamp(l.Due) + ")"
	}
	text := l.Rule + ": " + l.Outcome
	if l.Detail != "" {
		text += ", " + l.Detail
	}
	if l.Run != "" {
		text += " → " + l.Run
	}
	if l.Situation != "" {
		text += ", situation " + l.Situation
	}
	w.line("  %s  %s", when, text)
}

func (w *writer) run(r *Run) {
	w.line("run %s of rule %s: %s", r.ID, r.Rule, strings.TrimSuffix(r.Status+": "+r.Error, ": "))
	if r.Key != "" {
		w.line("  key       %s", r.Key)
	}
	if !r.Due.IsZero() {
		w.line("  due       %s: time decided it, and no event", stamp(r.Due))
	}
	if r.Branch != "" {
		w.line("  steps     %s", r.Branch)
	}
	if r.Situation != "" {
		w.line("  situation %s", r.Situation)
	}
	for i, p := range r.Events {
		as := ""
		if p.As != "" {
			as = " as " + p.As
		}
		if i == 0 {
			w.line("  events    %d", max(r.Total, len(r.Events)))
		}
		w.line("    %s  %s  %s%s", p.ID, p.Type, p.Device, as)
	}
	for _, s := range r.Steps {
		tries := ""
		if s.Attempts > 1 {
			tries = fmt.Sprintf(", %d attempts", s.Attempts)
		}
		w.line("  step %-12s %-14s %s%s", s.Step, s.Action, s.Status, tries)
		if s.Error != "" {
			w.line("    error  %s", s.Error)
		}
		if s.Output != "" {
			w.line("    output %s", s.Output)
		}
	}
}

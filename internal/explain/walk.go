package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// pipe walks one rule.
type pipe struct {
	q   *Question
	r   *rule.Rule
	out *Rule
}

func (p pipe) add(name, state, format string, args ...any) *Stage {
	p.out.Stages = append(p.out.Stages, Stage{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
	return &p.out.Stages[len(p.out.Stages)-1]
}

// note gives what the decision says of the rule in a stage; nil for nothing.
func (p pipe) note(stage string) *record.RuleNote {
	if p.q.Decision == nil {
		return nil
	}
	for i := range p.q.Decision.Notes {
		// A note about another event that this one absorbed or let go is not its own.
		n := &p.q.Decision.Notes[i]
		if n.Rule == p.r.Name && stageOf(n.Outcome) == stage && (n.Of == "" || n.Outcome != "absorbed" && n.Outcome != "released" || n.Of == p.q.Event.ID) {
			return n
		}
	}
	return nil
}

// stop adds a stage by its note, and says whether the event went no further.
func (p pipe) stop(stage string, n *record.RuleNote) bool {
	s := p.add(stage, stateOf(n.Outcome), "%s", strings.TrimSuffix(n.Outcome+": "+n.Detail, ": "))
	s.Of = n.Of
	p.out.Result = n.Outcome
	return s.State != Passed
}

// walk goes as far as the event went.
func (p pipe) walk() {
	p.out.Result = "no"
	for _, stage := range []func() bool{p.on, p.when, p.before, p.form, p.after} {
		if !stage() {
			return
		}
	}
}

func (p pipe) on() bool {
	if !p.out.Listens {
		return true // a person, or what came before it, set it off
	}
	p.add("on", Passed, "%s", strings.Join(p.r.On, ", "))
	if p.r.Mode == "off" {
		p.add("mode", Stopped, "the rule is off")
		return false
	}
	return true
}

func (p pipe) when() bool {
	var whens []rulePart
	for _, role := range p.out.Roles {
		if role.Listens {
			for _, c := range role.Conditions {
				if role.What != "" {
					c.Where = "when of " + role.What
				}
				whens = append(whens, c)
			}
		}
	}
	state := Passed
	if !p.out.Takes {
		state = Stopped
	}
	if len(whens) > 0 {
		p.add("when", state, "").Whens = whens
	}
	if n := p.note("when"); n != nil {
		p.out.Result = n.Outcome
		if len(whens) == 0 {
			p.stop("when", n)
		}
		return false
	}
	if p.out.Error != "" {
		p.add("key", Stopped, "%s", p.out.Error)
		return false
	}
	return p.out.Takes
}

// before is what stands before the form.
func (p pipe) before() bool {
	if n := p.note("loop"); n != nil {
		return !p.stop("loop", n)
	}
	single := p.r.Plan == nil || p.r.Plan.Form == correlate.Single
	if p.q.Status == "duplicate" && (single || len(p.notes()) == 0) {
		s := p.add("global dedup", Stopped, "the event repeats another, and this rule does not look at such")
		s.Of = p.q.Decision.Of
		return false
	}
	if d := p.out.Dedup; d != nil {
		if n := p.note("dedup"); n != nil {
			p.stop("dedup", n)
			p.last().Lines = []string{"key " + d.Key}
			return false
		}
		p.add("dedup", Passed, "news: %s within %s", d.Key, d.Within)
	}
	if p.r.Plan == nil {
		return true
	}
	if n := p.note("time"); n != nil && p.stop("time", n) {
		return false
	}
	if p.r.Plan.Dampen != nil {
		if n := p.note("dampen"); n != nil {
			went := !p.stop("dampen", n)
			p.last().Lines = append(keyLine(n.Key), p.q.State[p.r.Name]...)
			return went
		}
		p.add("dampen", Passed, "let through: suppressed above %d, again below %d", p.r.Plan.Dampen.Suppress, p.r.Plan.Dampen.Reuse)
	}
	if p.r.Plan.Upstream != nil {
		if n := p.note("upstream"); n != nil {
			return !p.stop("upstream", n)
		}
		p.add("upstream", Passed, "nothing upstream is known to be down")
	}
	return true
}

func (p pipe) last() *Stage { return &p.out.Stages[len(p.out.Stages)-1] }

func (p pipe) notes() []record.RuleNote {
	var out []record.RuleNote
	if p.q.Decision != nil {
		for _, n := range p.q.Decision.Notes {
			if n.Rule == p.r.Name {
				out = append(out, n)
			}
		}
	}
	return out
}

// form is the form itself, and what it is held for.
func (p pipe) form() bool {
	plan := p.r.Plan
	if plan != nil && plan.Form != correlate.Single {
		name := FormName(plan.Form)
		keys := p.keys()
		n := p.note("form")
		switch {
		case n != nil:
			p.stop(name, n)
		case len(runsOf(p.q.Decision, p.r.Name)) > 0 || p.note("do") != nil || p.note("group") != nil:
			p.add(name, Passed, "found")
		default:
			p.add(name, Stopped, "%s", notTaken(plan))
		}
		p.last().Lines = append(keys, p.q.State[p.r.Name]...)
		if p.last().State != Passed {
			return false
		}
	}
	if n := p.note("holds"); n != nil && p.stop("held", n) {
		return false
	}
	return true
}

// notTaken says why a form may have passed an event over.
func notTaken(plan *correlate.Plan) string {
	if plan.Form != correlate.Threshold {
		return "not taken: it is none of what is waited for here"
	}
	l, what, limit := &plan.Limit, "it is", "above"
	v := l.Above
	if v == nil {
		limit, v = "below", l.Below
	}
	if l.Rate {
		what = "the change per second since the sample before is (a first sample has none)"
	}
	if v == nil {
		return "not taken"
	}
	return fmt.Sprintf("not taken: %s not %s %s", what, limit, strconv.FormatFloat(*v, 'f', -1, 64))
}

// keys tells what the event is to the form.
func (p pipe) keys() []string {
	var out []string
	for _, k := range p.out.Inputs {
		line := "key " + k.Key
		if k.What != "" {
			line = k.What + ", " + line
		}
		if k.Value != "" {
			line += ", value " + k.Value
		}
		out = append(out, line)
	}
	return out
}

// after is what stands behind the form.
func (p pipe) after() bool {
	if p.r.Plan != nil && p.r.Plan.Group != nil {
		if n := p.note("group"); n != nil {
			p.stop("group", n)
			p.last().Lines = append(keyLine(n.Key), p.q.State[p.r.Name]...)
			return false
		}
	}
	if n := p.note("form"); n != nil && n.Outcome == "full" { // the form itself has none, or went on
		stage := "situation"
		if p.r.Plan != nil && p.r.Plan.Group != nil {
			stage = "group"
		}
		p.stop(stage, n)
		p.last().Lines = keyLine(n.Key)
		return false
	}
	if p.q.Decision != nil {
		for _, c := range p.q.Decision.Situations {
			if c.Rule == p.r.Name {
				p.add("situation", Passed, "%s %s, %s, key %s", c.Change, c.ID, c.State, c.Key)
				p.out.Result = c.Change
			}
		}
	}
	p.limits()
	runs := runsOf(p.q.Decision, p.r.Name)
	for _, r := range runs {
		p.out.Result = "ran"
		p.out.Runs = append(p.out.Runs, r.Run)
		branch := "do"
		if r.Branch != "" {
			branch = r.Branch
		}
		p.add(branch, Passed, "run %s", r.Run)
	}
	if n := p.note("do"); n != nil {
		p.stop("do", n)
		return true
	}
	if len(runs) == 0 && p.out.Result == "no" {
		switch {
		case p.q.Status == "pending":
			p.add("do", Waits, "it is not decided yet")
		case p.only("resolves"):
			p.add("situation", Stopped, "no situation with this key is open")
		case p.only("clears"):
			p.add("group", Stopped, "no member of a group is cleared by it")
		default:
			p.add("do", Stopped, "the log has no run of it")
		}
	}
	return true
}

// limits are asked last, where there would be a run.
func (p pipe) limits() {
	if n := p.note("limits"); n != nil {
		p.stop("limits", n)
		p.last().Lines = keyLine(n.Key)
		return
	}
	if len(runsOf(p.q.Decision, p.r.Name)) == 0 {
		return
	}
	var texts []string
	for _, l := range append(slices.Clone(p.r.Limits()), p.q.Set.GlobalLimits()...) {
		texts = append(texts, l.Text)
	}
	if len(texts) > 0 {
		p.add("limits", Passed, "there was room: %s", strings.Join(texts, "; "))
	}
}

// keyLine tells the key of a note.
func keyLine(key string) []string {
	if key == "" {
		return nil
	}
	return []string{"key " + key}
}

// only says whether the event is nothing but that to the rule.
func (p pipe) only(what string) bool {
	return len(p.out.Inputs) > 0 && !slices.ContainsFunc(p.out.Inputs, func(k rule.ExplainedKey) bool { return k.What != what })
}

// stageOf is the part of the pipe that gives an outcome (see record.RuleNote).
func stageOf(outcome string) string {
	switch outcome {
	case "error":
		return "when"
	case "loop":
		return "loop"
	case "duplicate":
		return "dedup"
	case "dampened":
		return "dampen"
	case "upstream":
		return "upstream"
	case "late":
		return "time"
	case "joined", "full":
		return "form"
	case "held", "absorbed", "released":
		return "holds"
	case "grouped":
		return "group"
	case "limited":
		return "limits"
	}
	return "do" // shadow
}

func stateOf(outcome string) string {
	switch outcome {
	case "joined", "held", "grouped":
		return Waits
	case "shadow", "released":
		return Passed
	}
	return Stopped
}

// Package explain says why an event did what it did, or why it did nothing:
// every rule that was asked, in the order of the pipe (on, when, loop, dedup or
// dampen, upstream, the form, holds, group, situation, do), each part of its
// condition with its value, and what the log says that came of it.
//
// It is pure. What it is given are the event, the rule set and the inventory that
// decided about it, and the decision; so it shows what was, and not what the rules
// of today would do.
package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Question is what is asked, and what the log knows about it.
type Question struct {
	Event    *event.Event
	Position string // of the event in the log, "" for none
	LogTime  time.Time
	// Status is what became of the event: decided, duplicate, suppressed,
	// unmatched, rejected or pending.
	Status string
	Reason string // rejected: why

	// RuleSet names the set that decided; Set and Inventory are it. Set is nil
	// where it cannot be had any more.
	RuleSet   string
	Set       *rule.Set
	Inventory *inventory.Inventory
	Decision  *record.Decision // of the event; nil: no rule matched, or it is not decided
	Later     []Later
	// State is what the rules' windows held before the event came, in lines, by
	// rule; StateRemark says why it is not known.
	State       map[string][]string
	StateRemark string

	Runs []Run  // that the event set off, or the one that is asked about
	Rule string // only this rule; "": all
}

// Later is what came of an event after it was decided.
type Later struct {
	Time      time.Time `json:"time"`
	Due       time.Time `json:"due,omitzero"`
	Rule      string    `json:"rule"`
	Outcome   string    `json:"outcome"`
	Detail    string    `json:"detail,omitempty"`
	Run       string    `json:"run,omitempty"`
	Situation string    `json:"situation,omitempty"`
}

// Run is one run with what its steps gave.
type Run struct {
	ID        string    `json:"run"`
	Rule      string    `json:"rule"`
	Status    string    `json:"status"`
	Error     string    `json:"error,omitempty"`
	Key       string    `json:"key,omitempty"`
	Due       time.Time `json:"due,omitzero"`
	Branch    string    `json:"branch,omitempty"`
	Situation string    `json:"situation,omitempty"`
	Events    []Part    `json:"events,omitempty"`
	Total     int       `json:"events_total,omitempty"`
	Steps     []Step    `json:"steps,omitempty"`
}

// Part is one event of a run.
type Part struct {
	ID     event.ID  `json:"id"`
	As     string    `json:"as,omitempty"`
	Type   string    `json:"type"`
	Device string    `json:"device,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Step is one step of a run.
type Step struct {
	Step     string `json:"step"`
	Action   string `json:"action,omitempty"`
	Status   string `json:"status"`
	Output   string `json:"output,omitempty"` // JSON
	Error    string `json:"error,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// Explanation is the answer.
type Explanation struct {
	Event    Head   `json:"event"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	RuleSet  string `json:"rule_set,omitempty"`
	Position string `json:"position,omitempty"`
	// Rules are those that listen to the event's type, in the order of the
	// files; Others is how many listen to other types.
	Rules  []Rule   `json:"rules"`
	Others int      `json:"others"`
	Hints  []string `json:"hints,omitempty"` // where nothing took it: what is nearest
	Later  []Later  `json:"later,omitempty"`
	Runs   []Run    `json:"runs,omitempty"`
	Remark string   `json:"remark,omitempty"`
}

// Head is the event in short.
type Head struct {
	ID        event.ID  `json:"id"`
	Type      string    `json:"type"`
	Device    string    `json:"device,omitempty"`
	Interface string    `json:"interface,omitempty"`
	Source    string    `json:"source,omitempty"`
	LogTime   time.Time `json:"log_time,omitzero"`
}

// Rule is what one rule made of the event.
type Rule struct {
	rule.Explained
	// Result is what came of it: "ran", "shadow", "joined", "held", … or "no".
	Result string   `json:"result"`
	Stages []Stage  `json:"stages"`
	Runs   []string `json:"runs,omitempty"`
}

// Stage is one part of the pipe.
type Stage struct {
	Name   string     `json:"stage"`
	State  string     `json:"state"` // passed, stopped, waits
	Detail string     `json:"detail,omitempty"`
	Of     event.ID   `json:"of,omitempty"` // the event that it repeats, or the cause
	Lines  []string   `json:"lines,omitempty"`
	Whens  []rulePart `json:"conditions,omitempty"`
}

type rulePart = rule.ExplainedCondition

// The states of a stage.
const (
	Passed  = "passed"
	Stopped = "stopped"
	Waits   = "waits"
)

// Explain answers.
func Explain(q Question) *Explanation {
	ev := q.Event
	x := &Explanation{Status: q.Status, Reason: q.Reason, RuleSet: q.RuleSet, Position: q.Position, Later: q.Later, Runs: q.Runs,
		Rules: []Rule{}, Event: Head{ID: ev.ID, Type: ev.Type, Device: ev.Device, Interface: ev.Interface, Source: ev.Source, LogTime: q.LogTime}}
	if d := q.Decision; d != nil && x.Reason == "" {
		x.Reason = d.Reason
		if d.Of != "" {
			x.Reason = strings.TrimPrefix(x.Reason+", repeats "+string(d.Of), ", ")
		}
	}
	if q.Status == "rejected" {
		return x // no rule was asked
	}
	if q.Set == nil {
		x.Remark = "the rule set that decided is not there any more: what follows is only what the log has"
		x.Rules = notesOnly(q.Decision)
		return x
	}
	for _, r := range q.Set.Rules {
		if q.Rule != "" && r.Name != q.Rule {
			continue
		}
		one := Rule{Explained: q.Set.Explain(r, ev, q.Inventory)}
		if !one.Listens && len(runsOf(q.Decision, r.Name)) == 0 {
			x.Others++
			continue
		}
		pipe{q: &q, r: r, out: &one}.walk()
		x.Rules = append(x.Rules, one)
	}
	x.Remark = q.StateRemark
	x.Hints = hints(&q, x)
	return x
}

// notesOnly is what a decision says of itself.
func notesOnly(d *record.Decision) []Rule {
	out := []Rule{}
	if d == nil {
		return out
	}
	for _, n := range d.Notes {
		out = append(out, Rule{Explained: rule.Explained{Rule: n.Rule}, Result: n.Outcome,
			Stages: []Stage{{Name: stageOf(n.Outcome), State: stateOf(n.Outcome), Detail: n.Detail, Of: n.Of}}})
	}
	for _, r := range d.Runs {
		out = append(out, Rule{Explained: rule.Explained{Rule: r.Rule, Version: r.RuleVersion}, Result: "ran", Runs: []string{r.Run}})
	}
	return out
}

func runsOf(d *record.Decision, name string) []record.RunStart {
	var out []record.RunStart
	if d != nil {
		for _, r := range d.Runs {
			if r.Rule == name {
				out = append(out, r)
			}
		}
	}
	return out
}

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

// FormName is the key of a form in a rule.
func FormName(f correlate.Form) string {
	names := [...]string{"single", "count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}
	if int(f) < len(names) {
		return names[f]
	}
	return "form"
}

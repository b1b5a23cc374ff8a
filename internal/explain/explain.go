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

// FormName is the key of a form in a rule.
func FormName(f correlate.Form) string {
	names := [...]string{"single", "count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"}
	if int(f) < len(names) {
		return names[f]
	}
	return "form"
}

package ruletest

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// wantKeys are the keys of an expectation beside the one that says what it is.
var wantKeys = []string{"at", "rule", "device", "interface", "key", "events", "branch", "situation", "steps", "ends", "outputs", "times"}

func (r *reader) expectation(n *yaml.Node, t *Test) {
	if !r.mapping("expect", n) {
		return
	}
	kinds := append([]string{"run", "event", "suppressed"}, notes...)
	x := Expectation{Pos: r.at(n), Times: 1}
	var what *yaml.Node
	r.each(n, append(append([]string{}, wantKeys...), kinds...), func(key string, k, v *yaml.Node) {
		if contains(kinds, key) {
			if what != nil {
				r.errorf(k, "make it an expectation of its own", "expect: it is %s already", x.Kind)
				return
			}
			what, x.Kind, x.Rule = k, key, r.text(key, v)
			return
		}
		r.want(key, v, &x)
	})
	switch {
	case what == nil && x.Situation != nil:
		x.Kind = "situation"
	case what == nil:
		r.errorf(n, "run: and the rule, event: and the outcome, situation: and the change, or "+strings.Join(notes, ", ")+" and the rule",
			"expect: it does not say what")
		return
	case x.Kind == "event":
		x.Verdict, x.Rule = x.Rule, ""
		if !contains(verdicts, x.Verdict) {
			r.errorf(n, "one of "+strings.Join(verdicts, ", "), "event: %q is no outcome of an event", x.Verdict)
		}
	}
	if x.Kind != "run" && (x.HasSteps || x.Ends != nil || x.Outputs != nil || x.Branch != nil || x.Events != nil) {
		r.errorf(n, "", "expect: steps, ends, outputs, branch and events go with run")
	}
	if x.Kind == "situation" && x.Rule == "" {
		r.errorf(n, "write rule: and its name", "situation: of which rule?")
	}
	t.Expect = append(t.Expect, x)
}

func (r *reader) want(key string, v *yaml.Node, x *Expectation) {
	text := func() *string { s := r.text(key, v); return &s }
	oneOf := func(words ...string) *string {
		s := r.text(key, v)
		if !contains(words, s) {
			r.errorf(v, "one of "+strings.Join(words, ", "), "%s: %q is not one that there is", key, s)
		}
		return &s
	}
	switch key {
	case "at":
		d := r.span(key, v)
		x.At = &d
	case "rule":
		x.Rule = r.text(key, v)
	case "device":
		x.Device = text()
	case "interface":
		x.Interface = text()
	case "key":
		x.Key = text()
	case "events":
		i := r.integer(key, v, 0, maxEvents)
		x.Events = &i
	case "branch":
		x.Branch = oneOf("do", "updated", "resolved")
	case "situation":
		x.Situation = oneOf("opened", "updated", "acknowledged", "resolved")
	case "ends":
		x.Ends = oneOf("succeeded", "failed")
	case "times":
		x.Times = r.integer(key, v, 1, maxTimes)
	case "outputs":
		x.Outputs = r.outputs(v)
	case "steps":
		x.HasSteps = true
		r.items(key, v, func(item *yaml.Node) { x.Steps = append(x.Steps, r.step(item)) })
	}
}

// step reads "log", or {log: {message: …}}.
func (r *reader) step(n *yaml.Node) StepWant {
	w := StepWant{Pos: r.at(n)}
	switch {
	case n.Kind == yaml.ScalarNode:
		w.What = r.text("step", n)
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		w.What = deref(n.Content[0]).Value
		w.Args = r.object(w.What, deref(n.Content[1]))
	default:
		r.errorf(n, "an action, as log; or one with arguments, as {log: {message: …}}", "step: expected one step, found %s", kindOf(n))
	}
	return w
}

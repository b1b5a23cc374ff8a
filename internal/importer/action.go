package importer

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// actions translates action or actions into steps.
func (r *oneRule) actions() {
	var list []*yaml.Node
	for _, key := range []string{"action", "actions"} {
		n := r.keys[key]
		switch {
		case n == nil:
		case n.Kind == yaml.SequenceNode:
			list = append(list, n.Content...)
		default:
			list = append(list, n)
		}
	}
	for _, item := range list {
		item = deref(item)
		keys, order := keysOf(item)
		if len(order) == 0 && item.Kind == yaml.ScalarNode {
			r.action(item, item.Value, nil)
			continue
		}
		for _, k := range order {
			r.action(k, k.Value, keys[k.Value])
		}
	}
	if len(r.steps) == 0 {
		r.note(r.c.report(r.node, "", "this rule does nothing"))
		r.nothing("the rulebook does nothing here")
	}
}

func (r *oneRule) add(step ...pair) { r.steps = append(r.steps, step) }

// nothing is the step where there is nothing that could be done.
func (r *oneRule) nothing(why string) {
	r.add(pair{"log", []pair{{"level", "debug"}, {"message", escapeText(why)}}})
}

func (r *oneRule) action(k *yaml.Node, name string, n *yaml.Node) {
	args := map[string]*yaml.Node{}
	if n != nil {
		args, _ = keysOf(n)
	}
	a := &actionArgs{r: r, node: k, args: args, seen: map[string]bool{}}
	switch name {
	case "run_playbook":
		a.playbook()
	case "run_module":
		a.module()
	case "run_job_template":
		a.template("job_templates")
	case "run_workflow_template":
		a.template("workflow_job_templates")
	case "post_event":
		a.post()
	case "print_event":
		a.print()
	case "debug":
		a.debug()
	case "set_fact", "retract_fact":
		r.lost(r.c.report(k, "to remember that something happened, use a window of the rule that asks (dedup, sequence, situation), or emit an event; what is known of devices belongs into the inventory", "%s: there are no facts", name), name+": "+flowOf(n))
		r.nothing(name + " of the rulebook: there are no facts here")
		return
	case "shutdown":
		r.note(r.c.report(k, "mode: off stops a rule", "shutdown: a rule cannot stop Signalbox, and other rules with it"))
		r.add(pair{"log", []pair{{"level", "warn"}, {"message", a.text("message", "the rulebook would stop here")}}})
		a.take("delay", "kind")
	case "pg_notify":
		r.lost(r.c.report(k, "exec psql, or an HTTP API in front of the database", "pg_notify: there is no action for PostgreSQL in this release"), name+": "+flowOf(n))
		r.nothing("pg_notify of the rulebook")
		return
	case "none":
		r.nothing("nothing to do")
	case "echo":
		r.add(pair{"log", []pair{{"message", a.text("message", "echo")}}})
	default:
		r.lost(r.c.report(k, "write the step that does it: http, exec, log or emit", "action %s: nothing here corresponds to it", name), name+": "+flowOf(n))
		r.nothing("action " + name + " of the rulebook")
		return
	}
	a.leftOver()
}

// actionArgs are the arguments of one action under way.
type actionArgs struct {
	r    *oneRule
	node *yaml.Node
	args map[string]*yaml.Node
	seen map[string]bool
}

func (a *actionArgs) take(names ...string) {
	for _, n := range names {
		a.seen[n] = true
	}
}

// leftOver reports arguments that nobody took.
func (a *actionArgs) leftOver() {
	var names []string
	for name := range a.args {
		if !a.seen[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		hint := ""
		switch name {
		case "set_facts", "post_events":
			hint = "read what the step gives back with register, or emit an event after it"
		case "ruleset":
			hint = "events go to all rules that fit"
		}
		a.r.lost(a.r.c.report(a.args[name], hint, "%s.%s: nothing here corresponds to it", a.node.Value, name), name+": "+flowOf(a.args[name]))
	}
}

// value translates an argument, with the templates in it.
func (a *actionArgs) value(n *yaml.Node) any {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		out := []pair{}
		keys, order := keysOf(n)
		for _, k := range order {
			out = append(out, pair{k.Value, a.value(keys[k.Value])})
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, e := range n.Content {
			out = append(out, a.value(e))
		}
		return out
	}
	switch n.ShortTag() {
	case "!!bool", "!!int", "!!float":
		return raw(n.Value)
	case "!!null":
		return nil
	}
	return a.translate(n)
}

func (a *actionArgs) translate(n *yaml.Node) string {
	w := a.r.writer(n)
	text, _, err := w.template(n.Value)
	if err == nil {
		return text
	}
	at, hint := 0, ""
	if u, ok := err.(*untranslated); ok {
		at, hint = u.at, u.hint
	}
	a.r.note(a.r.c.reportAt(n, at, or(hint, "it is left as it was"), err.Error()))
	return escapeText(n.Value)
}

func (a *actionArgs) text(name, other string) string {
	a.seen[name] = true
	n := a.args[name]
	if n == nil || n.Kind != yaml.ScalarNode {
		return other
	}
	return a.translate(n)
}

// event is what ansible-rulebook gives to playbooks as ansible_eda.
func (a *actionArgs) event() []pair {
	s := a.r.shape
	as := func(name string) any {
		for _, r := range s.roots {
			if r.base == "data.body" || r.base == "data" && r.exact {
				return []pair{{r.path, "${" + name + "." + r.base + "}"}}
			}
		}
		return "${" + name + "." + or(s.other, "data") + "}"
	}
	any := len(a.r.head) > 0 && a.r.head[0].key == "any"
	if len(a.r.parts) == 0 || any || a.r.solo {
		return []pair{{"ansible_eda", []pair{{"event", as("event")}}}}
	}
	var events []pair
	for _, p := range a.r.parts {
		events = append(events, pair{p, as(p)})
	}
	return []pair{{"ansible_eda", []pair{{"events", events}}}}
}

// retry translates retry, retries and delay, for exit codes or statuses that
// another attempt may cure.
func (a *actionArgs) retry(step []pair) []pair {
	a.take("retry", "retries", "delay")
	n, _ := strconv.Atoi(scalarOf(a.args["retries"]))
	if n == 0 && strings.EqualFold(scalarOf(a.args["retry"]), "true") {
		n = 1
	}
	if n <= 0 {
		return append(step, pair{"retry", []pair{{"attempts", raw("1")}}})
	}
	if args, ok := step[0].value.([]pair); ok && step[0].key == "exec" {
		// What ansible-playbook says when a play failed or a host is away.
		step[0].value = append(args, pair{"recoverable", []any{raw("1"), raw("2"), raw("4")}})
	}
	backoff := "1s"
	switch d, err := strconv.Atoi(scalarOf(a.args["delay"])); {
	case err != nil:
	case d <= 0:
		backoff = "1ms" // at once
	default:
		backoff = strconv.Itoa(min(d, 86400)) + "s"
	}
	return append(step, pair{"retry", []pair{{"attempts", raw(strconv.Itoa(min(n+1, 100)))}, {"backoff", backoff}, {"factor", raw("1")}}})
}

func (a *actionArgs) verbosity() []any {
	a.take("verbosity")
	n, _ := strconv.Atoi(scalarOf(a.args["verbosity"]))
	if n < 1 {
		return nil
	}
	return []any{"-" + strings.Repeat("v", min(n, 4))}
}

// playbook becomes ansible-playbook, with the event and the extra variables as
// JSON on its standard input: no value of an event becomes a part of a command.
func (a *actionArgs) playbook() {
	name := a.text("name", "")
	if name == "" {
		a.r.note(a.r.c.report(a.node, "", "run_playbook: without a name"))
		a.r.nothing("run_playbook without a name")
		return
	}
	command := append([]any{"ansible-playbook"}, a.verbosity()...)
	if h := a.r.rs.hosts; h != "" && h != "all" {
		command = append(command, "--limit", escapeText(h))
	}
	command = append(command, "--extra-vars", "@/dev/stdin", name)
	step := []pair{{"exec", []pair{{"command", command}, {"stdin", a.variables()}, {"timeout", "30m"}}}}
	a.r.add(a.retry(step)...)
	a.r.longRun()
	a.take("json_mode", "copy_files")
	a.r.note(a.r.c.report(a.node, "add -i INVENTORY to its command where it needs one; Ansible evaluates {{ }} in the values of variables, also in those that an event brings: mind that in the playbook, as before", "run_playbook: the playbook is run by ansible-playbook on this machine"))
}

// variables are the event and the action's own variables.
func (a *actionArgs) variables() []pair {
	out := a.event()
	a.varRoot(out)
	a.seen["extra_vars"] = true
	if v := a.args["extra_vars"]; v != nil && v.Kind == yaml.MappingNode {
		more, _ := a.value(v).([]pair)
		out = append(out, more...)
	}
	return out
}

// varRoot puts a part of the event in its place.
func (a *actionArgs) varRoot(vars []pair) {
	n := a.args["var_root"]
	a.seen["var_root"] = true
	if n == nil {
		return
	}
	tree, err := parseCondition("event." + scalarOf(n))
	if n.Kind != yaml.ScalarNode || err != nil {
		a.r.note(a.r.c.report(n, "the event is passed whole", "var_root: of several events has no equivalent"))
		return
	}
	cel, err := a.r.writer(n).write(tree, primary)
	if err != nil {
		a.r.note(a.r.c.report(n, "the event is passed whole", "var_root: %v", err))
		return
	}
	vars[0].value = []pair{{"event", "${" + cel + "}"}}
}

// longRun gives a rule the time that a playbook takes.
func (r *oneRule) longRun() {
	for _, p := range r.stage {
		if p.key == "timeout" {
			return
		}
	}
	r.stage = append(r.stage, pair{"timeout", "1h"})
}

func (a *actionArgs) module() {
	name := a.text("name", "")
	if name == "" {
		a.r.note(a.r.c.report(a.node, "", "run_module: without a name"))
		a.r.nothing("run_module without a name")
		return
	}
	command := append([]any{"ansible", escapeText(or(a.r.rs.hosts, "all")), "-m", name}, a.verbosity()...)
	vars := a.variables()
	a.seen["module_args"] = true
	if m := a.args["module_args"]; m != nil && m.Kind == yaml.MappingNode {
		values, _ := a.value(m).([]pair)
		vars = append(vars, pair{"module_args", values})
		var parts []string
		for _, p := range values {
			parts = append(parts, fmt.Sprintf("%s: %s", quoted(p.key), quoted("{{ module_args["+quotePython(p.key)+"] }}")))
		}
		command = append(command, "-a", escapeText("{"+strings.Join(parts, ", ")+"}"))
	}
	command = append(command, "--extra-vars", "@/dev/stdin")
	step := []pair{{"exec", []pair{{"command", command}, {"stdin", vars}, {"timeout", "30m"}}}}
	a.r.add(a.retry(step)...)
	a.r.longRun()
	a.take("json_mode")
	a.r.note(a.r.c.report(a.node, "add -i INVENTORY to its command where it needs one", "run_module: the module is run by ansible on this machine"))
}

func quotePython(s string) string { return "'" + strings.ReplaceAll(s, "'", "") + "'" }

// template becomes the request that launches it (AWX and Automation Controller
// find it by its named URL, NAME++ORGANIZATION).
func (a *actionArgs) template(kind string) {
	a.take("name", "organization", "job_args")
	name, org := scalarOf(a.args["name"]), scalarOf(a.args["organization"])
	if name == "" || strings.Contains(name+org, "{{") {
		a.r.note(a.r.c.report(a.node, "write its number in place of NAME++ORGANIZATION", "%s: the template's name must be there and be plain", a.node.Value))
		name = or(strings.NewReplacer("{", "", "}", "").Replace(name), "NAME")
	}
	at := strings.TrimRight(a.r.c.o.Controller, "/")
	if !strings.Contains(at, "/api") {
		at += "/api"
	}
	where := at + "/v2/" + kind + "/" + namedURL(name)
	if org != "" {
		where += "++" + namedURL(org)
	}
	body := []pair{}
	vars := a.event()
	a.varRoot(vars)
	if j := a.args["job_args"]; j != nil && j.Kind == yaml.MappingNode {
		keys, order := keysOf(j)
		for _, k := range order {
			v := a.value(keys[k.Value])
			if k.Value == "extra_vars" {
				more, _ := v.([]pair)
				vars = append(vars, more...)
				continue
			}
			body = append(body, pair{k.Value, v})
		}
	}
	body = append(body, pair{"extra_vars", vars})
	step := []pair{{"http", []pair{{"method", "POST"}, {"url", escapeText(where + "/launch/")}, {"auth", []pair{{"bearer", "${secret('controller')}"}}}, {"body", body}}}}
	a.r.add(a.retry(step)...)
	a.take("set_facts", "post_events")
	for _, name := range []string{"set_facts", "post_events"} {
		if strings.EqualFold(scalarOf(a.args[name]), "true") {
			a.r.note(a.r.c.report(a.args[name], "the launch answers with the job's number (register); let the job post its result to a webhook", "%s.%s: the step does not wait for the job", a.node.Value, name))
		}
	}
	a.r.note(a.r.c.report(a.node, "put secrets: {controller: \"${env.CONTROLLER_TOKEN}\"} into signalbox.yaml and the right address into url (--controller); let the template prompt for variables", "%s: the step launches the job and does not wait for it", a.node.Value))
}

// namedURL writes a name as AWX has it in URLs.
func namedURL(s string) string {
	s = strings.ReplaceAll(s, "+", "[+]")
	return strings.ReplaceAll(url.PathEscape(s), "$", "%24")
}

func (a *actionArgs) post() {
	a.take("event", "fact", "ruleset")
	to := or(scalarOf(a.args["ruleset"]), a.r.rs.name)
	data := any([]pair{})
	for _, name := range []string{"event", "fact"} {
		if n := a.args[name]; n != nil && n.Kind == yaml.MappingNode {
			data = a.value(n)
		}
	}
	a.r.add(pair{"emit", []pair{{"type", postedType(to)}, {"data", data}}})
	a.r.note(a.r.c.report(a.node, "rename it everywhere to what really happened, and give it a schema", "post_event: the event is of type %s", postedType(to)))
}

// whole is an event in a log step: a map cannot stand within a text.
func (a *actionArgs) whole() []pair {
	inner, _ := a.event()[0].value.([]pair)
	return inner
}

func (a *actionArgs) print() {
	a.take("pretty")
	vars := a.event()
	a.varRoot(vars)
	fields, _ := vars[0].value.([]pair)
	a.r.add(pair{"log", []pair{{"message", "event"}, {"fields", fields}}})
}

func (a *actionArgs) debug() {
	a.take("msg", "var")
	log := func(n *yaml.Node) {
		tree, whole := wholeEvent(n.Value)
		if whole {
			a.r.add(pair{"log", []pair{{"message", or(strings.TrimSpace(tree), "event")}, {"fields", a.whole()}}})
			return
		}
		a.r.add(pair{"log", []pair{{"message", a.translate(n)}}})
	}
	msg, variable := a.args["msg"], a.args["var"]
	switch {
	case msg != nil && msg.Kind == yaml.SequenceNode:
		for _, n := range msg.Content {
			log(deref(n))
		}
	case msg != nil && msg.Kind == yaml.ScalarNode:
		log(msg)
	case variable != nil:
		name := strings.TrimSpace(strings.NewReplacer("{{", "", "}}", "").Replace(scalarOf(variable)))
		v := *variable
		v.Value = "{{ " + name + " }}"
		if _, whole := wholeEvent(v.Value); whole {
			a.r.add(pair{"log", []pair{{"message", name}, {"fields", a.whole()}}})
			return
		}
		a.r.add(pair{"log", []pair{{"message", name}, {"fields", []pair{{"value", a.translate(&v)}}}}})
	default:
		a.r.add(pair{"log", []pair{{"message", "debug"}, {"fields", a.whole()}}})
		for name := range a.args { // older rulebooks print all that is there
			a.seen[name] = false
		}
	}
}

// wholeEvent says whether a text has a template of an event as a whole, and
// gives the text without it.
func wholeEvent(s string) (rest string, whole bool) {
	rest = moustache.ReplaceAllStringFunc(s, func(m string) string {
		name := strings.Trim(m, "{}- ")
		n, err := parseCondition(name)
		if err == nil && n.path != nil && (len(n.path) == 1 && (n.path[0] == "event" || n.path[0] == "events") ||
			len(n.path) == 2 && (n.path[0] == "events" || n.path[0] == "event" && (n.path[1] == "payload" || n.path[1] == "body"))) {
			whole = true
			return ""
		}
		return m
	})
	return strings.TrimRight(rest, ": "), whole
}

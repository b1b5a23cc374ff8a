package importer

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// oneRule is a rule under way.
type oneRule struct {
	c     *converter
	rs    *ruleset
	node  *yaml.Node
	keys  map[string]*yaml.Node
	shape *shape
	parts []string // names of its events, of all and any
	solo  bool     // there is one of them, so it is a single condition

	notes []noted // to stand before the rule
	head  []pair  // on, when, forms
	stage []pair  // dedup, group
	steps [][]pair
	off   bool // what it was could not be translated
	more  []func(w *yamlWriter)
}

// noted is a report, and what the rulebook had there where it is not in the
// rule.
type noted struct {
	Report
	was string
}

func (r *oneRule) note(rep Report) { r.notes = append(r.notes, noted{Report: rep}) }

// lost is note for what is not in the rule: the comment keeps it.
func (r *oneRule) lost(rep Report, was string) { r.notes = append(r.notes, noted{rep, was}) }

func (c *converter) rule(n *yaml.Node, rs *ruleset, body *yamlWriter) {
	if n.Kind != yaml.MappingNode {
		c.say(body, 1, c.report(n, "", "a rule: expected a mapping, found %s", kindOf(n)))
		return
	}
	keys, order := keysOf(n)
	r := &oneRule{c: c, rs: rs, node: n, keys: keys}
	title := or(scalarOf(keys["name"]), "rule")
	name := c.unique(or(slug(title, "-"), "rule"))
	for _, k := range order {
		if !slices.Contains([]string{"name", "condition", "action", "actions", "throttle", "enabled", "description"}, k.Value) {
			r.lost(c.report(k, "", "%s: nothing here corresponds to it", k.Value), k.Value+": "+flowOf(keys[k.Value]))
		}
	}
	r.condition()
	r.throttle()
	r.actions()
	r.check()
	c.count++
	if r.off {
		c.off++
	}
	body.line(0, "")
	for _, n := range r.notes {
		c.say(body, 1, n.Report)
		if n.was != "" {
			body.comment(1, "The rulebook has: "+n.was)
		}
	}
	r.write(body, name, title)
	for _, more := range r.more {
		more(body)
	}
}

// unique makes a rule's name that no other rule has.
func (c *converter) unique(name string) string {
	out := name
	for i := 2; c.names[out]; i++ {
		out = fmt.Sprintf("%s-%d", name, i)
	}
	c.names[out] = true
	return out
}

func (r *oneRule) write(w *yamlWriter, name, title string) {
	w.line(1, "- name: %s", yamlText(name))
	if title != name {
		w.pair(2, "", pair{"description", title})
	}
	switch {
	case r.off:
		w.line(2, "mode: off                         # its condition could not be translated: see above")
	case scalarOf(r.keys["enabled"]) == "false" || scalarOf(r.keys["enabled"]) == "False":
		w.line(2, "mode: off                         # enabled: false in the rulebook")
	}
	for _, p := range r.head {
		w.pair(2, "", p)
	}
	for _, p := range r.stage {
		w.pair(2, "", p)
	}
	w.line(2, "do:")
	for _, s := range r.steps {
		for i, p := range s {
			lead := "- "
			if i > 0 {
				lead = "  "
			}
			if i > 0 {
				w.pair(4, "", p)
			} else {
				w.pair(3, lead, p)
			}
		}
	}
}

// untranslatable notes what could not be translated, and turns the rule off.
func (r *oneRule) untranslatable(n *yaml.Node, err error) {
	msg, hint, at := err.Error(), "", 0
	switch e := err.(type) {
	case *syntaxError:
		at, msg = e.at, "condition: "+e.msg
	case *untranslated:
		at, hint = e.at, e.hint
	}
	r.lost(r.c.reportAt(n, at, hint, msg), n.Value)
	r.off = true
}

// condition translates the condition, single or of several events.
func (r *oneRule) condition() {
	n := r.keys["condition"]
	switch {
	case n == nil:
		r.note(r.c.report(r.node, "", "this rule has no condition"))
		r.choose(nil)
		r.on()
		r.off = true
	case n.Kind == yaml.ScalarNode:
		r.single(n)
	case n.Kind == yaml.MappingNode:
		r.several(n)
	default:
		r.note(r.c.report(n, "", "condition: expected a text, or all, any or not_all, found %s", kindOf(n)))
		r.choose(nil)
		r.on()
		r.off = true
	}
}

func (r *oneRule) single(n *yaml.Node) {
	if n.ShortTag() == "!!bool" {
		r.choose(nil)
		r.on()
		switch {
		case n.Value != "true" && n.Value != "True":
			r.head = append(r.head, pair{"when", "false"})
		case r.shape.guards():
			r.head = append(r.head, pair{"when", r.fromSource("event")})
		}
		return
	}
	tree, err := parseCondition(n.Value)
	if err == nil && tree.op == "<<" {
		r.note(r.c.reportAt(n, tree.at, "", "a name for the event of a single condition means nothing; it is event"))
		tree = tree.args[1]
	}
	r.choose(tree)
	r.on()
	if err != nil {
		r.untranslatable(n, err)
		r.head = append(r.head, pair{"when", "false"})
		return
	}
	w := r.writer(n)
	when, err := w.truth(tree, r.level())
	if err != nil {
		r.untranslatable(n, err)
		r.head = append(r.head, pair{"when", "false"})
		return
	}
	r.head = append(r.head, pair{"when", r.guarded("event", when)})
}

// level is the precedence that a condition needs beside that on the source.
func (r *oneRule) level() int {
	if r.shape.guards() {
		return andLevel
	}
	return orLevel
}

func (r *oneRule) fromSource(event string) string {
	return event + ".source == " + celText(r.shape.name)
}

func (r *oneRule) guarded(event, when string) string {
	if !r.shape.guards() {
		return when
	}
	return r.fromSource(event) + " && " + when
}

func (r *oneRule) on() {
	r.head = append(r.head, pair{"on", r.onValue()})
}

func (r *oneRule) onValue() any {
	if len(r.shape.on) == 1 {
		return r.shape.on[0]
	}
	return r.shape.on
}

func (r *oneRule) writer(n *yaml.Node) *celWriter {
	r.shape.guess = func(path string, at int) {
		r.note(r.c.reportAt(n, at, "", fmt.Sprintf("event.%s is read from event.%s.%s", path, r.shape.other, path)))
	}
	if r.shape.name == "" || r.shape.other == "data" {
		r.shape.guess = nil // posted as they are
	}
	return &celWriter{shape: r.shape, vars: r.c.o.Vars, parts: r.parts, solo: r.solo}
}

// choose finds the source whose events a condition is about: the one that
// knows its fields, or the events that the ruleset posts to itself.
func (r *oneRule) choose(tree *node) {
	var paths [][]string
	collect(tree, &paths)
	posted := r.c.posts[r.rs.name]
	if r.rs.posted != nil && slices.ContainsFunc(paths, func(p []string) bool { return slices.Contains(posted, p[0]) }) &&
		!slices.ContainsFunc(r.rs.shapes, func(s *shape) bool { return slices.ContainsFunc(paths, s.knows) }) {
		r.shape = r.rs.posted
		return
	}
	for _, s := range r.rs.shapes {
		if len(paths) > 0 && s.knows(paths[0]) {
			r.shape = s
			return
		}
	}
	if len(r.rs.shapes) > 0 {
		r.shape = r.rs.shapes[0]
		if len(r.rs.shapes) > 1 {
			r.note(r.c.report(r.node, "write a rule for each source that it is about", "this rule saw the events of all sources; here it sees those of %s", r.shape.name))
		}
		return
	}
	if r.rs.posted != nil {
		r.shape = r.rs.posted
		return
	}
	r.shape = &shape{on: []string{"webhook"}, other: "data.body"}
	r.note(r.c.report(r.node, "write on: and the type that it is about", "the ruleset has no source"))
}

// collect finds the paths of events that a condition reads.
func collect(n *node, out *[][]string) {
	if n == nil {
		return
	}
	if len(n.path) > 1 && n.path[0] == "event" {
		*out = append(*out, n.path[1:])
	}
	for _, list := range [][]*node{n.args, n.list} {
		for _, e := range list {
			collect(e, out)
		}
	}
}

// throttle translates once_within, once_after and accumulate_within.
func (r *oneRule) throttle() {
	n := r.keys["throttle"]
	if n == nil {
		return
	}
	keys, order := keysOf(n)
	by := r.groupBy(keys["group_by_attributes"])
	for _, k := range order {
		v := keys[k.Value]
		switch k.Value {
		case "group_by_attributes", "threshold":
			continue
		case "once_within", "once_after", "accumulate_within":
		default:
			r.lost(r.c.report(k, "", "throttle.%s: nothing here corresponds to it", k.Value), k.Value+": "+flowOf(v))
			continue
		}
		d, ok := duration(v.Value)
		if !ok {
			r.note(r.c.report(v, "as in 5 minutes", "throttle.%s: %q is no time", k.Value, v.Value))
			r.off = true
			continue
		}
		switch k.Value {
		case "once_within":
			r.stage = append(r.stage, pair{"dedup", []pair{{"by", by}, {"within", d}}})
		case "once_after":
			r.stage = append(r.stage, pair{"group", []pair{{"by", []any{"'all'"}}, {"wait", d}, {"interval", d}}})
			r.note(r.c.report(k, "", "throttle.once_after: a group: one run after %s with all events (events), those of the same attributes each for itself", d))
		case "accumulate_within":
			at := or(scalarOf(keys["threshold"]), "1")
			r.stage = append(r.stage, pair{"count", []pair{{"at_least", raw(at)}, {"by", by}, {"within", d}}})
		}
	}
}

func (r *oneRule) groupBy(n *yaml.Node) []any {
	if n == nil || n.Kind != yaml.SequenceNode {
		if n != nil {
			r.note(r.c.report(n, "", "group_by_attributes: expected a list, found %s", kindOf(n)))
		}
		return []any{"'all'"}
	}
	var by []any
	for _, item := range n.Content {
		item = deref(item)
		tree, err := parseCondition(item.Value)
		if err == nil && tree.path == nil {
			err = &syntaxError{0, "expected a field of the event"}
		}
		var cel string
		if err == nil {
			var base string
			var rest []string
			if base, rest, err = r.writer(item).resolve(tree); err == nil {
				cel = base
				for _, x := range rest {
					cel += optional(x)
				}
				if len(rest) > 0 {
					cel += `.orValue("")`
				}
			}
		}
		if err != nil {
			r.note(r.c.reportAt(item, 0, "", "group_by_attributes: "+err.Error()+": it is left out"))
			continue
		}
		by = append(by, strings.TrimSpace(cel))
	}
	if len(by) == 0 {
		by = []any{"'all'"}
	}
	return by
}

package importer

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// several translates all, any and not_all.
func (r *oneRule) several(n *yaml.Node) {
	keys, order := keysOf(n)
	within, kind := "", ""
	for _, k := range order {
		switch k.Value {
		case "timeout":
			d, ok := duration(keys["timeout"].Value)
			if !ok {
				r.note(r.c.report(keys["timeout"], "as in 10 seconds", "timeout: %q is no time", keys["timeout"].Value))
			}
			within = d
		case "all", "any", "not_all":
			kind = k.Value
		default:
			r.note(r.c.report(k, "", "condition.%s: nothing here corresponds to it", k.Value))
		}
	}
	list := keys[kind]
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		r.note(r.c.report(n, "", "condition: expected all, any or not_all, and a list"))
		r.choose(nil)
		r.on()
		r.off = true
		return
	}
	trees := r.trees(list)
	if within == "" && kind != "any" {
		within = r.rs.ttl
		r.note(r.c.report(list, "write how long it really may take", "%s: without a timeout, partial matches are kept for %s there (default_events_ttl), so here, too", kind, within))
	}
	switch {
	case len(trees) > maxParts:
		r.lost(r.c.report(list, "make several rules of it", "%s: of %d conditions; a rule has at most %d", kind, len(trees), maxParts), flowOf(list))
		r.parts, r.off = nil, true
		r.on()
		r.head = append(r.head, pair{"when", "false"})
		return
	case len(trees) == 1 && kind != "not_all":
		r.solo = true
		r.on()
		r.head = append(r.head, pair{"when", r.partWhen(trees[0])})
		return
	}
	switch kind {
	case "any":
		r.form("any", list, trees, "")
	case "all":
		r.all(list, trees, within)
	case "not_all":
		r.notAll(list, trees, within)
	}
}

// maxParts is how many events a rule can ask for.
const maxParts = 16

// part is one condition of several.
type part struct {
	node *yaml.Node
	tree *node
	name string
}

func (r *oneRule) trees(list *yaml.Node) []part {
	var out []part
	for i, item := range list.Content {
		item = deref(item)
		p := part{node: item, name: fmt.Sprintf("m_%d", i)}
		tree, err := parseCondition(item.Value)
		if item.Kind != yaml.ScalarNode {
			err = &syntaxError{0, "expected a text, found " + kindOf(item)}
		}
		if err != nil {
			r.untranslatable(item, err)
		} else {
			if tree.op == "<<" {
				left := tree.args[0].path
				if len(left) == 2 && left[0] == "events" {
					p.name = left[1]
				}
				tree = tree.args[1]
			}
			p.tree = tree
		}
		out = append(out, p)
		r.parts = append(r.parts, p.name)
	}
	for i := range out {
		if out[i].tree != nil {
			r.choose(out[i].tree)
			break
		}
	}
	if r.shape == nil {
		r.choose(nil)
	}
	return out
}

// all becomes all, or a sequence where a condition reads the events of others.
func (r *oneRule) all(list *yaml.Node, trees []part, within string) {
	used := map[string]bool{}
	for _, p := range trees {
		mentions(p.tree, used)
	}
	if len(used) == 0 {
		r.form("all", list, trees, within)
		return
	}
	for i, p := range trees {
		own := map[string]bool{}
		mentions(p.tree, own)
		for _, later := range trees[i:] {
			if own[later.name] {
				r.note(r.c.report(p.node, "put the condition that is read before the one that reads it", "this condition reads events.%s, which comes after it", later.name))
				r.off = true
			}
		}
	}
	r.note(r.c.report(list, "", "all: conditions that read each other's events become a sequence: here they must come in this order"))
	r.form("sequence", list, trees, within)
}

// mentions finds the names of events.NAME that a condition reads.
func mentions(n *node, out map[string]bool) {
	if n == nil {
		return
	}
	if len(n.path) > 1 && n.path[0] == "events" {
		name := n.path[1]
		if name == "m" {
			name = "m_0"
		}
		out[name] = true
	}
	for _, list := range [][]*node{n.args, n.list} {
		for _, e := range list {
			mentions(e, out)
		}
	}
}

// partWhen writes the condition of one event of several.
func (r *oneRule) partWhen(p part) string {
	if p.tree == nil {
		return "false"
	}
	when, err := r.writer(p.node).truth(p.tree, r.level())
	if err != nil {
		r.untranslatable(p.node, err)
		return "false"
	}
	return r.guarded("event", when)
}

func (r *oneRule) form(form string, _ *yaml.Node, trees []part, within string) {
	var events []any
	for _, p := range trees {
		events = append(events, []pair{{"on", r.onValue()}, {"as", p.name}, {"when", r.partWhen(p)}})
	}
	var body []pair
	if form != "any" {
		body = append(body, pair{"by", []any{"'all'"}}, pair{"within", within})
	}
	r.head = append(r.head, pair{form, append(body, pair{"events", block(events)})})
}

// block is a list that is written with an entry a line.
type block []any

// notAll becomes absence: one condition came and the next did not. Of two it is
// a rule for either; of more, each is held against the one after it.
func (r *oneRule) notAll(list *yaml.Node, trees []part, within string) {
	r.note(r.c.report(list, "look whether that is what you mean",
		"not_all: there, some and not all of them within %s in any order; here, one came and the one after it did not follow within %s", within, within))
	if len(trees) < 2 {
		r.lost(r.c.report(list, "", "not_all: of one condition"), flowOf(list))
		r.parts, r.off = nil, true
		r.on()
		return
	}
	r.parts = nil
	pairs := [][2]part{}
	for i := 0; i+1 < len(trees); i++ {
		pairs = append(pairs, [2]part{trees[i], trees[i+1]})
	}
	for i, p := range pairs {
		head := []pair{{"on", r.onValue()}, {"when", r.partWhen(p[0])},
			{"unless", []pair{{"on", r.onValue()}, {"when", r.partWhen(p[1])}, {"by", []any{"'all'"}}, {"within", within}}}}
		if i == 0 {
			r.head = head
			continue
		}
		title := or(scalarOf(r.keys["name"]), "rule")
		name := r.c.unique(fmt.Sprintf("%s-%d", or(slug(title, "-"), "rule"), i+1))
		r.more = append(r.more, func(w *yamlWriter) {
			other := *r
			other.head = slices.Clone(head)
			r.c.count++
			if r.off {
				r.c.off++
			}
			w.line(0, "")
			other.write(w, name, title)
		})
	}
}

// Package importer makes rules of what other tools have: Ansible rulebooks.
//
// What has no equivalent is reported with its place and what to do, and stands
// as a comment where it belongs in the output; nothing is dropped in silence.
// The package is pure: bytes in, bytes and reports out.
package importer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/inventory"
	"signalbox/internal/rule"
)

// Options of an import.
type Options struct {
	Vars map[string]any // what --vars gives to ansible-rulebook
	// Controller is the address of Automation Controller or AWX.
	Controller string
}

// Report is one thing to say about a place of the rulebook.
type Report struct {
	Pos     rule.Pos
	Message string
	Hint    string
}

// String writes the report on one line.
func (r Report) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", r.Pos.File, r.Pos.Line, r.Pos.Col, r.Message)
	if r.Hint != "" {
		s += " (" + r.Hint + ")"
	}
	return s
}

// Result is what became of a rulebook.
type Result struct {
	Rules   []byte // a file of rules
	Reports []Report
	Count   int // of rules
	Off     int // of them, those that could not be translated and are off
}

// defaultTTL is how long ansible-rulebook keeps a partial match.
const defaultTTL = "2h"

// Rulebook translates a rulebook. The error is for a file that is none.
func Rulebook(file string, data []byte, o Options) (*Result, error) {
	root, problem := inventory.Document(rule.File{Name: file, Data: data})
	if problem != nil {
		return nil, fmt.Errorf("%s", problem.Error())
	}
	if root == nil || root.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s:1:1: no rulebook: expected a list of rulesets, each with name, sources and rules", file)
	}
	if o.Controller == "" {
		o.Controller = "https://aap.example.net/api/controller"
	}
	c := convert(file, data, root, o, false)
	if mistake(c.trial.b.String()) != "" {
		c = convert(file, data, root, o, true)
	}
	return &Result{Rules: []byte(c.out.b.String()), Reports: slices.Compact(c.reports), Count: c.count, Off: c.off}, nil
}

// convert goes through the rulesets. checking says that each rule is loaded: that
// costs some milliseconds each, so it is done where it is known that one is wrong.
func convert(file string, data []byte, root *yaml.Node, o Options, checking bool) *converter {
	c := &converter{file: file, lines: strings.Split(string(data), "\n"), o: o, names: map[string]bool{}, posts: map[string][]string{}, checking: checking}
	c.trial.line(0, "rules:")
	var sets []*yaml.Node
	for _, item := range root.Content {
		item = deref(item)
		if item.Kind != yaml.MappingNode {
			c.report(item, "write name, sources and rules", "a ruleset: expected a mapping, found %s", kindOf(item))
			continue
		}
		sets = append(sets, item)
		c.findPosts(item)
	}
	c.out.comment(0, "From the Ansible rulebook "+file+" by 'signalbox import rulebook'. Read every comment: it says what is different here. Also, the same event within 60 s is news only once here, unless dedup in signalbox.yaml says otherwise.")
	var body yamlWriter
	for _, set := range sets {
		c.ruleset(set, &body)
	}
	c.out.line(0, "rules:")
	if body.b.Len() == 0 {
		c.out.b.Reset()
		c.out.comment(0, "The rulebook "+file+" has no rules.")
	}
	c.out.b.WriteString(body.b.String())
	slices.SortStableFunc(c.reports, func(a, b Report) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Col - b.Pos.Col
	})
	return c
}

type converter struct {
	file    string
	lines   []string
	o       Options
	out     yamlWriter
	reports []Report
	names   map[string]bool     // of rules
	posts   map[string][]string // ruleset → keys of the events that are posted to it
	sources int                 // named so far

	checking bool
	trial    yamlWriter // all rules with other steps, to see whether they load
	count    int
	off      int
}

func (c *converter) report(n *yaml.Node, hint, format string, args ...any) Report {
	r := Report{rule.Pos{File: c.file, Line: max(n.Line, 1), Col: max(n.Column, 1)}, fmt.Sprintf(format, args...), hint}
	c.reports = append(c.reports, r)
	return r
}

// reportAt reports a place within a text of the rulebook.
func (c *converter) reportAt(n *yaml.Node, offset int, hint, msg string) Report {
	p := c.place(n, offset)
	r := Report{p, msg, hint}
	c.reports = append(c.reports, r)
	return r
}

// place finds a byte of a scalar in the file: what is not white space comes in
// the same order in both, whatever the scalar's style.
func (c *converter) place(n *yaml.Node, offset int) rule.Pos {
	p := rule.Pos{File: c.file, Line: max(n.Line, 1), Col: max(n.Column, 1)}
	line, col := p.Line-1, p.Col-1
	switch n.Style {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		line, col = line+1, 0
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		col++
	}
	seen := 0
	for _, r := range n.Value[:min(offset, len(n.Value))] {
		if r > ' ' {
			seen++
		}
	}
	for ; line < len(c.lines); line, col = line+1, 0 {
		text := []rune(c.lines[line])
		for i := col; i < len(text); i++ {
			if text[i] <= ' ' {
				continue
			}
			if seen == 0 {
				return rule.Pos{File: c.file, Line: line + 1, Col: i + 1}
			}
			seen--
		}
	}
	return p
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

// keysOf gives the values of a mapping by their keys, and the keys in order.
func keysOf(n *yaml.Node) (map[string]*yaml.Node, []*yaml.Node) {
	out := map[string]*yaml.Node{}
	var keys []*yaml.Node
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		k := deref(n.Content[i])
		keys = append(keys, k)
		out[k.Value] = deref(n.Content[i+1])
	}
	return out, keys
}

func scalarOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// postedType is the type of the events that are posted to a ruleset.
func postedType(ruleset string) string {
	s := slug(ruleset, "_")
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "ruleset_" + s
	}
	return strings.Trim(s, "_") + "_posted"
}

// findPosts notes which fields events have that a ruleset's actions post.
func (c *converter) findPosts(set *yaml.Node) {
	keys, _ := keysOf(set)
	own := scalarOf(keys["name"])
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		n = deref(n)
		if n.Kind == yaml.MappingNode {
			m, _ := keysOf(n)
			if p := m["post_event"]; p != nil {
				args, _ := keysOf(p)
				to := scalarOf(args["ruleset"])
				if to == "" {
					to = own
				}
				for _, field := range []string{"event", "fact"} {
					if args[field] == nil {
						continue
					}
					_, names := keysOf(args[field])
					for _, k := range names {
						c.posts[to] = append(c.posts[to], k.Value)
					}
				}
			}
		}
		for _, child := range n.Content {
			if child.Kind != yaml.AliasNode {
				walk(child)
			}
		}
	}
	if keys["rules"] != nil {
		walk(keys["rules"])
	}
}

// ruleset is one ruleset of the rulebook under way.
type ruleset struct {
	name   string
	hosts  string
	ttl    string
	shapes []*shape
	posted *shape // of events that its own rules, or others, post to it; nil for none
}

func (c *converter) ruleset(n *yaml.Node, body *yamlWriter) {
	keys, order := keysOf(n)
	rs := &ruleset{name: scalarOf(keys["name"]), hosts: scalarOf(keys["hosts"]), ttl: defaultTTL}
	body.line(0, "")
	body.comment(1, "Ruleset "+or(rs.name, "without a name")+".")
	if len(c.posts[rs.name]) > 0 {
		rs.posted = postedShape(postedType(rs.name))
	}
	for _, k := range order {
		v := keys[k.Value]
		switch k.Value {
		case "name", "hosts", "rules":
		case "sources":
			c.sourceList(v, rs, body)
		case "default_events_ttl":
			if d, ok := duration(v.Value); ok {
				rs.ttl = d
			} else {
				c.say(body, 1, c.report(v, "", "default_events_ttl: %q is no time", v.Value))
			}
		case "gather_facts":
			if v.Value == "true" {
				c.say(body, 1, c.report(k, "what rules need of devices belongs into the inventory", "gather_facts: there are no facts"))
			}
		case "execution_strategy":
			if v.Value == "sequential" {
				c.say(body, 1, c.report(k, "", "execution_strategy: here the runs of one device go one at a time, those of different devices at once"))
			}
		case "match_multiple_rules":
		default:
			c.say(body, 1, c.report(k, "", "%s: nothing here corresponds to it; it has %s", k.Value, flowOf(v)))
		}
	}
	rules := keys["rules"]
	if rules == nil || rules.Kind != yaml.SequenceNode {
		c.say(body, 1, c.report(n, "", "this ruleset has no rules"))
		return
	}
	if len(rules.Content) > 1 && scalarOf(keys["match_multiple_rules"]) != "true" {
		c.say(body, 1, c.report(rules, "make their conditions exclude each other where that matters",
			"of several rules that fit an event only the first ran there; here all of them run"))
	}
	for _, r := range rules.Content {
		c.rule(deref(r), rs, body)
	}
}

// say writes a report as a comment where it belongs.
func (c *converter) say(w *yamlWriter, indent int, r Report) {
	text := fmt.Sprintf("Line %d: %s.", r.Pos.Line, strings.TrimSuffix(r.Message, "."))
	if r.Hint != "" {
		text += " " + strings.ToUpper(r.Hint[:1]) + r.Hint[1:] + "."
	}
	w.comment(indent, text)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// sourceList suggests sources for signalbox.yaml.
func (c *converter) sourceList(n *yaml.Node, rs *ruleset, body *yamlWriter) {
	if n.Kind != yaml.SequenceNode {
		c.say(body, 1, c.report(n, "", "sources: expected a list, found %s", kindOf(n)))
		return
	}
	for _, item := range n.Content {
		item = deref(item)
		s := c.source(item, rs, body)
		if s == nil {
			continue
		}
		rs.shapes = append(rs.shapes, s)
		body.comment(1, "Its events come from a source of signalbox.yaml:")
		body.line(1, "#   sources:")
		body.line(1, "#     %s:", s.name)
		for _, l := range s.suggest {
			body.line(1, "#       %s", printable(l))
		}
		for _, note := range s.notes {
			c.say(body, 1, c.report(item, "", "%s", note))
		}
	}
}

func (c *converter) source(n *yaml.Node, rs *ruleset, body *yamlWriter) *shape {
	keys, order := keysOf(n)
	var plugin *yaml.Node
	for _, k := range order {
		if k.Value != "name" && k.Value != "filters" {
			plugin = k
		}
	}
	if plugin == nil {
		c.say(body, 1, c.report(n, "", "a source without a plugin"))
		return nil
	}
	c.sources++
	parts := strings.Split(plugin.Value, ".")
	kind := parts[len(parts)-1]
	name := slug(or(scalarOf(keys["name"]), kind), "-")
	if c.sources > 1 {
		name = fmt.Sprintf("%s-%d", name, c.sources)
	}
	s := &shape{name: name}
	args, _ := keysOf(keys[plugin.Value])
	make := kinds[kind]
	if make == nil {
		s.on, s.other, s.roots = []string{"webhook"}, "data.body", bodyRoots("payload")
		s.suggest = []string{"kind: webhook", "auth: {bearer: \"${env." + envName(name) + "_TOKEN}\"}"}
		s.notes = append(s.notes, "the source "+plugin.Value+" is not known: its events are taken to be posted to /webhook/"+name)
	} else {
		make(s, args)
	}
	if len(args) > 0 {
		s.notes = append(s.notes, "its arguments there ("+strings.Join(slices.Sorted(maps.Keys(args)), ", ")+") are not taken over")
	}
	if keys["filters"] != nil {
		c.filters(keys["filters"], s, body)
	}
	return s
}

func (c *converter) filters(n *yaml.Node, s *shape, body *yamlWriter) {
	for _, item := range n.Content {
		_, order := keysOf(deref(item))
		for _, k := range order {
			parts := strings.Split(k.Value, ".")
			switch kind := parts[len(parts)-1]; kind {
			case "dashes_to_underscores":
				s.dashes = true
				c.say(body, 1, c.report(k, "", "filter %s: names keep their dashes here; headers in conditions were turned back", kind))
			case "insert_hosts_to_meta":
				c.say(body, 1, c.report(k, "the device of an event (event.device) is what hosts are there", "filter %s: there is no meta.hosts", kind))
			case "json_filter":
				c.say(body, 1, c.report(k, "fields that nobody reads do no harm", "filter %s: events are kept whole", kind))
			default:
				c.say(body, 1, c.report(k, "a mapping (docs/mappings.md) can do what a filter did", "filter %s: nothing here corresponds to it", flowOf(deref(item))))
			}
		}
	}
}

// duration turns "5 minutes" into "5m".
func duration(s string) (string, bool) {
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return "", false
	}
	for _, c := range fields[0] {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	unit := map[string]string{"millisecond": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d"}[strings.TrimSuffix(fields[1], "s")]
	if unit == "" || len(fields[0]) > 9 || strings.Trim(fields[0], "0") == "" {
		return "", false
	}
	return strings.TrimLeft(fields[0], "0") + unit, true
}

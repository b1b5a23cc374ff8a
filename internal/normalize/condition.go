package normalize

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// condition is one line of `when:`.
type condition struct {
	ref     ref
	values  []string
	op      string // "", "present", "contains", "prefix", "suffix"
	not     bool   // none of values may fit; also holds where there is nothing
	present bool
}

var conditionKeys = []string{"present", "contains", "prefix", "suffix", "not", "not_contains", "not_prefix", "not_suffix"}

func (c *condition) holds(m *message) bool {
	g := m.get(&c.ref)
	if c.op == "present" {
		return g.ok == c.present
	}
	if !g.ok {
		return c.not
	}
	s := g.plain()
	return c.not != slices.ContainsFunc(c.values, func(v string) bool {
		switch c.op {
		case "contains":
			return strings.Contains(s, v)
		case "prefix":
			return strings.HasPrefix(s, v)
		case "suffix":
			return strings.HasSuffix(s, v)
		}
		return s == v
	})
}

func (r *reader) conditions(m *mapping, n *yaml.Node) {
	alternatives := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		alternatives = n.Content
	}
	for _, alt := range alternatives {
		var all []condition
		r.entries(alt, "when", nil, func(key, val *yaml.Node) {
			ref, err := compileRef(key.Value, m.form, &m.slots)
			if err != nil {
				r.fail(key, "when: %v", err)
				return
			}
			c := condition{ref: ref}
			if val.Kind != yaml.MappingNode {
				c.values = values(r.list(val, "when"))
				all = append(all, c)
				return
			}
			r.entries(val, "when", conditionKeys, func(op, arg *yaml.Node) {
				c := condition{ref: ref}
				c.op, c.not = strings.CutPrefix(op.Value, "not")
				c.op = strings.TrimPrefix(c.op, "_")
				if c.op == "present" {
					c.present = arg.Value == "true"
				} else {
					c.values = values(r.list(arg, "when"))
				}
				all = append(all, c)
			})
		})
		m.when = append(m.when, all)
	}
}

package importer

import (
	"fmt"
	"regexp"
	"strings"
)

// Templates of actions are Jinja2. What stands in {{ }} is nearly always a field
// of an event, with a filter at most; that becomes ${CEL}.

var (
	moustache = regexp.MustCompile(`\{\{-?\s*(.*?)\s*-?\}\}`)
	filter    = regexp.MustCompile(`^([a-z_]+)(?:\((.*)\))?$`)
)

// template makes a value of a text with {{ }}: whole says that it was one
// template from end to end, which keeps its type.
func (w *celWriter) template(s string) (text string, whole bool, err error) {
	if strings.Contains(s, "{%") {
		return "", false, &untranslated{strings.Index(s, "{%"), "a template with {% %} has no equivalent", "let the playbook, or a step with when and loop, do it"}
	}
	found := moustache.FindAllStringSubmatchIndex(s, -1)
	var b strings.Builder
	last := 0
	for _, m := range found {
		cel, err := w.moustache(s[m[2]:m[3]], m[2])
		if err != nil {
			return "", false, err
		}
		b.WriteString(escapeText(s[last:m[0]]))
		b.WriteString("${" + cel + "}")
		last = m[1]
	}
	b.WriteString(escapeText(s[last:]))
	return b.String(), len(found) == 1 && found[0][0] == 0 && found[0][1] == len(s), nil
}

// escapeText keeps a ${ of a text from being an expression.
func escapeText(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// moustache writes one template's expression as CEL.
func (w *celWriter) moustache(s string, at int) (string, error) {
	parts := splitPipes(s)
	n, err := parseCondition(parts[0])
	if err != nil {
		return "", &untranslated{at, fmt.Sprintf("{{ %s }}: %v", s, err), "write it as CEL between ${ and }"}
	}
	if n.op == "" && n.path != nil && n.path[0] != "event" && n.path[0] != "events" && n.path[0] != "vars" && n.path[0] != "fact" && n.path[0] != "facts" {
		n.path = append([]string{"vars"}, n.path...) // a bare name is a variable
	}
	cel, err := w.write(n, primary)
	if err != nil {
		return "", shift(err, at)
	}
	for _, f := range parts[1:] {
		m := filter.FindStringSubmatch(strings.TrimSpace(f))
		if m == nil {
			return "", &untranslated{at, fmt.Sprintf("the filter %q has no equivalent", strings.TrimSpace(f)), ""}
		}
		if cel, err = w.filter(n, cel, m[1], m[2], at); err != nil {
			return "", err
		}
	}
	return cel, nil
}

func (w *celWriter) filter(n *node, cel, name, arg string, at int) (string, error) {
	switch name {
	case "default", "d":
		if n.path == nil {
			break
		}
		base, rest, err := w.resolve(n)
		if err != nil {
			return "", shift(err, at)
		}
		for i, r := range rest {
			if i == len(rest)-1 {
				base += optional(r)
			} else {
				base += optional(r)
			}
		}
		other, err := parseCondition(arg)
		if err != nil {
			return "", &untranslated{at, "default: " + err.Error(), ""}
		}
		v, err := w.write(other, orLevel)
		if err != nil {
			return "", shift(err, at)
		}
		if len(rest) == 0 {
			return cel, nil
		}
		return base + ".orValue(" + v + ")", nil
	case "lower", "upper", "trim":
		return "string(" + cel + ")." + name + "()", nil
	case "int":
		return "int(" + cel + ")", nil
	case "float":
		return "double(" + cel + ")", nil
	case "string":
		return "string(" + cel + ")", nil
	case "length", "count":
		return "size(" + cel + ")", nil
	case "first":
		return cel + "[0]", nil
	case "to_json", "tojson", "string_to_json":
		return cel, nil // maps are JSON where they are sent
	}
	return "", &untranslated{at, fmt.Sprintf("the filter %s has no equivalent", name), "write it as CEL between ${ and }, or let the playbook do it"}
}

// shift moves an error into the text around it.
func shift(err error, by int) error {
	if u, ok := err.(*untranslated); ok {
		c := *u
		c.at += by
		return &c
	}
	return err
}

// splitPipes cuts at | outside of quotes and parentheses.
func splitPipes(s string) []string {
	var out []string
	depth, quote, from := 0, byte(0), 0
	for i := range len(s) {
		c := s[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == '|' && depth == 0:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

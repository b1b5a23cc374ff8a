package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"signalbox/internal/rule"
)

// maxHints bounds what is proposed.
const maxHints = 5

// hints says what is nearest to taking an event that nothing took.
func hints(q *Question, x *Explanation) []string {
	if q.Rule != "" || q.Status == "duplicate" || slices.ContainsFunc(x.Rules, func(r Rule) bool { return r.Takes }) {
		return nil
	}
	if len(x.Rules) == 0 {
		return []string{"no rule has on: " + q.Event.Type + nearestTypes(q)}
	}
	type near struct {
		rule   string
		false_ []string
	}
	var list []near
	for i := range x.Rules {
		r := &x.Rules[i]
		if r.Mode == "off" {
			continue
		}
		n := near{rule: r.Rule}
		for _, role := range r.Roles {
			for _, c := range role.Conditions {
				if role.Listens && !c.Met {
					n.false_ = append(n.false_, falseParts(&c.Root)...)
				}
			}
		}
		if len(n.false_) > 0 {
			list = append(list, n)
		}
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(len(a.false_), len(b.false_)) })
	var out []string
	for _, n := range list[:min(len(list), maxHints)] {
		out = append(out, fmt.Sprintf("nearest: rule %s would take it, but for %s", n.rule, strings.Join(n.false_, " and ")))
	}
	return out
}

// falseParts gives the parts that make a condition false.
func falseParts(p *rule.ExplainedPart) []string {
	var out []string
	if len(p.Parts) > 0 && strings.Contains(p.Text, "&&") {
		for i := range p.Parts {
			if p.Parts[i].Value != "true" {
				out = append(out, falseParts(&p.Parts[i])...)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	text := p.Text
	for i, r := range p.Because {
		if i == 0 {
			text += " ("
		} else {
			text += ", "
		}
		text += r.Text + " is " + r.Value
		if i == len(p.Because)-1 {
			text += ")"
		}
	}
	return append(out, text)
}

// nearestTypes names types that rules ask for and that look like the event's.
func nearestTypes(q *Question) string {
	type near struct {
		typ, rule string
		distance  int
	}
	var list []near
	typ := q.Event.Type
	for _, r := range q.Set.Rules {
		for _, on := range r.On {
			plain := strings.TrimSuffix(on, "*")
			d := distance(typ, plain)
			if common := commonPrefix(typ, plain); common >= 4 {
				d = min(d, max(len(typ), len(plain))-common)
			}
			if plain == "" || 2*d > max(len(typ), len(plain)) {
				continue
			}
			if !slices.ContainsFunc(list, func(n near) bool { return n.typ == on }) {
				list = append(list, near{on, r.Name, d})
			}
		}
	}
	if len(list) == 0 {
		return fmt.Sprintf("; none of %d rules has a type that looks like it", len(q.Set.Rules))
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var words []string
	for _, n := range list[:min(len(list), maxHints)] {
		words = append(words, fmt.Sprintf("%s (rule %s)", n.typ, n.rule))
	}
	return "; nearest: " + strings.Join(words, ", ")
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// distance is Levenshtein's. Types are short, and what is longer is cut.
func distance(a, b string) int {
	const most = 64
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

package rule

import (
	"maps"
	"slices"
	"strings"
)

// checkHolds looks at which rules hold which, once all files are read: a held
// rule must be there, and no rule may wait for itself by way of others, since
// none of them would ever go on.
func (l *loader) checkHolds(set *Set) {
	known := slices.Sorted(maps.Keys(l.names))
	for _, r := range set.Rules {
		if r.Plan == nil {
			continue
		}
		for _, name := range r.Plan.Holds {
			if _, ok := l.names[name]; !ok {
				l.report(r.pattern.pos["holds."+name], Error, spellHint(name, known), "holds: there is no rule %q", name)
			}
		}
	}
	told := map[string]bool{}
	for _, r := range set.Rules {
		path := circle(r, func(r *Rule) []*Rule {
			if r.Plan == nil {
				return nil
			}
			var out []*Rule
			for _, name := range r.Plan.Holds {
				if held := set.Rule(name); held != nil {
					out = append(out, held)
				}
			}
			return out
		})
		if path == nil || told[circleID(path)] {
			continue
		}
		told[circleID(path)] = true
		l.report(r.pattern.pos["holds."+path[1].Name], Error, "take one of them out",
			"holds: the rules wait for each other in a circle: %s", circleText(path))
	}
}

// circle finds a shortest way from r back to it; nil for none. It begins and
// ends with r.
func circle(r *Rule, next func(*Rule) []*Rule) []*Rule {
	from := map[*Rule]*Rule{}
	queue := []*Rule{r}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, n := range next(at) {
			if n == r {
				path := []*Rule{r}
				for x := at; x != r; x = from[x] {
					path = append(path, x)
				}
				path = append(path, r)
				slices.Reverse(path)
				return path
			}
			if _, seen := from[n]; !seen && n != r {
				from[n] = at
				queue = append(queue, n)
			}
		}
	}
	return nil
}

// circleID is the same for a circle wherever it begins.
func circleID(path []*Rule) string {
	var names []string
	for _, r := range path[1:] {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return strings.Join(names, "\x00")
}

func circleText(path []*Rule) string {
	var names []string
	for _, r := range path {
		names = append(names, r.Name)
	}
	return strings.Join(names, " → ")
}

package rule

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/inventory"
)

// Options says what rules may name.
type Options struct {
	Catalogue Catalogue // nil: no event type is known, and any is right
	Actions   []ActionSpec
	// Secrets are the names that secret("name") may ask for; nil means that
	// they are not known here, so any is right.
	Secrets []string
	// Produced are the types that sources and mappings give, to warn of rules
	// that wait for another; a prefix ends in *. Types that emit steps name
	// need not be among them. nil means that nobody knows.
	Produced []string
}

// Load reads, checks and compiles a bundle. It reports every mistake of all
// files in one go, sorted by place. The set is nil where there are errors; the
// inventory never is. It is pure: no file is read here.
func Load(b Bundle, opt Options) (*Set, *inventory.Inventory, []Diagnostic) {
	l := &loader{opt: opt, names: map[string]Pos{}, actions: map[string]ActionSpec{}, exprs: map[exprKey]*compiled{}}
	for _, a := range opt.Actions {
		l.actions[a.Name] = a
		l.actionNames = append(l.actionNames, a.Name)
	}
	inv, problems := inventory.Parse(b.Inventory)
	for _, p := range problems {
		d := Diagnostic{Pos: Pos{p.File, p.Line, p.Col}, Severity: Error, Message: p.Message, Hint: p.Hint}
		if p.Warning {
			d.Severity = Warning
		}
		l.diags = append(l.diags, d)
	}
	var err error
	if l.envs, err = newEnvCache(opt.Catalogue, inv.Fields(), opt.Secrets); err != nil {
		l.diags = append(l.diags, Diagnostic{Severity: Error, Message: err.Error()})
		return nil, inv, l.diags
	}
	set := &Set{Version: b.Version()}
	for _, f := range b.Rules {
		l.load(f, set)
	}
	set.byName = make(map[string]*Rule, len(set.Rules))
	for _, r := range set.Rules {
		set.byName[r.Name] = r
	}
	l.checkHolds(set)
	set.global = l.globalDedup(b.Global)
	set.limits = newLimitList(l.globalLimits(b.Global.Limits))
	set.Redelivery = b.Redelivery
	if set.Redelivery == 0 {
		set.Redelivery = DefaultRedelivery
	}
	set.catalogue = opt.Catalogue
	if !HasErrors(l.diags) {
		l.lint(set, inv)
	}
	diags := sortDiagnostics(l.diags)
	if HasErrors(diags) {
		return nil, inv, diags
	}
	if err := countGroups(set, inv); err != nil {
		return nil, inv, append(diags, Diagnostic{Severity: Error, Message: err.Error()})
	}
	for _, r := range set.Rules {
		if r.Plan == nil {
			continue
		}
		r.late = r.late || r.Plan.EventTime || r.Plan.Dampen != nil || r.Plan.Upstream != nil
		for _, name := range r.Plan.Holds {
			if held := set.byName[name]; held != nil {
				held.late = true
			}
		}
	}
	set.types = typesOf(opt.Catalogue)
	set.index, set.live, set.questions = newIndex(set.Rules)
	set.guards = set.index.guards
	return set, inv, diags
}

// loader reads rule files and gathers what is wrong with them.
type loader struct {
	opt         Options
	actions     map[string]ActionSpec
	actionNames []string
	envs        *envCache
	names       map[string]Pos // of rules, over all files
	diags       []Diagnostic

	onPos map[string]Pos // of the types of the rule that is being read
	file  string
	lines []string // of the file, for places within a text
	exprs map[exprKey]*compiled
}

type exprKey struct {
	env  *exprEnv
	text string
}

func (l *loader) at(n *yaml.Node) Pos {
	if n == nil {
		return Pos{l.file, 1, 1}
	}
	return Pos{l.file, max(n.Line, 1), max(n.Column, 1)}
}

func (l *loader) errorf(n *yaml.Node, hint, format string, args ...any) {
	l.report(l.at(n), Error, hint, format, args...)
}

func (l *loader) warnf(n *yaml.Node, hint, format string, args ...any) {
	l.report(l.at(n), Warning, hint, format, args...)
}

func (l *loader) report(p Pos, s Severity, hint, format string, args ...any) {
	l.diags = append(l.diags, Diagnostic{Pos: p, Severity: s, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (l *loader) load(f File, set *Set) {
	l.file, l.lines = f.Name, strings.Split(string(f.Data), "\n")
	root, problem := inventory.Document(f)
	if problem != nil {
		l.report(Pos{problem.File, problem.Line, problem.Col}, Error, problem.Hint, "%s", problem.Message)
		return
	}
	if root == nil {
		return // a file with nothing but comments is fine
	}
	if root.Kind != yaml.MappingNode {
		l.errorf(root, "write rules: and below it the list", "expected a mapping with rules, found %s", nodeKind(root))
		return
	}
	l.each(root, fileKeys, func(key string, k, v *yaml.Node) {
		switch key {
		case "rules":
			l.items(v, "rules", func(n *yaml.Node) {
				if r := l.rule(n, set); r != nil {
					set.Rules = append(set.Rules, r)
				}
			})
		case "tests":
			l.tests(v, "", set)
		default:
			l.later(k)
		}
	})
}

// each walks the keys of a mapping. Unknown, repeated and complex keys are
// errors.
func (l *loader) each(n *yaml.Node, known []string, fn func(key string, k, v *yaml.Node)) {
	l.pairs(n, func(k, v *yaml.Node) {
		if !contains(known, k.Value) {
			l.errorf(k, spellHint(k.Value, known), "unknown key %q", k.Value)
			return
		}
		fn(k.Value, k, v)
	})
}

func (l *loader) pairs(n *yaml.Node, fn func(k, v *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), deref(n.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			l.errorf(k, "", "expected a plain key, found %s", nodeKind(k))
			continue
		}
		if line, dup := seen[k.Value]; dup {
			l.errorf(k, "", "key %q is already at line %d", k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		fn(k, v)
	}
}

func (l *loader) items(n *yaml.Node, what string, fn func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		if !isNull(n) {
			l.errorf(n, "begin each with a dash", "%s: expected a list, found %s", what, nodeKind(n))
		}
		return
	}
	for _, item := range n.Content {
		fn(deref(item))
	}
}

// later refuses a key that the language has and this release does not run:
// ignoring it would run the rule without its safeguards.
func (l *loader) later(k *yaml.Node) {
	l.errorf(k, "take it out for now", "%s: not in this release", k.Value)
}

// text takes a scalar as text.
func (l *loader) text(what string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		l.errorf(n, "", "%s: expected a text, found %s", what, nodeKind(n))
		return "", false
	}
	return n.Value, true
}

func (l *loader) oneOf(what string, n *yaml.Node, words ...string) (string, bool) {
	s, ok := l.text(what, n)
	if ok && !contains(words, s) {
		l.errorf(n, nearHint(s, words), "%s: %q is none of %s", what, s, strings.Join(words, ", "))
		return "", false
	}
	return s, ok
}

func (l *loader) boolean(what string, n *yaml.Node) (v, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Decode(&v) != nil || n.ShortTag() != "!!bool" {
		l.errorf(n, "", "%s: expected true or false, found %s", what, nodeKind(n))
		return false, false
	}
	return v, true
}

func (l *loader) integer(what string, n *yaml.Node, low, high int) (int, bool) {
	var v int
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&v) != nil {
		l.errorf(n, "", "%s: expected a whole number, found %s", what, nodeKind(n))
		return 0, false
	}
	if v < low || v > high {
		l.errorf(n, "", "%s: %d is not between %d and %d", what, v, low, high)
		return 0, false
	}
	return v, true
}

// duration takes a positive duration of at most a year.
func (l *loader) duration(what string, n *yaml.Node) (time.Duration, bool) {
	s, ok := l.text(what, n)
	if !ok {
		return 0, false
	}
	d, err := ParseDuration(s)
	if err != nil {
		hint := `as in "30s", "5m", "1h30m" or "7d"`
		if n.ShortTag() == "!!int" {
			hint = fmt.Sprintf("did you mean %ss?", s)
		}
		l.errorf(n, hint, "%s: expected a duration, found %q", what, s)
		return 0, false
	}
	if d <= 0 || d > 366*24*time.Hour {
		l.errorf(n, "", "%s: %s is not between 0 and a year", what, s)
		return 0, false
	}
	return d, true
}

func (l *loader) mapping(what string, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		l.errorf(n, "", "%s: expected a mapping, found %s", what, nodeKind(n))
		return false
	}
	return true
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%q", short(n.Value))
}

package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// The keys of the language. Those of later releases are known, so that they
// are refused by name and not as a misspelling.
var (
	fileKeys = []string{"rules", "tests", "workflows"}
	ruleKeys = append([]string{"name", "description", "on", "when", "dedup", "do", "retry", "timeout", "lock", "mode", "limits", "tests"},
		append(append([]string{}, formKeys...), stageKeys...)...)
	laterRuleKeys = []string{"approve"} // safety
	stepKeys      = []string{
		"name", "when", "register", "loop", "until", "retries", "delay", "timeout",
		"ignore_errors", "idempotent", "retry", "parallel", "block", "rescue", "always",
	}
	laterStepKeys = []string{"change", "call", "approve"}
)

// DefaultRetry is how recoverable errors are tried again where a rule does not
// say.
var DefaultRetry = Retry{Attempts: 4, Backoff: 2 * time.Second, Factor: 2, Max: time.Minute, Jitter: true}

var (
	ruleName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`)
	eventName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)
)

func (l *loader) rule(n *yaml.Node, set *Set) *Rule {
	if !l.mapping("rule", n) {
		return nil
	}
	r := &Rule{Pos: l.at(n), Mode: "active", Timeout: DefaultTimeout, Retry: DefaultRetry, Lock: "device", Version: meaning(n)}
	nodes, keys := map[string]*yaml.Node{}, map[string]*yaml.Node{}
	known := append(append([]string{}, ruleKeys...), laterRuleKeys...)
	l.each(n, known, func(key string, k, v *yaml.Node) {
		if contains(laterRuleKeys, key) {
			l.later(k)
			return
		}
		nodes[key], keys[key] = v, k
	})
	l.onPos = map[string]Pos{}
	r.onPos = l.onPos
	l.ruleName(n, nodes["name"], r)
	l.ruleSettings(nodes, r)
	plan := l.planOf(n, r, nodes, keys)
	p := plan.place()
	if v := nodes["when"]; v != nil {
		r.When = l.condition("when", v, p)
	}
	if v := nodes["dedup"]; v != nil {
		r.Dedup = l.dedup(v, p)
	}
	plan.finish()
	if v := nodes["limits"]; v != nil {
		r.limits = newLimitList(plan.limits(v))
	}
	switch v := nodes["do"]; {
	case v == nil:
		l.errorf(n, "write do: and below it a list of steps", "this rule has no do")
	case v.Kind == yaml.SequenceNode && len(v.Content) == 0:
		l.errorf(v, "", "do: there is no step in it")
	default:
		p = plan.stepsPlace()
		r.Do = l.steps("do", v, "", p, p.regs)
	}
	r.does = doing(nodes)
	if v := nodes["tests"]; v != nil {
		l.tests(v, r.Name, set)
	}
	return r
}

func (l *loader) ruleName(n, v *yaml.Node, r *Rule) {
	if v == nil {
		l.errorf(n, "write name: and a short name, as in port-down", "this rule has no name")
		return
	}
	name, ok := l.text("name", v)
	if !ok {
		return
	}
	if !ruleName.MatchString(name) {
		l.errorf(v, "letters, digits, and - _ . : between them, as in port-down", "name: %q cannot be a rule's name", short(name))
		return
	}
	if first, dup := l.names[name]; dup {
		l.errorf(v, "", "rule %q is already at %s:%d", name, first.File, first.Line)
		return
	}
	l.names[name] = l.at(v)
	r.Name = name
}

func (l *loader) ruleSettings(nodes map[string]*yaml.Node, r *Rule) {
	if v := nodes["description"]; v != nil {
		r.Description, _ = l.text("description", v)
	}
	if v := nodes["mode"]; v != nil {
		if m, ok := l.mode(v); ok {
			r.Mode = m
		}
	}
	if v := nodes["lock"]; v != nil {
		if s, ok := l.oneOf("lock", v, "device", "none"); ok {
			r.Lock = s
		}
	}
	if v := nodes["timeout"]; v != nil {
		if d, ok := l.duration("timeout", v); ok {
			r.Timeout = d
		}
	}
	if v := nodes["retry"]; v != nil {
		r.Retry = l.retry(v)
	}
}

// mode takes off for what YAML 1.1 calls false, since people write it bare.
func (l *loader) mode(v *yaml.Node) (string, bool) {
	if v.Kind == yaml.ScalarNode && v.ShortTag() == "!!bool" && strings.EqualFold(v.Value, "off") {
		return "off", true
	}
	return l.oneOf("mode", v, "active", "shadow", "off")
}

// on takes event types: one, a list, prefixes. n is what has it, for where it
// is missing.
func (l *loader) on(n, v *yaml.Node) (out []string) {
	if v == nil {
		what := "this rule has no on"
		if n.Kind != yaml.MappingNode || valueOf(n, "name") == nil && valueOf(n, "do") == nil {
			what = "there is no on here"
		}
		l.errorf(n, "write on: and an event type, as in interface_down", "%s", what)
		return nil
	}
	list := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		if list = v.Content; len(list) == 0 {
			l.errorf(v, "", "on: there is no event type in it")
		}
	}
	for _, item := range list {
		item = deref(item)
		name, ok := l.text("on", item)
		if !ok {
			continue
		}
		base := strings.TrimSuffix(name, "*")
		if base != "" && !eventName.MatchString(base) || name == "" {
			l.errorf(item, "a type as in interface_down, a prefix as in bgp_*, or * for all", "on: %q is no event type", short(name))
			continue
		}
		if contains(out, name) {
			l.warnf(item, "", "on: %q is there twice", name)
			continue
		}
		out = append(out, name)
		if _, ok := l.onPos[name]; !ok && l.onPos != nil {
			l.onPos[name] = l.at(item)
		}
		l.knownType(item, name)
	}
	return out
}

func (l *loader) knownType(n *yaml.Node, name string) {
	if l.opt.Catalogue == nil || name == "*" || len(l.envs.matching(name)) > 0 {
		return
	}
	var names []string
	for _, t := range l.opt.Catalogue.Types() {
		names = append(names, t.Name)
	}
	hint := "its fields cannot be checked"
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + quote(near) + "? The fields of a type that is not in the catalogue cannot be checked"
	}
	l.warnf(n, hint, "on: event type %q is not in the catalogue", name)
}

func quote(s string) string { return `"` + s + `"` }

func (l *loader) dedup(n *yaml.Node, p place) *Dedup {
	if !l.mapping("dedup", n) {
		return nil
	}
	d := &Dedup{Within: DefaultWithin}
	l.each(n, []string{"by", "within"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "within":
			if w, ok := l.duration("within", v); ok {
				d.Within = w
			}
		case "by":
			items := []*yaml.Node{v}
			if v.Kind == yaml.SequenceNode {
				if items = v.Content; len(items) == 0 {
					l.errorf(v, "name at least one field, as in [device, interface]", "by: the list is empty")
				}
			}
			for _, item := range items {
				if e := l.keyExpr("by", deref(item), p); e != nil {
					d.By = append(d.By, e)
				}
			}
		}
	})
	h := sha256.New()
	for _, e := range d.By {
		fmt.Fprintf(h, "%d:%s", len(e.Text), e.Text)
	}
	fmt.Fprintf(h, "within %d", d.Within)
	d.Signature = hex.EncodeToString(h.Sum(nil)[:6])
	return d
}

// shorthand are the words that stand for fields of the event in keys.
var shorthand = map[string]string{
	"type":      "event.type",
	"device":    "event.device",
	"interface": "interface_name(event.interface)",
	"source":    "event.source",
	"site":      `device.?site.orValue("")`,
}

// keyExpr compiles one field of a key.
func (l *loader) keyExpr(what string, n *yaml.Node, p place) *Expr {
	s, ok := l.text(what, n)
	if !ok {
		return nil
	}
	if _, ok := shorthand[s]; ok {
		return l.builtIn(n, s, p)
	}
	return l.expr(what, n, s, s, p)
}

// builtIn compiles a word of shorthand, or an expression of our own.
func (l *loader) builtIn(n *yaml.Node, word string, p place) *Expr {
	env := l.env(n, p)
	if env == nil {
		return nil
	}
	long, ok := shorthand[word]
	if !ok {
		long = word
	}
	c, ok := l.exprs[exprKey{env, long}]
	if !ok {
		var issues []issue
		if c, issues = env.compile(long); len(issues) > 0 { // ours are right in every environment
			l.errorf(n, issues[0].hint, "by: %s", issues[0].message)
			return nil
		}
		l.exprs[exprKey{env, long}] = c
	}
	return &Expr{Text: word, Pos: l.at(n), c: c}
}

func (l *loader) retry(n *yaml.Node) Retry {
	r := DefaultRetry
	if !l.mapping("retry", n) {
		return r
	}
	l.each(n, []string{"attempts", "backoff", "factor", "max", "jitter"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "attempts":
			if x, ok := l.integer(key, v, 1, 100); ok {
				r.Attempts = x
			}
		case "backoff":
			if x, ok := l.duration(key, v); ok {
				r.Backoff = x
			}
		case "max":
			if x, ok := l.duration(key, v); ok {
				r.Max = x
			}
		case "factor":
			var f float64
			if v.Kind != yaml.ScalarNode || v.Decode(&f) != nil || !(f >= 1 && f <= 100) {
				l.errorf(v, "", "factor: expected a number between 1 and 100, found %s", nodeKind(v))
				return
			}
			r.Factor = f
		case "jitter":
			if x, ok := l.boolean(key, v); ok {
				r.Jitter = x
			}
		}
	})
	return r
}

// Test is a test that a rule file carries, kept as it was written. Package
// ruletest reads and runs it.
type Test struct {
	Pos  Pos
	Rule string // the rule that it stands in; "" for the whole file
	Name string
	Body map[string]any
	Node *yaml.Node // what Body was made of, with its places
}

func (l *loader) tests(n *yaml.Node, rule string, set *Set) {
	l.items(n, "tests", func(item *yaml.Node) {
		if !l.mapping("test", item) {
			return
		}
		t := &Test{Pos: l.at(item), Rule: rule, Node: item}
		if err := item.Decode(&t.Body); err != nil {
			l.errorf(item, "", "test: %v", err)
			return
		}
		t.Name, _ = t.Body["name"].(string)
		set.Tests = append(set.Tests, t)
	})
}

// meaning is the version of a rule: a hash of all that it says, without
// comments, layout, the order of keys, its description and its tests.
func meaning(n *yaml.Node) string {
	h := sha256.New()
	writeMeaning(h, n, true)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

package rule

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Bounds of a list of steps.
const (
	maxSteps     = 500 // of one list
	maxStepDepth = 8   // of blocks within blocks
)

var registerName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// reserved are names that a register cannot have: CEL's own words.
var reserved = strings.Fields("as break const continue else false for function if import in let loop namespace null package return secret true var void while item")

// steps reads a list of steps. regs are the registers that are known so far;
// those of the list are added as it goes.
func (l *loader) steps(what string, n *yaml.Node, prefix string, p place, regs map[string]*registerType) []*Step {
	if n.Kind != yaml.SequenceNode {
		l.errorf(n, "begin each step with a dash", "%s: expected a list of steps, found %s", what, nodeKind(n))
		return nil
	}
	if len(n.Content) > maxSteps {
		l.errorf(n, "", "%s: %d steps are more than %d", what, len(n.Content), maxSteps)
		return nil
	}
	if strings.Count(prefix, ".") > 2*maxStepDepth {
		l.errorf(n, "", "%s: blocks are nested deeper than %d", what, maxStepDepth)
		return nil
	}
	out := make([]*Step, 0, len(n.Content))
	for i, item := range n.Content {
		if s := l.step(deref(item), fmt.Sprintf("%s%d", prefix, i), p, regs); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// stepNodes are the keys of one step.
type stepNodes struct {
	node   *yaml.Node
	common map[string]*yaml.Node
	action *yaml.Node // the key
	args   *yaml.Node
}

func (l *loader) step(n *yaml.Node, path string, p place, regs map[string]*registerType) *Step {
	if n.Kind != yaml.MappingNode {
		hint := "an action with its arguments, as in log: {message: …}"
		if n.Kind == yaml.ScalarNode {
			hint = fmt.Sprintf("write %s: {} for an action without arguments", n.Value)
		}
		l.errorf(n, hint, "step: expected a mapping, found %s", nodeKind(n))
		return nil
	}
	nodes := l.stepNodes(n)
	if nodes == nil {
		return nil
	}
	s := &Step{Path: path, Pos: l.at(n)}
	l.stepSettings(nodes, s)
	p.regs = regs
	if v := nodes.common["when"]; v != nil {
		s.When = l.condition("when", v, p.with(regs, nodes.common["loop"] != nil || p.item))
	}
	switch {
	case nodes.action != nil:
		l.actionStep(nodes, s, p, regs)
	case nodes.common["parallel"] != nil:
		l.onlyActions(nodes, "parallel")
		s.Parallel = l.parallel(nodes.common["parallel"], path, p, regs)
	case nodes.common["block"] != nil:
		l.onlyActions(nodes, "block")
		s.Block = l.steps("block", nodes.common["block"], path+".block.", p, regs)
		if v := nodes.common["rescue"]; v != nil {
			s.Rescue = l.steps("rescue", v, path+".rescue.", p, regs)
		}
		if v := nodes.common["always"]; v != nil {
			s.Always = l.steps("always", v, path+".always.", p, regs)
		}
	}
	return s
}

// stepNodes sorts the keys of a step. Exactly one is an action, parallel or
// block.
func (l *loader) stepNodes(n *yaml.Node) *stepNodes {
	out := &stepNodes{node: n, common: map[string]*yaml.Node{}}
	var doing []*yaml.Node
	bad := false
	l.pairs(n, func(k, v *yaml.Node) {
		switch {
		case k.Value == "parallel" || k.Value == "block":
			doing = append(doing, k)
			out.common[k.Value] = v
		case contains(stepKeys, k.Value):
			out.common[k.Value] = v
		case contains(laterStepKeys, k.Value):
			l.later(k)
			bad = true
		case l.actions[k.Value].Name != "":
			doing = append(doing, k)
			out.action, out.args = k, v
		default:
			l.unknownAction(k)
			bad = true
		}
	})
	switch {
	case bad:
		return nil
	case len(doing) == 0:
		l.errorf(n, "one action with its arguments, or parallel, or block", "this step does nothing")
		return nil
	case len(doing) > 1:
		l.errorf(doing[1], "make it a step of its own", "a step does one thing: %s is already at line %d", doing[0].Value, doing[0].Line)
		return nil
	}
	for _, key := range []string{"rescue", "always"} {
		if v := out.common[key]; v != nil && out.common["block"] == nil {
			l.errorf(v, "", "%s: needs a block in the same step", key)
		}
	}
	return out
}

func (l *loader) unknownAction(k *yaml.Node) {
	known := append(slices.Clone(l.actionNames), stepKeys...)
	hint := spellHint(k.Value, known)
	if nearest(k.Value, known) == "" {
		hint = "actions are " + strings.Join(l.actionNames, ", ")
	}
	l.errorf(k, hint, "unknown action %q", k.Value)
}

func (l *loader) onlyActions(n *stepNodes, what string) {
	for _, key := range []string{"register", "loop", "until", "retries", "delay", "idempotent", "retry", "timeout"} {
		if v := n.common[key]; v != nil {
			l.errorf(v, "put it at the steps within", "%s: goes with an action, not with %s", key, what)
		}
	}
}

func (l *loader) stepSettings(n *stepNodes, s *Step) {
	if v := n.common["name"]; v != nil {
		s.Name, _ = l.text("name", v)
	}
	if v := n.common["timeout"]; v != nil {
		s.Timeout, _ = l.duration("timeout", v)
	}
	if v := n.common["retry"]; v != nil {
		r := l.retry(v)
		s.Retry = &r
	}
	if v := n.common["ignore_errors"]; v != nil {
		s.IgnoreErrors, _ = l.boolean("ignore_errors", v)
	}
	if v := n.common["idempotent"]; v != nil {
		if b, ok := l.boolean("idempotent", v); ok {
			s.Idempotent = &b
		}
	}
}

// parallel reads steps that begin together: none sees what another gives back.
func (l *loader) parallel(n *yaml.Node, path string, p place, regs map[string]*registerType) []*Step {
	if n.Kind != yaml.SequenceNode {
		return l.steps("parallel", n, path+".parallel.", p, regs)
	}
	before := maps.Clone(regs)
	var out []*Step
	for i, item := range n.Content {
		mine := maps.Clone(before)
		s := l.step(deref(item), fmt.Sprintf("%s.parallel.%d", path, i), p, mine)
		if s != nil {
			out = append(out, s)
		}
		for _, name := range slices.Sorted(maps.Keys(mine)) {
			if before[name] != nil {
				continue
			}
			if regs[name] != nil {
				l.errorf(item, "", "register: %q is already taken by another step of the same parallel", name)
			}
			regs[name] = mine[name]
		}
	}
	return out
}

func (l *loader) actionStep(n *stepNodes, s *Step, p place, regs map[string]*registerType) {
	spec := l.actions[n.action.Value]
	s.Action = spec.Name
	inner := p.with(maps.Clone(regs), p.item)
	inner.secret = true
	if v := n.common["loop"]; v != nil {
		s.Loop = l.value(v, inner, Arg{Name: "loop", Type: "list", Required: true})
		inner.item = true
	}
	s.Args = l.args(n, spec, inner)
	reg := &registerType{action: spec.Name, output: spec.Output, looped: s.Loop != nil}
	name := l.register(n.common["register"], regs, inner)
	l.until(n, s, spec, name, inner)
	if name != "" {
		s.Register = name
		regs[name] = reg
	}
}

func (l *loader) register(v *yaml.Node, regs map[string]*registerType, p place) string {
	if v == nil {
		return ""
	}
	name, ok := l.text("register", v)
	if !ok {
		return ""
	}
	if !registerName.MatchString(name) || contains(reserved, name) {
		l.errorf(v, "letters, digits and _, as in ping", "register: %q cannot be a name", short(name))
		return ""
	}
	if regs[name] != nil {
		l.errorf(v, "", "register: %q is already taken by an earlier step", name)
		return ""
	}
	if env := l.env(v, p.bare()); env != nil && env.vars[name] != nil {
		l.errorf(v, "", "register: %q means something else in expressions", name)
		return ""
	}
	return name
}

// until sees what its own step gave back.
func (l *loader) until(n *stepNodes, s *Step, spec ActionSpec, name string, p place) {
	v := n.common["until"]
	for _, key := range []string{"retries", "delay"} {
		if x := n.common[key]; x != nil && v == nil {
			l.errorf(x, "errors are tried again by retry", "%s: needs an until in the same step", key)
		}
	}
	if v == nil {
		return
	}
	s.Retries, s.Delay = 3, 5*time.Second // as in Ansible
	if x := n.common["retries"]; x != nil {
		if r, ok := l.integer("retries", x, 1, 1000); ok {
			s.Retries = r
		}
	}
	if x := n.common["delay"]; x != nil {
		if d, ok := l.duration("delay", x); ok {
			s.Delay = d
		}
	}
	regs := maps.Clone(p.regs)
	if name != "" {
		regs[name] = &registerType{action: spec.Name, output: spec.Output}
	}
	s.Until = l.condition("until", v, p.with(regs, p.item))
}

// args reads the arguments of an action and checks them against its spec.
func (l *loader) args(n *stepNodes, spec ActionSpec, p place) *Value {
	out := &Value{Pos: l.at(n.action), kind: mapping}
	given := map[string]bool{}
	switch {
	case isNull(n.args):
	case n.args.Kind != yaml.MappingNode:
		hint := ""
		if len(spec.Args) > 0 {
			hint = fmt.Sprintf("as in %s: {%s: …}", spec.Name, spec.Args[0].Name)
		}
		l.errorf(n.args, hint, "%s: expected its arguments, found %s", spec.Name, nodeKind(n.args))
		return out
	default:
		l.pairs(n.args, func(k, v *yaml.Node) {
			given[k.Value] = true
			arg, ok := spec.arg(k.Value)
			if !ok {
				l.errorf(k, spellHint(k.Value, spec.argNames()), "%s has no argument %q", spec.Name, k.Value)
				return
			}
			out.keys = append(out.keys, k.Value)
			out.list = append(out.list, l.value(v, p, arg))
		})
	}
	for _, a := range spec.Args {
		if a.Required && a.Name != AnyArg && !given[a.Name] {
			l.errorf(n.action, a.Doc, "%s needs the argument %s", spec.Name, a.Name)
		}
	}
	return out
}

func (s ActionSpec) arg(name string) (Arg, bool) {
	for _, a := range s.Args {
		if a.Name == name {
			return a, true
		}
	}
	for _, a := range s.Args {
		if a.Name == AnyArg {
			a.Name, a.Required = name, false
			return a, true
		}
	}
	return Arg{}, false
}

func (s ActionSpec) argNames() []string {
	out := make([]string, 0, len(s.Args))
	for _, a := range s.Args {
		out = append(out, a.Name)
	}
	return out
}

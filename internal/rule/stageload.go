package rule

import (
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/correlate"
)

// Defaults of the stages. Those of dampening are what routers use.
const (
	defaultPenalty   = 1000
	defaultSuppress  = 2000
	defaultReuse     = 750
	defaultHalfLife  = 15 * time.Minute
	defaultWait      = 30 * time.Second
	defaultInterval  = 5 * time.Minute
	maxDampenPenalty = 1_000_000
)

// readStages reads what stands before and after the form.
func (p *planLoad) readStages() {
	at := place{on: joined(p.pat.partOn)}
	if n := p.nodes["dampen"]; n != nil {
		p.dampen(n, at)
	}
	if n := p.nodes["suppress"]; n != nil {
		p.suppress(n)
	}
	if n := p.nodes["holds"]; n != nil {
		p.holds(n)
	}
	if n := p.nodes["group"]; n != nil {
		p.group(n, at)
	}
	if n := p.nodes["situation"]; n != nil {
		p.situation(n)
	}
	p.time()
	p.bounds()
}

func (p *planLoad) dampen(n *yaml.Node, at place) {
	if d := p.keys["dedup"]; d != nil {
		p.errorf(p.keys["dampen"], "take one of them out", "dampen: stands where dedup stands, which is at line %d", d.Line)
	}
	f := p.fields("dampen", n, fieldsOf["dampen"])
	if f == nil {
		return
	}
	d := &correlate.Dampen{HalfLife: defaultHalfLife, Penalty: defaultPenalty, Suppress: defaultSuppress, Reuse: defaultReuse}
	for key, to := range map[string]*time.Duration{"half_life": &d.HalfLife, "max": &d.Max} {
		if x := f[key]; x != nil {
			*to, _ = p.duration(key, x)
		}
	}
	if f["max"] == nil {
		d.Max = 4 * d.HalfLife // as RFC 2439 and routers have it
	}
	for key, to := range map[string]*int{"penalty": &d.Penalty, "suppress": &d.Suppress, "reuse": &d.Reuse} {
		if x := f[key]; x != nil {
			if v, ok := p.integer(key, x, 1, maxDampenPenalty); ok {
				*to = v
			}
		}
	}
	if d.Reuse >= d.Suppress {
		where := n
		if f["reuse"] != nil {
			where = f["reuse"]
		} else if f["suppress"] != nil {
			where = f["suppress"]
		}
		p.errorf(where, "what was suppressed is used again when its penalty has fallen below reuse", "dampen: reuse %d is not below suppress %d", d.Reuse, d.Suppress)
	}
	for key, x := range f {
		p.pat.pos["dampen."+key] = p.loader.at(x)
	}
	p.pat.pos["dampen"] = p.loader.at(n)
	p.pat.dampen = p.by("by", f["by"], at, p.defaultBy(p.pat.partOn))
	p.plan.Dampen = d
}

// suppress takes the word upstream, or a mapping.
func (p *planLoad) suppress(n *yaml.Node) {
	up := &correlate.Upstream{}
	p.pat.pos["suppress"] = p.loader.at(n)
	if n.Kind == yaml.ScalarNode {
		if _, ok := p.oneOf("suppress", n, "upstream"); ok {
			p.plan.Upstream = up
		}
		return
	}
	f := p.fields("suppress", n, fieldsOf["suppress"])
	if f == nil {
		return
	}
	on := false
	if x := f["upstream"]; x != nil {
		on, _ = p.boolean("upstream", x)
	} else {
		p.errorf(n, "as in {upstream: true, wait: 10s}", "suppress: needs upstream: true")
	}
	if x := f["wait"]; x != nil {
		up.Wait, _ = p.durationOrZero("wait", x)
	}
	if on {
		p.plan.Upstream = up
	}
}

// heldBy are the forms that can tell whether an event is part of something.
var heldBy = []string{"count", "flap", "sequence", "all", "unless"}

func (p *planLoad) holds(n *yaml.Node) {
	if !contains(heldBy, p.form) {
		p.errorf(p.keys["holds"], "it goes with count, flap, sequence, all or unless", "holds: this rule has nothing to wait for")
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if items = n.Content; len(items) == 0 {
			p.errorf(n, "name the rules whose runs wait", "holds: the list is empty")
		}
	}
	for _, item := range items {
		item = deref(item)
		name, ok := p.text("holds", item)
		switch {
		case !ok:
		case contains(p.plan.Holds, name):
			p.warnf(item, "", "holds: %q is there twice", name)
		case name == p.rule.Name && name != "":
			p.errorf(item, "it names other rules, whose runs wait for this one", "holds: a rule cannot hold itself")
		default:
			p.plan.Holds = append(p.plan.Holds, name)
			p.pat.pos["holds."+name] = p.loader.at(item)
		}
	}
}

func (p *planLoad) group(n *yaml.Node, at place) {
	f := p.fields("group", n, fieldsOf["group"])
	if f == nil {
		return
	}
	g := &correlate.Group{Wait: defaultWait, Interval: defaultInterval}
	for _, key := range []string{"wait", "interval", "repeat"} {
		x := f[key]
		if x == nil {
			continue
		}
		to := map[string]*time.Duration{"wait": &g.Wait, "interval": &g.Interval, "repeat": &g.Repeat}[key]
		if key == "interval" {
			*to, _ = p.duration(key, x)
		} else {
			*to, _ = p.durationOrZero(key, x)
		}
	}
	if g.Repeat > 0 && g.Repeat < g.Interval {
		p.errorf(f["repeat"], "", "repeat: %s is shorter than interval, %s", shortDuration(g.Repeat), shortDuration(g.Interval))
	}
	if f["by"] == nil {
		p.errorf(n, "as in by: [device.site]", "group: needs by, what its members share")
	} else {
		p.pat.group = p.by("by", f["by"], at, nil)
	}
	p.plan.Group = g
}

// resolvedBy reads the types that resolve the rule's situation.
func (p *planLoad) resolvedBy() []string {
	n := p.nodes["situation"]
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	by := valueOf(n, "resolved_by")
	switch {
	case by == nil:
		return nil
	case by.Kind == yaml.MappingNode:
		return p.on(by, valueOf(by, "on"))
	case isNull(by):
		p.errorf(by, "as in resolved_by: interface_up", "resolved_by: expected an event type, found nothing")
		return nil
	}
	return p.on(by, by)
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if deref(n.Content[i]).Value == key {
			return deref(n.Content[i+1])
		}
	}
	return nil
}

func (p *planLoad) resolveRole() role {
	x := role{part: correlate.PartResolve, on: p.resolved}
	by := valueOf(p.nodes["situation"], "resolved_by")
	if by == nil || by.Kind != yaml.MappingNode {
		return x
	}
	if f := p.fields("resolved_by", by, fieldsOf["resolved"]); f["when"] != nil {
		x.own = p.condition("when", f["when"], place{on: joined(p.resolved)})
	}
	return x
}

func (p *planLoad) situation(n *yaml.Node) {
	f := p.fields("situation", n, fieldsOf["situation"])
	if f == nil {
		return
	}
	for key, x := range f {
		p.pat.pos["situation."+key] = p.loader.at(x)
	}
	s := &correlate.Situation{}
	seen := union(p.pat.partOn, p.resolved)
	p.pat.situation = p.by("key", f["key"], place{on: joined(seen)}, p.defaultBy(seen))
	if x := f["updated"]; x != nil {
		at := p.stepsPlace()
		p.rule.Updated = p.steps("updated", x, "updated.", at, at.regs)
		s.Updated = p.someSteps("updated", x, p.rule.Updated)
	}
	if x := f["resolved"]; x != nil {
		at := p.stepsPlace()
		at.on = joined(seen) // event is what resolved it
		p.rule.Resolved = p.steps("resolved", x, "resolved.", at, at.regs)
		s.Resolved = p.someSteps("resolved", x, p.rule.Resolved)
	}
	p.plan.Situation = s
}

func (p *planLoad) someSteps(what string, n *yaml.Node, steps []*Step) bool {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.errorf(n, "take it out where nothing is to be done", "%s: there is no step in it", what)
	}
	return len(steps) > 0
}

// time reads by which clock the form goes.
func (p *planLoad) time() {
	late := p.nodes["lateness"]
	if n := p.nodes["time"]; n != nil {
		word, _ := p.oneOf("time", n, "log", "event")
		p.plan.EventTime = word == "event"
		if p.plan.EventTime && p.form == "" {
			p.errorf(p.keys["time"], "take it out, or give the rule a form such as count", "time: each event stands for itself here, so there is no time to go by")
		}
		if p.plan.EventTime && late == nil {
			p.errorf(n, "write lateness: and for how long an event may be under way, as in 30s", "time: event needs lateness")
		}
	}
	if late == nil {
		return
	}
	if !p.plan.EventTime {
		p.errorf(p.keys["lateness"], "write time: event, or take it out", "lateness: goes with time: event; by log time no event is late")
	}
	p.plan.Lateness, _ = p.duration("lateness", late)
}

// bounds reads how much the rule may remember.
func (p *planLoad) bounds() {
	for _, key := range []string{"max_keys", "when_full"} {
		if p.keys[key] != nil && p.form == "" && p.nodes["dampen"] == nil && p.nodes["group"] == nil && p.nodes["situation"] == nil && p.nodes["suppress"] == nil {
			p.errorf(p.keys[key], "take it out", "%s: this rule remembers no keys", key)
		}
	}
	if n := p.nodes["max_keys"]; n != nil {
		if v, ok := p.integer("max_keys", n, 1, maxMaxKeys); ok {
			p.plan.MaxKeys = v
		}
	}
	if n := p.nodes["when_full"]; n != nil {
		word, _ := p.oneOf("when_full", n, "oldest", "refuse")
		p.plan.Refuse = word == "refuse"
	}
}

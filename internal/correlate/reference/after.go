package reference

import (
	"fmt"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// found acts on what a form found. It is false where a limit has no room for the
// run, and nothing else came of it.
func (c *Correlator) found(p *pipe, key string, f finding) bool {
	h := p.forms[key]
	n := &news{key: key}
	for _, i := range f.events {
		n.events = append(n.events, h.list[i].ev)
		n.as = append(n.as, f.as[i])
	}
	last := h.list[f.events[len(f.events)-1]]
	n.about = last.ev.ID
	if p.plan.Form == correlate.Unless {
		n.about = n.events[0].ID
	}
	n.group, n.situation = last.ins[0].GroupKey, last.ins[0].SituationKey
	if p.plan.Group != nil {
		c.join(p, n)
		return true
	}
	return c.start(p, n)
}

// news is a finding on its way to a run.
type news struct {
	key              string
	events           []*event.Event
	as               []string
	group, situation string
	about            event.ID // the event that it is about: the one that made it, or what was not followed
}

// last is the event that the finding is about.
func (n *news) last() *event.Event {
	for _, ev := range n.events {
		if ev.ID == n.about {
			return ev
		}
	}
	return n.events[len(n.events)-1]
}

// start gives a finding to its situation, and starts the run.
func (c *Correlator) start(p *pipe, n *news) bool {
	branch, id := "", ""
	if p.plan.Situation != nil {
		s := c.current(p.m.Rule, n.situation)
		change := "updated"
		if s == nil {
			change = "opened"
			s = &situation{p: p, key: n.situation, state: "open"}
			s.id = fmt.Sprintf("%s/%s/%d", p.m.Rule, n.situation, c.count(p.m.Rule, n.situation))
			c.states = append(c.states, s)
		} else {
			branch = "updated"
		}
		for _, ev := range n.events {
			s.events = append(s.events, ev.ID)
		}
		s.last = n.last()
		id = s.id
		c.change(s, change, n.about, "")
		if branch == "updated" && !p.plan.Situation.Updated {
			return true
		}
	}
	return c.run(p, n, branch, id) || id != ""
}

func (c *Correlator) run(p *pipe, n *news, branch, situation string) bool {
	if c.limited(p.m, n) {
		return false
	}
	rs := record.RunStart{Rule: p.m.Rule, RuleVersion: p.m.Version, Branch: branch, Situation: situation,
		Events: n.events, As: n.as, Total: uint32(len(n.events)), Key: n.key}
	c.cur.Runs = append(c.cur.Runs, rs)
	return true
}

// situation is one, from its opening on.
type situation struct {
	p      *pipe
	id     string
	key    string
	state  string
	events []event.ID
	last   *event.Event // of what was found last
}

// current is the situation of a key that is not resolved.
func (c *Correlator) current(rule, key string) *situation {
	for _, s := range c.states {
		if s.p.m.Rule == rule && s.key == key && s.state != "resolved" {
			return s
		}
	}
	return nil
}

func (c *Correlator) count(rule, key string) int {
	n := 0
	for _, s := range c.states {
		if s.p.m.Rule == rule && s.key == key {
			n++
		}
	}
	return n
}

func (c *Correlator) change(s *situation, change string, ev event.ID, by string) {
	c.cur.Situations = append(c.cur.Situations, record.SituationChange{ID: s.id, Rule: s.p.m.Rule,
		Key: s.key, Change: change, State: s.state, Event: ev, By: by})
}

// person does what a person asked for.
func (c *Correlator) person(cmd *record.Command) {
	for _, s := range c.states {
		if s.id != cmd.Run || s.state == "resolved" {
			continue
		}
		switch cmd.Verb {
		case "acknowledge":
			if s.state == "open" {
				s.state = "acknowledged"
				c.change(s, "acknowledged", "", cmd.By)
			}
		case "resolve":
			s.state = "resolved"
			c.change(s, "resolved", "", cmd.By)
			if s.p.plan.Situation.Resolved {
				c.run(s.p, &news{key: s.key, events: []*event.Event{s.last}, as: []string{""}}, "resolved", s.id)
			}
		}
	}
}

// roles does what an event does beside being a part: it resolves a situation,
// or clears members of groups.
func (c *Correlator) roles(p *pipe, ev *event.Event, ins []correlate.Input) answer {
	best := nothing
	for _, in := range ins {
		switch in.Part {
		case correlate.PartResolve:
			s := c.current(p.m.Rule, in.SituationKey)
			if s == nil {
				continue
			}
			best = took
			s.state = "resolved"
			c.change(s, "resolved", ev.ID, "")
			if p.plan.Situation.Resolved {
				c.run(p, &news{key: in.SituationKey, events: []*event.Event{ev}, as: []string{""}}, "resolved", s.id)
			}
		case correlate.PartClear:
			if c.cleared(p, in) {
				best = took
			}
		}
	}
	return best
}

// group is one group key's members from the first on.
type group struct {
	members []*member
	events  []grouped // of the members, in order of arrival
	first   time.Time // when it began
	fresh   time.Time // when the first came that no run was told of; zero: none
	ends    string    // key of the situation, as the last finding had it
	lastRun time.Time // zero: none yet
	order   int       // when its timer was set
}

type member struct {
	key   string
	fresh bool
}

type grouped struct {
	member string
	order  int
	ev     *event.Event
	as     string
}

// join adds a finding to its group.
func (c *Correlator) join(p *pipe, n *news) {
	g := p.groups[n.group]
	if g == nil {
		g = &group{first: c.now}
		c.order++
		g.order = c.order
		p.groups[n.group] = g
		p.gkeys = append(p.gkeys, n.group)
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.key == n.key })
	isNew := i < 0 || !p.plan.Group.Clears
	if i < 0 {
		i = len(g.members)
		g.members = append(g.members, &member{key: n.key})
	}
	g.ends = n.situation
	if isNew && !g.members[i].fresh {
		g.members[i].fresh = true
	}
	if isNew && g.fresh.IsZero() {
		g.fresh = c.now
		if !g.lastRun.IsZero() {
			c.order++
			g.order = c.order
		}
	}
	for j, ev := range n.events {
		g.events = append(g.events, grouped{n.key, c.arrival[ev.ID], ev, n.as[j]})
	}
	slices.SortStableFunc(g.events, func(a, b grouped) int { return a.order - b.order })
	c.note(p.m.Rule, "grouped", "")
}

// cleared takes the member of a key out of its group.
func (c *Correlator) cleared(p *pipe, in correlate.Input) bool {
	g := p.groups[in.GroupKey]
	if g == nil {
		return false
	}
	n := len(g.members)
	g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m.key == in.Key })
	g.events = slices.DeleteFunc(g.events, func(e grouped) bool { return e.member == in.Key })
	if len(g.members) == n {
		return false
	}
	if !slices.ContainsFunc(g.members, func(m *member) bool { return m.fresh }) {
		g.fresh = time.Time{}
	}
	if len(g.members) == 0 {
		c.endGroup(p, in.GroupKey)
	}
	return true
}

func (c *Correlator) endGroup(p *pipe, key string) {
	delete(p.groups, key)
	p.gkeys = slices.DeleteFunc(p.gkeys, func(k string) bool { return k == key })
}

func (c *Correlator) groupTimers(p *pipe) []timer {
	var out []timer
	for _, key := range p.gkeys {
		g, plan := p.groups[key], p.plan.Group
		var due time.Time
		switch {
		case g.lastRun.IsZero():
			due = g.first.Add(plan.Wait)
		case !g.fresh.IsZero():
			if due = g.lastRun.Add(plan.Interval); !due.After(g.fresh) {
				due = g.fresh.Add(plan.Wait)
			}
		case !plan.Clears:
			due = g.lastRun.Add(plan.Interval)
		case plan.Repeat > 0:
			due = g.lastRun.Add(max(plan.Repeat, plan.Interval))
		default:
			continue
		}
		out = append(out, timer{due, false, g.order, func() { c.flush(p, key, g) }})
	}
	return out
}

// flush runs a group, or ends it.
func (c *Correlator) flush(p *pipe, key string, g *group) {
	if !g.lastRun.IsZero() && g.fresh.IsZero() && !p.plan.Group.Clears {
		c.endGroup(p, key)
		return
	}
	n := &news{key: key, group: key, situation: g.ends, about: g.events[len(g.events)-1].ev.ID}
	for _, e := range g.events {
		n.events = append(n.events, e.ev)
		n.as = append(n.as, e.as)
	}
	for _, m := range g.members {
		m.fresh = false
	}
	c.order++
	g.order = c.order
	g.fresh, g.lastRun = time.Time{}, c.now
	c.start(p, n)
}

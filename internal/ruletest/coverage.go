package ruletest

import (
	"fmt"

	"signalbox/internal/correlate"
	"signalbox/internal/rule"
)

// Coverage gathers what tests reach of rules. The nil Coverage gathers nothing.
type Coverage struct {
	order []*Covered
	rules map[string]*Covered // of the set under way
	all   map[string]*Covered // by file and name
}

// Covered is what tests reach of one rule.
type Covered struct {
	Rule     string    `json:"rule"`
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Tested   bool      `json:"tested"` // a test started a run of it
	Branches []*Branch `json:"branches,omitempty"`

	index map[string]*Branch
}

// Branch is one way that a rule can go: a step that is done or skipped, a part
// of a form, a rescue, a change of a situation.
type Branch struct {
	What    string `json:"what"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Reached bool   `json:"reached"`
}

// NewCoverage gathers from nothing.
func NewCoverage() *Coverage { return &Coverage{all: map[string]*Covered{}} }

// Use makes set the one that tests run on from now on. Rules that were seen
// before, of the same name in the same file, go on being counted.
func (c *Coverage) Use(set *rule.Set) {
	if c == nil {
		return
	}
	c.rules = map[string]*Covered{}
	for _, r := range set.Rules {
		if r.Mode == "off" {
			continue
		}
		key := r.Pos.File + "\x00" + r.Name
		rc := c.all[key]
		if rc == nil {
			rc = &Covered{Rule: r.Name, File: r.Pos.File, Line: r.Pos.Line, index: map[string]*Branch{}}
			rc.lay(r)
			c.all[key] = rc
			c.order = append(c.order, rc)
		}
		c.rules[r.Name] = rc
	}
}

// Report lists all rules in the order of the files.
func (c *Coverage) Report() []*Covered { return c.order }

// lay lists the branches of a rule.
func (rc *Covered) lay(r *rule.Rule) {
	if p := r.Plan; p != nil {
		for i, part := range p.Parts {
			name := fmt.Sprintf("part %d", i+1)
			if part.As != "" {
				name += " (" + part.As + ")"
			}
			rc.branch(fmt.Sprint("part ", i), name+" of "+formName(p.Form), r.Pos)
		}
		if s := p.Situation; s != nil {
			if s.Updated {
				rc.branch("do updated", "situation: updated", r.Pos)
			}
			rc.branch("part resolve", "situation: its resolving event", r.Pos)
			if s.Resolved {
				rc.branch("do resolved", "situation: resolved", r.Pos)
			}
		}
	}
	for _, list := range [][]*rule.Step{r.Do, r.Updated, r.Resolved} {
		rc.steps(list)
	}
}

func (rc *Covered) steps(list []*rule.Step) {
	for _, s := range list {
		if s.When != nil {
			what := "step " + s.Path
			if name := stepName(s); name != "" {
				what += " (" + name + ")"
			}
			rc.branch(whenKey(s, true), what+" done", s.Pos)
			rc.branch(whenKey(s, false), what+" skipped", s.Pos)
		}
		if len(s.Rescue) > 0 {
			rc.branch(rescueKey(s), "rescue of step "+s.Path, s.Rescue[0].Pos)
		}
		for _, in := range [][]*rule.Step{s.Parallel, s.Block, s.Rescue, s.Always} {
			rc.steps(in)
		}
	}
}

func stepName(s *rule.Step) string {
	if s.Name != "" {
		return s.Name
	}
	return s.Action
}

// The same path is in do, updated and resolved: the place tells them apart.
func whenKey(s *rule.Step, done bool) string { return fmt.Sprint("when ", s.Pos, s.Path, done) }
func rescueKey(s *rule.Step) string          { return fmt.Sprint("rescue ", s.Pos, s.Path) }

func formName(f correlate.Form) string {
	switch f {
	case correlate.Sequence:
		return "sequence"
	case correlate.All:
		return "all"
	case correlate.Any:
		return "any"
	case correlate.Unless:
		return "unless"
	}
	return "its form"
}

func (rc *Covered) branch(key, what string, p rule.Pos) {
	b := &Branch{What: what, File: p.File, Line: p.Line}
	rc.index[key] = b
	rc.Branches = append(rc.Branches, b)
}

func (c *Coverage) reach(name, key string) {
	if c == nil {
		return
	}
	if rc := c.rules[name]; rc != nil {
		if b := rc.index[key]; b != nil {
			b.Reached = true
		}
	}
}

func (c *Coverage) run(name, branch string) {
	if c == nil {
		return
	}
	if rc := c.rules[name]; rc != nil {
		rc.Tested = true
	}
	c.reach(name, "do "+branch)
}

func (c *Coverage) part(name string, part int) {
	if part == correlate.PartResolve {
		c.reach(name, "part resolve")
		return
	}
	c.reach(name, fmt.Sprint("part ", part))
}

func (c *Coverage) when(name string, s *rule.Step, done bool) {
	if c != nil {
		c.reach(name, whenKey(s, done))
	}
}

func (c *Coverage) rescued(name string, s *rule.Step) {
	if c != nil {
		c.reach(name, rescueKey(s))
	}
}

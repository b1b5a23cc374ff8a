package rule

import (
	"fmt"
	"slices"
	"strings"

	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
	"signalbox/internal/schema"
)

// Windows that can never fill.

// reads is what a part of a key reads, by one name for what is the same.
func (k keyPart) reads() string {
	switch {
	case k.port:
		return "interface"
	case k.attr.owner == "":
		return k.expr.canonical()
	case k.attr == attribute{"event", "device"}, k.attr == attribute{"device", "name"}:
		return "device"
	}
	return k.attr.String()
}

// dependsOn says whether the value of one follows from the values of a key:
// the site of a device is the same as long as the device is.
func (k keyPart) dependsOn(key []keyPart) bool {
	for _, by := range key {
		if by.reads() == k.reads() {
			return true
		}
		device := by.reads() == "device" || by.attr == attribute{"device", "address"}
		if device && (k.attr.owner == "device" || k.attr.owner == "site") {
			return true
		}
		if (by.attr == attribute{"device", "site"} || by.attr == attribute{"site", "name"}) &&
			(k.attr.owner == "site" || k.attr == attribute{"device", "site"}) {
			return true
		}
	}
	return false
}

func (l *loader) lintCount(r *Rule, inv *inventory.Inventory) {
	v, plan := r.pattern.value, r.Plan
	if !plan.Distinct || v == nil {
		return
	}
	pos := l.where(r, "distinct")
	if v.dependsOn(r.pattern.key) {
		l.warn(pos, "take it out of by", "count: the window never fills: all events of one key have one %s", v.expr.Text)
		return
	}
	if n, what := l.possible(v, r); n > 0 && n < plan.AtLeast {
		l.warn(l.where(r, "at_least"), "", "count: the window never fills: %s has %d different values, at_least is %d", what, n, plan.AtLeast)
		return
	}
	if v.reads() == "device" && len(r.pattern.key) == 1 && (r.pattern.key[0].attr == attribute{"device", "site"}) {
		if site, n := largestSite(inv); n > 0 && n < plan.AtLeast {
			l.warn(l.where(r, "at_least"), "", "count: the window never fills: no site of the inventory has %d devices; the largest, %s, has %d", plan.AtLeast, site, n)
		}
	}
}

// possible is how many values something can have, 0 where nobody knows.
func (l *loader) possible(v *keyPart, r *Rule) (n int, what string) {
	switch {
	case v.attr == attribute{"event", "type"}:
		var all []string
		for _, on := range r.pattern.partOn {
			if strings.HasSuffix(on, "*") {
				return 0, ""
			}
			all = union(all, []string{on})
		}
		return len(all), "event.type"
	case v.attr.owner == "event.data":
		enum, _ := l.enumOf(v.expr.c.ast.NativeRep().Expr(), place{on: joined(r.pattern.partOn)})
		if len(enum) > 0 {
			return len(enum) + 1, v.attr.String() // absent is one, too
		}
	}
	return 0, ""
}

func largestSite(inv *inventory.Inventory) (name string, devices int) {
	sites := map[string]int{}
	for _, d := range inv.Names() {
		record, _ := inv.Device(d)
		site, ok := record["site"].(string)
		if !ok {
			continue
		}
		sites[site]++
		if n := sites[site]; n > devices || n == devices && site < name {
			name, devices = site, n
		}
	}
	return name, devices
}

// lintFlap finds a flap of what has no two states.
func (l *loader) lintFlap(r *Rule) {
	if r.pattern.value != nil || l.opt.Catalogue == nil {
		return
	}
	var names []string
	for _, on := range r.pattern.partOn {
		found := l.types(on)
		if len(found) == 0 || on == "*" {
			return
		}
		for _, t := range found {
			names = append(names, t.Name)
		}
	}
	var counterpart []string
	for _, t := range l.opt.Catalogue.Types() {
		for _, c := range t.Clears {
			if !contains(names, c) {
				continue
			}
			if contains(names, t.Name) {
				return
			}
			counterpart = union(counterpart, []string{t.Name})
		}
	}
	hint := "write count, or name the state with state:"
	if len(counterpart) > 0 {
		hint = "add " + strings.Join(counterpart, " or ") + " to on"
	}
	what := "none of " + strings.Join(names, ", ") + " ends another"
	if len(names) == 1 {
		what = names[0] + " alone is one state"
	}
	l.warn(l.where(r), hint, "flap: %s, so what is counted is events and not changes", what)
}

// lintUnless finds a wait that its own events end.
func (l *loader) lintUnless(r *Rule) {
	for _, x := range r.pattern.roles {
		if x.part == 1 && x.own == nil && overlapping(x.on, r.pattern.partOn) {
			l.warn(l.where(r, "on"), "for something that stops coming, write silent", "unless: the event that begins the wait ends it, too: %s", strings.Join(x.on, ", "))
		}
	}
}

// lintParts finds parts that never come together under one key.
func (l *loader) lintParts(r *Rule) {
	all := factsOf("")
	for i := range r.pattern.roles {
		x := &r.pattern.roles[i]
		if x.part < 0 {
			continue
		}
		own := factsOf(x.as, r.whenOf(x), x.own)
		if own.never != "" {
			return // told already
		}
		all.merge(own, func(a attribute) bool {
			return keyPart{attr: a}.dependsOn(r.pattern.key)
		})
	}
	if all.never != "" {
		l.warn(l.where(r, "events"), "take it out of by, or mend the conditions", "%s: its events never meet: they share %s, and %s",
			l.formName(r), keyText(r.pattern.key), all.never)
	}
}

func keyText(key []keyPart) string {
	var out []string
	for _, k := range key {
		out = append(out, k.expr.Text)
	}
	return strings.Join(out, ", ")
}

func (l *loader) formName(r *Rule) string {
	for name, form := range formOf {
		if form == r.Plan.Form {
			return name
		}
	}
	return "rule"
}

// lintKeys finds keys that some of a rule's events never have: those never meet
// the others.
func (l *loader) lintKeys(r *Rule) {
	first := slices.IndexFunc(r.pattern.roles, func(x role) bool { return x.part == 0 })
	if first < 0 {
		return
	}
	for i := range r.pattern.roles {
		x := &r.pattern.roles[i]
		switch {
		case x.part > 0 && r.Plan.Form != correlate.Any:
			l.lintKey(r, "by", r.pattern.key, r.pattern.roles[first].on, x.on)
		case x.part == correlate.PartResolve:
			l.lintKey(r, "situation.key", r.pattern.situation, r.pattern.partOn, x.on)
		}
	}
}

func (l *loader) lintKey(r *Rule, what string, key []keyPart, a, b []string) {
	for _, k := range key {
		if k.attr.owner != "event.data" {
			continue
		}
		for _, side := range [][2][]string{{a, b}, {b, a}} {
			if l.hasField(side[0], k.attr.name) == always && l.hasField(side[1], k.attr.name) == never {
				l.warn(l.where(r, what), "", "%s: %s has no field %q, so its events never meet those of %s",
					strings.TrimPrefix(what, "situation."), strings.Join(side[1], ", "), k.attr.name, strings.Join(side[0], ", "))
				break
			}
		}
	}
}

// having says whether types have a field.
type having int

const (
	unknown having = iota
	always         // all of them know it
	never          // none of them does
)

func (l *loader) hasField(on []string, name string) having {
	with, without := 0, 0
	for _, pattern := range on {
		found := l.types(pattern)
		if len(found) == 0 || pattern == "*" {
			return unknown
		}
		for _, t := range found {
			if slices.ContainsFunc(t.Fields, func(f schema.Field) bool { return f.Name == name }) {
				with++
			} else {
				without++
			}
		}
	}
	switch {
	case without == 0:
		return always
	case with == 0:
		return never
	}
	return unknown
}

// lintDedup finds a rule whose own dedup lets no second event into its window.
func (l *loader) lintDedup(r *Rule) {
	d := r.Dedup
	if d == nil || len(d.By) == 0 || r.Plan.EventTime || d.Within < r.Plan.Within || r.Plan.Within == 0 {
		return
	}
	switch r.Plan.Form {
	case correlate.Count, correlate.Flap, correlate.Sequence, correlate.All:
	default:
		return
	}
	for _, e := range d.By {
		if !newKeyPart(e).dependsOn(r.pattern.key) {
			return
		}
	}
	l.warn(l.where(r, "within"), "take dedup out, or add to its by what tells the events apart",
		"%s: the window never fills: dedup lets one event of a key pass in %s, and the window is %s", l.formName(r), shortDuration(d.Within), shortDuration(r.Plan.Within))
}

// lintDampen finds thresholds that are never reached, or always.
func (l *loader) lintDampen(r *Rule) {
	d := r.Plan.Dampen
	if d == nil || d.HalfLife <= 0 {
		return
	}
	if d.Penalty > d.Suppress {
		l.warn(l.where(r, "dampen.penalty", "dampen"), "", "dampen: one event, %d, is above suppress, %d: the first is held back already", d.Penalty, d.Suppress)
	}
	// No penalty may grow beyond what decays to reuse within max.
	halves := (d.Max + d.HalfLife - 1) / d.HalfLife
	if halves < 20 && d.Reuse<<halves <= d.Suppress {
		l.warn(l.where(r, "dampen.max", "dampen"), fmt.Sprintf("max must be some half-lives of %s", shortDuration(d.HalfLife)),
			"dampen: nothing is ever suppressed: in max, %s, a penalty that was above suppress cannot fall below reuse", shortDuration(d.Max))
	}
}

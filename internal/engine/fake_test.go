package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// plannedRules are rules with plans, made by hand. An event is a part by its
// type (the first of on is part 0); its key is the device, its value the
// interface, and its number what stands in Data.
type plannedRules struct {
	version string
	global  time.Duration
	rules   []planned
	limits  []fakeLimit
}

type planned struct {
	limits []fakeLimit
	name   string
	on     []string // type, or type=part
	plan   *correlate.Plan
	within time.Duration // own dedup
	shadow bool
}

func (r *planned) parts(typ string) (parts []int) {
	for _, on := range r.on {
		name, part, _ := strings.Cut(on, "=")
		if name == typ {
			n, _ := strconv.Atoi(part)
			parts = append(parts, n)
		}
	}
	return parts
}

func (f *plannedRules) find(name string) *planned {
	for i := range f.rules {
		if f.rules[i].name == name {
			return &f.rules[i]
		}
	}
	return nil
}

func (f *plannedRules) InventoryVersion() string { return "" }
func (f *plannedRules) Version() string          { return f.version }
func (f *plannedRules) Windows() Windows {
	return Windows{Global: f.global, Redelivery: time.Hour}
}

func (f *plannedRules) Match(ev *event.Event, _ Waits) []Match {
	var out []Match
	for i := range f.rules {
		r := &f.rules[i]
		parts := r.parts(ev.Type)
		if len(parts) == 0 {
			continue
		}
		m, _ := f.About(r.name)
		if r.within > 0 {
			m.Key, m.Within, m.Signature = KeyOf([]byte(ev.Device)), r.within, r.within.String()
		}
		if r.plan != nil {
			number, _ := strconv.ParseFloat(string(ev.Data), 64)
			for _, p := range parts {
				m.Inputs = append(m.Inputs, correlate.Input{Part: p, Key: ev.Device, Value: ev.Interface, Number: number,
					DampenKey: ev.Device, GroupKey: "group", SituationKey: ev.Device})
			}
		}
		out = append(out, m)
	}
	return out
}

func (f *plannedRules) About(name string) (Match, bool) {
	i := slices.IndexFunc(f.rules, func(r planned) bool { return r.name == name })
	if i < 0 {
		return Match{}, false
	}
	r := &f.rules[i]
	return Match{Rule: r.name, Index: i, Version: f.version, Shadow: r.shadow, Lock: true, Plan: r.plan}, true
}

func (f *plannedRules) Planned() (out []string) {
	for _, r := range f.rules {
		if r.plan != nil {
			out = append(out, r.name)
		}
	}
	return out
}

func (f *plannedRules) GlobalKey(ev *event.Event, t string) (Key, bool) {
	return KeyOf([]byte(t), []byte(ev.Device), []byte(ev.Interface)), f.global > 0
}
func (f *plannedRules) Clears(string) []string { return nil }
func (f *plannedRules) Keeps(rule, signature string) bool {
	r := f.find(rule)
	return r != nil && r.within.String() == signature
}
func (f *plannedRules) Plan(rule string) *correlate.Plan {
	if r := f.find(rule); r != nil {
		return r.plan
	}
	return nil
}
func (f *plannedRules) Binds(_ string, _ int, ev *event.Event, bound []*event.Event) (bool, error) {
	for _, b := range bound {
		if b != nil && b.Interface != ev.Interface {
			return false, nil
		}
	}
	return true, nil
}

// fakeLimit counts by device, or all as one.
type fakeLimit struct {
	correlate.RunLimit
	most     int
	byDevice bool
}

func (f *plannedRules) limitsOf(rule string) []fakeLimit {
	if rule == "" {
		return f.limits
	}
	return f.find(rule).limits
}

func (f *plannedRules) Limits(rule string) (out []correlate.RunLimit) {
	for _, l := range f.limitsOf(rule) {
		out = append(out, l.RunLimit)
	}
	return out
}

func (f *plannedRules) LimitKey(rule string, n int, ev *event.Event) (string, int, error) {
	l := f.limitsOf(rule)[n]
	switch {
	case l.most == 0:
		return "", 0, errors.New("no such key")
	case l.byDevice:
		return ev.Device, l.most, nil
	}
	return "", l.most, nil
}
func (f *plannedRules) Topology() *correlate.Topology      { return nil }
func (f *plannedRules) Effect(typ string) correlate.Effect { return "" }
func planOf(form correlate.Form, within time.Duration) correlate.Plan {
	return correlate.Plan{Form: form, Within: within, Signature: fmt.Sprint(form, within)}
}

// sets are rule sets by name; the bundle of a rules record is the name.
type sets map[string]*plannedRules

func (s sets) load(bundle []byte) (Rules, error) {
	r := s[string(bundle)]
	if r == nil {
		return nil, fmt.Errorf("no set %q", bundle)
	}
	r.version = string(bundle)
	return r, nil
}

// line is one thing that happens: "at type device [interface [number]]", or
// "at tick".
func logOf(lines ...string) []*record.Batch {
	out := []*record.Batch{batch(1, 0, rulesRecord("rules"))}
	for i, line := range lines {
		w := append(strings.Fields(line), "", "", "", "")
		at, err := time.ParseDuration(w[0])
		if err != nil {
			panic(err)
		}
		r := record.Record{Kind: record.KindTick}
		switch w[1] {
		case "tick":
		case "rules":
			r = rulesRecord(w[2])
		default:
			r = evRecord(i+1, w[1], w[2])
			r.Event.Interface, r.Event.Received = w[3], t0.Add(at)
			if w[4] != "" {
				r.Event.Data = []byte(w[4])
			}
		}
		out = append(out, batch(uint64(i+2), at, r))
	}
	return out
}

// told lists decisions: "at[ due] verdict", then each run with its events, each
// note, each change of a situation.
func told(t *testing.T, e *Engine, log []*record.Batch) (out []string) {
	t.Helper()
	for _, b := range log {
		stretches, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stretches {
			for _, r := range s.Records {
				out = append(out, tell(r.Decision))
			}
			for _, reset := range s.Resets {
				out = append(out, "reset: "+reset)
			}
		}
	}
	return out
}

func short(id event.ID) string { return strings.TrimLeft(string(id[max(0, len(id)-3):]), "0") }

func tell(d *record.Decision) string {
	line := fmt.Sprint(d.At.Seq)
	if !d.Due.IsZero() {
		line += " due " + d.Due.Sub(t0).String()
	} else {
		line += " " + []string{"?", "decided", "duplicate", "suppressed", "unmatched"}[d.Verdict]
	}
	for _, r := range d.Runs {
		line += ", run " + r.Rule
		if d.Event != nil && len(r.Events) == 0 {
			line += " of " + short(d.Event.ID)
		}
		var ids []string
		for i, ev := range r.Events {
			id := short(ev.ID)
			if len(r.As) > 0 && r.As[i] != "" {
				id = r.As[i] + "=" + id
			}
			ids = append(ids, id)
		}
		if len(ids) > 0 {
			line += " [" + strings.Join(ids, " ") + "]"
		}
		if int(r.Total) != len(r.Events) {
			line += fmt.Sprintf(" total %d", r.Total)
		}
	}
	for _, n := range d.Notes {
		line += ", " + n.Rule + " " + n.Outcome
		if n.Of != "" {
			line += " " + short(n.Of)
		}
	}
	for _, s := range d.Situations {
		line += ", situation " + s.Change + " by " + short(s.Event)
	}
	return line
}

func engineOf(rules ...planned) *Engine {
	return New(sets{"rules": {rules: rules}}.load)
}

func with(p correlate.Plan, change func(*correlate.Plan)) *correlate.Plan {
	change(&p)
	return &p
}

func repeat(n int, line func(i int) string) (out []string) {
	for i := range n {
		out = append(out, line(i))
	}
	return slices.Clip(out)
}

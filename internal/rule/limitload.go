package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// GlobalLimit is one entry of the configuration's limits, as it is written.
type GlobalLimit struct {
	Runs    string // as in 200/h
	Devices string // as in 5/15m, or 10%/1h
	By      []string
	Pos     Pos // where it is written; not a part of the bundle
}

// Bounds of what a limit lets through within its window: each is remembered.
const (
	maxLimitRuns    = 1_000_000
	maxLimitDevices = 10_000
)

var limitKeys = []string{"runs", "devices", "by"}

// limitWords are what a limit says, with the places for messages.
type limitWords struct {
	runs, devices string
	at            func(key string) Pos // "" for the whole
	by            []keyPart
	global        bool
}

// limits reads the limits of a rule: one, or a list of them.
func (p *planLoad) limits(n *yaml.Node) []Limit {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if items = n.Content; len(items) == 0 {
			p.errorf(n, "as in {runs: 5/h, by: [device]}", "limits: the list is empty")
		}
	}
	at := place{on: joined(union(p.pat.partOn, p.resolved))} // what resolves a situation may run steps, too
	var out []Limit
	for _, item := range items {
		item = deref(item)
		mistakes := len(p.diags)
		f := p.fields("limits", item, limitKeys)
		if f == nil {
			continue
		}
		w := limitWords{at: func(key string) Pos {
			if f[key] != nil {
				return p.loader.at(f[key])
			}
			return p.loader.at(item)
		}}
		for key, to := range map[string]*string{"runs": &w.runs, "devices": &w.devices} {
			if v := f[key]; v != nil {
				*to, _ = p.text(key, v)
			}
		}
		if f["by"] != nil {
			w.by = p.by("by", f["by"], at, nil)
		}
		if len(p.diags) == mistakes {
			out = p.addLimits(out, w)
		}
	}
	return out
}

// globalLimits compiles those of the configuration.
func (l *loader) globalLimits(list []GlobalLimit) []Limit {
	env, err := l.envs.environment(place{})
	if err != nil {
		l.report(Pos{File: "limits"}, Error, "", "%v", err)
		return nil
	}
	var out []Limit
	for _, g := range list {
		if g.Pos.File == "" {
			g.Pos = Pos{"limits", 1, 1}
		}
		mistakes := len(l.diags)
		w := limitWords{runs: g.Runs, devices: g.Devices, global: true, at: func(string) Pos { return g.Pos }}
		for _, e := range l.globalKey(env, g.By, g.Pos) {
			w.by = append(w.by, newKeyPart(e))
		}
		if len(l.diags) == mistakes {
			out = l.addLimits(out, w)
		}
	}
	return out
}

// addLimits makes a limit of each thing that is counted.
func (l *loader) addLimits(list []Limit, w limitWords) []Limit {
	if w.runs == "" && w.devices == "" {
		l.report(w.at(""), Error, "as in {runs: 5/h, by: [device]} or {devices: 5/15m, by: [device.site]}", "limits: it says neither runs nor devices")
		return list
	}
	if w.runs != "" {
		list = l.addLimit(list, "runs", w.runs, w)
	}
	if w.devices != "" {
		list = l.addLimit(list, "devices", w.devices, w)
	}
	return list
}

func (l *loader) addLimit(list []Limit, what, text string, w limitWords) []Limit {
	x := Limit{parts: w.by, pos: w.at(what)}
	x.Devices = what == "devices"
	for _, k := range w.by {
		x.By = append(x.By, k.expr)
	}
	var problem string
	if x.Most, x.Percent, x.Within, problem = parseLimit(text); problem != "" {
		l.report(w.at(what), Error, "as in 5/h, 5/15m, or of devices also 10%/1h", "%s: %q %s", what, short(text), problem)
		return list
	}
	top := maxLimitRuns
	if x.Devices {
		top = maxLimitDevices
	}
	switch {
	case x.Percent > 0 && !x.Devices:
		l.report(w.at(what), Error, "say how many: there is no whole that runs are a share of", "runs: %q is a share", text)
		return list
	case x.Percent > 100:
		l.report(w.at(what), Error, "", "devices: %q is more than all of them", text)
		return list
	case x.Most > top:
		l.report(w.at(what), Error, "", "%s: %d is not between 1 and %d", what, x.Most, top)
		return list
	}
	if x.Percent > 0 && !l.sharesDevices(w) {
		return list
	}
	x.Text = x.words(text, w.global)
	x.Signature = newSigner("limit").add(x.Devices, x.Within).keys(x.parts).sum()
	for i := range list {
		if list[i].Signature == x.Signature {
			l.report(w.at(what), Error, "keep the smaller one", "%s: the same is limited already: %s", what, list[i].Text)
			return list
		}
	}
	return append(list, x)
}

// sharesDevices says whether a share's key is one by which the devices of the
// inventory can be counted.
func (l *loader) sharesDevices(w limitWords) bool {
	for _, k := range w.by {
		if k.attr.owner == "device" && k.attr.name != "name" && k.attr.name != "address" {
			continue
		}
		l.report(w.at("by"), Error, "as in by: [device.site, device.role]",
			"by: a share is of the devices of the inventory that have something in common, which %s is not", k.expr.Text)
		return false
	}
	return true
}

// AllRules stands before the text of a limit of all rules together.
const AllRules = "all rules: "

// words says what a limit is.
func (x *Limit) words(text string, global bool) string {
	count, _, _ := strings.Cut(text, "/")
	what := "runs"
	if x.Devices {
		what = "devices"
	}
	if x.Percent > 0 {
		what = "of the devices"
	}
	if x.Most == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	out := fmt.Sprintf("%s %s in %s", strings.TrimSpace(count), what, shortDuration(x.Within))
	if global {
		out = AllRules + out
	}
	before := " by "
	for _, e := range x.By {
		out += before + e.Text
		before = ", "
	}
	return out
}

// parseLimit reads how many, or how much of the whole, in which time: 5/h,
// 5/15m, 10%/1h.
func parseLimit(text string) (most int, percent float64, within time.Duration, problem string) {
	count, period, ok := strings.Cut(text, "/")
	if !ok {
		return 0, 0, 0, "does not say in which time"
	}
	count, period = strings.TrimSpace(count), strings.TrimSpace(period)
	if _, unit := durationUnits[period]; unit {
		period = "1" + period
	}
	within, err := ParseDuration(period)
	if err != nil || within <= 0 || within > 366*24*time.Hour {
		return 0, 0, 0, "has no time between 0 and a year after the /"
	}
	if share, ok := strings.CutSuffix(count, "%"); ok {
		percent, err = strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err != nil || !(percent > 0 && percent <= 1e6) {
			return 0, 0, 0, "has no share above 0 before the /"
		}
		return 0, percent, within, ""
	}
	most, err = strconv.Atoi(count)
	if err != nil || most < 1 {
		return 0, 0, 0, "has no whole number above 0 before the / (mode: off and mode: shadow start nothing)"
	}
	return most, 0, within, ""
}

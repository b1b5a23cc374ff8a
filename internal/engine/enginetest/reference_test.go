package enginetest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

const unit = time.Second

// drawForm are the kinds of rules that are generated, each with what it draws.
var drawForm = map[string]func(t *rapid.T, r *worldRule){
	"count": func(t *rapid.T, r *worldRule) {
		r.plan.Form, r.plan.AtLeast = correlate.Count, rapid.IntRange(1, 4).Draw(t, "at least")
		r.plan.Distinct, r.plan.Tumbling = rapid.Bool().Draw(t, "distinct"), rapid.Bool().Draw(t, "tumbling")
		r.parts = map[string][]int{"down": {0}}
	},
	"flap": func(t *rapid.T, r *worldRule) {
		r.plan.Form, r.plan.Changes = correlate.Flap, rapid.IntRange(2, 4).Draw(t, "changes")
		r.parts = map[string][]int{"down": {0}, "up": {0}}
	},
	"sequence": func(t *rapid.T, r *worldRule) { drawParts(t, r, correlate.Sequence, true) },
	"all":      func(t *rapid.T, r *worldRule) { drawParts(t, r, correlate.All, false) },
	"any":      func(t *rapid.T, r *worldRule) { drawParts(t, r, correlate.Any, false) },
	"unless": func(t *rapid.T, r *worldRule) {
		r.plan.Form = correlate.Unless
		r.plan.Parts = []correlate.Part{{As: "a"}, {Bound: rapid.Bool().Draw(t, "bound")}}
		r.parts = map[string][]int{"down": {0}, "up": {1}}
	},
	"silent": func(_ *rapid.T, r *worldRule) {
		r.plan.Form = correlate.Silent
		r.parts = map[string][]int{"down": {0}}
	},
	"threshold": func(t *rapid.T, r *worldRule) {
		r.plan.Form = correlate.Threshold
		limit, clears := 5.0, 3.0
		if rapid.Bool().Draw(t, "above") {
			r.plan.Limit.Above = &limit
		} else {
			r.plan.Limit.Below, clears = &limit, 7
		}
		if rapid.Bool().Draw(t, "clear limit") {
			r.plan.Limit.Clear = &clears
		}
		if rapid.Bool().Draw(t, "at once") {
			r.plan.Within = 0
		}
		r.plan.Limit.Rate = rapid.Bool().Draw(t, "rate")
		r.plan.Limit.Counter = r.plan.Limit.Rate && rapid.Bool().Draw(t, "counter")
		r.parts = map[string][]int{"down": {0}, "other": {0}}
	},
	"single": func(_ *rapid.T, r *worldRule) {
		r.parts = map[string][]int{"down": {0}, "up": {0}}
	},
}

// drawParts draws the parts of a form that has several; one type of event may
// be two of them.
func drawParts(t *rapid.T, r *worldRule, f correlate.Form, bound bool) {
	r.plan.Form = f
	n := rapid.IntRange(2, 3).Draw(t, "parts")
	for i := range n {
		r.plan.Parts = append(r.plan.Parts, correlate.Part{As: string(rune('a' + i)),
			Bound: bound && i > 0 && rapid.Bool().Draw(t, "bound")})
	}
	r.parts = map[string][]int{"down": {0}, "up": {1}}
	if n == 3 {
		r.parts["other"] = []int{2}
	}
	if f != correlate.Any && rapid.Bool().Draw(t, "one type is two parts") {
		r.parts["down"] = []int{0, 1}
	}
}

func drawRule(t *rapid.T, name, form string) *worldRule {
	r := &worldRule{name: name, plan: &correlate.Plan{Within: unit * time.Duration(rapid.IntRange(2, 4).Draw(t, "within")),
		Signature: "s", MaxKeys: correlate.DefaultMaxKeys}}
	drawForm[form](t, r)
	return r
}

// drawLog draws a log whose times come together at the borders of windows.
func drawLog(t *rapid.T, w *world, eventTime bool) []*record.Batch {
	steps := []time.Duration{0, 0, unit, unit, 2 * unit, 3 * unit, 4 * unit}
	w.said = map[event.ID]said{}
	now := start
	var out []*record.Batch
	for i := range rapid.IntRange(1, 25).Draw(t, "events") {
		step := rapid.SampledFrom(steps).Draw(t, "step")
		if step > 0 {
			step += time.Duration(rapid.IntRange(-1, 1).Draw(t, "beside"))
		}
		now = now.Add(step)
		rec := record.Record{Kind: record.KindEvent, Event: drawEvent(t, w, i+1, now, eventTime)}
		if last := len(out) - 1; last >= 0 && step == 0 && rapid.Bool().Draw(t, "same batch") {
			out[last].Records = append(out[last].Records, rec)
			continue
		}
		if rapid.IntRange(0, 5).Draw(t, "tick before") == 0 {
			out = append(out, tick(now))
		}
		out = append(out, &record.Batch{Time: now, Records: []record.Record{rec}})
	}
	out = append(out, tick(now.Add(time.Hour)))
	for i, b := range out {
		b.Seq, b.Subject = uint64(i+2), record.Events
	}
	return out
}

func drawEvent(t *rapid.T, w *world, n int, now time.Time, eventTime bool) *event.Event {
	ev := &event.Event{ID: number(n), Source: "s", Received: now,
		Type: rapid.SampledFrom([]string{"down", "down", "up", "up", "other"}).Draw(t, "type")}
	if w.topology != nil {
		ev.Type = rapid.SampledFrom([]string{"down", "up", "device_down", "device_down", "device_up"}).Draw(t, "type of device")
		ev.Interface = rapid.SampledFrom([]string{"", "b1", "b2", "up"}).Draw(t, "interface")
	}
	s := said{key: rapid.SampledFrom(append([]string{"a", "a", "b"}, w.more...)).Draw(t, "key"),
		value:  rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "value"),
		number: float64(rapid.IntRange(1, 9).Draw(t, "number"))}
	ev.Device = s.key
	if eventTime && rapid.IntRange(0, 3).Draw(t, "has a time") > 0 {
		ev.Time = now.Add(-unit * time.Duration(rapid.IntRange(-1, 4).Draw(t, "late")))
	}
	if w.senders {
		drawSender(t, ev)
	}
	w.said[ev.ID] = s
	return ev
}

func tick(at time.Time) *record.Batch {
	return &record.Batch{Time: at, Records: []record.Record{{Kind: record.KindTick}}}
}

// holding are the forms that can hold other rules' events.
var holding = []string{"count", "flap", "sequence", "all", "unless"}

// property is one generated rule set.
type property struct {
	name      string
	draw      func(t *rapid.T) *world
	eventTime bool
}

func properties() []property {
	var out []property
	for _, form := range []string{"count", "flap", "sequence", "all", "any", "unless", "silent", "threshold"} {
		out = append(out, property{name: form, draw: func(t *rapid.T) *world {
			return &world{rules: []*worldRule{drawRule(t, form, form)}}
		}}, property{name: form + " by event time", eventTime: true, draw: func(t *rapid.T) *world {
			w := &world{rules: []*worldRule{drawRule(t, form, form)}}
			w.rules[0].plan.EventTime = true
			w.rules[0].plan.Lateness = unit * time.Duration(rapid.IntRange(0, 3).Draw(t, "lateness"))
			return w
		}})
	}
	for _, form := range holding {
		out = append(out, property{name: form + " holds", draw: func(t *rapid.T) *world {
			w := &world{rules: []*worldRule{drawRule(t, "plain", "single"), drawRule(t, form, form)}}
			w.rules[1].plan.Holds = []string{"plain"}
			return w
		}})
	}
	for _, form := range holding {
		out = append(out, property{name: form + " holds one by event time", eventTime: true, draw: func(t *rapid.T) *world {
			held := drawRule(t, "held", rapid.SampledFrom([]string{"count", "unless", "sequence", "all", "silent"}).Draw(t, "held"))
			held.plan.EventTime, held.plan.Lateness = true, unit*time.Duration(rapid.IntRange(0, 3).Draw(t, "lateness"))
			w := &world{rules: []*worldRule{held, drawRule(t, form, form)}}
			w.rules[1].plan.Holds = []string{"held"}
			return w
		}})
	}
	for _, form := range []string{"count", "flap", "all", "unless", "silent"} {
		out = append(out, property{name: form + " with few keys", draw: func(t *rapid.T) *world {
			w := &world{rules: []*worldRule{drawRule(t, form, form)}, more: []string{"c", "d"}}
			w.rules[0].plan.MaxKeys, w.rules[0].plan.Refuse = rapid.IntRange(1, 3).Draw(t, "max_keys"), rapid.Bool().Draw(t, "refuse")
			return w
		}})
	}
	return append(out, property{name: "two hold one", draw: drawTwoHold}, property{name: "dedup", draw: drawDedup},
		property{name: "dampen", draw: drawDampen}, property{name: "upstream", draw: drawUpstream},
		property{name: "group", draw: drawGroup}, property{name: "situation", draw: drawSituation},
		property{name: "limits", draw: drawLimited},
		property{name: "everything", eventTime: true, draw: drawEverything})
}

func drawTwoHold(t *rapid.T) *world {
	w := &world{}
	for i := range 2 {
		form := rapid.SampledFrom(holding).Draw(t, "form")
		w.rules = append(w.rules, drawRule(t, fmt.Sprintf("%s %d", form, i), form))
		w.rules[i].plan.Holds = []string{"plain"}
	}
	w.rules = append(w.rules, drawRule(t, "plain", rapid.SampledFrom([]string{"single", "count", "unless"}).Draw(t, "held")))
	return w
}

func drawDedup(t *rapid.T) *world {
	w := &world{global: unit * time.Duration(rapid.IntRange(0, 3).Draw(t, "global"))}
	for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
		form := rapid.SampledFrom([]string{"single", "count", "flap", "unless", "silent"}).Draw(t, "form")
		r := drawRule(t, fmt.Sprintf("%s %d", form, i), form)
		r.own = unit * time.Duration(rapid.IntRange(0, 2).Draw(t, "own"))
		w.rules = append(w.rules, r)
	}
	return w
}

func drawDampen(t *rapid.T) *world {
	r := drawRule(t, "dampened", rapid.SampledFrom([]string{"single", "count", "unless"}).Draw(t, "form"))
	// Numbers that do not meet: the reference reckons with floating point.
	r.plan.Dampen = &correlate.Dampen{HalfLife: 3 * unit, Max: 7 * unit, Penalty: 1000, Reuse: 731,
		Suppress: rapid.SampledFrom([]int{907, 1913, 2471}).Draw(t, "suppress"), Signature: "d"}
	return &world{rules: []*worldRule{r}, coarse: time.Millisecond}
}

func drawUpstream(t *rapid.T) *world {
	w := &world{topology: &correlate.Topology{Roots: []string{"root"}, Links: []correlate.Link{
		{A: "root", B: "a", BInterface: "up"}, {A: "a", AInterface: "b1", B: "b", BInterface: "b1"}}}}
	if rapid.Bool().Draw(t, "another way") {
		w.topology.Links = append(w.topology.Links, correlate.Link{A: "b", AInterface: "b2", B: "root"})
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "rules") {
		form := rapid.SampledFrom([]string{"single", "count", "unless", "silent"}).Draw(t, "form")
		r := drawRule(t, fmt.Sprintf("%s %d", form, i), form)
		r.plan.Upstream = &correlate.Upstream{Wait: unit * time.Duration(rapid.IntRange(0, 2).Draw(t, "wait")), Signature: "u"}
		w.rules = append(w.rules, r)
	}
	return w
}

func drawGroup(t *rapid.T) *world {
	r := drawRule(t, "grouped", rapid.SampledFrom([]string{"single", "count", "any"}).Draw(t, "form"))
	drawGrouping(t, r)
	return &world{rules: []*worldRule{r}}
}

func drawSituation(t *rapid.T) *world {
	form := rapid.SampledFrom([]string{"single", "count", "flap", "unless", "silent", "threshold"}).Draw(t, "form")
	r := drawRule(t, form, form)
	drawStory(t, r)
	return &world{rules: []*worldRule{r}}
}

// drawLimits draws a limit or two, of which the second counts another thing.
func drawLimits(t *rapid.T) (out []worldLimit) {
	for i := range rapid.IntRange(1, 2).Draw(t, "limits") {
		l := worldLimit{most: rapid.IntRange(1, 3).Draw(t, "most"), byKey: rapid.Bool().Draw(t, "by key")}
		l.Within = unit * time.Duration(rapid.IntRange(1, 5).Draw(t, "limited within"))
		l.Devices = rapid.Bool().Draw(t, "devices")
		l.Text, l.Signature = fmt.Sprint("limit ", i), fmt.Sprint(i)
		out = append(out, l)
	}
	return out
}

func drawLimited(t *rapid.T) *world {
	w := &world{}
	if rapid.Bool().Draw(t, "of all rules") {
		w.limits = drawLimits(t)
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "rules") {
		form := rapid.SampledFrom([]string{"single", "count", "flap", "unless", "any"}).Draw(t, "form")
		r := drawRule(t, fmt.Sprintf("%s %d", form, i), form)
		if rapid.Bool().Draw(t, "with a situation") {
			drawStory(t, r)
		}
		if rapid.Bool().Draw(t, "grouped") {
			drawGrouping(t, r)
		}
		if w.limits == nil || rapid.Bool().Draw(t, "of its own") {
			r.limits = drawLimits(t)
		}
		w.rules = append(w.rules, r)
	}
	return w
}

// TestReferenceAgrees holds the engine against the slow and obvious reference.
func TestReferenceAgrees(t *testing.T) {
	for _, p := range properties() {
		t.Run(p.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := p.draw(t)
				agree(t, w, drawLog(t, w, p.eventTime))
			})
		})
	}
}

// TestSnapshotsChangeNothing restores the engine between any two batches: the
// decisions stay the same, byte for byte.
func TestSnapshotsChangeNothing(t *testing.T) {
	for _, p := range properties() {
		t.Run(p.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := p.draw(t)
				log := drawLog(t, w, p.eventTime)
				_, want := fast(t, w, log, never)
				every := rapid.IntRange(1, 3).Draw(t, "every")
				if _, got := fast(t, w, log, func(i int) bool { return i%every == 0 }); string(got) != string(want) {
					t.Fatalf("restored every %d batches, the decisions differ\nrules:\n%s\nlog:\n%s", every, w, story(w, log))
				}
			})
		})
	}
}

package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/inventory"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var t0 = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// desk is a rule set that decides about a log of its own.
type desk struct {
	t         *testing.T
	set       *rule.Set
	inv       *inventory.Inventory
	engine    *engine.Engine
	rules     *decide.Rules
	seq       uint64
	now       time.Time
	batches   []*record.Batch // of both subjects
	questions map[event.ID]Question
}

const inventoryFile = `
devices:
  - {name: sw1, address: 192.0.2.1, role: access, site: ber1}
  - {name: core1, address: 192.0.2.2, role: core, site: ber1}
`

func newDesk(t *testing.T, rules string) *desk {
	t.Helper()
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	bundle := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte("rules:\n" + rules)}},
		Inventory: []rule.File{{Name: "devices.yaml", Data: []byte(inventoryFile)}}, Global: rule.Global{Within: time.Millisecond}}
	set, inv, diags := rule.Load(bundle, rule.Options{Catalogue: cat, Actions: []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string"}}}}})
	if set == nil {
		t.Fatal(diags)
	}
	d := &desk{t: t, set: set, inv: inv, now: t0, questions: map[event.ID]Question{}}
	d.rules = decide.New(set, inv)
	d.engine = engine.New(func([]byte) (engine.Rules, error) { return decide.New(set, inv), nil })
	d.step(record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: set.Version, Parts: 1}})
	return d
}

func (d *desk) step(r record.Record) []record.Record {
	d.t.Helper()
	d.seq++
	b := &record.Batch{Seq: d.seq, Time: d.now, Subject: record.Events, Records: []record.Record{r}}
	stretches, err := d.engine.Step(b)
	if err != nil {
		d.t.Fatal(err)
	}
	d.batches = append(d.batches, b)
	var recs []record.Record
	for _, s := range stretches {
		recs = append(recs, s.Records...)
		d.seq++
		d.batches = append(d.batches, &record.Batch{Seq: d.seq, Time: d.now, Subject: record.Decisions, From: s.From, Through: s.Through,
			RulesVersion: s.RulesVersion, EventCount: s.Events, UnmatchedCount: s.Unmatched, Records: s.Records})
	}
	return recs
}

// event comes after a while; what is asked about it is kept.
func (d *desk) event(after time.Duration, id, typ, device, iface, data string) {
	d.t.Helper()
	d.now = d.now.Add(after)
	ev := &event.Event{ID: event.ID(id), Type: typ, Device: device, Interface: iface, Source: "campus", Received: d.now}
	if data != "" {
		ev.Data = json.RawMessage(data)
	}
	q := Question{Event: ev, Position: record.Position{Seq: d.seq + 1}.String(), LogTime: d.now, Status: "unmatched",
		RuleSet: "set", Set: d.set, Inventory: d.inv, State: map[string][]string{}}
	for _, m := range d.rules.Match(ev, nil) {
		if lines := d.engine.Look(m.Rule, m.Inputs, d.now); len(lines) > 0 {
			q.State[m.Rule] = lines
		}
	}
	for _, r := range d.step(record.Record{Kind: record.KindEvent, Event: ev}) {
		if r.Decision.OfEvent() {
			q.Decision = r.Decision
			q.Status = map[record.Verdict]string{record.Decided: "decided", record.Duplicate: "duplicate", record.Suppressed: "suppressed", record.Unmatched: "unmatched"}[r.Decision.Verdict]
		}
	}
	d.questions[ev.ID] = q
}

// text is the explanation from the first rule on.
func (d *desk) text(id string) string {
	text := Explain(d.questions[event.ID(id)]).Text()
	i := strings.Index(text, "\n\n")
	if i < 0 {
		return text
	}
	return strings.ReplaceAll(text[i+2:], d.run(id), "RUN")
}

func (d *desk) run(id string) string {
	if q := d.questions[event.ID(id)]; q.Decision != nil && len(q.Decision.Runs) > 0 {
		return q.Decision.Runs[0].Run
	}
	return "\x00"
}

const do = "\n    do: [{log: {message: x}}]\n"

func TestWhyAndWhyNot(t *testing.T) {
	d := newDesk(t, `  - name: port-down
    on: interface_down
    when: device.role == "access"
    dedup: {by: [device], within: 1m}`+do+`  - name: port-flap
    on: [interface_down, interface_up]
    flap: {by: [device, interface], changes: 3, within: 5s}
    holds: [port-down]`+do+`  - name: trial
    mode: shadow
    on: interface_down`+do+`  - name: retired
    mode: "off"
    on: interface_down`+do+`  - name: peer
    on: bgp_neighbor_down
    situation: {key: [device], resolved_by: bgp_neighbor_up}`+do)
	d.event(0, "e1", "interface_down", "sw1", "Gi0/1", "")
	d.event(time.Second, "e2", "interface_up", "sw1", "Gi0/1", "")
	d.event(time.Second, "e3", "interface_down", "sw1", "Gi0/1", "")
	d.event(time.Minute, "e4", "interface_down", "core1", "Gi0/1", "")
	d.event(time.Second, "e5", "bgp_neighbor_up", "sw1", "", `{"neighbor":"192.0.2.9"}`)
	d.event(time.Second, "e6", "bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.9"}`)
	d.event(time.Second, "e7", "interface_flap", "sw1", "Gi0/1", "")
	for id, want := range map[string]string{
		"e1": `rule port-down: held
  ✓ on         interface_down
  ✓ when       device.role == "access" → true
                 device.role is "access"
  ✓ dedup      news: device="sw1" within 1m0s
  … held       held: until it is clear that it is no part of what rule port-flap looks for

rule port-flap: joined
  ✓ on         interface_down, interface_up
  … flap       joined
               key sw1 GigabitEthernet0/1, value interface_down

rule trial (shadow): shadow
  ✓ on         interface_down
  ✓ do         shadow: would have started a run

rule retired (off): no
  ✓ on         interface_down
  ✗ mode       the rule is off

1 more rule listens to other types
`,
		"e4": `rule port-down: no
  ✓ on         interface_down
  ✗ when       device.role == "access" → false
               not even asked: by the index, device.role is "core"
                 device.role is "core"

rule port-flap: joined
  ✓ on         interface_down, interface_up
  … flap       joined
               key core1 GigabitEthernet0/1, value interface_down

rule trial (shadow): shadow
  ✓ on         interface_down
  ✓ do         shadow: would have started a run

rule retired (off): no
  ✓ on         interface_down
  ✗ mode       the rule is off

1 more rule listens to other types
`,
		"e5": `rule peer: no
  ✓ on         bgp_neighbor_down, bgp_neighbor_up
  ✗ situation  no situation with this key is open

4 more rules listen to other types
`,
		"e7": `no rule has on: interface_flap; nearest: interface_up (rule port-flap), interface_down (rule port-down)

5 more rules listen to other types
`,
	} {
		if diff := cmp.Diff(want, d.text(id)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	e3 := d.text("e3")
	for _, want := range []string{"rule port-down: duplicate\n", "✗ dedup      duplicate: the same key within 1m0s of ", "\n               key device=\"sw1\"\n",
		"rule port-flap: ran\n", "✓ flap       found\n", "before: 2 of 3 changes within 5s\n", "e1 interface_down sw1 Gi0/1, 2s before\n", "✓ do         run RUN\n"} {
		if !strings.Contains(e3, want) {
			t.Errorf("e3: %q is missing in\n%s", want, e3)
		}
	}
	if text := d.text("e6"); !strings.Contains(text, "✓ situation  opened s") || !strings.Contains(text, "key sw1\n") {
		t.Errorf("e6:\n%s", text)
	}
}

func TestNearest(t *testing.T) {
	d := newDesk(t, `  - name: far
    on: interface_down
    when: device.role == "core" && event.interface == "Gi0/9"`+do+`  - name: near
    on: interface_down
    when: device.role == "access" && device.site == "muc1"`+do)
	d.event(0, "e1", "interface_down", "sw1", "Gi0/1", "")
	d.event(0, "e2", "completely_else", "sw1", "Gi0/1", "")
	want := []string{`nearest: rule near would take it, but for device.site == "muc1" (device.site is "ber1")`,
		`nearest: rule far would take it, but for device.role == "core" (device.role is "access") and event.interface == "Gi0/9" (event.interface is "Gi0/1")`}
	if diff := cmp.Diff(want, Explain(d.questions["e1"]).Hints); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"no rule has on: completely_else; none of 2 rules has a type that looks like it"}, Explain(d.questions["e2"]).Hints); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutTheRules(t *testing.T) {
	d := newDesk(t, "  - name: a\n    on: interface_down"+do)
	d.event(0, "e1", "interface_down", "sw1", "Gi0/1", "")
	q := d.questions["e1"]
	q.Set = nil
	q.Later = []Later{{Time: t0, Due: t0, Rule: "b", Outcome: "found", Detail: "one of 3 events", Run: "r2", Situation: "s1"}}
	q.Runs = []Run{{ID: "r1", Rule: "a", Status: "failed", Error: "no answer", Total: 3, Events: []Part{{ID: "e1", As: "down", Type: "interface_down", Device: "sw1"}},
		Due: t0, Branch: "resolved", Situation: "s1", Key: "sw1", Steps: []Step{{Step: "0", Action: "log", Status: "failed", Attempts: 4, Error: "no answer", Output: "{}"}}}}
	text := Explain(q).Text()
	for _, want := range []string{"the rule set that decided is not there any more", "rule a: ran", "b: found, one of 3 events → r2, situation s1",
		"run r1 of rule a: failed: no answer", "events    3", "e1  interface_down  sw1 as down", "step 0            log            failed, 4 attempts", "error  no answer", "time decided it"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	// What the API sends is what is printed.
	b, err := json.Marshal(Explain(q))
	if err != nil {
		t.Fatal(err)
	}
	var again Explanation
	if err := json.Unmarshal(b, &again); err != nil || again.Text() != text {
		t.Errorf("%v: %s", err, cmp.Diff(text, again.Text()))
	}
	q.Runs, q.Later = nil, nil
	q.Status, q.Reason = "rejected", "data.neighbor is missing"
	if text := Explain(q).Text(); !strings.Contains(text, "rejected: data.neighbor is missing") || strings.Contains(text, "rule a") {
		t.Error(text)
	}
}

func TestCompare(t *testing.T) {
	d := newDesk(t, `  - name: port-down
    on: interface_down
    when: device.role == "access"`+do+`  - name: port-down-next
    mode: shadow
    on: interface_down
    dedup: {by: [device], within: 1h}`+do+`  - name: flaps
    on: [interface_down, interface_up]
    flap: {by: [device, interface], changes: 2, within: 5s}`+do+`  - name: other-flaps
    mode: shadow
    on: [interface_up, interface_down]
    flap: {by: [device], changes: 3, within: 5s}`+do+`  - name: alone
    mode: shadow
    on: device_reboot`+do)
	pairs := Pairs(d.set)
	if diff := cmp.Diff([]Pair{{"port-down-next", "port-down"}, {"other-flaps", "flaps"}, {"alone", ""}}, pairs); diff != "" {
		t.Error(diff)
	}
	for i := range 4 {
		device := []string{"sw1", "core1"}[i%2]
		d.event(time.Second, fmt.Sprint("d", i), "interface_down", device, "Gi0/1", "")
	}
	c := NewComparison(pairs)
	for _, b := range d.batches {
		c.Apply(b)
	}
	got := c.Result()
	next, flaps := got[0], got[1]
	// Port-down takes d0 and d2 on sw1; the trial the first of each device.
	if next.ShadowRuns != 2 || next.ActiveRuns != 2 || next.Both != 1 || next.OnlyShadowN != 1 || next.OnlyActiveN != 1 || next.RuleSets != 1 ||
		next.OnlyShadow[0].Event != "d1" || next.OnlyShadow[0].Device != "core1" || next.OnlyActive[0].Event != "d2" || next.OnlyActive[0].Run == "" ||
		fmt.Sprint(next.Devices) != "{2 1 [core1] []}" || fmt.Sprint(next.Held) != "[duplicate 2]" {
		t.Errorf("%+v", next)
	}
	if flaps.ShadowRuns != 0 || flaps.Active != "flaps" || got[2].ShadowRuns != 0 {
		t.Errorf("%+v, %+v", flaps, got[2])
	}

	// Under load, decisions and the events behind them are written together.
	c = NewComparison(pairs)
	for _, b := range together(d.batches) {
		c.Apply(b)
	}
	if diff := cmp.Diff(got, c.Result()); diff != "" {
		t.Error("decisions in a batch with the next event:", diff)
	}
	// Decisions about what came before the stretch are not in it.
	c = NewComparison(pairs)
	for _, b := range d.batches[len(d.batches)-3:] {
		c.Apply(b)
	}
	if r := c.Result()[0]; r.ShadowRuns+r.ActiveRuns != 0 || fmt.Sprint(r.Held) != "[duplicate 1]" {
		t.Errorf("%+v", r)
	}
}

// together puts each batch of decisions into one with the batch that follows, as
// the log does where both wait.
func together(batches []*record.Batch) (out []*record.Batch) {
	for i := 0; i < len(batches); i++ {
		b := *batches[i]
		if b.Subject == record.Decisions && i+1 < len(batches) {
			i++
			next := batches[i]
			at := record.Position{Seq: b.Seq, Index: uint32(len(b.Records))}
			for _, later := range batches[i+1:] { // what is decided about what has moved
				if later.From == next.At(0) {
					later.From = at
				}
				if later.Through == next.At(0) {
					later.Through = at
				}
				for j := range later.Records {
					if d := later.Records[j].Decision; d != nil && d.At == next.At(0) {
						d.At = at
					}
				}
			}
			b.Time, b.Records = next.Time, append(slices.Clone(b.Records), next.Records...)
		}
		out = append(out, &b)
	}
	return out
}

// Limits stand last: who asks why there was no run is told which one had no room,
// and since when.
func TestLimits(t *testing.T) {
	d := newDesk(t, `  - name: port-down
    on: interface_down
    limits: {runs: 1/10m, by: [device]}`+do)
	d.event(0, "e1", "interface_down", "sw1", "Gi0/1", "")
	d.event(time.Second, "e2", "interface_down", "sw1", "Gi0/2", "")
	for id, want := range map[string]string{
		"e1": `rule port-down: ran
  ✓ on         interface_down
  ✓ limits     there was room: 1 run in 10m by device
  ✓ do         run RUN
`,
		"e2": `rule port-down: limited
  ✓ on         interface_down
  ✗ limits     limited: 1 run in 10m by device; room again from 2026-11-25T10:10:00Z
               key sw1
`,
	} {
		if diff := cmp.Diff(want, d.text(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if q := d.questions["e2"]; q.Status != "suppressed" || !strings.HasPrefix(q.Decision.Reason, "rule port-down: 1 run in 10m by device; ") {
		t.Errorf("e2: %s, %q", q.Status, q.Decision.Reason)
	}
}

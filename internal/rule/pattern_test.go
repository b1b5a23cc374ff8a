package rule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
	"signalbox/internal/rule"
)

// one loads a file with one rule, written without its name, do and indentation.
func one(t testing.TB, body string) (*rule.Set, *inventory.Inventory, *rule.Rule) {
	t.Helper()
	src := "rules:\n  - name: r\n    do: [{log: {message: x}}]\n    " + strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ") + "\n"
	set, inv := load(t, src)
	return set, inv, set.Rules[0]
}

// told writes an input as a line.
func told(in correlate.Input) string {
	s := fmt.Sprintf("%d %s", in.Part, strings.ReplaceAll(in.Key, "\x1f", "|"))
	for _, f := range []struct{ name, v string }{{"value", in.Value}, {"dampen", in.DampenKey}, {"group", in.GroupKey}, {"situation", in.SituationKey}} {
		if f.v != "" {
			s += " " + f.name + "=" + strings.ReplaceAll(f.v, "\x1f", "|")
		}
	}
	if in.Number != 0 {
		s += fmt.Sprintf(" number=%v", in.Number)
	}
	return s
}

func TestInputs(t *testing.T) {
	down := newEvent("interface_down", "sw1.example.net", "Gi0/1", `{"admin_status":"up","reason":"a|b","ifindex":10101,"load":93.5}`)
	other := newEvent("interface_down", "core1", "Te1/1", `{}`)
	up := newEvent("interface_up", "sw1.example.net", "GigabitEthernet0/1", `{"speed":1000}`)
	lost := newEvent("bgp_neighbor_down", "sw1.example.net", "", `{"neighbor":"192.0.2.9"}`)
	back := newEvent("bgp_neighbor_up", "sw1.example.net", "", `{"neighbor":"192.0.2.9"}`)
	ghost := newEvent("interface_down", "ghost", "", `{}`)
	kinds := newEvent("interface_down", "sw1", "Gi0/1", `{"load":1e6,"planned":true,"members":["a","b"],"optics":{"rx_power":-3.5},"ifindex":3}`)
	broken := newEvent("interface_down", "sw1", "Gi0/1", `[1]`)
	tests := []struct {
		name string
		body string
		ev   *event.Event
		want string // "" for no match
	}{
		{"distinct devices of a site", "on: interface_down\ncount: {distinct: event.device, at_least: 5, by: [device.site], within: 30s}", down, "0 ber1 value=sw1.example.net"},
		{"an absent field is a value of its own", "on: interface_down\ncount: {at_least: 5, by: [device.site, device], within: 30s}", ghost, `0 \-|ghost`},
		{"the word site is empty where there is none", "on: interface_down\ncount: {at_least: 5, by: [site, device], within: 30s}", ghost, `0 |ghost`},
		{"all words", "on: interface_down\ncount: {at_least: 5, by: [site, device, interface, type, source], within: 30s}", down, "0 ber1|sw1.example.net|GigabitEthernet0/1|interface_down|campus"},
		{"numbers", "on: interface_down\ncount: {at_least: 5, by: [event.data.ifindex, device.rack, event.data.load > 90.0, size(event.data.reason)], within: 30s}", down, "0 10101|12|true|3"},
		{"values of all kinds", "on: interface_down\ncount: {at_least: 5, by: [event.data.load, event.data.planned, event.data.members, event.data.optics, event.received, 'duration(\"90s\")', 'event.data.ifindex > 1 ? 1.5 : 2.0'], within: 30s}", kinds,
			`0 1000000|true|["a","b"]|{"rx_power":-3.5}|2026-03-01T23:30:01Z|1m30s|1.5`},
		{"data that cannot be read", "on: interface_down\ncount: {at_least: 5, by: [event.data.reason], within: 30s}", broken, "error: by event.data.reason: event.data: expected an object, found a list"},
		{"a state that cannot be read", "on: interface_down\nflap: {changes: 2, within: 1m, by: [device], state: event.data.reason}", broken, "error: event.data.reason: event.data: expected an object, found a list"},
		{"a member of a type that nobody knows", "on: \"*\"\ngroup: {by: [device.site]}", newEvent("door", "sw1", "", `{"a": 1}`), "0 sw1|door||0ee18b3d63d3a335 group=ber1"},
		{"a member, whose data cannot be read", "on: bgp_neighbor_down\ngroup: {by: [device.site]}", newEvent("bgp_neighbor_down", "sw1", "", `[1]`), "error: event.data.neighbor: event.data: expected an object, found a list"},
		{"no finite number", "on: interface_down\nthreshold: {value: event.data.load / 0.0, above: 90}", kinds, "error: value: not a finite number"},
		{"no number at all", "on: door\nthreshold: {value: event.data.a, above: 90}", newEvent("door", "sw1", "", `{"a": "x"}`), "error: value: expected a number, found a string"},
		{"the condition says no", "on: interface_down\nwhen: device.role == \"core\"\ncount: {at_least: 5, within: 30s}", down, ""},
		{"default key has no type", "on: [interface_down, interface_up]\nflap: {changes: 3, within: 5s}", up, "0 sw1.example.net|GigabitEthernet0/1 value=interface_up"},
		{"one type: each event is a change", "on: interface_down\nflap: {changes: 3, within: 5s}", down, "0 sw1.example.net|GigabitEthernet0/1"},
		{"a state of one's own", "on: interface_down\nflap: {changes: 3, within: 5s, state: event.data.reason}", down, "0 sw1.example.net|GigabitEthernet0/1 value=a|b"},
		{"default key has the fields that all types say", "on: [bgp_neighbor_down, bgp_neighbor_up]\nflap: {changes: 3, within: 5s}", back, "0 sw1.example.net||192.0.2.9 value=bgp_neighbor_up"},
		{"and not those of some", "on: [bgp_neighbor_down, interface_down]\ncount: {at_least: 3, within: 5s}", lost, "0 sw1.example.net|"},
		{"a prefix", "on: bgp_*\nsilent: {for: 5s}", lost, "0 sw1.example.net||192.0.2.9"},
		{"threshold", "on: interface_down\nthreshold: {value: event.data.load, above: 90}", down, "0 sw1.example.net|GigabitEthernet0/1 number=93.5"},
		{"threshold, computed", "on: interface_down\nthreshold: {value: event.data.ifindex * 2, above: 90}", down, "0 sw1.example.net|GigabitEthernet0/1 number=20202"},
		{"no number", "on: interface_down\nthreshold: {value: event.data.load, above: 90}", other, "error: value: event.data.load is absent"},
		{"unless, the event", "on: interface_down\nunless: {on: interface_up, within: 60s}", down, "0 sw1.example.net|GigabitEthernet0/1"},
		{"unless, what follows", "on: interface_down\nwhen: event.data.admin_status == \"up\"\nunless: {on: interface_up, within: 60s}", up, "1 sw1.example.net|GigabitEthernet0/1"},
		{"unless, the same type", "on: interface_down\nunless: {on: interface_down, when: event.data.ifindex == 10101, within: 60s}", down, "0 sw1.example.net|GigabitEthernet0/1; 1 sw1.example.net|GigabitEthernet0/1"},
		{"several parts", "all: {within: 60s, events: [{on: interface_down, as: a, when: a.device == \"sw1.example.net\"}, {on: [interface_up, interface_down]}, {on: interface_down, when: device.role == \"core\"}]}", down, "0 sw1.example.net; 1 sw1.example.net"},
		{"the rule's condition is for every part", "when: device.role == \"core\"\nall: {within: 60s, events: [{on: interface_down}, {on: interface_up}]}", down, ""},
		{"a bound part may be it", "sequence: {within: 60s, events: [{on: interface_down, as: a}, {on: interface_up, when: event.data.speed == a.data.ifindex}]}", up, "1 sw1.example.net"},
		{"a bound part, by its guard", "sequence: {within: 60s, events: [{on: interface_down, as: a}, {on: interface_up, as: b, when: b.device == \"core1\" && b.data.speed == a.data.ifindex}]}", up, ""},
		{"a bound part, by what it says of itself", "sequence: {within: 60s, events: [{on: interface_down, as: a}, {on: interface_up, as: b, when: size(b.device) > 99 && b.data.speed == a.data.ifindex}]}", up, ""},
		{"what follows, by what it says of itself", "on: interface_down\nunless: {on: interface_up, when: event.data.speed > 5000 && event.device == trigger.device, within: 60s}", up, ""},
		{"any", "any: {events: [{on: interface_down, as: a}, {on: bgp_neighbor_down, as: b}]}", lost, "1 sw1.example.net|"},
		{"dampen", "on: interface_down\ndampen: {by: [device]}", down, "0 sw1.example.net|GigabitEthernet0/1 dampen=sw1.example.net"},
		{"suppress", "on: interface_down\nsuppress: upstream", other, "0 core1|TenGigabitEthernet1/1"},
		{"a member of a group", "on: bgp_neighbor_down\ngroup: {by: [device.site]}", lost, "0 sw1.example.net|bgp_neighbor_down||192.0.2.9 group=ber1"},
		{"a member is cleared", "on: [interface_down, bgp_neighbor_down]\ngroup: {by: [device.site]}", up, "-2 sw1.example.net|interface_down|GigabitEthernet0/1 group=ber1"},
		{"a form's member is cleared by its key", "on: interface_down\nunless: {on: bgp_neighbor_up, within: 60s}\ngroup: {by: [device.site]}", up, "-2 sw1.example.net|GigabitEthernet0/1 group=ber1"},
		{"a situation", "on: interface_down\nsituation: {key: [device, interface], resolved_by: interface_up}", down, "0 sw1.example.net|GigabitEthernet0/1 situation=sw1.example.net|GigabitEthernet0/1"},
		{"it is resolved", "on: interface_down\nsituation: {key: [device, interface], resolved_by: interface_up}", up, "-1  situation=sw1.example.net|GigabitEthernet0/1"},
		{"it is not resolved by this one", "on: interface_down\nsituation: {resolved_by: {on: interface_up, when: event.data.speed < 1000}}", up, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, inv, _ := one(t, tt.body)
			ask := set.Decide(tt.ev, inv, rule.Deciding{})
			ms := ask.Match(nil)
			if len(ms) == 0 || ms[0].Err != nil {
				if tt.want != "" {
					t.Fatalf("no match: %v", ms)
				}
				return
			}
			var got []string
			inputs, err := ask.Inputs(ms[0])
			for _, in := range inputs {
				got = append(got, told(in))
			}
			if err != nil {
				got = append(got, "error: "+err.Error())
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// No two keys are the same text unless all their values are.
func TestKeysDiffer(t *testing.T) {
	set, inv, _ := one(t, "on: interface_down\ncount: {at_least: 5, by: [device, event.data.reason], within: 30s}")
	seen := map[string]string{}
	long := strings.Repeat("é", 2000)
	for _, ev := range []*event.Event{
		newEvent("interface_down", "a", "", `{"reason":"b"}`),
		newEvent("interface_down", "a\x1fb", "", `{"reason":""}`),
		newEvent("interface_down", "a", "", `{"reason":"\u001fb"}`),
		newEvent("interface_down", "a", "", `{"reason":"\\-"}`),
		newEvent("interface_down", "a", "", `{}`),
		newEvent("interface_down", `a\`, "", `{}`),
		newEvent("interface_down", "a", "", `{"reason":"`+long+`"}`),
		newEvent("interface_down", "a", "", `{"reason":"`+long+`x"}`),
	} {
		ask := set.Decide(ev, inv, rule.Deciding{})
		in, err := ask.Inputs(ask.Match(nil)[0])
		if err != nil || len(in) != 1 {
			t.Fatal(in, err)
		}
		what := ev.Device + string(ev.Data)
		if old, dup := seen[in[0].Key]; dup {
			t.Errorf("%q and %q have the key %q", old, what, in[0].Key)
		}
		seen[in[0].Key] = what
		if len(in[0].Key) > 512 || !strings.HasPrefix(in[0].Key, "a") {
			t.Errorf("key of %d bytes", len(in[0].Key))
		}
	}
}

func TestBinds(t *testing.T) {
	first := newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"fault","ifindex":5}`)
	bare := newEvent("interface_down", "sw1", "Gi0/1", ``)
	second := newEvent("interface_up", "sw1", "Gi0/1", `{"speed":5}`)
	third := newEvent("bgp_neighbor_down", "core1", "", `{"reason":"fault"}`)
	sequence := `
sequence:
  within: 5m
  events:
    - {on: interface_down, as: a, when: device.role == "access"}
    - {on: interface_up, as: b, when: b.data.speed == a.data.ifindex && device.role == "access"}
    - {on: bgp_neighbor_down, when: event.data.reason == a.data.reason && b.device != event.device}`
	unless := "on: interface_down\nunless: {on: interface_up, when: event.data.speed == trigger.data.ifindex, within: 1m}"
	tests := []struct {
		name  string
		body  string
		part  int
		ev    *event.Event
		bound []*event.Event
		want  string
	}{
		{"a part that reads no other", sequence, 0, first, nil, "true"},
		{"two", sequence, 1, second, []*event.Event{first, nil, nil}, "true"},
		{"two, other number", sequence, 1, newEvent("interface_up", "sw1", "", `{"speed":6}`), []*event.Event{first, nil, nil}, "false"},
		{"two, other device", sequence, 1, newEvent("interface_up", "core1", "", `{"speed":5}`), []*event.Event{first, nil, nil}, "false"},
		{"two, nothing to compare with", sequence, 1, second, []*event.Event{bare, nil, nil}, "when: a.data.ifindex is absent"},
		{"two, the first is free", sequence, 1, second, nil, "when: a.data is absent"},
		{"three", sequence, 2, third, []*event.Event{first, second, nil}, "true"},
		{"three, same device", sequence, 2, third, []*event.Event{first, third, nil}, "false"},
		{"what follows", unless, 1, second, []*event.Event{first}, "true"},
		{"what does not", unless, 1, second, []*event.Event{newEvent("interface_down", "sw1", "", `{"ifindex":6}`)}, "false"},
		{"no such part", unless, 7, second, nil, "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, inv, r := one(t, tt.body)
			for range 2 { // the second time with memory used again
				ok, err := set.Binds(r, tt.part, tt.ev, tt.bound, inv)
				got := fmt.Sprint(ok)
				if err != nil {
					got = err.Error()
				}
				if got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
		})
	}
	set, inv, _ := one(t, unless)
	if ok, err := set.Binds(nil, 0, first, nil, inv); ok || err != nil {
		t.Error("a rule that is gone binds")
	}
}

func TestPlan(t *testing.T) {
	_, _, r := one(t, `
on: [interface_down, interface_up]
flap: {changes: 3, within: 5s}
dampen: {half_life: 10m, penalty: 500}
suppress: {upstream: true, wait: 10s}
group: {by: site, repeat: 4h}
situation: {resolved_by: [interface_up], resolved: [{log: {message: x}}]}
time: event
lateness: 30s
max_keys: 10
when_full: refuse`)
	p := *r.Plan
	for _, sig := range []*string{&p.Signature, &p.Dampen.Signature, &p.Upstream.Signature, &p.Group.Signature, &p.Situation.Signature} {
		if len(*sig) != 12 {
			t.Errorf("signature %q", *sig)
		}
		*sig = ""
	}
	want := correlate.Plan{
		Form: correlate.Flap, Within: 5 * time.Second, Changes: 3, EventTime: true, Lateness: 30 * time.Second, MaxKeys: 10, Refuse: true,
		Dampen:    &correlate.Dampen{HalfLife: 10 * time.Minute, Max: 40 * time.Minute, Penalty: 500, Suppress: 2000, Reuse: 750},
		Upstream:  &correlate.Upstream{Wait: 10 * time.Second},
		Group:     &correlate.Group{Wait: 30 * time.Second, Interval: 5 * time.Minute, Repeat: 4 * time.Hour, Clears: true},
		Situation: &correlate.Situation{Resolved: true},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Resolved[0].Path != "resolved.0" || len(r.Steps("updated")) != 0 || len(r.Steps("")) != 1 {
		t.Errorf("steps %q %v", r.Resolved[0].Path, r.Steps("updated"))
	}
	if _, _, plain := one(t, "on: interface_down"); plain.Plan != nil || plain.Roles() != nil {
		t.Error("a rule with no more than a condition has a plan")
	}
}

func TestRoles(t *testing.T) {
	_, _, r := one(t, `
when: device.role == "access"
sequence: {within: 1m, events: [{on: interface_down, as: a}, {on: bgp_*, when: event.device == a.device}]}
group: {by: [device.site]}
situation: {resolved_by: {on: heartbeat, when: event.device != ""}}`)
	var got []string
	for _, x := range r.Roles() {
		s := fmt.Sprintf("%d %q %v %v", x.Part, x.As, x.On, x.Bound)
		for _, w := range x.When {
			s += " " + w.Text
		}
		got = append(got, s)
	}
	want := []string{
		`0 "a" [interface_down] false device.role == "access"`,
		`1 "" [bgp_*] true device.role == "access" event.device == a.device`,
		`-1 "" [heartbeat] false event.device != ""`,
		`-2 "" [interface_up] false`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"interface_down", "bgp_*", "heartbeat", "interface_up"}, r.On); diff != "" {
		t.Error(diff)
	}
}

// An event that only ends, resolves or clears is not taken for a repetition.
func TestDedupIsForWhatBegins(t *testing.T) {
	set, inv, _ := one(t, `
on: interface_down
dedup: {by: [device], within: 1m}
unless: {on: bgp_neighbor_up, within: 1m}
group: {by: [device.site]}
situation: {resolved_by: bgp_neighbor_up}`)
	for typ, want := range map[string]bool{"interface_down": true, "interface_up": false, "bgp_neighbor_up": false} {
		ask := set.Decide(newEvent(typ, "sw1", "", ""), inv, rule.Deciding{})
		ms := ask.Match(nil)
		if len(ms) != 1 {
			t.Fatalf("%s: %d matches", typ, len(ms))
		}
		if _, _, ok, err := ask.Dedup(ms[0]); ok != want || err != nil {
			t.Errorf("%s: %v %v", typ, ok, err)
		}
	}
}

// Steps see the events by their names, and the situation.
func TestStepsSeeNames(t *testing.T) {
	set, inv := load(t, `
rules:
  - name: r
    any: {events: [{on: interface_down, as: port}, {on: bgp_neighbor_down, as: peer}]}
    situation: {key: [device]}
    do:
      - log: {message: "${port.data.reason} ${situation.state} ${situation.count} ${events.size()}"}
        when: has(port.data)
`)
	ev := newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"fault"}`)
	s := rule.NewScope(ev, inv)
	s.Named = map[string]*event.Event{"port": ev}
	s.Situation = map[string]any{"id": "s1", "state": "open", "change": "opened", "key": "sw1", "count": int64(3)}
	step := set.Rules[0].Do[0]
	if ok, err := step.When.Bool(s); !ok || err != nil {
		t.Errorf("when: %v %v", ok, err)
	}
	v, err := step.Args.Field("message").Eval(s)
	if err != nil || v != "fault open 3 1" {
		t.Errorf("%q %v", v, err)
	}
	s.Named = map[string]*event.Event{"peer": ev}
	if ok, err := step.When.Bool(s); ok || err != nil {
		t.Errorf("when without the event: %v %v", ok, err)
	}
	if _, err := step.Args.Field("message").Eval(s); !rule.Absent(err) {
		t.Errorf("a name that is not there: %v", err)
	}
}

// The state of a stage is kept where what it means stays the same.
func TestSignatures(t *testing.T) {
	type signatures struct{ form, dampen, group, situation string }
	of := func(body string) signatures {
		_, _, r := one(t, body)
		p := r.Plan
		s := signatures{form: p.Signature}
		if p.Dampen != nil {
			s.dampen = p.Dampen.Signature
		}
		if p.Group != nil {
			s.group = p.Group.Signature
		}
		if p.Situation != nil {
			s.situation = p.Situation.Signature
		}
		return s
	}
	const base = `
on: interface_down
when: event.data.reason != "admin"
count: {at_least: 3, by: [device], within: 5m}
dampen: {by: [device]}
group: {by: [device.site]}
situation: {key: [device]}`
	want := of(base)
	replace := strings.NewReplacer
	tests := []struct {
		name    string
		body    string
		changed string
	}{
		{"a comment and a description", "# why\ndescription: other words" + base, ""},
		{"layout", replace(`event.data.reason != "admin"`, `event.data.reason  !=  'admin'`).Replace(base), ""},
		{"steps of a situation, mode, bounds", replace("{key: [device]}", "{key: [device], updated: [{log: {message: x}}]}\nmode: shadow\nmax_keys: 7").Replace(base), ""},
		{"the window", replace("5m", "6m").Replace(base), "form"},
		{"how many", replace("3", "4").Replace(base), "form"},
		{"another key", replace("by: [device], within", "by: [device.site], within").Replace(base), "form group"},
		{"the condition", replace("admin", "maintenance").Replace(base), "form dampen"},
		{"the types", replace("on: interface_down", "on: [interface_down, bgp_neighbor_down]").Replace(base), "form dampen"},
		{"dampening", replace("dampen: {by: [device]}", "dampen: {by: [device], reuse: 800}").Replace(base), "dampen"},
		{"the group's wait", replace("by: [device.site]}", "by: [device.site], wait: 1s}").Replace(base), "group"},
		{"the situation's key", replace("key: [device]", "key: [device, interface]").Replace(base), "situation"},
	}
	for _, tt := range tests {
		got := of(tt.body)
		var changed []string
		for _, f := range []struct{ name, a, b string }{
			{"form", want.form, got.form}, {"dampen", want.dampen, got.dampen}, {"group", want.group, got.group}, {"situation", want.situation, got.situation},
		} {
			if f.a != f.b {
				changed = append(changed, f.name)
			}
		}
		if s := strings.Join(changed, " "); s != tt.changed {
			t.Errorf("%s: changed %q, want %q", tt.name, s, tt.changed)
		}
	}
}

package rule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/rule"
)

// toldParts writes what Explain gives, a part a line.
func toldParts(x rule.Explained) string {
	var b strings.Builder
	var part func(p *rule.ExplainedPart, indent string)
	part = func(p *rule.ExplainedPart, indent string) {
		fmt.Fprintf(&b, "%s%s = %s", indent, p.Text, p.Value)
		for _, r := range p.Because {
			fmt.Fprintf(&b, "; %s = %s", r.Text, r.Value)
		}
		b.WriteByte('\n')
		for i := range p.Parts {
			part(&p.Parts[i], indent+"  ")
		}
	}
	fmt.Fprintf(&b, "listens %v takes %v %s%s\n", x.Listens, x.Takes, x.Mode, x.Error)
	for _, r := range x.Roles {
		fmt.Fprintf(&b, "role %q listens %v met %v\n", r.What, r.Listens, r.Met)
		for _, c := range r.Conditions {
			if c.Index != "" {
				fmt.Fprintf(&b, "index: %s\n", c.Index)
			}
			part(&c.Root, "  ")
		}
	}
	if x.Dedup != nil {
		fmt.Fprintf(&b, "dedup %s within %s\n", x.Dedup.Key, x.Dedup.Within)
	}
	for _, k := range x.Inputs {
		fmt.Fprintf(&b, "input %q key %q value %q\n", k.What, k.Key, k.Value)
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	const do = "\n    do: [{log: {message: x}}]\n"
	tests := []struct {
		name, rule, typ, data, want string
	}{
		{"another type", "on: bgp_neighbor_down" + do, "interface_down", "", "listens false takes false \nrole \"\" listens false met false\n"},
		{"why not", `on: interface_down
    when: device.role == "core" && event.data.admin_status == "up"` + do, "interface_down", `{"admin_status":"up"}`, `listens true takes false 
role "" listens true met false
index: device.role is "access"
  device.role == "core" && event.data.admin_status == "up" = false
    device.role == "core" = false; device.role = "access"
    event.data.admin_status == "up" = true; event.data.admin_status = "up"
`},
		{"absent", `on: interface_down
    when: event.data.reason.startsWith("admin") || event.data.?load.orValue(0.0) > 0.5` + do, "interface_down", `{"load":0.25}`, `listens true takes false 
role "" listens true met false
  event.data.reason.startsWith("admin") || event.data.?load.orValue(0.0) > 0.5 = false: event.data.reason is absent
    event.data.reason.startsWith("admin") = absent; event.data.reason = absent
    event.data.?load.orValue(0.0) > 0.5 = false; event.data.?load.orValue(0.0) = 0.25
`},
		{"loops and dedup", `on: interface_down
    when: device.tags.exists(t, t == "poe") && !(size(device.tags) > 5)
    dedup: {by: [device, event.data.reason], within: 5m}` + do, "interface_down", `{}`, `listens true takes true 
role "" listens true met true
  device.tags.exists(t, t == "poe") && !(size(device.tags) > 5) = true
    device.tags.exists(t, t == "poe") = true; device.tags = ["campus","poe"]
    !(size(device.tags) > 5) = true
      size(device.tags) > 5 = false; size(device.tags) = 2
dedup device="sw1.example.net" event.data.reason=absent within 5m0s
`},
		{"parts", `sequence:
      by: [device]
      within: 5m
      events:
        - {on: interface_up, as: first, when: 'first.data.speed > 10'}
        - {on: interface_down, as: then, when: 'then.data.reason != string(first.data.speed)'}` + do, "interface_down", `{"reason":"x"}`, `listens true takes true 
role "part 1 (first)" listens false met false
role "part 2 (then)" listens true met true
  then.data.reason != string(first.data.speed) = asked beside the other parts
input "part 2 (then)" key "sw1.example.net" value ""
`},
		{"a number", `on: interface_down
    threshold: {value: event.data.load, above: 90, for: 1m, by: [device, interface]}` + do, "interface_down", `{"load":91.5}`, `listens true takes true 
role "" listens true met true
input "" key "sw1.example.net GigabitEthernet0/1" value "91.5"
`},
		{"off", "on: interface_down\n    mode: off" + do, "interface_down", "", "listens true takes false off\nrole \"\" listens true met true\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, inv := load(t, "rules:\n  - name: r\n    "+tt.rule)
			got := toldParts(set.Explain(set.Rules[0], newEvent(tt.typ, "sw1.example.net", "Gi0/1", tt.data), inv))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestExplainAgrees: what is explained is what is decided.
func TestExplainAgrees(t *testing.T) {
	set, inv := load(t, `rules:
  - {name: a, on: interface_down, when: 'device.role == "access" && event.data.load > 0.5', do: [{log: {message: x}}]}
  - {name: b, on: "interface_*", when: 'event.interface == "Gi0/1" || event.data.?reason.orValue("") == "y"', do: [{log: {message: x}}]}
  - {name: c, on: "*", when: 'device.tags.exists(t, t == event.data.reason)', do: [{log: {message: x}}]}
  - {name: d, on: interface_up, do: [{log: {message: x}}]}
`)
	rapid.Check(t, func(t *rapid.T) {
		ev := newEvent(rapid.SampledFrom([]string{"interface_down", "interface_up", "bgp_neighbor_down"}).Draw(t, "type"),
			rapid.SampledFrom([]string{"sw1.example.net", "core1", "spare", "unknown"}).Draw(t, "device"),
			rapid.SampledFrom([]string{"Gi0/1", "Gi0/2", ""}).Draw(t, "interface"),
			rapid.SampledFrom([]string{`{}`, `{"load":0.7}`, `{"reason":"poe","load":0.1}`, `{"reason":"y"}`, ``, `not json`}).Draw(t, "data"))
		takes := map[string]bool{}
		for _, m := range set.Match(ev, inv) {
			takes[m.Rule.Name] = m.Err == nil
		}
		for _, r := range set.Rules {
			if x := set.Explain(r, ev, inv); x.Takes != takes[r.Name] {
				t.Fatalf("rule %s takes %+v: %v, explained as %s", r.Name, ev, takes[r.Name], toldParts(x))
			}
		}
	})
}

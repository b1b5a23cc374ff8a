package rule_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/rule"
)

func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

const noRules = "rules: []\n"

func TestDefaultKey(t *testing.T) {
	set, inv := load(t, noRules)
	key := func(ev *event.Event) rule.Key {
		k, within, ok, err := set.Dedup(nil, rule.NewScope(ev, inv))
		if !ok || err != nil || within != time.Minute {
			t.Fatalf("%v %v %v", ok, err, within)
		}
		return k
	}
	tests := []struct {
		name string
		a, b *event.Event
		same bool
	}{
		{"short and long interface", newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"a"}`), newEvent("interface_down", "sw1", "GigabitEthernet0/1", `{"reason":"b"}`), true},
		{"another interface", newEvent("interface_down", "sw1", "Gi0/1", `{}`), newEvent("interface_down", "sw1", "Gi0/2", `{}`), false},
		{"another device", newEvent("interface_down", "sw1", "", `{}`), newEvent("interface_down", "sw2", "", `{}`), false},
		{"another type", newEvent("interface_down", "sw1", "", `{}`), newEvent("interface_up", "sw1", "", `{}`), false},
		{"no seam between fields", newEvent("interface_down", "sw1i", "", `{}`), newEvent("iinterface_down", "sw1", "", `{}`), false},
		{"two neighbors", newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.1"}`), newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.2"}`), false},
		{"one neighbor", newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.1","reason":"a"}`), newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.1"}`), true},
		{"absent is a value", newEvent("bgp_neighbor_down", "sw1", "", `{}`), newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":""}`), false},
		{"unknown type: order of fields", newEvent("door", "sw1", "", `{"a":1,"b":[1]}`), newEvent("door", "sw1", "", `{"b": [1], "a":1}`), true},
		{"unknown type: any field", newEvent("door", "sw1", "", `{"a":1}`), newEvent("door", "sw1", "", `{"a":2}`), false},
		{"unknown type: large numbers", newEvent("door", "sw1", "", `{"a":9007199254740993}`), newEvent("door", "sw1", "", `{"a":9007199254740992}`), false},
		{"unknown type: no JSON", newEvent("door", "sw1", "", `{a`), newEvent("door", "sw1", "", `{b`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := key(tt.a) == key(tt.b); got != tt.same {
				t.Errorf("same: %v, want %v", got, tt.same)
			}
		})
	}
}

func TestGlobalKeyOfAnotherType(t *testing.T) {
	set, inv := load(t, noRules)
	down := rule.NewScope(newEvent("bgp_neighbor_down", "sw1", "", `{"neighbor":"192.0.2.1","reason":"x"}`), inv)
	up := rule.NewScope(newEvent("bgp_neighbor_up", "sw1", "", `{"neighbor":"192.0.2.1"}`), inv)
	a, ok1 := set.GlobalKey(down, "bgp_neighbor_down")
	b, ok2 := set.GlobalKey(up, "bgp_neighbor_down")
	c, _ := set.GlobalKey(up, "bgp_neighbor_up")
	if !ok1 || !ok2 || a != b || b == c {
		t.Errorf("keys %x %x %x", a, b, c)
	}
	if got := set.Clears("interface_up"); !cmp.Equal(got, []string{"interface_down"}) {
		t.Errorf("clears %v", got)
	}
}

func TestRuleDedup(t *testing.T) {
	set, inv := load(t, `
rules:
  - name: r
    on: [bgp_neighbor_down, interface_down]
    dedup: {by: [device, interface, site, event.data.neighbor, device.rack, device.tags], within: 5m}
    do: [{log: {message: x}}]
  - name: default
    on: bgp_neighbor_down
    dedup: {within: 5m}
    do: [{log: {message: x}}]
  - name: none
    on: bgp_neighbor_down
    do: [{log: {message: x}}]
`)
	key := func(r *rule.Rule, ev *event.Event) rule.Key {
		k, within, ok, err := set.Dedup(r, rule.NewScope(ev, inv))
		if !ok || err != nil || within != 5*time.Minute {
			t.Fatalf("%v %v %v", ok, err, within)
		}
		return k
	}
	a := newEvent("bgp_neighbor_down", "sw1", "Gi0/1", `{"neighbor":"192.0.2.1"}`)
	b := newEvent("bgp_neighbor_down", "sw1", "gig0/1", `{"neighbor":"192.0.2.1","reason":"x"}`)
	c := newEvent("bgp_neighbor_down", "sw1", "Gi0/1", `{"neighbor":"192.0.2.2"}`)
	d := newEvent("bgp_neighbor_down", "ghost", "Gi0/1", `{}`)
	for _, r := range set.Rules[:2] {
		if key(r, a) != key(r, b) || key(r, a) == key(r, c) || key(r, c) == key(r, d) {
			t.Errorf("rule %s", r.Name)
		}
	}
	if _, _, ok, err := set.Dedup(set.Rules[2], rule.NewScope(a, inv)); ok || err != nil {
		t.Errorf("a rule without dedup has a window: %v %v", ok, err)
	}
	if set.Rules[0].Dedup.Signature == set.Rules[1].Dedup.Signature || len(set.Rules[0].Dedup.Signature) != 12 {
		t.Errorf("signatures %q %q", set.Rules[0].Dedup.Signature, set.Rules[1].Dedup.Signature)
	}
}

func TestGlobalDedupOfTheConfiguration(t *testing.T) {
	b := bundle(noRules)
	b.Global = rule.Global{By: []string{"device", `event.?data.?neighbor.orValue("")`}, Within: time.Hour}
	set, inv, diags := rule.Load(b, options())
	if set == nil {
		t.Fatal(diags)
	}
	_, within, ok, err := set.Dedup(nil, rule.NewScope(newEvent("x", "sw1", "", ""), inv))
	if !ok || err != nil || within != time.Hour || set.GlobalWithin() != time.Hour {
		t.Errorf("%v %v %v", within, ok, err)
	}
	b.Global = rule.Global{Off: true}
	set, inv, _ = rule.Load(b, options())
	if _, _, ok, err := set.Dedup(nil, rule.NewScope(newEvent("x", "sw1", "", ""), inv)); ok || err != nil || set.GlobalWithin() != 0 {
		t.Errorf("off: %v %v", ok, err)
	}
	b.Global = rule.Global{By: []string{"devise"}}
	_, _, diags = rule.Load(b, options())
	if len(diags) != 1 || diags[0].String() != `dedup:1:1: by: "devise": "devise" is not known here (did you mean "device"?)` {
		t.Errorf("%v", diags)
	}
}

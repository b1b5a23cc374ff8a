package rule_test

import (
	"fmt"
	"strings"
	"testing"

	"signalbox/event"
	"signalbox/internal/inventory"
	"signalbox/internal/rule"
)

// benchRules writes n rules as a large site has them: most ask for one device,
// one site's role or one neighbor, some for a pattern, and a few for every
// event of their type.
func benchRules(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		on, when := "interface_down", ""
		switch k := i % 10; {
		case k < 4:
			when = fmt.Sprintf(`event.device == "sw%d" && event.data.admin_status == "up"`, i)
		case k < 6:
			when = fmt.Sprintf(`device.site == "site%d" && device.role == "access"`, i)
		case k == 6:
			on, when = "bgp_neighbor_down", fmt.Sprintf(`event.data.neighbor == "192.0.2.%d" && event.data.reason != "admin"`, i)
		case k == 7:
			when = fmt.Sprintf(`event.interface == "Gi0/%d" && device.name.matches("^sw[0-9]+$")`, i)
		case k == 8:
			when = fmt.Sprintf(`event.device in ["core%d", "core%d-b"]`, i, i)
		default:
			on, when = "bgp_*", fmt.Sprintf(`device.name == "sw%d"`, i)
		}
		if i < 3 { // these look at every interface_down
			on, when = "interface_down", `event.data.admin_status == "up" && event.data.?reason.orValue("") != "admin"`
		}
		fmt.Fprintf(&b, "  - name: r%d\n    on: %q\n    when: %s\n    do: [{log: {message: \"${device.name} is down\"}}]\n", i, on, yamlText(when))
	}
	return b.String()
}

func benchInventory() []rule.File {
	var b strings.Builder
	b.WriteString("devices:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  - {name: sw%d, address: 10.0.%d.%d, site: site%d, role: access, platform: ios, interfaces: {Gi0/1: {role: uplink}}}\n", i, i/250, i%250+1, i)
	}
	return []rule.File{{Name: "devices.yaml", Data: []byte(b.String())}}
}

func benchLoad(b *testing.B, n int) (*rule.Set, *inventory.Inventory) {
	b.Helper()
	bd := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(benchRules(n))}}, Inventory: benchInventory()}
	set, inv, diags := rule.Load(bd, options())
	if set == nil {
		b.Fatal(diags[0])
	}
	return set, inv
}

// BenchmarkMatch is one event against all rules. A rule that the index skips
// counts as evaluated.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set, inv := benchLoad(b, n)
			ev := newEvent("interface_down", "sw4", "Gi0/1", `{"admin_status":"up","reason":"fault","ifindex":10101}`)
			b.ReportAllocs()
			for b.Loop() {
				if got := len(set.Match(ev, inv)); got < 3 {
					b.Fatalf("%d matches", got)
				}
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "rules/s")
		})
	}
}

// BenchmarkCondition is one evaluation of one condition, without an index.
func BenchmarkCondition(b *testing.B) {
	for _, when := range []string{
		`device.role == "access"`,
		`device.role == "access" && event.data.admin_status == "up"`,
		`event.data.?reason.orValue("") != "admin" && device.name.matches("^sw[0-9]+$")`,
		`event.device == "other"`,
	} {
		b.Run(when, func(b *testing.B) {
			set, inv := load(b, "rules:\n  - name: r\n    on: interface_down\n    when: "+yamlText(when)+"\n    do: [{log: {message: x}}]\n")
			s := rule.NewScope(newEvent("interface_down", "sw1", "Gi0/1", `{"admin_status":"up","reason":"fault"}`), inv)
			e := set.Rules[0].When
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Bool(s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "evals/s")
		})
	}
}

// BenchmarkInputs is one event against 1,000 rules of which some take it, with
// what it is to each: what the engine asks for every event.
func BenchmarkInputs(b *testing.B) {
	for _, form := range []string{
		"count: {distinct: event.device, at_least: 5, by: [device.site], within: 30s}",
		"flap: {by: [device, interface], changes: 3, within: 5s}",
		"unless: {on: interface_up, by: [device, interface], within: 60s}",
		"threshold: {value: event.data.load, above: 90, by: [device, interface]}",
	} {
		name, _, _ := strings.Cut(form, ":")
		b.Run(name, func(b *testing.B) {
			src := benchRules(1000) + "  - name: form\n    on: interface_down\n    " + form + "\n    do: [{log: {message: x}}]\n"
			bd := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(src)}}, Inventory: benchInventory()}
			set, inv, diags := rule.Load(bd, options())
			if set == nil {
				b.Fatal(diags[0])
			}
			var events []*event.Event
			for i := range 1000 {
				events = append(events, newEvent("interface_down", fmt.Sprintf("sw%d", i%100), fmt.Sprintf("Gi0/%d", i), `{"admin_status":"down","reason":"fault","load":95.5}`))
			}
			var ask rule.Deciding
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				ask = set.Decide(events[i%len(events)], inv, ask)
				i++
				ms := ask.Match(nil)
				if in, err := ask.Inputs(ms[len(ms)-1]); len(in) != 1 || err != nil {
					b.Fatal(in, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	bd := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(benchRules(1000))}}, Inventory: benchInventory()}
	for b.Loop() {
		if set, _, diags := rule.Load(bd, options()); set == nil {
			b.Fatal(diags[0])
		}
	}
}

func BenchmarkDedup(b *testing.B) {
	set, inv := load(b, noRules)
	ev := newEvent("interface_down", "sw1", "Gi0/1", `{"admin_status":"up"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok, err := set.Dedup(nil, rule.NewScope(ev, inv)); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBinds is one candidate of a sequence that is asked beside another,
// again and again as the engine does.
func BenchmarkBinds(b *testing.B) {
	set, inv, r := one(b, `sequence: {within: 5m, events: [{on: interface_down, as: a}, {on: bgp_neighbor_down, as: c, when: 'c.data.reason == a.data.reason && c.data.neighbor != "x"'}]}`)
	first := newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"fault","ifindex":5}`)
	second := newEvent("bgp_neighbor_down", "sw1", "", `{"reason":"fault","neighbor":"192.0.2.1"}`)
	bound := []*event.Event{first, nil}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := set.Binds(r, 1, second, bound, inv); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

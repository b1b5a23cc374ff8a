package rule_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/inventory"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// catalogue is a small catalogue of event types.
type catalogue []schema.Type

func (c catalogue) Types() []schema.Type { return c }
func (c catalogue) Type(name string) (schema.Type, bool) {
	for _, t := range c {
		if t.Name == name {
			return t, true
		}
	}
	return schema.Type{}, false
}

var types = catalogue{
	{Name: "interface_down", Fields: []schema.Field{
		{Name: "admin_status", Type: "string"}, {Name: "reason", Type: "string"},
		{Name: "ifindex", Type: "integer"}, {Name: "load", Type: "number"}, {Name: "planned", Type: "boolean"},
		{Name: "members", Type: "array"},
		{Name: "optics", Type: "object", Fields: []schema.Field{{Name: "rx_power", Type: "number"}}},
	}},
	{Name: "interface_up", Fields: []schema.Field{{Name: "admin_status", Type: "string"}, {Name: "speed", Type: "integer"}}, Clears: []string{"interface_down"}},
	{Name: "bgp_neighbor_down", Fields: []schema.Field{{Name: "neighbor", Type: "string"}, {Name: "reason", Type: "string"}}, Key: []string{"neighbor"}},
	{Name: "link_state", Fields: []schema.Field{{Name: "state", Type: "string", Enum: []string{"up", "down"}}}},
	{Name: "alert", Fields: []schema.Field{{Name: "level", Type: "integer"}}},
	{Name: "bgp_neighbor_up", Fields: []schema.Field{{Name: "neighbor", Type: "string"}}, Key: []string{"neighbor"}},
}

var actions = []rule.ActionSpec{
	{Name: "log", Args: []rule.Arg{
		{Name: "message", Type: "string", Required: true, Doc: "what to write"},
		{Name: "level", Type: "string", Enum: []string{"debug", "info", "warn", "error"}},
		{Name: "fields", Type: "map"},
	}},
	{Name: "reachability", Args: []rule.Arg{
		{Name: "target", Type: "string", Required: true}, {Name: "count", Type: "int"},
		{Name: "wait", Type: "duration"}, {Name: "loss", Type: "number"}, {Name: "quiet", Type: "bool"},
		{Name: "ports", Type: "list"},
	}, Output: []rule.Arg{{Name: "reachable", Type: "bool"}, {Name: "rtt_ms", Type: "number"}, {Name: "sent", Type: "int"}}},
	{Name: "http", Args: []rule.Arg{
		{Name: "url", Type: "string", Required: true}, {Name: "method", Type: "string"},
		{Name: "headers", Type: "map"}, {Name: "body", Type: "any"},
	}, Output: []rule.Arg{{Name: "status", Type: "int"}, {Name: "body", Type: "any"}}},
	{Name: "exec", Args: []rule.Arg{{Name: "command", Type: "list", Required: true}}},
	{Name: "emit", Args: []rule.Arg{{Name: "type", Type: "string", Required: true}, {Name: "data", Type: "map"}}},
	{Name: "notify", Args: []rule.Arg{{Name: rule.AnyArg, Type: "any"}}},
}

const devices = `
devices:
  - name: sw1.example.net
    address: 192.0.2.1
    site: ber1
    role: access
    platform: ios
    tags: [campus, poe]
    rack: 12
    interfaces:
      Gi0/1: {role: uplink-a, speed: 1000, peer: core1}
      Gi0/2: {role: access}
  - {name: core1, address: 192.0.2.2, site: ber1, role: core, platform: nxos, redundant: true, root: true}
  - {name: spare}
sites:
  ber1: {city: Berlin, tz: Europe/Berlin}
`

func bundle(rules string) rule.Bundle {
	return rule.Bundle{
		Rules:     []rule.File{{Name: "rules.yaml", Data: []byte(rules)}},
		Inventory: []rule.File{{Name: "devices.yaml", Data: []byte(devices)}},
	}
}

func options() rule.Options {
	return rule.Options{Catalogue: types, Actions: actions, Secrets: []string{"token"}}
}

// load loads rules that must be right.
func load(t testing.TB, rules string) (*rule.Set, *inventory.Inventory) {
	t.Helper()
	set, inv, diags := rule.Load(bundle(rules), options())
	for _, d := range diags {
		if d.Severity == rule.Error {
			t.Errorf("%s", d.Format([]byte(rules)))
		}
	}
	if set == nil {
		t.FailNow()
	}
	return set, inv
}

func newEvent(typ, device, ifname, data string) *event.Event {
	return &event.Event{
		ID: "0190a0b0-0000-7000-8000-000000000001", Source: "campus", Type: typ, Device: device, Interface: ifname,
		Time: time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC), Received: time.Date(2026, 3, 1, 23, 30, 1, 0, time.UTC),
		Data: json.RawMessage(data),
	}
}

func matched(ms []rule.Match) string {
	var out []string
	for _, m := range ms {
		s := m.Rule.Name
		if m.Err != nil {
			s += ": " + m.Err.Error()
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

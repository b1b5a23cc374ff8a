package rule_test

import (
	"strings"
	"testing"

	"signalbox/internal/rule"
)

// warnings loads rules that have no mistakes and gives what is said about them.
func warnings(t *testing.T, b rule.Bundle, opt rule.Options) []string {
	t.Helper()
	set, _, diags := rule.Load(b, opt)
	if set == nil {
		t.Fatal(diags)
	}
	var out []string
	for _, d := range diags {
		out = append(out, d.String())
	}
	return out
}

func TestTypesThatNothingProduces(t *testing.T) {
	b := bundle(`
rules:
  - name: a
    on: [interface_down, interface_up, bgp_*, link_state]
    do: [{emit: {type: link_state}}]
  - name: b
    on: "*"
    unless: {on: bgp_neighbor_up, within: 1m}
    do: [{log: {message: x}}]
`)
	opt := options()
	opt.Produced = []string{"interface_down"}
	want := []string{
		`rules.yaml:4:10: warning: emit: it sets off its own rule: a → link_state → a (the chain is stopped there, and noted as a loop)`,
		`rules.yaml:4:26: warning: on: no source, mapping or emit step produces interface_up`,
		`rules.yaml:4:40: warning: on: no source, mapping or emit step produces bgp_*`,
		`rules.yaml:8:18: warning: on: no source, mapping or emit step produces bgp_neighbor_up`,
	}
	got := warnings(t, b, opt)
	for _, w := range want[1:] {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("not told: %s\n%s", w, strings.Join(got, "\n"))
		}
	}
	for _, opt.Produced = range [][]string{nil, {"*"}, {"interface_*", "bgp_neighbor_*"}} {
		if got := strings.Join(warnings(t, b, opt), "\n"); strings.Contains(got, "produces") {
			t.Errorf("with %v: %s", opt.Produced, got)
		}
	}
	// A type that an expression makes may be any.
	b.Rules[0].Data = []byte(strings.Replace(string(b.Rules[0].Data), "type: link_state", `type: "x_${event.device}"`, 1))
	opt.Produced = []string{"interface_down"}
	if got := strings.Join(warnings(t, b, opt), "\n"); strings.Contains(got, "produces") {
		t.Errorf("with a made type: %s", got)
	}
}

func TestUpstreamWithoutTopology(t *testing.T) {
	b := bundle("rules:\n  - name: a\n    on: interface_down\n    suppress: upstream\n    do: [{log: {message: x}}]\n")
	for inventory, want := range map[string]string{
		"devices: [a, b]": "no links",
		"devices: {a: {interfaces: {Gi0/1: {peer: b}}}, b: }":             "no root",
		"devices: {a: {root: true, interfaces: {Gi0/1: {peer: b}}}, b: }": "",
		"": "", // a file of rules that is checked alone
	} {
		b.Inventory = []rule.File{{Name: "d.yaml", Data: []byte(inventory)}}
		got := strings.Join(warnings(t, b, options()), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", inventory, got, want)
		}
	}
}

// Two rules with one condition are fine as long as they do different things.
func TestShadows(t *testing.T) {
	tests := []struct {
		name, rule string
		want       string // of the two rules a and b the one that is too many
	}{
		{"the same", "on: interface_down\n    when: event.data.load > 5.0 && event.device == \"sw1\"\n    do: [{log: {message: x}}]", "b"},
		{"a wider type", "on: [interface_down, interface_up]\n    when: event.device == \"sw1\"\n    do: [{log: {message: x}}]", "a"},
		{"a lower limit", "on: interface_down\n    when: event.device == \"sw1\" && event.data.load > 4\n    do: [{log: {message: x}}]", "a"},
		{"a window", "on: interface_down\n    dedup: {by: [device]}\n    when: event.device == \"sw1\" && event.data.load > 5.0\n    do: [{log: {message: x}}]", "b"},
		{"a wider one with a window", "on: interface_down\n    dedup: {by: [device]}\n    do: [{log: {message: x}}]", ""},
		{"other steps", "on: interface_down\n    do: [{log: {message: y}}]", ""},
		{"another value", "on: interface_down\n    when: event.device == \"sw2\" && event.data.load > 5.0\n    do: [{log: {message: x}}]", ""},
		{"more than one", "on: interface_down\n    when: event.device == \"sw1\" && event.data.load > 5.0\n    count: {at_least: 2, within: 1m}\n    do: [{log: {message: x}}]", ""},
		{"something unknown", "on: interface_down\n    when: event.device == \"sw1\" && size(event.interface) > 5\n    do: [{log: {message: x}}]", ""},
	}
	for _, tt := range tests {
		src := "rules:\n  - name: a\n    on: interface_down\n    when: event.device == \"sw1\" && event.data.load > 5.0\n    do: [{log: {message: x}}]\n  - name: b\n    " + tt.rule + "\n"
		want := map[string]string{"a": "rules.yaml:2:11: warning: rule b ", "b": "rules.yaml:6:11: warning: rule a ", "": ""}[tt.want]
		got := strings.Join(warnings(t, bundle(src), options()), "\n")
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
}

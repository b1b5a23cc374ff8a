package rule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/rule"
)

// What a limit counts, under which key, and how many it lets through.
func TestLimitKeys(t *testing.T) {
	b := bundle(`
rules:
  - name: r
    on: interface_down
    limits:
      - {runs: 5/h, by: [device, interface]}
      - {runs: 100/d, devices: 3/15m, by: [site]}
      - {devices: 50%/1h, by: [device.site]}
      - {devices: 99%/1h}
      - {devices: 10%/1h, by: [device.role]}
      - {runs: 1/h, by: [event.data.reason]}
    do: [{log: {message: x}}]
`)
	b.Global.Limits = []rule.GlobalLimit{{Runs: "200/h"}, {Devices: "5/15m", By: []string{"device.site", "type"}}}
	set, inv, diags := rule.Load(b, options())
	if set == nil {
		t.Fatal(diags)
	}
	ask := func(name, device string) (out []string) {
		d := set.Decide(newEvent("interface_down", device, "Gi0/1", `{"reason":"hold"}`), inv, rule.Deciding{})
		for i, l := range set.RunLimits(name) {
			key, most, err := d.LimitKey(name, i)
			out = append(out, fmt.Sprintf("%s: %d under %q", l.Text, most, strings.ReplaceAll(key, "\x1f", " ")))
			if err != nil {
				t.Error(err)
			}
		}
		return out
	}
	for _, tt := range []struct {
		rule, device string
		want         []string
	}{
		{"r", "sw1.example.net", []string{`5 runs in 1h by device, interface: 5 under "sw1.example.net GigabitEthernet0/1"`,
			`100 runs in 24h by site: 100 under "ber1"`, `3 devices in 15m by site: 3 under "ber1"`,
			`50% of the devices in 1h by device.site: 1 under "ber1"`, `99% of the devices in 1h: 2 under ""`,
			`10% of the devices in 1h by device.role: 1 under "access"`, `1 run in 1h by event.data.reason: 1 under "hold"`}},
		{"r", "stranger", []string{`5 runs in 1h by device, interface: 5 under "stranger GigabitEthernet0/1"`,
			`100 runs in 24h by site: 100 under ""`, `3 devices in 15m by site: 3 under ""`,
			`50% of the devices in 1h by device.site: 1 under "\\-"`, `99% of the devices in 1h: 2 under ""`,
			`10% of the devices in 1h by device.role: 1 under "\\-"`, `1 run in 1h by event.data.reason: 1 under "hold"`}},
		{"", "core1", []string{`all rules: 200 runs in 1h: 200 under ""`, `all rules: 5 devices in 15m by device.site, type: 5 under "ber1 interface_down"`}},
		{"nobody", "core1", nil},
	} {
		if diff := cmp.Diff(tt.want, ask(tt.rule, tt.device)); diff != "" {
			t.Errorf("rule %q, device %s (-want +got):\n%s", tt.rule, tt.device, diff)
		}
	}
}

// Limits of the configuration are checked as those of rules are, with the place
// that they come with.
func TestGlobalLimitsAreChecked(t *testing.T) {
	b := bundle("rules: []\n")
	at := rule.Pos{File: "signalbox.yaml", Line: 7, Col: 5}
	b.Global.Limits = []rule.GlobalLimit{{Runs: "5", Pos: at}, {Devices: "5/h", By: []string{"device.sitte"}, Pos: at}, {Pos: at}}
	set, _, diags := rule.Load(b, options())
	var got []string
	for _, d := range diags {
		got = append(got, d.String())
	}
	slices.Sort(got)
	want := []string{
		`signalbox.yaml:7:5: by: "device.sitte": device has no field "sitte" (did you mean "site"?)`,
		`signalbox.yaml:7:5: limits: it says neither runs nor devices (as in {runs: 5/h, by: [device]} or {devices: 5/15m, by: [device.site]})`,
		`signalbox.yaml:7:5: runs: "5" does not say in which time (as in 5/h, 5/15m, or of devices also 10%/1h)`,
	}
	if diff := cmp.Diff(want, got); diff != "" || set != nil {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The meaning of what a limit counts is not how many it lets through.
func TestLimitSignature(t *testing.T) {
	signature := func(limit string) string {
		set, _ := load(t, "rules: [{name: r, on: interface_down, limits: "+limit+", do: [{log: {message: x}}]}]\n")
		return set.RunLimits("r")[0].Signature
	}
	first := signature("{runs: 5/h, by: [device.site]}")
	for limit, same := range map[string]bool{
		"{runs: 7/60m, by: [ device.site ]}": true, "{runs: 5/2h, by: [device.site]}": false,
		"{devices: 5/h, by: [device.site]}": false, "{runs: 5/h, by: [device.role]}": false, "{runs: 5/h}": false,
	} {
		if (signature(limit) == first) != same {
			t.Errorf("%s: the same as the first: %v, want %v", limit, !same, same)
		}
	}
}

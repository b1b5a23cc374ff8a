package backtest_test

import (
	"testing"
	"time"

	"signalbox/internal/backtest"
)

const forms = `rules:
  - name: port-flap
    on: [interface_down, interface_up]
    flap: {by: [device, interface], changes: 3, within: 10s}
    holds: [port-down]
    do: [{log: {message: flap}}]
  - name: port-down
    on: interface_down
    do: [{log: {message: down}}]
  - name: stays-down
    on: interface_down
    unless: {on: interface_up, by: [device, interface], within: 60s}
    do: [{log: {message: stays}}]
  - name: many
    on: interface_down
    count: {at_least: 3, distinct: event.device, by: [event.type], within: 5m}
    do: [{log: {message: many}}]
  - name: quiet
    on: device_reboot
    silent: {by: [device], for: 10m}
    do: [{log: {message: quiet}}]
  - name: mail
    on: interface_down
    group: {by: [device.site], wait: 30s, interval: 5m}
    do: [{log: {message: mail}}]
  - name: ticket
    on: bgp_neighbor_down
    situation: {key: [event.device], resolved_by: bgp_neighbor_up}
    do: [{log: {message: open}}]
`

const formsStory = `
0s    interface_down    sw1 Gi0/1
2s    interface_up      sw1 Gi0/1
4s    interface_down    sw1 Gi0/1
1m    interface_up      sw1 Gi0/1
2m    device_reboot     sw1
5m    interface_down    sw1 Gi0/2
6m    interface_down    sw2 Gi0/2
7m    interface_down    core1 Te1/1
8m    bgp_neighbor_down core1
9m    bgp_neighbor_down core1
10m   bgp_neighbor_up   core1
11m   bgp_neighbor_down core1
`

// Rules that ask for more than one event, with what time alone decides.
func TestForms(t *testing.T) {
	log := logOf(t, formsStory)
	nameNeighbors(log)
	none := candidate(t, "nothing", "rules: []\n")
	r := run(t, backtest.Options{Rules: candidate(t, "forms", forms), Against: &none, Until: t0.Add(20 * time.Minute)}, log)
	text, json, html := written(t, r)
	golden(t, "forms.txt", text)
	golden(t, "forms.json", json)
	golden(t, "forms.html", html)
	if r.Diff.More != r.Rules.Runs {
		t.Errorf("against no rules %d runs more, of %d", r.Diff.More, r.Rules.Runs)
	}
}

// Where the stretch ends there is no more time: what is due until then happens.
func TestTheEndOfTime(t *testing.T) {
	const rules = `rules:
  - name: stays-down
    on: interface_down
    unless: {on: interface_up, by: [device, interface], within: 60s}
    do: [{log: {message: stays}}]
`
	for _, tt := range []struct {
		until time.Duration
		runs  uint64
	}{{59 * time.Second, 0}, {60 * time.Second, 1}, {time.Hour, 1}, {0, 0}} {
		o := backtest.Options{Rules: candidate(t, "r", rules)}
		if tt.until > 0 {
			o.Until = t0.Add(tt.until)
		}
		r := run(t, o, logOf(t, "0s interface_down sw1 Gi0/1"))
		if r.Rules.Runs != tt.runs {
			t.Errorf("up to %s: %d runs, want %d", tt.until, r.Rules.Runs, tt.runs)
		}
		if tt.runs == 1 {
			first := r.Rules.PerRule[0].First
			if !first.Timer || !first.Time.Equal(t0.Add(time.Minute)) || first.Device != "sw1" {
				t.Errorf("the run is %+v", first)
			}
		}
	}
}

// A window that began before the stretch counts in it, and what it found before
// does not.
func TestWarmUpOfForms(t *testing.T) {
	const rules = `rules:
  - name: many
    on: interface_down
    count: {at_least: 3, by: [device], within: 10m}
    do: [{log: {message: many}}]
`
	log := logOf(t, "0s interface_down sw1 Gi0/1\n1m interface_down sw1 Gi0/2\n2m interface_down sw1 Gi0/3\n3m interface_down sw1 Gi0/4\n4m interface_down sw1 Gi0/5\n5m interface_down sw1 Gi0/6")
	r := run(t, backtest.Options{Rules: candidate(t, "r", rules), Since: t0.Add(3 * time.Minute)}, log)
	if r.Rules.Runs != 1 || !r.Rules.PerRule[0].First.Time.Equal(t0.Add(5*time.Minute)) || r.Rules.PerRule[0].First.Events != 3 {
		t.Errorf("%d runs, the first %+v", r.Rules.Runs, r.Rules.PerRule[0].First)
	}
	r = run(t, backtest.Options{Rules: candidate(t, "r", rules), Since: t0.Add(90 * time.Second)}, log)
	if r.Rules.Runs != 2 {
		t.Errorf("%d runs from the middle of a window on, want 2", r.Rules.Runs)
	}
}

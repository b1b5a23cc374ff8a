package backtest_test

import (
	"strings"
	"testing"
	"time"

	"signalbox/internal/backtest"
	"signalbox/internal/rule"
)

const limited = `rules:
  - name: port-down
    on: interface_down
    limits:
      - {runs: 2/10m, by: [device]}
      - {devices: 1/h, by: [device.role]}
    do: [{log: {message: down}}]
  - name: rebooted
    on: device_reboot
    limits: {runs: 100/d}
    do: [{log: {message: reboot}}]
  - name: ticket
    on: bgp_neighbor_down
    situation: {key: [event.device], resolved_by: bgp_neighbor_up}
    limits: {runs: 1/h}
    do: [{log: {message: open}}]
`

const limitedStory = `
0s    interface_down    sw1 Gi0/1
1m    interface_down    sw1 Gi0/2
2m    interface_down    sw1 Gi0/3
3m    interface_down    sw1 Gi0/4
4m    interface_down    sw2 Gi0/1
5m    device_reboot     core1
6m    device_reboot     sw1
7m    device_reboot     sw2
10m   interface_down    sw1 Gi0/5
11m   bgp_neighbor_down core1
12m   bgp_neighbor_down sw1
`

// What the limits of rules and those of all of them would have refused, with the
// first of each.
func TestLimits(t *testing.T) {
	log := logOf(t, limitedStory)
	nameNeighbors(log)
	all := rule.GlobalLimit{Devices: "2/h"}
	o := backtest.Options{Rules: candidate(t, "limited", limited, all), Until: t0.Add(time.Hour)}
	free := candidate(t, "free", strings.NewReplacer("2/10m", "1000/10m", "1/h", "1000/h").Replace(limited))
	o.Against = &free
	r := run(t, o, log)
	text, json, html := written(t, r)
	golden(t, "limits.txt", text)
	golden(t, "limits.json", json)
	golden(t, "limits.html", html)
	if r.Rules.Runs+r.Rules.Refused != r.Against.Runs || r.Against.Refused != 0 {
		t.Errorf("%d runs and %d refused, of %d without limits", r.Rules.Runs, r.Rules.Refused, r.Against.Runs)
	}
	if r.Rules.Refused != r.Diff.Fewer {
		t.Errorf("%d refused, and the difference is %d", r.Rules.Refused, r.Diff.Fewer)
	}
}

// A limit's window reaches back before the stretch that is counted.
func TestWarmUpOfLimits(t *testing.T) {
	log := logOf(t, "0s interface_down sw1 Gi0/1\n1h interface_down sw1 Gi0/2")
	rules := "rules:\n  - {name: r, on: interface_down, limits: {runs: 1/2h}, do: [{log: {message: x}}]}\n"
	o := backtest.Options{Rules: candidate(t, "r", rules), Since: t0.Add(30 * time.Minute)}
	if got := o.Rules.Reach(); got < 2*time.Hour {
		t.Errorf("it reaches back %s", got)
	}
	if r := run(t, o, log); r.Rules.Runs != 0 || r.Rules.Refused != 1 || r.Rules.Limits[0].Refused != 1 {
		t.Errorf("%d runs, %d refused: %+v", r.Rules.Runs, r.Rules.Refused, r.Rules.Limits)
	}
}

package rule_test

import (
	"os"
	"testing"

	"signalbox/internal/correlate"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

const portDown = `
rules:
  - name: port-down
    description: An access port that should be up has gone down.
    on: interface_down
    when: device.role == "access" && event.data.admin_status == "up"
    dedup: {by: [device, interface], within: 60s}
    do:
      - reachability: {target: "${device.address}", wait: 2s}
        register: ping
      - http:
          url: "https://tickets.example.net/${device.name}"
          method: POST
          headers: {Authorization: 'Bearer ${secret("token")}'}
          body: {summary: "${device.name} unreachable", sent: "${ping.sent}", event: "${event}"}
        when: "!ping.reachable"
      - parallel:
          - log: {message: "${event.interface} is down"}
          - notify: {text: "${device.name} ${event.interface} is down"}
`

func TestLoadAndMatch(t *testing.T) {
	set, inv := load(t, portDown)
	ev := newEvent("interface_down", "sw1.example.net", "Gi0/1", `{"admin_status":"up"}`)
	if got := matched(set.Match(ev, inv)); got != "port-down" {
		t.Errorf("matched %q", got)
	}
}

// The language as its documents have it loads with the types that Signalbox
// brings, and nothing is to be said about it.
func TestLanguage(t *testing.T) {
	src, err := os.ReadFile("testdata/language.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	opt := options()
	opt.Catalogue = cat
	b := bundle(string(src))
	b.Inventory = []rule.File{{Name: "devices.yaml", Data: []byte(`
devices:
  core1: {root: true, site: ber1, interfaces: {Te1/1: {peer: "sw1:Gi0/1"}}}
  sw1: {site: ber1, role: access, interfaces: {Gi0/1: {role: uplink-a}}}
  sw2: {site: ber1}
  sw3: {site: ber1}
  sw4: {site: ber1}
`)}}
	set, _, diags := rule.Load(b, opt)
	for _, d := range diags {
		t.Errorf("%s", d.Format(src))
	}
	if set == nil || len(set.Rules) != 10 {
		t.Fatal("not all rules are there")
	}
	if set.Rule("link-hot").Plan.Form != correlate.Threshold || set.Rule("ghost") != nil || set.Rule("access-port-down").Plan != nil {
		t.Error("rules by their names")
	}
	for typ, want := range map[string]correlate.Effect{
		"device_unreachable": correlate.DeviceDown, "device_reachable": correlate.DeviceUp,
		"interface_down": correlate.LinkDown, "interface_up": correlate.LinkUp, "heartbeat": "", "ghost": "",
	} {
		if got := set.Effect(typ); got != want {
			t.Errorf("%s: effect %q, want %q", typ, got, want)
		}
	}
}

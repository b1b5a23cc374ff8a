package rule_test

import (
	"testing"
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

package senders

import (
	"net"
	"os"
	"strings"
	"testing"

	"signalbox/internal/api"
	"signalbox/test/harness"
)

// TestLogger sends what Cisco and Juniper devices say by util-linux's logger.
// The device is this machine, which logger names in the header.
func TestLogger(t *testing.T) {
	logger := tool(t, "logger")
	udp, tcp := harness.FreePort(t, "udp"), harness.FreePort(t, "tcp")
	s := start(t, "  campus: {kind: syslog, udp: UDP, tcp: TCP}\n", "", "UDP", udp, "TCP", tcp)
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(hostname, ".")

	tests := []struct {
		name string
		args []string
		want want
	}{
		{"UDP, RFC 3164, Cisco IOS",
			[]string{"-d", "--rfc3164", "-p", "local7.err", "-t", "1043", "--", "%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down"},
			want{typ: "interface_down", device: short, iface: "GigabitEthernet0/1", mapping: "cisco_ios.link",
				raw: short + " 1043: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down"}},
		{"UDP, RFC 5424, Junos structured data",
			[]string{"-d", "--rfc5424", "-p", "daemon.warning", "-t", "mib2d", "--id=1484", "--msgid", "SNMP_TRAP_LINK_DOWN",
				"--sd-id", "junos@2636.1.1.1.2.18", "--sd-param", `snmp-interface-index="584"`, "--sd-param", `admin-status="up(1)"`,
				"--sd-param", `operational-status="down(2)"`, "--sd-param", `interface-name="ge-0/0/45"`,
				"--", "ifIndex 584, ifAdminStatus up(1), ifOperStatus down(2), ifName ge-0/0/45"},
			want{typ: "interface_down", device: hostname, iface: "ge-0/0/45", mapping: "juniper_junos.link",
				raw: `[junos@2636.1.1.1.2.18 snmp-interface-index="584" admin-status="up(1)" operational-status="down(2)" interface-name="ge-0/0/45"] ifIndex 584`}},
		{"UDP, RFC 3164, Junos",
			[]string{"-d", "--rfc3164", "-p", "daemon.warning", "-t", "rpd", "--id=2902", "--",
				"RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.1 (External AS 64500) changed state from Established to Idle (event HoldTime) (instance master)"},
			want{typ: "bgp_neighbor_down", device: short, mapping: "juniper_junos.bgp", raw: "rpd[2902]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.1"}},
		{"TCP, lines, RFC 3164, Cisco IOS",
			[]string{"-T", "--rfc3164", "-p", "local7.notice", "-t", "1044", "--", "%LINEPROTO-5-UPDOWN: Line protocol on Interface Vlan10, changed state to down"},
			want{typ: "interface_down", device: short, iface: "Vlan10", mapping: "cisco_ios.lineproto",
				raw: "1044: %LINEPROTO-5-UPDOWN: Line protocol on Interface Vlan10, changed state to down"}},
		{"TCP, octet-counted, RFC 5424, Cisco IOS",
			[]string{"-T", "--octet-count", "--rfc5424", "-p", "local7.notice", "-t", "ios", "--", "%BGP-5-ADJCHANGE: neighbor 192.0.2.7 Down BGP Notification sent"},
			want{typ: "bgp_neighbor_down", device: hostname, mapping: "cisco_ios.bgp_adjchange",
				raw: "%BGP-5-ADJCHANGE: neighbor 192.0.2.7 Down BGP Notification sent"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := udp
			if tt.args[0] == "-T" {
				addr = tcp
			}
			host, port, _ := net.SplitHostPort(addr)
			send(t, logger, append([]string{"-n", host, "-P", port}, tt.args...)...)
			tt.want.source = "campus"
			wholeMessage(t, one(t, s, tt.want))
		})
	}
	settled(t, s, len(tests))
}

// wholeMessage: what the log has is one message of this machine, without the
// framing of the transport.
func wholeMessage(t *testing.T, e *api.Entry) {
	t.Helper()
	if raw := string(e.Event.Raw); !strings.HasPrefix(raw, "<") || strings.ContainsAny(raw[len(raw)-1:], "\n\x00") {
		t.Errorf("raw is %q: want the message from its priority on, without framing", raw)
	}
	if e.Event.Time.IsZero() {
		t.Error("the time of the header is lost")
	}
	if peer, _, _ := net.SplitHostPort(e.Event.Peer); peer != "127.0.0.1" {
		t.Errorf("peer is %s", e.Event.Peer)
	}
}

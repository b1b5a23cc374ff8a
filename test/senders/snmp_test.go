package senders

import (
	"bytes"
	"strings"
	"testing"

	"signalbox/test/harness"
)

const traps = `
  traps:
    kind: snmp
    listen: LISTEN
    communities: [c0mmunity-in]
    users:
      - {name: ops, auth: {protocol: SHA256, secret: ops-auth-secret}, priv: {protocol: AES, secret: ops-priv-secret}}
      - {name: core, auth: {protocol: SHA512, secret: core-auth-secret}, priv: {protocol: AES, secret: core-priv-secret}}
`

var (
	asOps  = []string{"-v3", "-l", "authPriv", "-u", "ops", "-a", "SHA-256", "-A", "ops-auth-secret", "-x", "AES", "-X", "ops-priv-secret"}
	asCore = []string{"-v3", "-l", "authPriv", "-u", "core", "-a", "SHA-512", "-A", "core-auth-secret", "-x", "AES", "-X", "core-priv-secret"}
	wrong  = []string{"-v3", "-l", "authPriv", "-u", "ops", "-a", "SHA-256", "-A", "not-the-secret", "-x", "AES", "-X", "ops-priv-secret"}
)

// linkDown are the arguments of an SNMPv2 notification behind the address.
func linkDown(name string) []string {
	return []string{"4711", "1.3.6.1.6.3.1.1.5.3",
		"1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.2.2.1.2.3", "s", name,
		"1.3.6.1.2.1.2.2.1.7.3", "i", "1", "1.3.6.1.2.1.2.2.1.8.3", "i", "2"}
}

func args(parts ...[]string) (out []string) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestSNMP(t *testing.T) {
	trap, inform := tool(t, "snmptrap"), tool(t, "snmpinform")
	listen := harness.FreePort(t, "udp")
	s := start(t, traps, "", "LISTEN", listen)
	at := []string{listen}
	engine := []string{"-e", "0x80001f8803aabbccddeeff"}
	v2c := []string{"-v2c", "-c", "c0mmunity-in"}
	retries := []string{"-r", "3", "-t", "5"}

	tests := []struct {
		name   string
		tool   string
		args   []string
		device string
		iface  string
	}{
		{"v1 trap: the agent's address is the device", trap,
			[]string{"-v1", "-c", "c0mmunity-in", listen, "1.3.6.1.4.1.9.1.1208", "192.0.2.8", "2", "0", "4711",
				"1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.2.2.1.2.3", "s", "GigabitEthernet1/1"},
			"192.0.2.8", "GigabitEthernet1/1"},
		{"v2c trap", trap, args(v2c, at, linkDown("GigabitEthernet1/2")), "127.0.0.1", "GigabitEthernet1/2"},
		{"v2c trap of a proxy: snmpTrapAddress is the device", trap,
			args(v2c, at, linkDown("GigabitEthernet1/3"), []string{"1.3.6.1.6.3.18.1.3.0", "a", "192.0.2.9"}), "192.0.2.9", "GigabitEthernet1/3"},
		{"v3 trap, SHA-256, AES", trap, args(asOps, engine, at, linkDown("GigabitEthernet1/4")), "127.0.0.1", "GigabitEthernet1/4"},
		{"v3 trap of the second user", trap, args(asCore, engine, at, linkDown("GigabitEthernet1/5")), "127.0.0.1", "GigabitEthernet1/5"},
		{"v2c inform", inform, args(v2c, retries, at, linkDown("GigabitEthernet1/6")), "127.0.0.1", "GigabitEthernet1/6"},
		{"v3 inform", inform, args(asOps, retries, at, linkDown("GigabitEthernet1/7")), "127.0.0.1", "GigabitEthernet1/7"},
		{"v3 inform of the second user", inform, args(asCore, retries, at, linkDown("GigabitEthernet1/8")), "127.0.0.1", "GigabitEthernet1/8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			send(t, tt.tool, tt.args...)
			if tt.tool == inform && len(s.Events("--grep", tt.iface)) != 1 {
				t.Error("the inform was answered, and its event is not in the log")
			}
			e := one(t, s, want{source: "traps", typ: "interface_down", device: tt.device, iface: tt.iface,
				mapping: "snmp_interface.link_down", raw: tt.iface})
			if !strings.Contains(string(e.Event.Data), `"if_index":3`) {
				t.Errorf("data is %s: if_index is not 3", e.Event.Data)
			}
			if bytes.Contains(e.Event.Raw, []byte("c0mmunity-in")) {
				t.Error("the community is in the raw bytes")
			}
		})
	}
	settled(t, s, len(tests))
	if in := intake(t, s, "traps"); in.Received < uint64(len(tests)) || in.Logged != uint64(len(tests)) {
		t.Errorf("received %d, logged %d; want %d of both, or more discovery messages received", in.Received, in.Logged, len(tests))
	}
}

// TestSNMPRefused: what is not authenticated is counted, and leaves nothing in
// the log.
func TestSNMPRefused(t *testing.T) {
	trap, inform := tool(t, "snmptrap"), tool(t, "snmpinform")
	listen := harness.FreePort(t, "udp")
	s := start(t, traps, "", "LISTEN", listen)
	at := []string{listen}
	engine := []string{"-e", "0x80001f8803aabbccddeeff"}
	once := []string{"-r", "0", "-t", "2"}
	noPriv := []string{"-v3", "-l", "authNoPriv", "-u", "ops", "-a", "SHA-256", "-A", "ops-auth-secret"}

	tests := []struct {
		name   string
		tool   string
		args   []string
		reason string
	}{
		{"v2c trap, wrong community", trap, args([]string{"-v2c", "-c", "public"}, at, linkDown("Gi1")), "auth"},
		{"v3 trap, wrong password", trap, args(wrong, engine, at, linkDown("Gi2")), "auth"},
		{"v3 inform, wrong password", inform, args(wrong, once, at, linkDown("Gi3")), "auth"},
		{"v3 trap below the user's level", trap, args(noPriv, engine, at, linkDown("Gi4")), "level"},
		{"v3 inform below the user's level", inform, args(noPriv, once, at, linkDown("Gi5")), "level"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := intake(t, s, "traps").Refused[tt.reason]
			status, out := command(t, "", tt.tool, tt.args...)
			if (status == 0) == (tt.tool == inform) {
				t.Errorf("exit status %d\n%s", status, out)
			}
			harness.Eventually(t, "the refusal is in the ledger", limit, func() bool {
				return intake(t, s, "traps").Refused[tt.reason] == before+1
			})
		})
	}
	settled(t, s, 0)
	for _, secret := range []string{"not-the-secret", "ops-auth-secret", "ops-priv-secret", "c0mmunity-in"} {
		if strings.Contains(s.Output(), secret) {
			t.Errorf("%q is in what signalbox printed", secret)
		}
	}
}

package trap

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"
)

const printedLinkDown = `<UNKNOWN>
UDP: [192.0.2.1]:57123->[198.51.100.4]:162
DISMAN-EVENT-MIB::sysUpTimeInstance 2:15:07:12.87
SNMPv2-MIB::snmpTrapOID.0 IF-MIB::linkDown
IF-MIB::ifIndex.10104 10104
IF-MIB::ifAdminStatus.10104 down
IF-MIB::ifOperStatus.10104 = INTEGER: lowerLayerDown(7)
IF-MIB::ifDescr.10104 = STRING: "GigabitEthernet0/5"
IF-MIB::ifPhysAddress.10104 = Hex-STRING: 00 53 00 12 34 56
SNMP-COMMUNITY-MIB::snmpTrapCommunity.0 "canary"
ACME-MIB::acmeColour.7 green`

func TestParseText(t *testing.T) {
	n := Builtin()
	check := func(t *testing.T, tr *Trap, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if tr.Name != "linkDown" || tr.OID != "1.3.6.1.6.3.1.1.5.3" || tr.AgentAddress != "192.0.2.1" {
			t.Errorf("got %+v", tr)
		}
		for name, want := range map[string]string{
			"ifIndex": "10104", "ifAdminStatus": "down(2)", "ifOperStatus": "lowerLayerDown(7)",
			"ifDescr": "GigabitEthernet0/5", "ifPhysAddress": "00:53:00:12:34:56", "acmeColour": "green",
		} {
			v := tr.Get(name)
			if v == nil || v.Text != want {
				t.Errorf("%s: %+v, want %s", name, v, want)
			}
		}
		if tr.Get("snmpTrapCommunity") != nil {
			t.Error("a community was kept")
		}
		if v := tr.Get("ifAdminStatus"); v.Enum != "down" || v.Value != int64(2) || v.Index != "10104" {
			t.Errorf("ifAdminStatus: %+v", v)
		}
		if want := 2*24*time.Hour + 15*time.Hour + 7*time.Minute + 12870*time.Millisecond; tr.Uptime != want {
			t.Errorf("uptime %v, want %v", tr.Uptime, want)
		}
	}
	tr, err := n.ParseText(printedLinkDown)
	check(t, tr, err)

	b, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.ParseText(string(b))
	check(t, again, err)

	tr, err = n.ParseText(hex.EncodeToString(linkDownV2c(t)))
	if err != nil || tr.Name != "linkDown" || tr.Get("ifDescr").Text != "GigabitEthernet0/3" {
		t.Errorf("hex: %+v, %v", tr, err)
	}
	for _, bad := range []string{"", "hello", "{", "30", "UDP: [192.0.2.1]:1->[192.0.2.2]:162", "IF-MIB::ifIndex.1 1"} {
		if tr, err := n.ParseText(bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, tr)
		}
	}
}

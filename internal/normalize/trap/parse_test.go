package trap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"signalbox/packs"
)

func TestTable(t *testing.T) {
	n, err := parseTable(packs.Notifications)
	if err != nil {
		t.Fatal(err)
	}
	if n.Len() < 400 {
		t.Errorf("%d objects, want all of the table", n.Len())
	}
}

func linkDownV2c(tb testing.TB) []byte {
	tb.Helper()
	p := &gosnmp.SnmpPacket{
		Version: gosnmp.Version2c, PDUType: gosnmp.SNMPv2Trap, RequestID: 7,
		Variables: []gosnmp.SnmpPDU{
			{Name: "." + oidUptime, Type: gosnmp.TimeTicks, Value: uint32(12345)},
			{Name: "." + oidTrapOID, Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
			{Name: ".1.3.6.1.2.1.2.2.1.1.3", Type: gosnmp.Integer, Value: 3},
			{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.OctetString, Value: "GigabitEthernet0/3"},
			{Name: ".1.3.6.1.2.1.2.2.1.7.3", Type: gosnmp.Integer, Value: 1},
			{Name: ".1.3.6.1.2.1.2.2.1.8.3", Type: gosnmp.Integer, Value: 2},
		},
	}
	b, err := p.MarshalMsg()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func v1Trap(tb testing.TB, generic, specific int) []byte {
	tb.Helper()
	p := &gosnmp.SnmpPacket{Version: gosnmp.Version1, PDUType: gosnmp.Trap}
	p.Enterprise, p.AgentAddress = ".1.3.6.1.4.1.32473.7", "192.0.2.77"
	p.GenericTrap, p.SpecificTrap, p.Timestamp = generic, specific, 100
	p.Variables = []gosnmp.SnmpPDU{{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.OctetString, Value: "Gi0/3"}}
	b, err := p.MarshalMsg()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestV1 holds the conversion against RFC 3584, section 3.1.
func TestV1(t *testing.T) {
	for _, tt := range []struct {
		generic, specific int
		oid, name         string
	}{
		{0, 0, "1.3.6.1.6.3.1.1.5.1", "coldStart"},
		{1, 0, "1.3.6.1.6.3.1.1.5.2", "warmStart"},
		{2, 0, "1.3.6.1.6.3.1.1.5.3", "linkDown"},
		{3, 0, "1.3.6.1.6.3.1.1.5.4", "linkUp"},
		{4, 0, "1.3.6.1.6.3.1.1.5.5", "authenticationFailure"},
		{5, 0, "1.3.6.1.6.3.1.1.5.6", "egpNeighborLoss"},
		{6, 17, "1.3.6.1.4.1.32473.7.0.17", ""},
	} {
		tr, err := Parse(v1Trap(t, tt.generic, tt.specific))
		if err != nil {
			t.Fatal(err)
		}
		if tr.OID != tt.oid || tr.Name != tt.name || tr.Version != "1" || tr.AgentAddress != "192.0.2.77" ||
			tr.Enterprise != "1.3.6.1.4.1.32473.7" || tr.Uptime != time.Second || len(tr.Varbinds) != 1 {
			t.Errorf("%d/%d: %+v", tt.generic, tt.specific, tr)
		}
	}
}

// TestZero finds names whether or not an agent writes the zero before the last
// number: BGP4-MIB's traps come in both forms.
func TestZero(t *testing.T) {
	for oid, want := range map[string]string{
		"1.3.6.1.2.1.15.7.2":           "bgpBackwardTransition",
		"1.3.6.1.2.1.15.7.0.2":         "bgpBackwardTransition",
		"1.3.6.1.2.1.15.0.2":           "bgpBackwardTransNotification",
		"1.3.6.1.4.1.9.9.43.2.1":       "ciscoConfigManEvent",
		"1.3.6.1.2.1.2.2.1.8":          "", // an object is no notification
		"1.3.6.1.4.1.2636.4.1.0.2":     "jnxFanFailure",
		"1.3.6.1.4.1.32473.1.2.3.4.99": "",
	} {
		tr := &Trap{OID: oid}
		Builtin().nameTrap(tr)
		if tr.Name != want {
			t.Errorf("%s is %q, want %q", oid, tr.Name, want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		oid   string
		typ   gosnmp.Asn1BER
		value any
		kind  string
		want  any
		text  string
	}{
		{"1.3.6.1.2.1.2.2.1.8.3", gosnmp.Integer, 7, "integer", int64(7), "lowerLayerDown(7)"},
		{"1.3.6.1.2.1.2.2.1.8.3", gosnmp.Integer, 99, "integer", int64(99), "99"},
		{"1.3.6.1.2.1.2.2.1.6.3", gosnmp.OctetString, "\x00\x53\x00\x12\x34\x56", "octets", nil, "00:53:00:12:34:56"},
		{"1.3.6.1.2.1.2.2.1.2.3", gosnmp.OctetString, "Gi0/3\x00", "octets", nil, "Gi0/3"},
		{"1.3.6.1.2.1.2.2.1.2.3", gosnmp.OctetString, "a\x1b[31mb", "octets", nil, "61:1b:5b:33:31:6d:62"},
		{"1.3.6.1.2.1.31.1.1.1.18.3", gosnmp.OctetString, "Zürich\nWest", "octets", nil, "Zürich\nWest"},
		{"1.3.6.1.4.1.2636.5.1.1.2.1.1.1.11.1", gosnmp.OctetString, "\xc0\x00\x02\x01", "octets", nil, "192.0.2.1"},
		{"1.3.6.1.4.1.2636.3.18.1.7.1.3.1", gosnmp.OctetString, "\x07\xea\x0b\x18\x17\x05\x06\x00+\x01\x00", "octets", nil, "2026-11-24T23:05:06.0+01:00"},
		{"1.3.6.1.2.1.138.1.10.1.3.0", gosnmp.OctetString, "\x19\x21\x68\x00\x10\x01\x00\x02", "octets", nil, "1921.6800.1001.00-02"},
		{"1.3.6.1.2.1.15.3.1.7.192.0.2.9", gosnmp.IPAddress, "192.0.2.9", "ip", "192.0.2.9", "192.0.2.9"},
		{"1.3.6.1.6.3.1.1.4.1", gosnmp.ObjectIdentifier, ".1.3.6.1.6.3.1.1.5.3", "oid", "1.3.6.1.6.3.1.1.5.3", "linkDown"},
		{"1.3.6.1.4.1.32473.1", gosnmp.Counter64, uint64(1) << 63, "counter64", uint64(1) << 63, "9223372036854775808"},
		{"1.3.6.1.4.1.32473.1", gosnmp.TimeTicks, uint32(8640001), "timeticks", uint64(8640001), "24h0m0.01s"},
		{"1.3.6.1.4.1.32473.1", gosnmp.Null, nil, "null", nil, ""},
		{"1.3.6.1.4.1.32473.1", gosnmp.OpaqueFloat, float32(1.5), "float", 1.5, "1.5"},
	} {
		pdu := gosnmp.SnmpPDU{Name: "." + tt.oid, Type: tt.typ, Value: tt.value}
		if s, ok := tt.value.(string); ok && tt.typ == gosnmp.OctetString {
			pdu.Value = []byte(s)
		}
		v := Builtin().varbind(tt.oid, pdu)
		if v.Kind != tt.kind || v.Text != tt.text || tt.want != nil && v.Value != tt.want {
			t.Errorf("%s: %+v, want %s %v %q", tt.oid, v, tt.kind, tt.want, tt.text)
		}
	}
}

func TestIndexAddr(t *testing.T) {
	for _, tt := range []struct{ layout, index, want string }{
		{"ip", "192.0.2.9", "192.0.2.9"},
		{"ip", "192.0.2", ""},
		{"ip", "192.0.2.999", ""},
		{"inet", "1.4.192.0.2.9", "192.0.2.9"},
		{"inet", "1.192.0.2.9", "192.0.2.9"},
		{"n,inet", "1.2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.9", "2001:db8::9"},
		{"n,inet,inet", "0.1.192.0.2.1.1.192.0.2.9", "192.0.2.9"},
		{"n,inet,inet", "0.2.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1.2.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.2", "2001:db8::2"},
		{"ip,n", "192.0.2.9.0", "192.0.2.9"},
		{"inet", "16.3.97.98.99", ""},
		{"", "1.2.3", ""},
	} {
		var layout []string
		if tt.layout != "" {
			layout = strings.Split(tt.layout, ",")
		}
		if got := indexAddr(layout, tt.index); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.layout, tt.index, got, tt.want)
		}
	}
}

func TestNotTraps(t *testing.T) {
	good := linkDownV2c(t)
	for name, b := range map[string][]byte{
		"empty": nil, "one byte": {0x30}, "cut off": good[:len(good)-1], "long length": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"version 2": append([]byte{good[0], good[1], 2, 1, 2}, good[5:]...),
	} {
		if tr, err := Parse(b); err == nil {
			t.Errorf("%s: %+v", name, tr)
		}
	}
	if tr, err := Parse(append(good, "after it"...)); err != nil || tr.Name != "linkDown" {
		t.Errorf("with bytes after it: %+v, %v", tr, err)
	}
	get := &gosnmp.SnmpPacket{Version: gosnmp.Version2c, PDUType: gosnmp.GetRequest, Variables: []gosnmp.SnmpPDU{{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.Null}}}
	b, err := get.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b); !errors.Is(err, ErrNotTrap) {
		t.Errorf("a get: %v", err)
	}
}

func BenchmarkParse(b *testing.B) {
	raw := linkDownV2c(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	raw := linkDownV2c(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decoder.UnmarshalTrap(raw, false); err != nil {
			b.Fatal(err)
		}
	}
}

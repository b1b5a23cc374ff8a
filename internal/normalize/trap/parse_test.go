package trap

import (
	"testing"

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

package main

import (
	"context"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// trapPacket is a linkDown notification (IF-MIB) with a slot in ifDescr.
func trapPacket() (string, error) {
	g := &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "public"}
	b, err := g.SnmpEncodePacket(gosnmp.SNMPv2Trap, []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(123456)},
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
		{Name: ".1.3.6.1.2.1.2.2.1.1.7", Type: gosnmp.Integer, Value: 7},
		{Name: ".1.3.6.1.2.1.2.2.1.7.7", Type: gosnmp.Integer, Value: 1},
		{Name: ".1.3.6.1.2.1.2.2.1.8.7", Type: gosnmp.Integer, Value: 2},
		{Name: ".1.3.6.1.2.1.2.2.1.2.7", Type: gosnmp.OctetString, Value: "GigabitEthernet" + slot + "/0"},
	}, 0, 0)
	return string(b), err
}

func traps(ctx context.Context, b *bench) ([]row, error) {
	packet, err := trapPacket()
	if err != nil {
		return nil, err
	}
	addr := freePort("udp")
	s, err := b.start(ctx, "traps", site("  t: {kind: snmp, listen: "+addr+", communities: [public]}\n"))
	if err != nil {
		return nil, err
	}
	defer s.close()
	l := ladder{rates: []int{10_000, 20_000, 40_000, 80_000}, d: b.seconds(4), unit: "traps", addr: addr, kinds: []string{packet}}
	rows, best, err := l.climb(ctx, s, "t")
	rows = append(rows, row{what: "Signalbox, the highest of them with no drop", figure: rate(float64(best), "traps")})
	if err != nil {
		return rows, err
	}
	if mapped, all, err := s.mapped(ctx); err != nil || mapped != all {
		return rows, fmt.Errorf("%d of %d traps mapped: %w", mapped, all, err)
	}
	return rows, nil
}

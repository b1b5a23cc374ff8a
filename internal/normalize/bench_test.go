package normalize

import (
	"testing"

	"signalbox/internal/normalize/syslogmsg"
)

// BenchmarkNormalize measures what a message costs beside its parsing (mapped,
// unmapped) and with it (raw).
func BenchmarkNormalize(b *testing.B) {
	n := load(b)
	lines := []struct{ name, raw string }{
		{"link", "<189>45: sw1: Jan  5 10:00:04.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to up"},
		{"bgp", "<189>49: r1: Jan  5 10:00:03.123: %BGP-5-ADJCHANGE: neighbor 192.0.2.7 Down BGP Notification sent"},
		{"acl", "<190>77: r1: Jan  5 10:00:04.123: %SEC-6-IPACCESSLOGP: list 150 denied tcp 192.0.2.12(59832) -> 198.51.100.144(80), 1 packet"},
		{"unmapped", "<190>77: r1: Jan  5 10:00:04.123: %FOO-6-BAR: nothing that anybody knows"},
	}
	for _, l := range lines {
		in := Input{Source: "campus", Form: Syslog, Raw: []byte(l.raw), Peer: "192.0.2.1:514", Received: exampleTime}
		b.Run(l.name+"/raw", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.Normalize(in)
			}
		})
		msg := syslogmsg.Parse(in.Raw, in.Received)
		parsed := in
		parsed.Parsed = &msg
		b.Run(l.name+"/parsed", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.Normalize(parsed)
			}
		})
	}
	b.Run("payload", func(b *testing.B) {
		in := Input{Source: "hook", Form: Payload, Peer: "192.0.2.1:514", Received: exampleTime,
			Raw: []byte(`{"event_type":"interface_down","device":"switch-01","interface":"Eth1/1","timestamp":1640000000}`)}
		b.ReportAllocs()
		for b.Loop() {
			n.Normalize(in)
		}
	})
}

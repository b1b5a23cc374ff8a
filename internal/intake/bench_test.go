package intake

import (
	"context"
	"fmt"
	"testing"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/record"
	"signalbox/internal/source"
)

// encoding is a log that does of Append what costs processor time before the
// batch is made.
type encoding struct{ buf []byte }

func (e *encoding) Append(_ context.Context, _ record.Subject, recs []record.Record, done func([]record.Position, error)) error {
	e.buf = e.buf[:0]
	for i := range recs {
		e.buf = record.AppendRecord(e.buf, &recs[i])
	}
	done(nil, nil)
	return nil
}

type uncounted struct{}

func (uncounted) Accepted(string, string) {}
func (uncounted) Rejected(string, string) {}
func (uncounted) Unparsed(string, string) {}
func (uncounted) Lost(string, int)        {}

// The way of an event from its message to the bytes of its record.
func BenchmarkEmit(b *testing.B) {
	lines := []string{
		"<189>%d: sw-%03d: Nov 25 01:00:00.123: %%LINK-3-UPDOWN: Interface GigabitEthernet1/0/%d, changed state to down",
		"<189>%d: sw-%03d: Nov 25 01:00:00.123: %%LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet1/0/%d, changed state to up",
		"<187>%d: sw-%03d: Nov 25 01:00:00.123: %%BGP-5-ADJCHANGE: neighbor 192.0.2.%d Down Peer closed the session",
		"<189>%d: sw-%03d: Nov 25 01:00:00.123: %%SYS-5-CONFIG_I: Configured from console by admin on vty0 (198.51.100.%d)",
	}
	for _, bb := range []struct {
		name string
		of   func(i int) normalize.Input
	}{
		{"syslog", func(i int) normalize.Input {
			return normalize.Input{Source: "s", Form: normalize.Syslog, Raw: fmt.Appendf(nil, lines[i%len(lines)], i, i%500, i%48),
				Peer: "192.0.2.7:514", Received: time.Now()}
		}},
		{"webhook", func(i int) normalize.Input {
			return normalize.Input{Source: "w", Form: normalize.Payload, Peer: "192.0.2.7:4000", Received: time.Now(),
				Raw: fmt.Appendf(nil, `{"event_type":"interface_down","device":"sw-%03d","interface":"Eth1/%d","timestamp":1640000000}`, i%500, i%48)}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			const n = 64
			in := New(&encoding{}, edge(), uncounted{})
			batch := make([]normalize.Input, n)
			for i := range batch {
				batch[i] = bb.of(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := in.Emit(b.Context(), batch, func([]source.Receipt) {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}

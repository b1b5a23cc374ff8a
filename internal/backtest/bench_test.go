package backtest_test

import (
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/backtest"
	"signalbox/internal/record"
)

// benchLog is batches as the log has them, of a network whose devices mostly
// say what no rule asks for; the batches follow on each other for ever.
type benchLog struct {
	batches [][]byte
	span    time.Duration // of all of them
}

const benchBatch = 512 // events in a batch

func newBenchLog(b *testing.B, batches int) *benchLog {
	b.Helper()
	l := &benchLog{span: time.Duration(batches) * 10 * time.Second}
	n := 0
	for i := range batches {
		h := &record.Batch{Subject: record.Events, Writer: "0123456789ab/log.events", Number: uint64(i + 1)}
		for range benchBatch {
			n++
			h.Records = append(h.Records, record.Record{Kind: record.KindEvent, Event: benchEvent(n)})
		}
		l.batches = append(l.batches, record.Encode(h))
	}
	return l
}

// benchEvent is one of ten kinds of message; a tenth is of interfaces.
func benchEvent(n int) *event.Event {
	x := uint32(n) * 2654435761
	ev := &event.Event{ID: event.ID(fmt.Sprintf("019360aa-%04x-7000-8000-%012x", n%65536, n)), Source: "campus", Peer: "192.0.2.7:514",
		Device: fmt.Sprintf("acc-%03d", x>>8%1000), Received: t0, Time: t0,
		TraceParent: fmt.Sprintf("00-019360aa7000000080000000%08x-80000000%08x-00", n, n)}
	ifc := fmt.Sprintf("GigabitEthernet1/0/%d", 1+x>>4%48)
	switch {
	case n%20 == 0:
		ev.Type, ev.Interface, ev.Mapping = "interface_down", ifc, "cisco_ios.link@1234567890ab"
		ev.Data = fmt.Appendf(nil, `{"oper_status":"down","message":"Interface %s, changed state to down"}`, ifc)
	case n%20 == 10:
		ev.Type, ev.Interface, ev.Mapping = "interface_up", ifc, "cisco_ios.link@1234567890ab"
		ev.Data = fmt.Appendf(nil, `{"oper_status":"up","message":"Interface %s, changed state to up"}`, ifc)
	case n%10 == 1:
		ev.Type, ev.Data = "config_change", []byte(`{"user":"admin","line":"vty0","message":"Configured from console by admin on vty0 (192.0.2.9)"}`)
	case n%10 < 5:
		ev.Type = "login_failed"
		ev.Data = fmt.Appendf(nil, `{"user":"admin","address":"192.0.2.%d","message":"Failed password for admin"}`, x%250)
	default:
		ev.Type = "syslog_message"
		ev.Data = fmt.Appendf(nil, `{"message":"session %d of class %d ended","tag":"SESSION-6-END","severity":"informational"}`, n, x%7)
	}
	ev.Raw = fmt.Appendf(nil, "<189>%d: %s: Nov  3 02:00:00.%03d UTC: %%X-5-Y: %s", n, ev.Device, n%1000, ev.Data)
	return ev
}

// batch is the n-th of an endless log. It decodes it.
func (l *benchLog) batch(b *testing.B, n int) *record.Batch {
	batch, err := record.DecodeBatch(l.batches[n%len(l.batches)])
	if err != nil {
		b.Fatal(err)
	}
	batch.Seq = uint64(n + 2)
	batch.Time = t0.Add(time.Duration(n) * 10 * time.Second)
	return batch
}

// benchRules are n rules of mixed kinds.
func benchRules(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: r%d\n", i)
		switch i % 10 {
		case 0:
			fmt.Fprintf(&b, "    on: [interface_down, interface_up]\n    when: event.device == \"acc-%03d\"\n    flap: {by: [device, interface], changes: 5, within: 30s}\n", i)
		case 1:
			fmt.Fprintf(&b, "    on: login_failed\n    when: event.device == \"acc-%03d\"\n    count: {at_least: 20, by: [device], within: 1m}\n", i)
		case 2:
			fmt.Fprintf(&b, "    on: interface_down\n    when: event.device == \"acc-%03d\"\n    unless: {on: interface_up, by: [device, interface], within: 60s}\n", i)
		case 3:
			fmt.Fprintf(&b, "    on: config_change\n    when: event.device == \"acc-%03d\" && event.data.user != \"backup\"\n    dedup: {by: [device], within: 5m}\n", i)
		default:
			fmt.Fprintf(&b, "    on: interface_down\n    when: event.device == \"acc-%03d\"\n", i)
		}
		b.WriteString("    do: [{log: {message: x}}]\n")
	}
	// A few look at every event of their type.
	b.WriteString("  - {name: every-down, on: interface_down, unless: {on: interface_up, by: [device, interface], within: 60s}, do: [{log: {message: x}}]}\n")
	b.WriteString("  - {name: brute-force, on: login_failed, count: {at_least: 50, by: [device], within: 1m}, do: [{log: {message: x}}]}\n")
	return b.String()
}

// BenchmarkBacktest is what a user waits for: batches are decoded and decided
// about, one core.
func BenchmarkBacktest(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(300)) // as signalbox backtest does
	l := newBenchLog(b, 64)
	for _, n := range []int{10, 1000} {
		for _, two := range []bool{false, true} {
			b.Run(fmt.Sprintf("rules=%d/against=%v", n, two), func(b *testing.B) {
				o := backtest.Options{Rules: candidate(b, "r", benchRules(n))}
				if two {
					c := candidate(b, "r", benchRules(n))
					o.Against = &c
				}
				t := backtest.New(o)
				b.ReportAllocs()
				i, before := 0, processorTime()
				for b.Loop() {
					if err := t.Take(l.batch(b, i)); err != nil {
						b.Fatal(err)
					}
					i++
				}
				report(b, i, before)
			})
		}
	}
}

// BenchmarkDecode is the part of it that is not deciding.
func BenchmarkDecode(b *testing.B) {
	l := newBenchLog(b, 64)
	b.ReportAllocs()
	i, before := 0, processorTime()
	for b.Loop() {
		l.batch(b, i)
		i++
	}
	report(b, i, before)
}

// report gives events a second, and events a second of processor time: the
// second is the same on a busy machine.
func report(b *testing.B, batches int, before time.Duration) {
	events := float64(batches) * benchBatch
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(events/(processorTime()-before).Seconds(), "events/cpu-s")
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

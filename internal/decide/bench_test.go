package decide_test

import (
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// mixedRules are n rules of all forms, most of them about one device, as a
// large site has them; a few look at every event of their type, and those keep
// a key for every interface of the network.
func mixedRules(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	add := func(name, text string) {
		fmt.Fprintf(&b, "  - name: %s\n%s    do: [{log: {message: x}}]\n", name, text)
	}
	add("all-silent", "    on: interface_up\n    silent: {by: [device, interface], for: 1h}\n    max_keys: 1000000\n")
	add("all-failed", "    on: login_failed\n    count: {at_least: 50, by: [device], within: 1m}\n")
	add("all-down", "    on: interface_down\n    unless: {on: interface_up, by: [device, interface], within: 60s}\n")
	add("all-flap", "    on: [interface_down, interface_up]\n    flap: {by: [device, interface], changes: 9, within: 30s}\n    max_keys: 1000000\n")
	for i := 4; i < n; i++ {
		dev := fmt.Sprintf("event.device == \"acc-%05d\"", i)
		var text string
		switch i % 10 {
		case 0:
			text = "    on: login_failed\n    when: " + dev + "\n    count: {at_least: 20, by: [device], within: 1m}\n"
		case 1:
			text = "    on: [interface_down, interface_up]\n    when: " + dev + "\n    flap: {by: [device, interface], changes: 5, within: 30s}\n"
		case 2:
			text = "    on: interface_down\n    when: " + dev + "\n    unless: {on: interface_up, when: '" + dev + "', by: [device, interface], within: 60s}\n"
		case 3:
			text = "    on: interface_up\n    when: " + dev + "\n    silent: {by: [device, interface], for: 5m}\n"
		case 4:
			text = "    sequence:\n      by: [device]\n      within: 5m\n      events:\n        - {on: config_change, when: '" + dev + "', as: change}\n        - {on: interface_down, when: '" + dev + "', as: down}\n"
		case 5:
			text = "    all:\n      by: [device]\n      within: 1m\n      events:\n        - {on: interface_down, when: '" + dev + "'}\n        - {on: login_failed, when: '" + dev + "'}\n"
		case 6:
			text = "    on: interface_down\n    when: " + dev + "\n    dampen: {by: [device, interface], half_life: 15m, suppress: 2000, reuse: 750, max: 1h}\n"
		case 7:
			text = "    on: login_failed\n    when: " + dev + "\n    group: {by: [device], wait: 30s, interval: 5m}\n"
		case 8:
			text = "    on: config_change\n    when: " + dev + "\n    dedup: {by: [device], within: 5m}\n"
		default:
			text = "    on: interface_down\n    when: " + dev + "\n"
		}
		add(fmt.Sprintf("r%d", i), text)
	}
	return b.String()
}

func load(tb testing.TB, text string) *decide.Rules {
	tb.Helper()
	cat, err := schema.Load()
	if err != nil {
		tb.Fatal(err)
	}
	b := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(text)}}, Catalogue: cat.Version}
	for _, t := range cat.Types() {
		b.Types = append(b.Types, rule.File{Name: t.Name, Data: t.Source})
	}
	r, err := decide.Load(b.Encode(), []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}, Idempotent: true}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// busy is a mix of events that all but a tenth of are taken, most of them by
// two rules: what a network says while much goes wrong, and the worst case.
// usual is one of which half is nothing to any rule, which is what most of
// syslog is.
var (
	busy  = mix{up: 60, down: 65, change: 68, login: 90}
	usual = mix{up: 30, down: 35, change: 37, login: 50}
)

// mix says up to which hundredth the types go.
type mix struct{ up, down, change, login int }

// mixedEvent is the n-th event of a network of keys interfaces, 48 a device.
func mixedEvent(n, keys int, m mix) *event.Event {
	x := int(uint32(n)*2654435761) % keys
	ev := &event.Event{ID: event.ID(fmt.Sprintf("019360aa-%04x-7000-8000-%012x", n%65536, n)), Source: "campus", Peer: "192.0.2.7:514",
		Device: fmt.Sprintf("acc-%05d", x/48), Received: t0, Time: t0, Mapping: "cisco_ios.link@1234567890ab",
		TraceParent: fmt.Sprintf("00-019360aa7000000080000000%08x-80000000%08x-00", n, n)}
	port := fmt.Sprintf("GigabitEthernet1/0/%d", 1+x%48)
	switch {
	case n%100 < m.up:
		ev.Type, ev.Interface = "interface_up", port
		ev.Data = []byte(`{"oper_status":"up","message":"changed state to up"}`)
	case n%100 < m.down:
		ev.Type, ev.Interface = "interface_down", port
		ev.Data = []byte(`{"oper_status":"down","message":"changed state to down"}`)
	case n%100 < m.change:
		ev.Type, ev.Data = "config_change", []byte(`{"user":"admin","message":"Configured from console by admin"}`)
	case n%100 < m.login:
		ev.Type, ev.Data = "login_failed", []byte(`{"user":"admin","address":"192.0.2.1","message":"Failed password for admin"}`)
	default:
		ev.Type, ev.Data = "syslog_message", []byte(`{"message":"session ended","tag":"SESSION-6-END","severity":"informational"}`)
	}
	ev.Raw = fmt.Appendf(nil, "<189>%d: %s: %%X-5-Y: %s", n, ev.Device, ev.Data)
	return ev
}

// feed is an endless log: its batches follow on each other.
type feed struct {
	batches [][]byte
	seq     uint64
}

const batchSize = 256

func newFeed(events, keys int, m mix) *feed {
	f := &feed{seq: 1}
	for at := 0; at < events; at += batchSize {
		b := &record.Batch{Subject: record.Events, Writer: "w", Number: uint64(at + 1)}
		for i := range batchSize {
			b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: mixedEvent(at+i, keys, m)})
		}
		f.batches = append(f.batches, record.Encode(b))
	}
	return f
}

// next decodes one more batch; every is how much later than the one before.
func (f *feed) next(tb testing.TB, every time.Duration) *record.Batch {
	b, err := record.DecodeBatch(f.batches[int(f.seq)%len(f.batches)])
	if err != nil {
		tb.Fatal(err)
	}
	f.seq++
	b.Seq, b.Time = f.seq, t0.Add(time.Duration(f.seq)*every)
	return b
}

func begin(tb testing.TB, rules *decide.Rules) *engine.Engine {
	e := engine.New(func([]byte) (engine.Rules, error) { return rules, nil })
	if _, err := e.Step(&record.Batch{Seq: 1, Time: t0, Subject: record.Events, Records: []record.Record{
		{Kind: record.KindRules, Rules: &record.Rules{Parts: 1, Data: []byte("x")}}}}); err != nil {
		tb.Fatal(err)
	}
	return e
}

// BenchmarkEngine is what one core does: batches of 256 events are decoded
// (outside of the time that is measured) and decided about. Run it with
// GOMAXPROCS=1: what the garbage collector does then counts, too; it collects
// as seldom as it does in a backtest and in the daemon.
//
// Of 1,000 rules four look at every event of their types and keep a key for
// every interface; the others are each about one device. So the index leaves 1
// to 3 rules of an event of their types, and none of the others. An interface
// that comes up joins two rules (silence, flap), one that goes down two
// (absence, flap), a login one. joins is how many joined an event.
func BenchmarkEngine(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	for _, c := range []struct {
		name        string
		rules, keys int
		mix         mix
	}{
		{"usual", 1000, 60_000, usual},
		{"busy", 100, 100_000, busy}, {"busy", 1000, 100_000, busy}, {"busy", 10_000, 100_000, busy}, {"busy", 1000, 1_000_000, busy},
	} {
		b.Run(fmt.Sprintf("%s/rules=%d/interfaces=%d", c.name, c.rules, c.keys), func(b *testing.B) {
			rules := load(b, mixedRules(c.rules))
			e := begin(b, rules)
			f := newFeed(min(c.keys*2, 500_000), c.keys, c.mix)
			joins := 0
			step := func() time.Duration {
				batch := f.next(b, 250*time.Microsecond)
				start := processorTime(b)
				stretches, err := e.Step(batch)
				if err != nil {
					b.Fatal(err)
				}
				spent := processorTime(b) - start
				joins += joined(stretches)
				return spent
			}
			for range f.batches { // until all keys live
				step()
			}
			held := 0
			for _, k := range e.RuleKeys() {
				held += k.Held
			}
			joins = 0
			var spent, longest time.Duration
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				d := step()
				spent += d
				longest = max(longest, d)
				n += batchSize
			}
			b.ReportMetric(float64(n)/spent.Seconds(), "events/s")
			b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
			b.ReportMetric(float64(held), "keys")
			b.ReportMetric(float64(joins)/float64(n), "joins")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// joined counts what rules took.
func joined(stretches []engine.Stretch) (n int) {
	for _, s := range stretches {
		for _, r := range s.Records {
			for i := range r.Decision.Notes {
				if r.Decision.Notes[i].Outcome == "joined" {
					n++
				}
			}
		}
	}
	return n
}

// processorTime is what this process has used: what others do meanwhile on the
// machine is not counted.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

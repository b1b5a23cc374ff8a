package decide_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// A network as it is: sites of a core, some distribution and many access
// switches, whose rules ask for sites and roles of the inventory and for fields
// of the events.

const (
	portsOf   = 48 // of a device
	devicesOf = 40 // of a site
)

// network is so many interfaces.
type network struct {
	ports   int
	moved   bool // every other device is at the site after its own
	devices []string
	names   []string // of ports
}

func newNetwork(ports int) *network {
	n := &network{ports: ports}
	for i := range (ports + portsOf - 1) / portsOf {
		n.devices = append(n.devices, fmt.Sprintf("sw%02d-site%03d", i%devicesOf, i/devicesOf))
	}
	for i := range portsOf {
		n.names = append(n.names, fmt.Sprintf("GigabitEthernet1/0/%d", 1+i))
	}
	return n
}

func (n *network) inventory() []rule.File {
	var b strings.Builder
	b.WriteString("devices:\n")
	for i, d := range n.devices {
		role := "access"
		switch k := i % devicesOf; {
		case k == 0:
			role = "core"
		case k < 4:
			role = "distribution"
		}
		site := i / devicesOf
		if n.moved && i%2 == 0 {
			site++
		}
		fmt.Fprintf(&b, "  - {name: %s, address: 10.%d.%d.%d, site: site%03d, role: %s, platform: cisco_ios}\n", d, i/62500, i/250%250, i%250+1, site, role)
	}
	return []rule.File{{Name: "devices.yaml", Data: []byte(b.String())}}
}

// everywhere are rules about the whole network: they keep a key for every port
// or device that says something.
var everywhere = []string{`
    on: interface_utilisation
    silent: {by: [device, interface], for: 5m}
    max_keys: 1000000`, `
    on: [interface_down, interface_up]
    when: device.role == "access" && event.data.layer == "link"
    flap: {by: [device, interface], changes: 9, within: 20s}
    max_keys: 1000000`, `
    on: interface_down
    when: device.role != "access" && event.data.?admin_status.orValue("up") == "up"
    unless: {on: interface_up, by: [device, interface], within: 60s}`, `
    on: heartbeat
    silent: {by: [device], for: 5m}`, `
    on: login_failed
    when: '!(event.data.user in ["probe", "scanner"])'
    count: {at_least: 200, by: [device], within: 1m}`, `
    on: interface_down
    when: event.data.layer == "link"
    count: {distinct: event.device, at_least: 39, by: [device.site], within: 2s}`, `
    on: interface_utilisation
    when: device.role != "access" && event.data.direction == "in"
    threshold: {value: event.data.percent, above: 95, for: 30s, by: [device, interface]}`}

// aboutSite are rules about one SITE each, and about a NUM that few events have.
var aboutSite = []string{`
    on: login_failed
    when: device.site == "SITE" && event.data.user != "backup"
    count: {at_least: 300, by: [device.site], within: 1m}`, `
    on: [interface_down, interface_up]
    when: device.site == "SITE" && device.role == "distribution"
    flap: {by: [device, interface], changes: 5, within: 30s}`, `
    on: interface_down
    when: device.site == "SITE" && device.role == "core" && event.data.?admin_status.orValue("up") != "down"
    unless: {on: interface_up, by: [device, interface], within: 60s}`, `
    on: heartbeat
    when: device.site == "SITE" && device.role in ["core", "distribution"]
    silent: {by: [device], for: 1m}`, `
    sequence:
      by: [device]
      within: 1m
      events:
        - {on: config_change, as: change, when: 'device.site == "SITE" && change.data.user == "userNUM"'}
        - {on: interface_down, as: down, when: 'device.site == "SITE" && device.role == "core"'}`, `
    all:
      by: [device.site]
      within: 2s
      events:
        - {on: interface_down, when: 'device.site == "SITE" && device.role == "core"'}
        - {on: login_failed, when: 'device.site == "SITE" && event.data.user == "userNUM"'}`, `
    on: interface_utilisation
    when: device.site == "SITE" && device.role == "distribution" && event.data.percent >= 10.0
    threshold: {value: event.data.percent, above: 90, for: 30s, by: [device, interface]}`, `
    on: interface_down
    when: device.site == "SITE" && device.role == "core" && event.data.layer == "link"
    dampen: {by: [device, interface], half_life: 15m, suppress: 2000, reuse: 750, max: 1h}`, `
    on: bgp_neighbor_down
    when: device.site == "SITE"
    group: {by: [device.site], wait: 30s, interval: 5m}`, `
    on: config_change
    when: device.site == "SITE" && event.data.user in ["userNUM", "emergency"]
    dedup: {by: [device, event.data.user], within: 5m}`, `
    on: hardware_fault
    when: device.site == "SITE" && (event.data.severity == "critical" || event.data.?temperature.orValue(0.0) > 90.0)`, `
    on: bgp_neighbor_down
    when: device.site == "SITE" && event.data.neighbor == "192.0.2.NUM"
    situation: {key: [device, event.data.neighbor], resolved_by: bgp_neighbor_up}`, `
    any:
      events:
        - {on: login_failed, as: login, when: 'device.site == "SITE" && login.data.user == "emergency"'}
        - {on: config_change, as: change, when: 'device.site == "SITE" && change.data.user == "emergency"'}`, `
    on: interface_down
    when: event.device == "sw00-SITE" && event.interface == "GigabitEthernet1/0/NUM" && event.data.reason != "admin"`, `
    on: bgp_*
    when: device.site == "SITE" && event.data.?vrf.orValue("default") == "customerNUM"
    count: {at_least: 5, by: [device.site], within: 30s}`, `
    on: interface_up
    when: device.site == "SITE" && device.role == "core" && event.data.if_index > 100NUM
    dedup: {by: [device, interface], within: 1m}`, `
    on: syslog_message
    when: event.data.tag == "SYS-5-RARENUM" && device.site == "SITE"`, `
    on: login_failed
    when: device.site == "SITE" && event.data.source == "198.51.100.NUM" && event.data.user.startsWith("adm")`, `
    on: hardware_fault
    when: device.site == "SITE" && event.data.component == "fan NUM" && has(event.data.serial)`, `
    on: "*"
    when: event.device == "sw01-SITE" && event.data.severity in ["emergency", "alert"]`}

// siteRules are n rules: those about everything, and the others in equal parts
// about the sites from first on.
func siteRules(n, first, sites int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	add := func(name, text string) {
		fmt.Fprintf(&b, "  - name: %s%s\n    do: [{log: {message: x}}]\n", name, text)
	}
	for i, text := range everywhere {
		add(fmt.Sprintf("everywhere-%d", i), text)
	}
	for i := range n - len(everywhere) {
		round := i / len(aboutSite)
		text := strings.NewReplacer("SITE", fmt.Sprintf("site%03d", first+round%sites), "NUM", fmt.Sprint(1+round/sites*7+i%7)).Replace(aboutSite[i%len(aboutSite)])
		add(fmt.Sprintf("r%d", i), text)
	}
	return b.String()
}

// siteFeed is an endless log of a network: batches are decoded, and told from
// what they said the last time by the ports that they are about.
type siteFeed struct {
	net     *network
	batches [][]byte
	seq     uint64
	polled  int
	rate    int // events a second of log time
}

func newSiteFeed(n *network, rate int) *siteFeed {
	f := &siteFeed{net: n, seq: 1, rate: rate}
	for at := 0; at < 64*batchSize; at += batchSize {
		b := &record.Batch{Subject: record.Events, Writer: "w", Number: uint64(at + 1)}
		for i := range batchSize {
			b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: siteEvent(at + i)})
		}
		f.batches = append(f.batches, record.Encode(b))
	}
	return f
}

// siteEvent is the n-th of what a network says: two in five are samples of
// counters, one in six is about links, one in five no rule asks for.
func siteEvent(n int) *event.Event {
	x := mixed(uint64(n))
	ev := &event.Event{Source: "campus", Peer: "192.0.2.7:514", Received: t0, Time: t0, Mapping: "cisco_ios.link@1234567890ab",
		TraceParent: fmt.Sprintf("00-019360aa7000000080000000%08x-80000000%08x-00", n, n)}
	text := ""
	set := func(typ, format string, args ...any) { ev.Type, text = typ, fmt.Sprintf(format, args...) }
	user := fmt.Sprintf("user%d", x>>16%200)
	switch k := n % 100; {
	case k < 40:
		set("interface_utilisation", `{"direction":%q,"percent":%d.%d,"bits_per_second":%d,"speed":1000000000,"interval":30}`, []string{"in", "out"}[x%2], x>>8%100, x>>20%10, x%1000000000)
	case k < 48:
		set("interface_up", `{"admin_status":"up","oper_status":"up","layer":%q,"if_index":%d,"message":"Interface changed state to up"}`, []string{"link", "protocol"}[x%2], 10000+x>>8%500)
	case k < 56:
		set("interface_down", `{"admin_status":"up","oper_status":"down","layer":%q,"if_index":%d,"severity":"error","message":"Interface changed state to down"}`, []string{"link", "protocol"}[x%2], 10000+x>>8%500)
	case k < 66:
		set("heartbeat", `{"interval":30,"sequence":%d,"status":"ok"}`, x>>8%100000)
	case k < 74:
		set("login_failed", `{"user":%q,"source":"198.51.100.%d","service":"ssh","severity":"warning","message":"Failed password for %s"}`, user, x>>8%250, user)
	case k < 77:
		set("config_change", `{"user":%q,"line":"vty0","source":"192.0.2.9","message":"Configured from console by vty0 (192.0.2.9)"}`, user)
	case k < 78:
		set("bgp_neighbor_down", `{"neighbor":"192.0.2.%d","neighbor_as":64500,"reason":"hold time expired","message":"neighbor 192.0.2.%d Down"}`, x>>8%250, x>>8%250)
	case k < 79:
		set("bgp_neighbor_up", `{"neighbor":"192.0.2.%d","neighbor_as":64500,"message":"neighbor 192.0.2.%d Up"}`, x>>8%250, x>>8%250)
	case k < 80:
		set("hardware_fault", `{"component":"fan %d","kind":"fan","state":"failed","severity":"error","message":"Fan %d failed"}`, x>>8%9, x>>8%9)
	default:
		set("syslog_message", `{"message":"session %d ended","tag":"SESSION-6-END","severity":"informational"}`, x>>8%100000)
	}
	ev.Data = []byte(text)
	ev.Raw = fmt.Appendf(nil, "<189>%d: Nov  3 02:00:00.%03d UTC: %%X-5-Y: %s", n, n%1000, text)
	return ev
}

// mixed is a hash of a number.
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (f *siteFeed) next(tb testing.TB) *record.Batch {
	b, err := record.DecodeBatch(f.batches[int(f.seq)%len(f.batches)])
	if err != nil {
		tb.Fatal(err)
	}
	f.seq++
	b.Seq, b.Time = f.seq, t0.Add(time.Duration(f.seq)*batchSize*time.Second/time.Duration(f.rate))
	for i := range b.Records {
		ev := b.Records[i].Event
		n := f.seq*batchSize + uint64(i)
		port := int(mixed(n) % uint64(f.net.ports))
		if ev.Type == "interface_utilisation" { // polls come in turns
			f.polled++
			port = f.polled % f.net.ports
		}
		ev.Device = f.net.devices[port/portsOf]
		switch ev.Type {
		case "interface_utilisation", "interface_up", "interface_down":
			ev.Interface = f.net.names[port%portsOf]
		}
		ev.ID = event.ID(fmt.Sprintf("019360aa-0000-7000-8000-%012x", n))
	}
	return b
}

func loadSite(tb testing.TB, net *network, text string) *decide.Rules {
	tb.Helper()
	cat, err := schema.Load()
	if err != nil {
		tb.Fatal(err)
	}
	b := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(text)}}, Inventory: net.inventory(), Catalogue: cat.Version}
	for _, t := range cat.Types() {
		b.Types = append(b.Types, rule.File{Name: t.Name, Data: t.Source})
	}
	r, err := decide.Load(b.Encode(), []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}, Idempotent: true}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// BenchmarkCorrelate states the goal: 500,000 events/s on one core with 1,000
// rules of all forms and 100,000 live keys, 500 bytes a key, no pause over
// 10 ms; what ten times the rules, of which most cannot match, and ten times
// the keys cost; and what an event costs where all that it meets is in the
// processor's cache.
//
// Run it with GOMAXPROCS=1: then the collector's work counts. Batches of 256
// events are decoded outside of the time of events/s and within that of
// decoded/s; windows end at the rate that they begin. longest-µs is the longest
// batch with the collector's work, longest-own-µs without.
func BenchmarkCorrelate(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	for _, c := range []struct{ rules, ports, first int }{
		{1000, 100_000, 0}, {100, 100_000, 0}, {10_000, 100_000, 0}, {10_000, 100_000, 1000}, {1000, 1_000_000, 0}, {27, 2000, 0},
	} {
		name := fmt.Sprintf("rules=%d/ports=%d", c.rules, c.ports)
		if c.first > 0 {
			name += "/elsewhere"
		}
		b.Run(name, func(b *testing.B) { correlateBench(b, c.rules, c.ports, c.first) })
	}
}

func correlateBench(b *testing.B, n, ports, first int) {
	net := newNetwork(ports)
	e := begin(b, loadSite(b, net, siteRules(n, first, min(50, len(net.devices)/devicesOf))))
	f := newSiteFeed(net, ports/5)
	before := heapInUse()
	joins := 0
	step := func() time.Duration {
		batch := f.next(b)
		start := processorTime(b)
		stretches, err := e.Step(batch)
		if err != nil {
			b.Fatal(err)
		}
		spent := processorTime(b) - start
		joins += joined(stretches)
		return spent
	}
	for range ports * 3 / batchSize { // until every port was polled
		step()
	}
	held, _ := e.Keys()
	ruleKeys := 0
	for _, k := range e.RuleKeys() {
		ruleKeys += k.Held
	}
	perKey := float64(heapInUse()-before) / float64(held+ruleKeys)
	joins = 0
	events := 0
	var spent time.Duration
	var all []time.Duration
	b.ReportAllocs()
	start := processorTime(b)
	for b.Loop() {
		d := step()
		spent += d
		all = append(all, d)
		events += batchSize
	}
	whole := processorTime(b) - start
	b.StopTimer()
	joinsEach := float64(joins) / float64(events)
	debug.SetGCPercent(-1)
	var own time.Duration
	for range 300 {
		own = max(own, step())
	}
	debug.SetGCPercent(300)
	b.ReportMetric(float64(events)/spent.Seconds(), "events/s")
	b.ReportMetric(float64(events)/whole.Seconds(), "decoded/s")
	b.ReportMetric(float64(slices.Max(all).Microseconds()), "longest-µs")
	b.ReportMetric(float64(own.Microseconds()), "longest-own-µs")
	b.ReportMetric(float64(ruleKeys), "keys")
	b.ReportMetric(float64(held), "dedup-keys")
	b.ReportMetric(perKey, "B/key")
	b.ReportMetric(joinsEach, "joins")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(e)
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

var _ engine.Rules = (*decide.Rules)(nil)

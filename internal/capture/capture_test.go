package capture

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gosnmp/gosnmp"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
	"signalbox/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files")

var t0 = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

// wire writes packets as a network would have them.
type wire struct {
	t       *testing.T
	packets []packet
	at      time.Time
}

type packet struct {
	at   time.Time
	data []byte
}

func (w *wire) add(ls ...gopacket.SerializableLayer) {
	w.t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		w.t.Fatal(err)
	}
	w.packets = append(w.packets, packet{w.at, bytes.Clone(b.Bytes())})
	w.at = w.at.Add(500 * time.Millisecond)
}

var (
	mac4 = &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	mac6 = &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv6}
	vlan = &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeDot1Q}
)

func ip4(src string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.IP{198, 51, 100, 9}}
}

func ip6(src string, next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: net.ParseIP(src), DstIP: net.ParseIP("2001:db8::9")}
}

func udp(n gopacket.NetworkLayer, port int) *layers.UDP {
	u := &layers.UDP{SrcPort: 50000, DstPort: layers.UDPPort(port)}
	if err := u.SetNetworkLayerForChecksum(n); err != nil {
		panic(err)
	}
	return u
}

func (w *wire) udp4(src string, port int, body string) {
	ip := ip4(src, layers.IPProtocolUDP)
	w.add(mac4, ip, udp(ip, port), gopacket.Payload(body))
}

// datagram is the bytes of a UDP header and its body.
func (w *wire) datagram(n gopacket.NetworkLayer, port int, body string) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, udp(n, port), gopacket.Payload(body)); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *wire) fragments4(src string, id uint16, port int, body string, cuts ...int) {
	whole := w.datagram(ip4(src, layers.IPProtocolUDP), port, body)
	from := 0
	for i, to := range append(cuts, len(whole)) {
		ip := ip4(src, layers.IPProtocolUDP)
		ip.Id, ip.FragOffset = id, uint16(from/8)
		if i < len(cuts) {
			ip.Flags = layers.IPv4MoreFragments
		}
		w.add(mac4, ip, gopacket.Payload(whole[from:to]))
		from = to
	}
}

func (w *wire) fragments6(src string, id uint32, port int, body string, cut int) {
	whole := w.datagram(ip6(src, layers.IPProtocolUDP), port, body)
	for i, part := range [][]byte{whole[:cut], whole[cut:]} {
		more, offset := byte(1), uint16(0)
		if i == 1 {
			more, offset = 0, uint16(cut)
		}
		head := []byte{byte(layers.IPProtocolUDP), 0, byte(offset >> 8), byte(offset) | more, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
		w.add(mac6, ip6(src, layers.IPProtocolIPv6Fragment), gopacket.Payload(append(head, part...)))
	}
}

// tcp writes pieces of a stream, in the given order.
func (w *wire) tcp(src string, sport, port int, pieces []string, order ...int) {
	offsets := make([]uint32, len(pieces)+1)
	for i, p := range pieces {
		offsets[i+1] = offsets[i] + uint32(len(p))
	}
	send := func(f func(*layers.TCP), seq uint32, body string) {
		ip := ip4(src, layers.IPProtocolTCP)
		t := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(port), Seq: 1000 + seq, Ack: 1, Window: 1024}
		f(t)
		if err := t.SetNetworkLayerForChecksum(ip); err != nil {
			w.t.Fatal(err)
		}
		w.add(mac4, ip, t, gopacket.Payload(body))
	}
	send(func(t *layers.TCP) { t.SYN = true; t.Seq-- }, 0, "")
	for _, i := range order {
		send(func(t *layers.TCP) { t.ACK, t.PSH = true, true }, offsets[i], pieces[i])
	}
	send(func(t *layers.TCP) { t.FIN, t.ACK = true, true }, offsets[len(pieces)], "")
}

func trapBytes(t *testing.T, community string, version gosnmp.SnmpVersion) string {
	t.Helper()
	p := &gosnmp.SnmpPacket{Version: version, Community: community, PDUType: gosnmp.SNMPv2Trap, RequestID: 7, Variables: []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(100)},
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
		{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.OctetString, Value: []byte("GigabitEthernet0/3")},
		{Name: ".1.3.6.1.6.3.18.1.4.0", Type: gosnmp.OctetString, Value: []byte(community)},
	}}
	b, err := p.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const down = "<189>45: sw1: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down"

// traffic is a bit of everything that a network manager sees.
func traffic(t *testing.T) *wire {
	w := &wire{t: t, at: t0}
	w.udp4("192.0.2.1", 514, down+"\n")
	w.udp4("192.0.2.1", 53, "not for us")
	w.udp4("192.0.2.1", 162, trapBytes(t, "hush", gosnmp.Version2c))
	w.udp4("192.0.2.1", 162, "\x30\x0a\x02\x01\x03\x30\x05\x02\x01\x01\x02\x00")
	w.udp4("192.0.2.1", 9162, trapBytes(t, "hush", gosnmp.Version2c))
	w.udp4("192.0.2.1", 9999, strings.Replace(down, "0/1", "0/9", 1))
	ip := ip6("2001:db8::1", layers.IPProtocolUDP)
	w.add(vlan, &layers.Dot1Q{VLANIdentifier: 10, Type: layers.EthernetTypeIPv6}, ip, udp(ip, 514), gopacket.Payload(strings.Replace(down, "0/1", "0/2", 1)))
	long := down + strings.Repeat(" x", 900)
	w.fragments4("192.0.2.2", 77, 514, long, 800, 1600)
	w.fragments6("2001:db8::2", 5, 514, long, 1200)
	lost := w.packets
	w.fragments4("192.0.2.3", 78, 514, long, 800)
	w.packets = w.packets[:len(lost)+1] // its second fragment never comes
	one, two := strings.Replace(down, "0/1", "1/1", 1), strings.Replace(down, "0/1", "1/2", 1)
	counted := fmt.Sprintf("%d %s%d %s", len(one), one, len(two), two)
	w.tcp("192.0.2.4", 40001, 601, []string{counted[:30], counted[30:95], counted[95:]}, 0, 2, 1)
	w.tcp("192.0.2.4", 40002, 2222, []string{down + "\r\n" + one[:20], one[20:] + "\n" + two}, 0, 1)
	w.tcp("192.0.2.4", 40003, 6514, []string{"\x16\x03\x01hello"}, 0)
	w.tcp("192.0.2.4", 40004, 22, []string{"SSH-2.0-x\r\n"}, 0)
	w.add(&layers.Ethernet{SrcMAC: mac4.SrcMAC, DstMAC: mac4.DstMAC, EthernetType: layers.EthernetTypeARP}, gopacket.Payload("short"))
	return w
}

func (w *wire) pcap() []byte {
	var b bytes.Buffer
	p := pcapgo.NewWriter(&b)
	if err := p.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		w.t.Fatal(err)
	}
	for _, x := range w.packets {
		if err := p.WritePacket(gopacket.CaptureInfo{Timestamp: x.at, CaptureLength: len(x.data), Length: len(x.data)}, x.data); err != nil {
			w.t.Fatal(err)
		}
	}
	return b.Bytes()
}

func (w *wire) pcapng() []byte {
	var b bytes.Buffer
	p, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range w.packets {
		if err := p.WritePacket(gopacket.CaptureInfo{Timestamp: x.at, CaptureLength: len(x.data), Length: len(x.data)}, x.data); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := p.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func show(p *Packets) string {
	var b strings.Builder
	for _, m := range p.Messages {
		text := string(m.Raw)
		if m.Form == normalize.SNMP {
			text = fmt.Sprintf("%d bytes of BER, secret %v", len(m.Raw), bytes.Contains(m.Raw, []byte("hush")))
		}
		if len(text) > 100 {
			text = fmt.Sprintf("%s… %d bytes", text[:60], len(text))
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", m.Time.Sub(t0), m.Form, m.Peer, text)
	}
	for _, r := range p.Reasons() {
		fmt.Fprintf(&b, "skipped: %s\n", r)
	}
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
}

// TestReadPackets: both formats give every message once, in order, and say what
// they leave out.
func TestReadPackets(t *testing.T) {
	w := traffic(t)
	for name, data := range map[string][]byte{"pcap": w.pcap(), "pcapng": w.pcapng()} {
		p, err := ReadPackets(bytes.NewReader(data))
		if err != nil {
			t.Fatal(name, err)
		}
		golden(t, "testdata/packets.golden", show(p))
	}
}

func TestReadPacketsThatAreNone(t *testing.T) {
	for _, bad := range []string{"", "abc", "hello, this is no capture at all", "\x0a\x0d\x0d\x0a"} {
		if _, err := ReadPackets(strings.NewReader(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	data := traffic(t).pcap()
	p, err := ReadPackets(bytes.NewReader(data[:200]))
	if err != nil || len(p.Messages) == 0 || len(p.Skipped) == 0 {
		t.Errorf("cut off: %+v %v", p, err)
	}
}

// TestDamagedPackets: whatever bytes there are, nothing panics and nothing
// grows without bounds.
func TestDamagedPackets(t *testing.T) {
	whole := traffic(t).pcap()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := bytes.Clone(whole)
		for range 1 + r.IntN(20) {
			data[24+r.IntN(len(data)-24)] ^= byte(1 << r.IntN(8))
		}
		if p, err := ReadPackets(bytes.NewReader(data)); err == nil && len(p.Messages) > 100 {
			t.Fatalf("%d messages", len(p.Messages))
		}
	}
}

func FuzzReadPackets(f *testing.F) {
	w := traffic(&testing.T{})
	f.Add(w.pcap())
	f.Add(w.pcapng())
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ReadPackets(bytes.NewReader(data)); err == nil {
			for _, m := range p.Messages {
				if len(m.Raw) == 0 || m.Form == "" {
					t.Errorf("%+v", m)
				}
			}
		}
	})
}

const rules = `
rules:
  - name: port-down
    on: interface_down
    dedup: {by: [device, interface], within: 1s}
    do: [{log: {message: x}}]
  - {name: trial, mode: shadow, on: interface_down, do: [{log: {message: x}}]}
`

func env(t *testing.T) *ruletest.Env {
	t.Helper()
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	set, inv, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: "rules.yaml", Data: []byte(rules)}}},
		rule.Options{Catalogue: cat, Actions: []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string"}}}}})
	if set == nil {
		t.Fatal(diags)
	}
	n, err := normalize.New(normalize.Options{Catalogue: cat})
	if err != nil {
		t.Fatal(err)
	}
	return &ruletest.Env{Set: set, Inventory: inv, Catalogue: cat, Normalizer: n}
}

// passes runs what was written, as signalbox test does.
func passes(t *testing.T, e *ruletest.Env, text []byte) {
	t.Helper()
	f, diags := ruletest.ReadFile("captured.test.yaml", text)
	if len(diags) > 0 {
		t.Fatalf("%v\n%s", diags, text)
	}
	for _, test := range f.Tests {
		if res := e.Run(test); !res.OK() {
			t.Errorf("%s\n%s", res.Text(), text)
		}
	}
}

// TestPacketsToTest: what packets hold becomes a test that passes, and fails
// when the rules change.
func TestPacketsToTest(t *testing.T) {
	p, err := ReadPackets(bytes.NewReader(traffic(t).pcapng()))
	if err != nil {
		t.Fatal(err)
	}
	e := env(t)
	text, err := Write(p.Messages, e, Options{From: "incident.pcapng", Rules: []string{"../rules"}, Notes: p.Reasons()})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/packets.test.yaml", string(text))
	passes(t, e, text)
	f, _ := ruletest.ReadFile("captured.test.yaml", text)
	e.Set.Rule("port-down").Mode = "shadow"
	if res := e.Run(f.Tests[0]); res.OK() {
		t.Error("it passes with other rules, too")
	}
}

// TestLogToTest: events of the log become typed events, or raw messages where
// that is asked for and gives the same.
func TestLogToTest(t *testing.T) {
	e := env(t)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	raw := e.Normalizer.Normalize(normalize.Input{Source: "campus", Form: normalize.Syslog, Raw: []byte(down), Peer: "192.0.2.1:514", Received: at(3)}).Event
	raw.ID = "x"
	changed := raw
	changed.Device = "another"
	msgs := []Message{
		{Time: at(3), Event: &raw, Form: normalize.Syslog, Raw: raw.Raw, Peer: raw.Peer, Source: "campus"},
		{Time: at(4.25), Event: &changed, Form: normalize.Syslog, Raw: raw.Raw, Peer: raw.Peer, Source: "campus"},
		{Time: at(0), Event: &event.Event{Type: "bgp_neighbor_down", Device: "core1", Source: "tools", SenderID: "id: 7", Time: at(-2),
			Data: json.RawMessage(`{"neighbor":"192.0.2.9","as":65001,"weird key: {":[1.5,null,true,{"a":"yes"}],"text":"a \"b\" # c\u2028\u0085"}`)}},
		{Time: at(5), Event: &event.Event{Type: "interface_up", Device: "on", Interface: "Gi0/1", Source: "signalbox", Time: at(-1e6), Cause: &event.Cause{Rules: []string{"port-down"}}}},
		{Time: at(6), Event: &event.Event{Type: "interface_down", Source: "tools"}, Rejected: "device: is empty\nreally"},
		{Time: at(7), Event: &event.Event{Type: "webhook", Source: "tools"}, Form: normalize.Payload, Source: "tools", Raw: []byte(`{"event_type": 3}`), Rejected: "event_type: expected text"},
	}
	for _, asRaw := range []bool{false, true} {
		text, err := Write(msgs, e, Options{From: "the log", Raw: asRaw, Name: "a night"})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("testdata/log-raw-%v.test.yaml", asRaw), string(text))
		passes(t, e, text)
	}
	if _, err := Write(nil, e, Options{}); err == nil {
		t.Error("nothing passes")
	}
	if _, err := Write(msgs[4:5], e, Options{}); err == nil {
		t.Error("a test without events passes")
	}
}

// TestScalars: whatever a text is, YAML reads back the same.
func TestScalars(t *testing.T) {
	e := env(t)
	for _, s := range []string{"sw1", "on", "1e3", "12:30", "a: b", "a #b", "{", "'", `"`, "é\u0085\ufeff", "\u2028", "~", "-", "null", " x", "x ", "Gi0/1", "a\tb", "<x>&"} {
		ev := &event.Event{Type: "heartbeat", Source: "s", Data: json.RawMessage(`{"k":` + quoted(s) + `}`)}
		text, err := Write([]Message{{Time: t0, Event: ev}}, e, Options{Name: s, From: s})
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		f, diags := ruletest.ReadFile("x", text)
		if len(diags) > 0 {
			t.Fatalf("%q: %v", s, diags)
		}
		var got struct{ K string }
		if err := json.Unmarshal(f.Tests[0].Events[0].Typed.Data, &got); err != nil || got.K != s {
			t.Errorf("%q came back as %q: %v", s, got.K, err)
		}
	}
}

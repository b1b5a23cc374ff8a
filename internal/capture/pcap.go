package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/ip6defrag"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"signalbox/internal/normalize"
)

// Packets is what a capture of packets holds for us.
type Packets struct {
	Messages []Message // in the order in which they were whole
	Packets  int
	// Skipped says what was not read, and how often: nothing is left out in
	// silence.
	Skipped map[string]int
}

// Reasons lists what was skipped, in a fixed order, each ready to be printed.
func (p *Packets) Reasons() []string {
	var out []string
	for _, why := range slices.Sorted(maps.Keys(p.Skipped)) {
		out = append(out, fmt.Sprintf("%d %s", p.Skipped[why], why))
	}
	return out
}

// The ports where syslog and traps are listened for. On others they are known
// by their first bytes.
var (
	syslogPorts = []uint16{514, 5514}
	trapPorts   = []uint16{162, 1162, 10162}
	streamPorts = []uint16{514, 601, 5514, 6514}
)

const (
	tlsPort    = 6514
	maxPacket  = 256 << 10
	maxStreams = 10_000 // of TCP at once
)

// packetReader reads packets of either format.
type packetReader interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

// open tells pcap from pcapng by the first bytes.
func open(r io.Reader) (packetReader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, errors.New("no packet capture: the file has fewer than 4 bytes")
	}
	if binary.BigEndian.Uint32(magic) == 0x0A0D0D0A {
		return pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	}
	p, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("no packet capture (pcap or pcapng): %w", err)
	}
	return p, nil
}

// ReadPackets reads a pcap or pcapng file: syslog over UDP and TCP, and SNMP
// traps and informs of v1 and v2c, over IPv4 and IPv6. A file that is cut off
// gives what is whole; the error is for one that is no capture at all.
func ReadPackets(r io.Reader) (out *Packets, err error) {
	src, err := open(r)
	if err != nil {
		return nil, err
	}
	s := &sniffer{out: &Packets{Skipped: map[string]int{}}, v4: ip4defrag.NewIPv4Defragmenter(), v6: ip6defrag.NewIPv6Defragmenter(), waiting: map[string]int{}}
	s.streams = newStreams(s)
	for {
		data, info, err := src.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.skip(fmt.Sprintf("rest of the file could not be read: %v", err))
			break
		}
		s.out.Packets++
		link := src.LinkType()
		if ng, ok := src.(*pcapgo.NgReader); ok {
			link = linkOf(ng, info, link)
		}
		s.packet(data, info, link)
		if len(s.out.Messages) > MaxMessages {
			s.out.Messages = s.out.Messages[:MaxMessages]
			s.skip(fmt.Sprintf("rest of the file: a test holds %d messages", MaxMessages))
			break
		}
	}
	s.streams.flush()
	for _, n := range s.waiting {
		s.out.Skipped["fragments of IP packets that were never whole"] += n
	}
	return s.out, nil
}

// linkOf is the link type of the interface that saw a packet: in pcapng each
// has its own.
func linkOf(r *pcapgo.NgReader, info gopacket.CaptureInfo, other layers.LinkType) layers.LinkType {
	if i, err := r.Interface(info.InterfaceIndex); err == nil {
		return i.LinkType
	}
	return other
}

// sniffer takes packets apart.
type sniffer struct {
	out     *Packets
	v4      *ip4defrag.IPv4Defragmenter
	v6      *ip6defrag.IPv6Defragmenter
	waiting map[string]int // fragments that wait for others, by their packet
	streams *streams
}

func (s *sniffer) skip(why string) { s.out.Skipped[why]++ }

func (s *sniffer) packet(data []byte, info gopacket.CaptureInfo, link layers.LinkType) {
	p := gopacket.NewPacket(data, link, gopacket.DecodeOptions{NoCopy: true})
	if bad := p.ErrorLayer(); bad != nil && p.NetworkLayer() == nil {
		s.skip("packets that could not be read")
		return
	}
	whole := s.whole(p, info)
	if whole == nil {
		return
	}
	src, dst, ok := addresses(whole)
	if !ok {
		return // ARP and the like
	}
	if t, ok := whole.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		s.streams.take(whole.NetworkLayer().NetworkFlow(), t, info)
		return
	}
	u, ok := whole.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		return
	}
	if info.CaptureLength < info.Length && len(u.Payload)+8 < int(u.Length) {
		s.skip("datagrams that were captured in part (tcpdump -s 0 captures all)")
		return
	}
	s.datagram(netip.AddrPortFrom(src, uint16(u.SrcPort)), netip.AddrPortFrom(dst, uint16(u.DstPort)), u.Payload, info.Timestamp)
}

// whole puts fragments together; nil while some are missing.
func (s *sniffer) whole(p gopacket.Packet, info gopacket.CaptureInfo) gopacket.Packet {
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		id := fmt.Sprint(ip.SrcIP, ip.DstIP, ip.Protocol, ip.Id)
		full, err := s.v4.DefragIPv4WithTimestamp(ip, info.Timestamp)
		switch {
		case err != nil:
			s.skip("fragments that do not fit together")
			return nil
		case full == nil:
			s.waiting[id]++
			return nil
		case full != ip:
			delete(s.waiting, id)
			return again(full, full.NextLayerType(), full.Payload)
		}
		return p
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv6); ok {
		f, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
		if !ok {
			return p
		}
		id := fmt.Sprint(ip.SrcIP, ip.DstIP, f.Identification)
		full := s.v6.DefragIPv6(ip, f)
		if full == nil {
			s.waiting[id]++
			return nil
		}
		delete(s.waiting, id)
		return again(full, full.NextLayerType(), full.Payload)
	}
	return p
}

// again decodes what a packet that was put together holds, below its network
// layer.
func again(network gopacket.NetworkLayer, next gopacket.LayerType, payload []byte) gopacket.Packet {
	return &joined{Packet: gopacket.NewPacket(payload, next, gopacket.DecodeOptions{}), network: network}
}

// joined is a packet whose network layer is not in its own bytes.
type joined struct {
	gopacket.Packet
	network gopacket.NetworkLayer
}

// NetworkLayer is the one that the fragments had.
func (j *joined) NetworkLayer() gopacket.NetworkLayer { return j.network }

func addresses(p gopacket.Packet) (src, dst netip.Addr, ok bool) {
	n := p.NetworkLayer()
	if n == nil {
		return src, dst, false
	}
	flow := n.NetworkFlow()
	src, ok1 := netip.AddrFromSlice(flow.Src().Raw())
	dst, ok2 := netip.AddrFromSlice(flow.Dst().Raw())
	return src, dst, ok1 && ok2
}

// datagram takes what one UDP datagram holds.
func (s *sniffer) datagram(src, dst netip.AddrPort, body []byte, at time.Time) {
	switch {
	case len(body) == 0 || len(body) > maxPacket:
	case slices.Contains(trapPorts, dst.Port()), body[0] == 0x30 && isTrap(body):
		raw, err := cleanTrap(body)
		if err != nil {
			s.skip(err.Error())
			return
		}
		s.add(Message{Time: at, Form: normalize.SNMP, Raw: raw, Peer: src.String()})
	case slices.Contains(syslogPorts, dst.Port()), hasPriority(body):
		s.add(Message{Time: at, Form: normalize.Syslog, Raw: bytes.Clone(bytes.TrimRight(body, "\r\n\x00")), Peer: src.String()})
	}
}

func (s *sniffer) add(m Message) {
	if len(m.Raw) > 0 {
		s.out.Messages = append(s.out.Messages, m)
	}
}

// hasPriority knows a syslog message by its beginning: <0> to <191>.
func hasPriority(b []byte) bool {
	if len(b) < 4 || b[0] != '<' {
		return false
	}
	end := bytes.IndexByte(b[:min(len(b), 5)], '>')
	if end < 2 {
		return false
	}
	n := 0
	for _, c := range b[1:end] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 191
}

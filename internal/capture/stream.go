package capture

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"

	"signalbox/internal/normalize"
)

// streams puts TCP together.
type streams struct {
	s    *sniffer
	pool *reassembly.Assembler
}

func newStreams(s *sniffer) *streams {
	st := &streams{s: s}
	st.pool = reassembly.NewAssembler(reassembly.NewStreamPool(factory{st}))
	st.pool.MaxBufferedPagesPerConnection = 256
	st.pool.MaxBufferedPagesTotal = 16_384
	return st
}

type moment gopacket.CaptureInfo

// GetCaptureInfo tells the assembler when the packet was seen.
func (m *moment) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(*m) }

func (st *streams) take(flow gopacket.Flow, t *layers.TCP, info gopacket.CaptureInfo) {
	m := moment(info)
	st.pool.AssembleWithContext(flow, t, &m)
}

// flush gives what is left at the end of the capture.
func (st *streams) flush() { st.pool.FlushAll() }

type factory struct{ st *streams }

// New begins a stream.
func (f factory) New(network, transport gopacket.Flow, t *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	return &stream{st: f.st, network: network, src: uint16(t.SrcPort), dst: uint16(t.DstPort)}
}

// stream is one TCP connection. Only what goes to the side that listens counts.
type stream struct {
	st       *streams
	network  gopacket.Flow
	src, dst uint16 // of the first packet seen
	sides    [2]side
}

// side is one direction of a connection: what is not yet a whole message.
type side struct {
	buf     []byte
	begun   bool
	foreign bool // neither syslog's port nor its first bytes
	counted bool // the last message was counted (RFC 6587)
	last    time.Time
}

// Accept takes every packet: a capture often begins in the middle of a
// connection.
func (x *stream) Accept(_ *layers.TCP, _ gopacket.CaptureInfo, _ reassembly.TCPFlowDirection, _ reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	*start = true
	return true
}

// ReassembledSG takes the next bytes of one direction.
func (x *stream) ReassembledSG(sg reassembly.ScatterGather, ac reassembly.AssemblerContext) {
	dir, _, end, skip := sg.Info()
	n, _ := sg.Lengths()
	i, peer, port := 0, endpoint(x.network.Src(), x.src), x.dst
	if dir == reassembly.TCPDirServerToClient {
		i, peer, port = 1, endpoint(x.network.Dst(), x.dst), x.src
	}
	d := &x.sides[i]
	d.last = ac.GetCaptureInfo().Timestamp
	if skip > 0 && len(d.buf) > 0 {
		x.st.s.skip("pieces of TCP streams with a gap in them")
		d.buf = nil
	}
	if skip > 0 {
		d.counted = false
	}
	if d.foreign || n == 0 && !end {
		return
	}
	d.buf = append(d.buf, sg.Fetch(n)...)
	if !d.begun && len(d.buf) > 0 {
		d.begun = true
		if port == tlsPort && d.buf[0] == 0x16 {
			d.foreign = true
			x.st.s.skip("TLS streams to the syslog port: they cannot be read")
		} else if !slices.Contains(streamPorts, port) && !hasPriority(d.buf) && !countedStart(d.buf) {
			d.foreign = true
		}
	}
	if d.foreign {
		d.buf = nil
		return
	}
	x.frames(d, peer, end)
}

// ReassemblyComplete ends the stream.
func (x *stream) ReassemblyComplete(reassembly.AssemblerContext) bool {
	for i := range x.sides {
		ep, port := x.network.Src(), x.src
		if i == 1 {
			ep, port = x.network.Dst(), x.dst
		}
		if d := &x.sides[i]; !d.foreign {
			x.frames(d, endpoint(ep, port), true)
		}
	}
	return true
}

func endpoint(e gopacket.Endpoint, port uint16) string {
	a, ok := netip.AddrFromSlice(e.Raw())
	if !ok {
		return ""
	}
	return netip.AddrPortFrom(a, port).String()
}

// frames takes whole messages off the buffer: octet counting ("17 <13>..") or
// lines (RFC 6587). At the end what is left is the last one.
func (x *stream) frames(d *side, peer string, end bool) {
	for {
		d.buf = bytes.TrimLeft(d.buf, "\r\n\x00")
		if len(d.buf) == 0 {
			return
		}
		msg, rest, ok := d.next(end)
		if !ok {
			if len(d.buf) > maxPacket {
				x.st.s.skip("TCP messages without an end")
				d.buf = nil
			}
			return
		}
		d.buf = rest
		x.st.s.add(Message{Time: d.last, Form: normalize.Syslog, Raw: bytes.Clone(bytes.TrimRight(msg, "\r\n\x00")), Peer: peer})
	}
}

func (d *side) next(end bool) (msg, rest []byte, ok bool) {
	if n, digits := count(d.buf); n > 0 && (d.counted || countedStart(d.buf)) {
		body := d.buf[digits+1:]
		if len(body) < n && !end {
			return nil, nil, false
		}
		n = min(n, len(body))
		d.counted = true
		return body[:n], body[n:], true
	}
	if i := bytes.IndexAny(d.buf, "\n\x00"); i >= 0 {
		d.counted = false
		return d.buf[:i], d.buf[i+1:], true
	}
	return d.buf, nil, end
}

// count reads an octet count and the space after it.
func count(b []byte) (n, digits int) {
	for digits < len(b) && digits < 7 && b[digits] >= '0' && b[digits] <= '9' {
		n = n*10 + int(b[digits]-'0')
		digits++
	}
	if digits == 0 || digits == len(b) || b[digits] != ' ' || b[0] == '0' {
		return 0, 0
	}
	return n, digits
}

// countedStart knows "17 <13>" from a line that begins with a number.
func countedStart(b []byte) bool {
	n, digits := count(b)
	return n > 0 && hasPriority(b[digits+1:])
}

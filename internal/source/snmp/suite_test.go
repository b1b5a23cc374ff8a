package snmp

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"signalbox/internal/secret"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// informPeer sends v2c informs and repeats each until it is answered.
type informPeer struct {
	conn  net.Conn
	mu    sync.Mutex
	next  uint32
	due   map[int64][]byte
	acked int
	wg    sync.WaitGroup
	end   chan struct{}
}

func (p *informPeer) Send(payload []byte) {
	p.mu.Lock()
	p.next++
	id := p.next
	msg := payload
	if payload[0] != 0x30 {
		msg = informOf(id, string(payload))
		p.due[int64(id)] = msg
	}
	p.mu.Unlock()
	_, _ = p.conn.Write(msg)
}

func (p *informPeer) Acked() int { p.mu.Lock(); defer p.mu.Unlock(); return p.acked }

func (p *informPeer) Close() {
	close(p.end)
	_ = p.conn.Close()
	p.wg.Wait()
}

func (p *informPeer) read() {
	buf := make([]byte, 1<<16)
	for {
		n, err := p.conn.Read(buf)
		select {
		case <-p.end:
			return
		default:
		}
		if err != nil {
			continue // refused: the source is not there at the moment
		}
		m, err := parseMessage(buf[:n])
		if err != nil || m.pdu[0] != pduResponse || string(m.community) != "public" {
			continue
		}
		id, _ := requestID(m.pdu)
		p.mu.Lock()
		if p.due[id] != nil {
			delete(p.due, id)
			p.acked++
		}
		p.mu.Unlock()
	}
}

func (p *informPeer) repeat() {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-p.end:
			return
		case <-t.C:
		}
		p.mu.Lock()
		for _, msg := range p.due {
			_, _ = p.conn.Write(msg)
		}
		p.mu.Unlock()
	}
}

// informOf makes a v2c inform that carries a text.
func informOf(id uint32, text string) []byte {
	return packet(gosnmp.InformRequest, id, "public", text)
}

func packet(kind gosnmp.PDUType, id uint32, community, text string) []byte {
	p := &gosnmp.SnmpPacket{
		Version: gosnmp.Version2c, Community: community, PDUType: kind, RequestID: id,
		Variables: []gosnmp.SnmpPDU{
			{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(4711)},
			{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
			{Name: ".1.3.6.1.2.1.2.2.1.1.3", Type: gosnmp.Integer, Value: 3},
			{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.OctetString, Value: text},
			{Name: ".1.3.6.1.2.1.2.2.1.8.3", Type: gosnmp.Integer, Value: 2},
		},
	}
	b, err := p.MarshalMsg()
	if err != nil {
		panic(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{
		Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
			// The address has to be known before Run: take a free one.
			free, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := free.LocalAddr().String()
			_ = free.Close()
			cfg := DefaultConfig()
			cfg.Listen, cfg.Communities = Addresses{addr}, []secret.Ref{secret.New("public")}
			src, err := New(env, cfg)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			p := &informPeer{conn: conn, due: map[int64][]byte{}, end: make(chan struct{})}
			p.wg.Go(p.read)
			p.wg.Go(p.repeat)
			return src, p
		},
		Payload: func(marker string) []byte { return []byte(marker) },
	})
}

package snmp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// answer is what is owed to a sender: the response to an inform, or a report of
// why its message was not taken.
type answer struct {
	to     netip.AddrPort
	sock   *net.UDPConn
	m      *message
	user   *user    // of a v3 inform
	report *refusal // nil for a response
	key    string   // the inform's, in run.inFlight
}

// answer hands an answer to the responder, and never waits: where there is no
// room, the sender asks again.
func (r *run) answer(a answer) {
	r.closeMu.RLock()
	defer r.closeMu.RUnlock()
	if r.closed {
		return
	}
	select {
	case r.answers <- a:
	default:
		r.warn("answers", "too many answers due, one left out", "peer", a.to.String())
	}
}

func (r *run) closeAnswers() {
	r.closeMu.Lock()
	defer r.closeMu.Unlock()
	r.closed = true
	close(r.answers)
}

// respond sends answers until there are no more to come.
func (r *run) respond() {
	for a := range r.answers {
		b, err := r.guard.build(a)
		if err == nil {
			_, err = a.sock.WriteToUDPAddrPort(b, a.to)
		}
		if err != nil {
			r.warn("answer", "cannot answer", "peer", a.to.String(), "err", err)
		}
	}
}

// build writes the answer's message.
func (g *guard) build(a answer) ([]byte, error) {
	if a.report != nil {
		return g.buildReport(a.m, a.report)
	}
	pdu, err := responsePDU(a.m.pdu)
	if err != nil {
		return nil, fmt.Errorf("inform from %s: %w", a.to, err)
	}
	if a.m.version != 3 {
		return tlv(tagSequence, integer(tagInteger, a.m.version), tlv(tagOctets, a.m.community), pdu), nil
	}
	scoped := tlv(tagSequence, tlv(tagOctets, a.m.contextEngine), tlv(tagOctets, a.m.contextName), pdu)
	return g.buildV3(a.m.id, a.m.user, a.user, a.m.level(), scoped)
}

// buildReport says what is wrong: one of usmStats and its count.
func (g *guard) buildReport(m *message, ref *refusal) ([]byte, error) {
	request := int64(0)
	if m.level() != levelPriv && m.open(m.scoped) == nil {
		request, _ = requestID(m.pdu)
	}
	oid := []byte{0x2b, 6, 1, 6, 3, 15, 1, 1, byte(ref.stat), 0}
	count := integer(tagCounter, int64(g.stats[ref.stat].Load()))
	pdu := tlv(pduReport, integer(tagInteger, request), []byte{tagInteger, 1, 0, tagInteger, 1, 0},
		tlv(tagSequence, tlv(tagSequence, tlv(tagOID, oid), count)))
	scoped := tlv(tagSequence, tlv(tagOctets, []byte(g.engine.id)), []byte{tagOctets, 0}, pdu)
	if ref.signed {
		return g.buildV3(m.id, m.user, ref.user, levelAuth, scoped)
	}
	return g.buildV3(m.id, m.user, nil, levelNone, scoped)
}

// buildV3 writes a message with us as the authority (RFC 3414, 3.1).
func (g *guard) buildV3(id int64, name string, u *user, level secLevel, scoped []byte) ([]byte, error) {
	boots, seconds := g.engine.boots, g.engine.seconds(g.now())
	var auth, salt []byte
	if level != levelNone {
		auth = make([]byte, u.auth.size)
	}
	if level == levelPriv {
		salt = make([]byte, 8)
		binary.BigEndian.PutUint64(salt, g.salt.Add(1))
		if u.priv.des {
			binary.BigEndian.PutUint32(salt, boots)
		}
		encrypted, err := encrypt(u.priv, g.peers.privKey(g.engine.id, u), boots, seconds, salt, scoped)
		if err != nil {
			return nil, err
		}
		scoped = tlv(tagOctets, encrypted)
	}
	header := tlv(tagSequence, integer(tagInteger, id), integer(tagInteger, 65507),
		[]byte{tagOctets, 1, byte(level)}, integer(tagInteger, securityUSM))
	params := tlv(tagOctets, tlv(tagSequence,
		tlv(tagOctets, []byte(g.engine.id)), integer(tagInteger, int64(boots)), integer(tagInteger, int64(seconds)),
		tlv(tagOctets, []byte(name)), tlv(tagOctets, auth), tlv(tagOctets, salt)))
	out := tlv(tagSequence, integer(tagInteger, 3), header, params, scoped)
	if level == levelNone {
		return out, nil
	}
	m, err := parseMessage(out) // to find where the signature goes
	if err != nil {
		return nil, err
	}
	copy(m.auth, sign(u.auth, g.peers.authKey(g.engine.id, u), out))
	return out, nil
}

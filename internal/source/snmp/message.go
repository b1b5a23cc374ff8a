package snmp

import (
	"bytes"
	"errors"
	"fmt"
)

// message is one datagram taken apart, as far as it may be read before its
// sender is known. Its fields share the datagram's memory.
type message struct {
	version   int64 // 0 is v1, 1 is v2c, 3 is v3
	community []byte
	pdu       []byte // tag and all; of v3 only once it is decrypted

	// v3:
	whole    []byte // the message, without what follows it
	id       int64
	maxSize  int64
	flags    byte
	engineID string
	boots    uint32
	seconds  uint32
	user     string
	auth     []byte // the signature, within whole
	salt     []byte
	scoped   []byte // scoped PDU: a sequence, or octets where encrypted
	// of the scoped PDU:
	contextEngine, contextName []byte
}

const (
	flagReportable = 4
	securityUSM    = 3
)

func (m *message) level() secLevel { return secLevel(m.flags & 3) }

func (m *message) reportable() bool { return m.flags&flagReportable != 0 }

// parseMessage takes the outer layer off.
func parseMessage(b []byte) (*message, error) {
	r := reader{b: b}
	tag, content, whole := r.next()
	if r.err != nil || tag != tagSequence {
		return nil, fmt.Errorf("%w: no message", errBER)
	}
	m := &message{whole: whole}
	r = reader{b: content}
	m.version = r.integer()
	switch {
	case r.err != nil:
		return nil, fmt.Errorf("%w: version", errBER)
	case m.version == 3:
		return m, m.parseV3(&r)
	case m.version != 0 && m.version != 1:
		return nil, fmt.Errorf("version number %d is none of 0 (v1), 1 (v2c) and 3", m.version)
	}
	m.community = r.want(tagOctets)
	_, _, m.pdu = r.next()
	if r.err != nil || len(m.pdu) == 0 {
		return nil, fmt.Errorf("%w: community or PDU", errBER)
	}
	return m, nil
}

// parseV3 reads RFC 3412's header and RFC 3414's parameters.
func (m *message) parseV3(r *reader) error {
	h := reader{b: r.want(tagSequence)}
	m.id = h.integer()
	m.maxSize = h.integer()
	flags := h.want(tagOctets)
	model := h.integer()
	params := reader{b: r.want(tagOctets)}
	tag, _, scoped := r.next()
	if h.err != nil || r.err != nil || len(flags) != 1 || len(h.b) != 0 {
		return fmt.Errorf("%w: v3 header", errBER)
	}
	if model != securityUSM {
		return fmt.Errorf("security model %d is not the user-based one", model)
	}
	m.flags = flags[0]
	if m.flags&3 == 2 {
		return errors.New("flags ask for privacy without authentication")
	}
	if (tag == tagOctets) != (m.level() == levelPriv) || (tag != tagOctets && tag != tagSequence) {
		return errors.New("flags do not say whether the PDU is encrypted")
	}
	m.scoped = scoped

	p := reader{b: params.want(tagSequence)}
	engine := p.want(tagOctets)
	boots, seconds := p.integer(), p.integer()
	name := p.want(tagOctets)
	m.auth = p.want(tagOctets)
	m.salt = p.want(tagOctets)
	if params.err != nil || p.err != nil || len(p.b) != 0 || len(params.b) != 0 {
		return fmt.Errorf("%w: v3 security parameters", errBER)
	}
	if boots < 0 || seconds < 0 || boots > maxBoots || seconds > maxBoots || len(engine) > 32 || len(name) > 32 {
		return errors.New("v3 security parameters out of range")
	}
	m.engineID, m.user = string(engine), string(name)
	m.boots, m.seconds = uint32(boots), uint32(seconds)
	return nil
}

// open reads the scoped PDU, which is plain by now.
func (m *message) open(plain []byte) error {
	r := reader{b: plain}
	s := reader{b: r.want(tagSequence)}
	m.contextEngine = s.want(tagOctets)
	m.contextName = s.want(tagOctets)
	_, _, m.pdu = s.next()
	if r.err != nil || s.err != nil || len(m.pdu) == 0 {
		return fmt.Errorf("%w: scoped PDU", errBER)
	}
	return nil
}

// authentic checks the signature. It writes zeros in its place, and back.
func (m *message) authentic(u *user, key []byte) bool {
	if len(m.auth) != u.auth.size {
		return false
	}
	var got [48]byte
	n := copy(got[:], m.auth)
	clear(m.auth)
	want := sign(u.auth, key, m.whole)
	copy(m.auth, got[:n])
	return constantTimeEqual(got[:n], want)
}

// raw is what is kept: the PDU in a v1 or v2c message without a community.
// What a proxy wrote about communities inside is blanked too.
func (m *message) raw() []byte {
	version := m.version
	if version == 3 {
		version = 1
	}
	out := tlv(tagSequence, integer(tagInteger, version), []byte{tagOctets, 0}, m.pdu)
	blankCommunities(out)
	return out
}

// snmpTrapCommunity.0 (RFC 3584), as an element of BER.
var trapCommunity = []byte{tagOID, 9, 0x2b, 6, 1, 6, 3, 18, 1, 4, 0}

func blankCommunities(b []byte) {
	for {
		i := bytes.Index(b, trapCommunity)
		if i < 0 {
			return
		}
		b = b[i+len(trapCommunity):]
		if head, size, ok := header(b); ok {
			for j := range b[head : head+size] {
				b[head+j] = '*'
			}
		}
	}
}

// requestID reads the id of a PDU that has one.
func requestID(pdu []byte) (int64, bool) {
	r := reader{b: pdu}
	_, content, _ := r.next()
	c := reader{b: content}
	id := c.integer()
	return id, r.err == nil && c.err == nil
}

// responsePDU answers an inform: the same variables, with no error.
func responsePDU(inform []byte) ([]byte, error) {
	r := reader{b: inform}
	_, content, _ := r.next()
	c := reader{b: content}
	id := c.integer()
	c.integer()
	c.integer()
	_, _, vars := c.next()
	if r.err != nil || c.err != nil {
		return nil, errBER
	}
	return tlv(pduResponse, integer(tagInteger, id), []byte{tagInteger, 1, 0, tagInteger, 1, 0}, vars), nil
}

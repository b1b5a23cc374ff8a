package snmp

import "errors"

// Tags of BER, as far as messages need them (X.690, RFC 3416).
const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagOID      = 0x06
	tagSequence = 0x30
	tagCounter  = 0x41

	pduGet      = 0xa0
	pduResponse = 0xa2
	pduTrapV1   = 0xa4
	pduInform   = 0xa6
	pduTrapV2   = 0xa7
	pduReport   = 0xa8
)

var errBER = errors.New("malformed BER")

// reader walks over BER without copying. The first error sticks: check it once
// at the end.
type reader struct {
	b   []byte
	err error
}

// next takes one element off: its tag, its content, and all of it.
func (r *reader) next() (tag byte, content, whole []byte) {
	if r.err != nil {
		return 0, nil, nil
	}
	head, size, ok := header(r.b)
	if !ok {
		r.err = errBER
		return 0, nil, nil
	}
	tag, whole = r.b[0], r.b[:head+size]
	r.b = r.b[head+size:]
	return tag, whole[head:], whole
}

// header reads tag and length: how many bytes they are, and how many follow.
func header(b []byte) (head, size int, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f { // SNMP has no tags of many bytes
		return 0, 0, false
	}
	head, size = 2, int(b[1])
	if size >= 0x80 {
		octets := size & 0x7f
		if octets == 0 || octets > 4 || len(b) < 2+octets {
			return 0, 0, false
		}
		size = 0
		for _, o := range b[2 : 2+octets] {
			size = size<<8 | int(o)
		}
		head += octets
	}
	return head, size, size <= len(b)-head
}

// want takes one element of a tag off and returns its content.
func (r *reader) want(tag byte) []byte {
	got, content, _ := r.next()
	if got != tag {
		r.fail()
		return nil
	}
	return content
}

// integer takes a non-negative or negative integer off that fits 32 bits.
func (r *reader) integer() int64 {
	c := r.want(tagInteger)
	if len(c) == 0 || len(c) > 5 {
		r.fail()
		return 0
	}
	v := int64(int8(c[0]))
	for _, b := range c[1:] {
		v = v<<8 | int64(b)
	}
	return v
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errBER
	}
}

// tlv appends one element made of parts.
func tlv(tag byte, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	out := make([]byte, 0, size+6)
	out = append(out, tag)
	switch {
	case size < 0x80:
		out = append(out, byte(size))
	case size < 0x100:
		out = append(out, 0x81, byte(size))
	case size < 0x10000:
		out = append(out, 0x82, byte(size>>8), byte(size))
	default:
		out = append(out, 0x83, byte(size>>16), byte(size>>8), byte(size))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// integer writes v in as few bytes as it takes.
func integer(tag byte, v int64) []byte {
	out := []byte{byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	for len(out) > 1 && (out[0] == 0 && out[1] < 0x80 || out[0] == 0xff && out[1] >= 0x80) {
		out = out[1:]
	}
	return tlv(tag, out)
}

package capture

import (
	"bytes"
	"errors"

	"signalbox/internal/normalize/trap"
)

var (
	errV3    = errors.New("SNMPv3 messages: their keys are not known; capture their events from the log")
	errNoSNM = errors.New("datagrams to a trap port that are no SNMP notification")
)

// isTrap says whether a datagram to any port is a notification.
func isTrap(b []byte) bool {
	_, err := trap.Parse(b)
	return err == nil
}

// trapCommunity is snmpTrapCommunity.0 (RFC 3584), as an element of BER.
var trapCommunity = []byte{0x06, 9, 0x2b, 6, 1, 6, 3, 18, 1, 4, 0}

// cleanTrap copies a notification without its community, which is a secret: its
// octets are overwritten, so that the lengths around it stay right.
func cleanTrap(b []byte) ([]byte, error) {
	out := bytes.Clone(b)
	head, _, ok := element(out)
	if !ok || out[0] != 0x30 {
		return nil, errNoSNM
	}
	version := out[head:]
	vhead, vsize, ok := element(version)
	if !ok || vsize != 1 {
		return nil, errNoSNM
	}
	if version[vhead] == 3 {
		return nil, errV3
	}
	community := version[vhead+vsize:]
	chead, csize, ok := element(community)
	if !ok || community[0] != 0x04 {
		return nil, errNoSNM
	}
	blank(community[chead : chead+csize])
	for rest := out; ; {
		i := bytes.Index(rest, trapCommunity)
		if i < 0 {
			break
		}
		rest = rest[i+len(trapCommunity):]
		if head, size, ok := element(rest); ok {
			blank(rest[head : head+size])
		}
	}
	if _, err := trap.Parse(out); err != nil {
		return nil, errNoSNM
	}
	return out, nil
}

func blank(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}

// element reads the head of one element of BER: how long the head is, and what
// it holds. ok is false where that is more than there is.
func element(b []byte) (head, size int, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	size, head = int(b[1]), 2
	if size >= 0x80 {
		octets := size & 0x7f
		if octets == 0 || octets > 3 || len(b) < 2+octets {
			return 0, 0, false
		}
		size = 0
		for _, c := range b[2 : 2+octets] {
			size = size<<8 | int(c)
		}
		head += octets
	}
	return head, size, size <= len(b)-head
}

package trap

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// Objects that are taken out of the variables, since Trap has fields for them.
const (
	oidUptime     = "1.3.6.1.2.1.1.3.0"
	oidTrapOID    = "1.3.6.1.6.3.1.1.4.1.0"
	oidEnterprise = "1.3.6.1.6.3.1.1.4.3.0"
	oidAddress    = "1.3.6.1.6.3.18.1.3.0"
	oidCommunity  = "1.3.6.1.6.3.18.1.4.0"

	// standardTraps is where the six generic traps of v1 live in v2.
	standardTraps = "1.3.6.1.6.3.1.1.5"
)

// maxVarbinds bounds what one datagram can make us do. Real notifications have
// fewer than fifty.
const maxVarbinds = 1024

// ErrNotTrap is what Parse says of an SNMP message that is well-formed but no
// notification: a request, a response or a report.
var ErrNotTrap = errors.New("no trap or inform")

// decoder is gosnmp's, without a connection. Decoding v1 and v2c messages
// reads nothing of it but the logger, so it serves many goroutines.
var decoder = &gosnmp.GoSNMP{Version: gosnmp.Version2c}

// Parse reads BER of one SNMPv1 or v2c message with the names in the binary.
func Parse(raw []byte) (*Trap, error) { return Builtin().Parse(raw) }

// Parse reads BER of one SNMPv1 or v2c message. Bytes after the message are
// ignored. Octets of the result share raw's memory.
func (n *Names) Parse(raw []byte) (t *Trap, err error) {
	// gosnmp has had panics on hostile bytes, and more may be found.
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("snmp: malformed message: decoder: %v", r)
		}
	}()
	msg, err := trimToMessage(raw)
	if err != nil {
		return nil, err
	}
	p, err := decoder.UnmarshalTrap(msg, false)
	if err != nil {
		return nil, fmt.Errorf("snmp: malformed message: %w", err)
	}
	switch {
	case p.Version == gosnmp.Version1 && p.PDUType == gosnmp.Trap:
		return n.fromV1(p), nil
	case p.Version == gosnmp.Version2c && (p.PDUType == gosnmp.SNMPv2Trap || p.PDUType == gosnmp.InformRequest):
		return n.fromV2(p), nil
	case p.Version != gosnmp.Version1 && p.Version != gosnmp.Version2c:
		return nil, fmt.Errorf("snmp: version number %d: want 0 (v1) or 1 (v2c)", p.Version)
	case p.PDUType == gosnmp.Trap:
		return nil, errors.New("snmp: a v1 trap inside a v2c message")
	}
	return nil, fmt.Errorf("snmp: %w: %s in a version %s message", ErrNotTrap, p.PDUType, p.Version)
}

// trimToMessage cuts off what follows the message's own length.
func trimToMessage(raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != 0x30 {
		return nil, errors.New("snmp: malformed message: it does not begin with a sequence")
	}
	size, head := int(raw[1]), 2
	if size >= 0x80 {
		octets := size & 0x7f
		if octets == 0 || octets > 4 || len(raw) < 2+octets {
			return nil, errors.New("snmp: malformed message: bad length")
		}
		size = 0
		for _, b := range raw[2 : 2+octets] {
			size = size<<8 | int(b)
		}
		head += octets
	}
	if size > len(raw)-head {
		return nil, fmt.Errorf("snmp: malformed message: it says %d bytes and has %d", size, len(raw)-head)
	}
	return raw[:head+size], nil
}

// fromV1 converts by RFC 3584, section 3.1.
func (n *Names) fromV1(p *gosnmp.SnmpPacket) *Trap {
	t := &Trap{
		Version:    "1",
		Enterprise: strings.TrimPrefix(p.Enterprise, "."),
		Generic:    p.GenericTrap,
		Specific:   p.SpecificTrap,
		Uptime:     ticks(uint64(p.Timestamp)),
	}
	if p.AgentAddress != "0.0.0.0" {
		t.AgentAddress = p.AgentAddress
	}
	t.OID = notificationOID(t.Enterprise, t.Generic, t.Specific)
	n.addVarbinds(t, p.Variables)
	n.nameTrap(t)
	return t
}

// notificationOID makes a v2 notification's identifier of v1's three fields.
func notificationOID(enterprise string, generic, specific int) string {
	if generic >= 0 && generic <= 5 {
		return standardTraps + "." + strconv.Itoa(generic+1)
	}
	return enterprise + ".0." + strconv.Itoa(specific)
}

func (n *Names) fromV2(p *gosnmp.SnmpPacket) *Trap {
	t := &Trap{Version: "2c", Inform: p.PDUType == gosnmp.InformRequest}
	n.addVarbinds(t, p.Variables)
	n.nameTrap(t)
	return t
}

// nameTrap finds the notification's name. Agents are known to leave out the
// zero before the last number, or to put one in (RFC 3584, section 3.1 (2)).
func (n *Names) nameTrap(t *Trap) {
	o := n.byOID[t.OID]
	if o == nil || !o.Notification {
		o = n.byOID[toggleZero(t.OID)]
	}
	if o != nil && o.Notification {
		t.Name, t.Module = o.Name, o.Module
	}
}

func toggleZero(oid string) string {
	last := strings.LastIndexByte(oid, '.')
	if last < 0 {
		return ""
	}
	if head, ok := strings.CutSuffix(oid[:last], ".0"); ok {
		return head + oid[last:]
	}
	return oid[:last] + ".0" + oid[last:]
}

// addVarbinds fills t from the variables, whatever their order.
func (n *Names) addVarbinds(t *Trap, vars []gosnmp.SnmpPDU) {
	if len(vars) > maxVarbinds {
		vars = vars[:maxVarbinds]
	}
	t.Varbinds = make([]Varbind, 0, len(vars))
	for _, v := range vars {
		oid := strings.TrimPrefix(v.Name, ".")
		switch oid {
		case oidUptime:
			if u, ok := unsigned(v.Value); ok && t.Uptime == 0 {
				t.Uptime = ticks(u)
			}
			continue
		case oidTrapOID:
			if s, ok := v.Value.(string); ok && t.OID == "" {
				t.OID = strings.TrimPrefix(s, ".")
			}
			continue
		case oidCommunity:
			continue // a secret
		case oidAddress:
			if s, ok := v.Value.(string); ok && t.AgentAddress == "" && s != "0.0.0.0" {
				t.AgentAddress = s
			}
		case oidEnterprise:
			if s, ok := v.Value.(string); ok && t.Enterprise == "" {
				t.Enterprise = strings.TrimPrefix(s, ".")
			}
		}
		t.Varbinds = append(t.Varbinds, n.varbind(oid, v))
	}
}

func ticks(hundredths uint64) time.Duration {
	return time.Duration(hundredths) * 10 * time.Millisecond
}

func unsigned(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Package trap makes sense of SNMP notifications: BER of an SNMPv1 trap, a
// v2c trap or an inform goes in, a Trap with names, display texts and decoded
// indexes comes out. It is pure, safe for many goroutines, and never panics,
// whatever the bytes are.
//
// Names come from a table in the binary (packs/notifications.txt), and from MIB
// files that the user drops in a folder (LoadMIBs).
package trap

import (
	"encoding/json"
	"time"
)

// Trap is one notification. A v1 trap is converted to the v2 form by RFC 3584,
// section 3.1, so that OID and Varbinds mean the same for both.
type Trap struct {
	// Version is "1" or "2c". A v3 notification is kept as 2c.
	Version string `json:"version"`
	Inform  bool   `json:"inform,omitempty"`
	// AgentAddress is the device that it is about where the message says so:
	// agent-addr of a v1 trap, or snmpTrapAddress.0 put in by a proxy. "" where
	// it does not, or says 0.0.0.0.
	AgentAddress string `json:"agent_address,omitempty"`
	// Enterprise, Generic and Specific are those of a v1 trap; Enterprise of a
	// v2c one is snmpTrapEnterprise.0, where it is there.
	Enterprise string `json:"enterprise,omitempty"`
	Generic    int    `json:"generic,omitempty"`
	Specific   int    `json:"specific,omitempty"`
	// OID of the notification, dotted without a leading dot: snmpTrapOID.0. ""
	// where a broken sender left it out.
	OID string `json:"oid"`
	// Name of the notification ("linkDown") and the module that defines it
	// ("IF-MIB"); "" where no table knows it.
	Name   string `json:"name,omitempty"`
	Module string `json:"module,omitempty"`
	// Uptime is how long the agent says that it runs; zero where it is unknown.
	Uptime time.Duration `json:"uptime,omitempty"`
	// Varbinds are the variables in order, without sysUpTime.0, snmpTrapOID.0
	// and snmpTrapCommunity.0.
	Varbinds []Varbind `json:"varbinds,omitempty"`
}

// Varbind is one variable of a notification.
type Varbind struct {
	// OID is the full object identifier, dotted without a leading dot.
	OID string `json:"oid,omitempty"`
	// Name of the object ("ifDescr"), "" where no table knows it; Index is what
	// follows the object's identifier ("3").
	Name  string `json:"name,omitempty"`
	Index string `json:"index,omitempty"`
	// IndexAddr is the last network address in Index, decoded, where the
	// object's index is known to have one: the neighbour of a BGP peer table.
	IndexAddr string `json:"index_addr,omitempty"`
	// Kind of the value: integer, octets, oid, ip, counter32, gauge32,
	// timeticks, counter64, uinteger32, opaque, float, null or unknown.
	Kind string `json:"kind,omitempty"`
	// Value is int64, uint64, float64, []byte, string (oid and ip, and all
	// values read from printed text that are not numbers), or nil.
	Value any `json:"value,omitempty"`
	// Enum is the label of an enumerated integer ("down"), "" for others.
	Enum string `json:"enum,omitempty"`
	// Text is the value for people: "down(2)", "GigabitEthernet0/3",
	// "00:53:00:12:34:56". It holds no control characters but tab and newline.
	Text string `json:"text"`
}

// Get returns the first variable of the named object, or nil.
func (t *Trap) Get(name string) *Varbind {
	for i := range t.Varbinds {
		if t.Varbinds[i].Name == name {
			return &t.Varbinds[i]
		}
	}
	return nil
}

// Plain is the value that a mapping reads: the label of an enumeration, else
// the display text.
func (v *Varbind) Plain() string {
	if v.Enum != "" {
		return v.Enum
	}
	return v.Text
}

// UnmarshalJSON reads a variable as it was printed. Whole numbers become int64
// again.
func (v *Varbind) UnmarshalJSON(b []byte) error {
	type plain Varbind
	var p plain
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	if f, ok := p.Value.(float64); ok && p.Kind != "float" && f == float64(int64(f)) {
		p.Value = int64(f)
	}
	*v = Varbind(p)
	return nil
}

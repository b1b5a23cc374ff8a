package normalize

import (
	"strconv"
	"strings"

	"signalbox/internal/normalize/trap"
	"signalbox/internal/schema/scan"
)

func (n *Normalizer) snmp(m *message, res *Result) {
	t, ok := m.in.Parsed.(*trap.Trap)
	if !ok || t == nil {
		var err error
		if t, err = n.names.Parse(m.in.Raw); err != nil {
			res.Reject = "not an SNMP notification: " + err.Error()
			res.Event.Type = "snmp_trap"
			n.nameDevice(&res.Event, "", host(m.in.Peer))
			return
		}
	}
	m.trap = t
	if !n.findTrap(m, res) {
		res.Why = "no mapping takes the notification " + quoteEnd(notificationName(t))
		res.Event.Type = "snmp_trap"
		res.Event.Data = m.trapData()
	}
	addr := t.AgentAddress
	if addr == "" {
		addr = host(m.in.Peer)
	}
	n.nameDevice(&res.Event, "", addr)
}

func notificationName(t *trap.Trap) string {
	if t.Name != "" {
		return t.Name + " " + t.OID
	}
	return t.OID
}

func (n *Normalizer) findTrap(m *message, res *Result) bool {
	for _, l := range n.layers {
		if m.trap.OID != "" && n.tryAll(l.traps[m.trap.OID], m, res) {
			return true
		}
		if m.trap.Name != "" && n.tryAll(l.traps[m.trap.Name], m, res) {
			return true
		}
	}
	return false
}

func (m *message) trapPart(name string) string {
	t := m.trap
	if t == nil {
		return ""
	}
	switch name {
	case "oid":
		return t.OID
	case "name":
		return t.Name
	case "uptime":
		if t.Uptime > 0 {
			return strconv.FormatFloat(t.Uptime.Seconds(), 'f', -1, 64)
		}
	case "agent_address":
		return t.AgentAddress
	case "enterprise":
		return t.Enterprise
	case "version":
		return t.Version
	}
	return ""
}

func (m *message) varbind(r *ref) got {
	v := findVarbind(m.trap, r.name)
	if v == nil {
		return got{}
	}
	switch r.sub {
	case "index":
		return textOf(v.Index)
	case "name":
		return textOf(v.Enum)
	case "text":
		return textOf(v.Text)
	case "addr":
		return textOf(v.IndexAddr)
	}
	return textOf(v.Plain())
}

// findVarbind finds a variable by its object's name or, for an OID, the first
// one at or below it.
func findVarbind(t *trap.Trap, name string) *trap.Varbind {
	if t == nil {
		return nil
	}
	if name[0] < '0' || name[0] > '9' {
		return t.Get(name)
	}
	for i := range t.Varbinds {
		if rest, ok := strings.CutPrefix(t.Varbinds[i].OID, name); ok && (rest == "" || rest[0] == '.') {
			return &t.Varbinds[i]
		}
	}
	return nil
}

// trapData keeps a trap that no mapping takes as it came.
func (m *message) trapData() []byte {
	t := m.trap
	b := append(m.out[:0], `{"oid":`...)
	b = scan.AppendString(b, t.OID)
	text := func(name, val string) {
		if val != "" {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = scan.AppendString(b, val)
		}
	}
	text("name", t.Name)
	text("version", t.Version)
	if t.Uptime > 0 {
		b = append(b, `,"uptime":`...)
		b = strconv.AppendFloat(b, t.Uptime.Seconds(), 'f', -1, 64)
	}
	text("agent_address", t.AgentAddress)
	text("enterprise", t.Enterprise)
	b = append(b, `,"varbinds":[`...)
	for i := range t.Varbinds {
		v := &t.Varbinds[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"oid":`...)
		b = scan.AppendString(b, v.OID)
		text("name", v.Name)
		text("index", v.Index)
		text("type", v.Kind)
		b = append(b, `,"value":`...)
		b = appendVarbindValue(b, v)
		b = append(b, '}')
	}
	m.out = append(b, ']', '}')
	return append(make([]byte, 0, len(m.out)), m.out...)
}

// appendVarbindValue writes integers as numbers where no label says more, and
// all else as text: a Counter64 that is beyond what JSON readers keep exactly
// too.
func appendVarbindValue(b []byte, v *trap.Varbind) []byte {
	const exact = 1 << 53
	if v.Enum == "" {
		switch n := v.Value.(type) {
		case int64:
			if n < exact && n > -exact {
				return strconv.AppendInt(b, n, 10)
			}
		case uint64:
			if n < exact {
				return strconv.AppendUint(b, n, 10)
			}
		}
	}
	return scan.AppendString(b, v.Plain())
}

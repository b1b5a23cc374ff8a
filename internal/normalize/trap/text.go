package trap

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText bounds the printed form of one notification.
const maxText = 1 << 18

// ParseText reads one notification in any form that people have it in: BER as
// hex digits, a Trap as JSON, or what snmptrapd prints, with its variables
// separated by tabs, newlines or a written \n. `signalbox map` reads these.
func (n *Names) ParseText(text string) (*Trap, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("snmp: %d bytes of text are more than one notification has", len(text))
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, errors.New("snmp: empty text")
	case text[0] == '{':
		t := &Trap{}
		if err := json.Unmarshal([]byte(text), t); err != nil {
			return nil, fmt.Errorf("snmp: notification as JSON: %w", err)
		}
		n.complete(t)
		return t, nil
	}
	if b, ok := hexMessage(text); ok {
		return n.Parse(b)
	}
	return n.parsePrinted(text)
}

// hexMessage reads hex digits, with or without separators and 0x.
func hexMessage(text string) ([]byte, bool) {
	digits := strings.NewReplacer(" ", "", ":", "", "\n", "", "\t", "").Replace(strings.TrimPrefix(text, "0x"))
	if !strings.HasPrefix(digits, "30") {
		return nil, false
	}
	b, err := hex.DecodeString(digits)
	return b, err == nil
}

// complete fills in what a notification written by hand leaves out.
func (n *Names) complete(t *Trap) {
	if t.OID == "" && t.Name != "" {
		if o := n.byName[t.Name]; o != nil && o.Notification {
			t.OID, t.Module = o.OID, o.Module
		}
	}
	if t.Name == "" {
		n.nameTrap(t)
	}
	if t.Version == "" {
		t.Version = "2c"
	}
	for i := range t.Varbinds {
		v := &t.Varbinds[i]
		key := v.OID
		if key == "" {
			key = v.Name
			if v.Index != "" {
				key += "." + v.Index
			}
		}
		value := v.Text
		if value == "" {
			value = fmt.Sprint(v.Value)
		}
		*v = n.Printed(key, value)
	}
}

func (n *Names) parsePrinted(text string) (*Trap, error) {
	t := &Trap{Version: "2c"}
	text = strings.ReplaceAll(text, `\n`, "\n")
	for _, piece := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\t' || r == '\r' }) {
		piece = strings.TrimSpace(piece)
		if a, ok := printedPeer(piece); ok {
			if t.AgentAddress == "" {
				t.AgentAddress = a
			}
			continue
		}
		key, value, ok := splitPrinted(piece)
		if ok && len(t.Varbinds) < maxVarbinds {
			n.addPrinted(t, key, value)
		}
	}
	if t.OID == "" && t.Name == "" {
		return nil, errors.New("snmp: no notification: want hex of its BER, JSON, or snmptrapd's text with SNMPv2-MIB::snmpTrapOID.0")
	}
	n.nameTrap(t)
	return t, nil
}

// printedPeer finds the sender in "UDP: [192.0.2.1]:57123->[198.51.100.4]:162".
func printedPeer(s string) (string, bool) {
	_, rest, ok := strings.Cut(s, "UDP: [")
	if !ok {
		if _, rest, ok = strings.Cut(s, "UDP/IPv6: ["); !ok {
			return "", false
		}
	}
	addr, _, _ := strings.Cut(rest, "]")
	if _, err := netip.ParseAddr(addr); err != nil {
		return "", false
	}
	return addr, true
}

// splitPrinted takes "IF-MIB::ifDescr.3 = STRING: Gi0/3" apart, and the form
// without = and type.
func splitPrinted(s string) (key, value string, ok bool) {
	end := strings.IndexByte(s, ' ')
	if end < 0 {
		key = s
	} else {
		key, value = s[:end], strings.TrimSpace(s[end:])
	}
	numeric := strings.TrimLeft(key, "0123456789.") == "" && strings.Count(key, ".") > 3
	if !strings.Contains(key, "::") && !numeric && !strings.HasPrefix(key, "iso.") {
		return "", "", false
	}
	return key, strings.TrimSpace(strings.TrimPrefix(value, "=")), true
}

func (n *Names) addPrinted(t *Trap, key, value string) {
	v := n.Printed(key, value)
	switch {
	case v.OID == oidUptime || v.Name == "sysUpTimeInstance" || v.Name == "sysUpTime":
		t.Uptime = printedUptime(value)
		return
	case v.OID == oidTrapOID || v.Name == "snmpTrapOID":
		_, value = printedType(value)
		t.OID = n.printedOID(value)
		if t.OID == "" {
			_, name, _ := strings.Cut(value, "::")
			t.Name, _, _ = strings.Cut(name, ".")
		}
		return
	case v.OID == oidCommunity || v.Name == "snmpTrapCommunity":
		return
	case v.OID == oidAddress || v.Name == "snmpTrapAddress":
		if _, err := netip.ParseAddr(v.Text); err == nil && v.Text != "0.0.0.0" {
			t.AgentAddress = v.Text
		}
	case v.OID == oidEnterprise || v.Name == "snmpTrapEnterprise":
		t.Enterprise = n.printedOID(value)
	}
	t.Varbinds = append(t.Varbinds, v)
}

// Printed makes a variable of its printed form: "IF-MIB::ifOperStatus.3" (or
// "ifOperStatus.3", or numbers) and "INTEGER: down(2)" (or "down", or "2").
func (n *Names) Printed(key, value string) Varbind {
	v := Varbind{OID: n.printedOID(key)}
	o, index := n.Lookup(v.OID)
	if v.OID == "" {
		_, name, ok := strings.Cut(key, "::")
		if !ok {
			name = key
		}
		v.Name, v.Index, _ = strings.Cut(name, ".")
		if o = n.byName[v.Name]; o != nil {
			v.OID = o.OID
		}
	} else if o != nil && !o.Notification {
		v.Name, v.Index = o.Name, index
	}
	if o != nil {
		v.IndexAddr = indexAddr(o.Index, v.Index)
	}
	kind, text := printedType(value)
	v.setPrinted(n, o, kind, text)
	return v
}

// setPrinted reads a value by its type where one was printed, else by what it
// looks like.
func (v *Varbind) setPrinted(n *Names, o *Object, kind, text string) {
	v.Kind = kind
	unquoted := strings.Trim(text, `"`)
	if hexOnly(unquoted) && (kind == "octets" || o != nil && o.Show != "" && len(unquoted) > 2) {
		if b, err := hex.DecodeString(strings.ReplaceAll(unquoted, " ", "")); err == nil {
			v.Value, v.Text = b, showOctets(o, b)
			return
		}
	}
	if kind == "oid" {
		if oid := n.printedOID(text); oid != "" {
			v.Value, v.Text = oid, n.showOID(oid)
			return
		}
	}
	text = clean(strings.TrimSpace(strings.Trim(text, `"`)))
	v.Value, v.Text = text, text
	label, number, ok := strings.Cut(text, "(")
	if i, err := strconv.ParseInt(strings.TrimSuffix(number, ")"), 10, 64); ok && err == nil && !strings.Contains(label, " ") {
		v.Value, v.Enum = i, label
		return
	}
	if kind == "" || kind == "integer" || strings.HasPrefix(kind, "gauge") || strings.HasPrefix(kind, "counter") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			v.setInteger(o, i)
			return
		}
	}
	if o != nil {
		for i, l := range o.Enum {
			if l == text {
				v.setInteger(o, i)
				return
			}
		}
	}
}

// hexOnly says whether text is pairs of hex digits with spaces, as net-snmp
// prints a Hex-STRING.
func hexOnly(text string) bool {
	f := strings.Fields(text)
	for _, b := range f {
		if len(b) != 2 {
			return false
		}
	}
	return len(f) > 0
}

// printedType takes "INTEGER: " off.
func printedType(s string) (kind, rest string) {
	s = strings.TrimSpace(strings.TrimPrefix(s, "="))
	word, rest, ok := strings.Cut(s, ": ")
	if !ok {
		return "", s
	}
	switch word {
	case "INTEGER":
		kind = "integer"
	case "STRING":
		return "", rest
	case "Hex-STRING", "BITS":
		kind = "octets"
	case "OID":
		kind = "oid"
	case "IpAddress", "Network Address":
		kind = "ip"
	case "Timeticks":
		kind = "timeticks"
	case "Counter32", "Counter64", "Gauge32", "UInteger32":
		kind = strings.ToLower(word)
	case "Opaque":
		kind = "opaque"
	default:
		return "", s
	}
	return kind, rest
}

// printedOID turns "IF-MIB::linkDown", "iso.3.6.1" or ".1.3.6.1" into numbers,
// and "" where a name is not known.
func (n *Names) printedOID(s string) string {
	s = strings.TrimSpace(s)
	if rest := strings.TrimPrefix(s, "."); rest != "" && strings.Trim(rest, "0123456789.") == "" {
		return rest
	}
	_, name, ok := strings.Cut(s, "::")
	if !ok {
		name = s
	}
	name, index, _ := strings.Cut(name, ".")
	oid := roots[name]
	if o := n.byName[name]; o != nil {
		oid = o.OID
	}
	if oid == "" || index == "" {
		return oid
	}
	if strings.Trim(index, "0123456789.") != "" {
		return "" // an index of text, as in x."abc"
	}
	return oid + "." + index
}

// printedUptime reads "(498047044) 57 days, 15:27:50.44", "57:15:27:50.44" and
// "15:27:50.44".
func printedUptime(s string) time.Duration {
	_, s = printedType(s)
	if rest, ok := strings.CutPrefix(s, "("); ok {
		number, _, _ := strings.Cut(rest, ")")
		u, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return 0
		}
		return ticks(u)
	}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 4 {
		return 0
	}
	seconds, err := strconv.ParseFloat(parts[len(parts)-1], 64)
	if err != nil || seconds < 0 || seconds >= 61 {
		return 0
	}
	total := time.Duration(seconds * float64(time.Second))
	unit := time.Minute
	for i := len(parts) - 2; i >= 0; i-- {
		v, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return 0
		}
		total += time.Duration(v) * unit
		if unit == time.Minute {
			unit = time.Hour
		} else {
			unit = 24 * time.Hour
		}
	}
	return total
}

// clean makes text fit for display: without control characters, of ASCII and of
// C1, which a terminal would obey.
func clean(s string) string {
	if printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\t' && r != '\n' {
			return -1
		}
		return r
	}, s)
}

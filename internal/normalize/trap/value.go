package trap

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"
)

// varbind names one variable and makes its value plain.
func (n *Names) varbind(oid string, v gosnmp.SnmpPDU) Varbind {
	out := Varbind{OID: oid}
	o, index := n.Lookup(oid)
	if o != nil && !o.Notification {
		out.Name, out.Index = o.Name, index
		out.IndexAddr = indexAddr(o.Index, index)
	} else {
		o = nil
	}
	switch v.Type {
	case gosnmp.Integer:
		out.Kind = "integer"
		if i, ok := v.Value.(int); ok {
			out.setInteger(o, int64(i))
		}
	case gosnmp.OctetString, gosnmp.BitString:
		out.Kind = "octets"
		if b, ok := v.Value.([]byte); ok {
			out.Value, out.Text = b, showOctets(o, b)
		}
	case gosnmp.ObjectIdentifier:
		out.Kind = "oid"
		if s, ok := v.Value.(string); ok {
			s = strings.TrimPrefix(s, ".")
			out.Value, out.Text = s, n.showOID(s)
		}
	case gosnmp.IPAddress:
		out.Kind = "ip"
		if s, ok := v.Value.(string); ok {
			out.Value, out.Text = s, s
		}
	case gosnmp.TimeTicks:
		out.Kind = "timeticks"
		if u, ok := unsigned(v.Value); ok {
			out.Value, out.Text = u, ticks(u).String()
		}
	case gosnmp.Counter32, gosnmp.Gauge32, gosnmp.Uinteger32, gosnmp.Counter64:
		out.Kind = strings.ToLower(v.Type.String())
		if u, ok := unsigned(v.Value); ok {
			out.setUnsigned(o, u)
		}
	case gosnmp.OpaqueFloat, gosnmp.OpaqueDouble:
		out.Kind = "float"
		out.setFloat(v.Value)
	case gosnmp.Opaque:
		out.Kind = "opaque"
		if b, ok := v.Value.([]byte); ok {
			out.Value, out.Text = b, showOctets(nil, b)
		}
	case gosnmp.Null, gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView:
		out.Kind = "null"
	default:
		out.Kind = "unknown"
	}
	return out
}

func (v *Varbind) setInteger(o *Object, i int64) {
	v.Value, v.Text = i, strconv.FormatInt(i, 10)
	if o == nil {
		return
	}
	if label := o.Enum[i]; label != "" {
		v.Enum, v.Text = label, label+"("+v.Text+")"
	}
}

func (v *Varbind) setUnsigned(o *Object, u uint64) {
	v.Value, v.Text = u, strconv.FormatUint(u, 10)
	if o == nil || u > 1<<31 {
		return
	}
	if label := o.Enum[int64(u)]; label != "" {
		v.Enum, v.Text = label, label+"("+v.Text+")"
	}
}

func (v *Varbind) setFloat(value any) {
	switch f := value.(type) {
	case float32:
		v.Value, v.Text = float64(f), strconv.FormatFloat(float64(f), 'g', -1, 32)
	case float64:
		v.Value, v.Text = f, strconv.FormatFloat(f, 'g', -1, 64)
	}
}

// showOID names an identifier that is a value.
func (n *Names) showOID(oid string) string {
	o, index := n.Lookup(oid)
	switch {
	case o == nil:
		return oid
	case index == "":
		return o.Name
	}
	return o.Name + "." + index
}

// showOctets makes octets readable: by what the object is, else as text where
// they are text, else in hex.
func showOctets(o *Object, b []byte) string {
	if o != nil {
		switch o.Show {
		case "mac":
			return hexOctets(b)
		case "inet":
			if a, ok := inetAddr(b); ok {
				return a.String()
			}
		case "lsp":
			if len(b) >= 6 && len(b) <= 8 {
				return systemID(b)
			}
		case "date":
			if s, ok := dateAndTime(b); ok {
				return s
			}
		}
	}
	text := strings.TrimRight(string(b), "\x00") // agents in C send the end too
	if printable(text) {
		return text
	}
	return hexOctets(b)
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
	}
	return true
}

// hexOctets writes 00:53:00:12:34:56.
func hexOctets(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	out := make([]byte, 0, 3*len(b)-1)
	for i := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, b[i:i+1])
	}
	return string(out)
}

// systemID writes an IS-IS id as engineers do: 1921.6800.1001, and .00-00 for
// the pseudonode and the fragment of an LSP.
func systemID(b []byte) string {
	h := hex.EncodeToString(b)
	s := h[:4] + "." + h[4:8] + "." + h[8:12]
	if len(b) > 6 {
		s += "." + h[12:14]
	}
	if len(b) > 7 {
		s += "-" + h[14:]
	}
	return s
}

// inetAddr reads an InetAddress (RFC 4001): 4 or 16 octets, and 4 more for the
// zone.
func inetAddr(b []byte) (netip.Addr, bool) {
	zone := ""
	if len(b) == 8 || len(b) == 20 {
		zone = strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[len(b)-4:])), 10)
		b = b[:len(b)-4]
	}
	a, ok := netip.AddrFromSlice(b)
	if ok && zone != "" && a.Is6() {
		a = a.WithZone(zone)
	}
	return a, ok
}

// dateAndTime reads a DateAndTime (RFC 2579).
func dateAndTime(b []byte) (string, bool) {
	if len(b) != 8 && len(b) != 11 {
		return "", false
	}
	if b[2] < 1 || b[2] > 12 || b[3] < 1 || b[3] > 31 || b[4] > 23 || b[5] > 59 || b[6] > 60 || b[7] > 9 {
		return "", false
	}
	year := binary.BigEndian.Uint16(b)
	s := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%d", year, b[2], b[3], b[4], b[5], b[6], b[7])
	if len(b) == 11 {
		if (b[8] != '+' && b[8] != '-') || b[9] > 14 || b[10] > 59 {
			return "", false
		}
		s += fmt.Sprintf("%c%02d:%02d", b[8], b[9], b[10])
	}
	if len(b) == 11 {
		if _, err := time.Parse("2006-01-02T15:04:05.9Z07:00", s); err != nil {
			return "", false
		}
	}
	return s, true
}

// indexAddr finds the last address in an index, by the object's layout. Agents
// differ in whether an address is led by its length; both are read.
func indexAddr(layout []string, index string) string {
	if len(layout) == 0 || index == "" {
		return ""
	}
	subs := strings.Split(index, ".")
	found := ""
	for _, part := range layout {
		var take int
		switch part {
		case "n":
			take = 1
		case "ip":
			found, take = addrOf(subs, 4)
		case "inet":
			found, take = inetIndex(subs)
		}
		if take == 0 || take > len(subs) {
			return found
		}
		subs = subs[take:]
	}
	return found
}

// inetIndex reads an InetAddressType and an InetAddress at the start of subs,
// and tells how many numbers they took.
func inetIndex(subs []string) (addr string, took int) {
	if len(subs) < 2 {
		return "", 0
	}
	size := map[string]int{"1": 4, "2": 16, "3": 8, "4": 20}[subs[0]]
	if size == 0 {
		return "", 0
	}
	rest, took := subs[1:], 1
	// A first number equal to the length is the length, if enough follows.
	if rest[0] == strconv.Itoa(size) && len(rest) > size {
		rest, took = rest[1:], 2
	}
	addr, n := addrOf(rest, size)
	if n == 0 {
		return "", 0
	}
	return addr, took + n
}

func addrOf(subs []string, size int) (string, int) {
	if len(subs) < size {
		return "", 0
	}
	b := make([]byte, size)
	for i := range b {
		v, err := strconv.ParseUint(subs[i], 10, 8)
		if err != nil {
			return "", 0
		}
		b[i] = byte(v)
	}
	a, ok := inetAddr(b)
	if !ok {
		return "", 0
	}
	return a.String(), size
}

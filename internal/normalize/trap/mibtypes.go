package trap

import (
	"strconv"

	"github.com/sleepinggenius2/gosmi/parser"
)

// describe finds labels, the way to show octets, and the addresses in the
// index of an object.
func (l *mibs) describe(m *mib, n *parser.Node, o *Object) {
	if len(n.ObjectType.Index) > 0 {
		m.layouts[string(n.Name)] = l.layout(m, n.ObjectType.Index)
	}
	if n.Oid != nil && len(n.Oid.SubIdentifiers) > 0 && n.Oid.SubIdentifiers[0].Name != nil {
		o.Index = m.layouts[string(*n.Oid.SubIdentifiers[0].Name)]
	}
	if t := n.ObjectType.Syntax.Type; t != nil {
		o.Enum, o.Show = l.syntax(m, t, 0)
	}
}

// syntax follows a type to where its labels are.
func (l *mibs) syntax(m *mib, t *parser.SyntaxType, depth int) (enum map[int64]string, show string) {
	name := string(t.Name)
	switch name {
	case "MacAddress", "PhysAddress":
		return nil, "mac"
	case "InetAddress":
		return nil, "inet"
	case "DateAndTime":
		return nil, "date"
	case "TruthValue":
		return map[int64]string{1: "true", 2: "false"}, ""
	case "BITS":
		return nil, ""
	}
	if len(t.Enum) > 0 {
		enum = make(map[int64]string, len(t.Enum))
		for _, e := range t.Enum {
			if v, err := strconv.ParseInt(e.Value, 10, 64); err == nil {
				enum[v] = string(e.Name)
			}
		}
		return enum, ""
	}
	if depth > 8 {
		return nil, ""
	}
	if next := m.types[name]; next != nil {
		return l.syntax(m, next, depth+1)
	}
	if from := l.modules[m.imports[name]]; from != nil {
		if next := from.types[name]; next != nil {
			return l.syntax(from, next, depth+1)
		}
	}
	return nil, ""
}

// layout says where in an index the addresses are, as far as it can be told.
func (l *mibs) layout(m *mib, index []parser.Index) []string {
	var out []string
	has := false
	for i := 0; i < len(index); i++ {
		switch t := l.baseType(m, string(index[i].Name)); t {
		case "InetAddressType":
			if i+1 < len(index) && l.baseType(m, string(index[i+1].Name)) == "InetAddress" {
				out, has = append(out, "inet"), true
				i++
				continue
			}
			out = append(out, "n")
		case "IpAddress":
			out, has = append(out, "ip"), true
		case "number":
			out = append(out, "n")
		default: // how many numbers it takes is not known
			i = len(index)
		}
	}
	if !has {
		return nil
	}
	return out
}

// baseType tells the types that matter in an index, and "number" for all that
// take one number.
func (l *mibs) baseType(m *mib, object string) string {
	n := m.nodes[object]
	if n == nil {
		from := l.modules[m.imports[object]]
		if from == nil || from.nodes[object] == nil {
			return ""
		}
		m, n = from, from.nodes[object]
	}
	if n.ObjectType == nil || n.ObjectType.Syntax.Type == nil {
		return ""
	}
	t := n.ObjectType.Syntax.Type
	for range 8 {
		switch name := string(t.Name); name {
		case "InetAddressType", "InetAddress", "IpAddress":
			return name
		case "INTEGER", "Integer32", "Unsigned32", "Gauge32", "InterfaceIndex", "InterfaceIndexOrZero", "TimeTicks", "TruthValue":
			return "number"
		default:
			next := m.types[name]
			if next == nil {
				if from := l.modules[m.imports[name]]; from != nil && from.types[name] != nil {
					m, next = from, from.types[name]
				}
			}
			if next == nil {
				return ""
			}
			t = next
		}
	}
	return ""
}

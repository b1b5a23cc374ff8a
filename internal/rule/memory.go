package rule

import (
	"strings"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/inventory"
	"signalbox/internal/schema"
)

// memory is what Deciding remembers between events, so that what many events
// have in common is worked out once: devices, names of interfaces. It serves one
// goroutine, one set and one inventory, and is bounded.
type memory struct {
	set     *Set
	inv     *inventory.Inventory
	devices map[string]*deviceFacts
	others  int // devices that the inventory does not know
	ports   map[string]string
	types   map[string]*typeMemory
	typ     *typeMemory // the one asked for last

	asked   asked
	keys    keyRoom
	inputs  []correlate.Input
	matches []Match
}

// Bounds of the memory.
const (
	maxOtherDevices = 1 << 12
	maxPorts        = 1 << 13
	maxTypes        = 1 << 12
)

// typeMemory is what events of one type have in common.
type typeMemory struct {
	name  string
	facts *typeFacts // nil: the catalogue does not have it
	live  []*bucket  // of Set.live
}

// deviceFacts is what the inventory says of a device.
type deviceFacts struct {
	values       []uint32  // of guardAttrs that are about these
	room         [8]uint32 // for them, beside each other
	device, site map[string]any
}

func newMemory() *memory { return &memory{} }

// about says which set and inventory are asked from here on.
func (m *memory) about(s *Set, inv *inventory.Inventory) {
	if m.set == s && m.inv == inv {
		return
	}
	m.set, m.inv, m.others = s, inv, 0
	m.devices, m.ports = map[string]*deviceFacts{}, map[string]string{}
	m.types, m.typ = map[string]*typeMemory{}, nil
}

// typeOf gives what is known of a type.
func (m *memory) typeOf(name string) *typeMemory {
	if m.typ != nil && m.typ.name == name {
		return m.typ
	}
	t := m.types[name]
	if t == nil {
		if len(m.types) >= maxTypes {
			clear(m.types)
		}
		t = &typeMemory{name: strings.Clone(name), facts: m.set.types[name], live: m.set.live.ofType(name, nil)}
		m.types[t.name] = t
	}
	m.typ = t
	return t
}

// device gives what the inventory says of a device.
func (m *memory) device(name string) *deviceFacts {
	if d := m.devices[name]; d != nil {
		return d
	}
	d := &deviceFacts{}
	var known bool
	d.device, known = m.inv.Device(name)
	site, _ := d.device["site"].(string)
	d.site, _ = m.inv.Site(site)
	if m.set.guards != nil {
		d.values = m.set.guards.ofDevice(name, d)
	}
	if !known {
		if m.others++; m.others > maxOtherDevices {
			clear(m.devices)
			m.others = 1
		}
	}
	// A copy: the name is a part of the batch that the event came with, and would
	// keep all of it.
	m.devices[strings.Clone(name)] = d
	return d
}

// port gives an interface's canonical name.
func (m *memory) port(name string) string {
	if name == "" {
		return ""
	}
	if p, ok := m.ports[name]; ok {
		return p
	}
	if len(m.ports) >= maxPorts {
		clear(m.ports)
	}
	name = strings.Clone(name)
	p := event.CanonicalInterface(name)
	m.ports[name] = p
	return p
}

// typeFacts is what the catalogue says of a type, as it is asked for each event.
type typeFacts struct {
	key    []attribute // fields of the data that make two events the same thing
	clears []string
	effect correlate.Effect
}

func newTypeFacts(t *schema.Type) *typeFacts {
	f := &typeFacts{clears: t.Clears, effect: correlate.Effect(t.Topology)}
	for _, name := range t.Key {
		f.key = append(f.key, attribute{"event.data", name})
	}
	return f
}

func typesOf(c Catalogue) map[string]*typeFacts {
	out := map[string]*typeFacts{}
	if c == nil {
		return out
	}
	for _, t := range c.Types() {
		out[t.Name] = newTypeFacts(&t)
	}
	return out
}

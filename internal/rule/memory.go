package rule

import (
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

	asked   asked
	keys    keyRoom
	inputs  []correlate.Input
	matches []Match
}

// Bounds of the memory.
const (
	maxOtherDevices = 1 << 12
	maxPorts        = 1 << 13
)

// deviceFacts is what the inventory says of a device.
type deviceFacts struct {
	device, site map[string]any
	values       []uint32 // of guardAttrs that are about these
}

func newMemory() *memory { return &memory{} }

// about says which set and inventory are asked from here on.
func (m *memory) about(s *Set, inv *inventory.Inventory) {
	if m.set == s && m.inv == inv {
		return
	}
	m.set, m.inv, m.others = s, inv, 0
	m.devices, m.ports = map[string]*deviceFacts{}, map[string]string{}
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
	m.devices[name] = d
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

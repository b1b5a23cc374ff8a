// Package inventory knows the devices of the network: what they are called,
// where they are and what they are for. It is read from YAML, never changes,
// and is pure: bytes in, answers out.
package inventory

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// Inventory answers questions about devices. It never changes after Parse, so
// it is safe for many goroutines at once; the maps that it hands out must not
// be written to. The nil *Inventory is an empty one.
type Inventory struct {
	devices []*device
	exact   map[string]*device // by name as the files write it
	byName  map[string]*device // lower case
	byAddr  map[netip.Addr]*device
	asked   [512]atomic.Pointer[asked]
	byLabel map[string]*device // first label of a name, lower case; nil where ambiguous
	sites   map[string]map[string]any
	// unlisted are the sites that devices name and nobody describes.
	unlisted map[string]map[string]any
	roots    []string
	topology *correlate.Topology
	fields   Fields
}

type device struct {
	name       string
	attrs      map[string]any
	interfaces map[string]map[string]any // by canonical name, lower case
}

// Kind is the type of an attribute's values: "string", "int", "number",
// "bool", "list", "map", or "any" where devices disagree.
type Kind string

// Fields says which attributes devices, interfaces and sites have, by name, so
// that expressions can be checked.
type Fields struct {
	Device    map[string]Kind
	Interface map[string]Kind
	Site      map[string]Kind
}

// Len is the number of devices.
func (v *Inventory) Len() int {
	if v == nil {
		return 0
	}
	return len(v.devices)
}

// Names lists the devices as the files have them.
func (v *Inventory) Names() []string {
	if v == nil {
		return nil
	}
	out := make([]string, len(v.devices))
	for i, d := range v.devices {
		out[i] = d.name
	}
	return out
}

// Fields says which attributes there are. The maps must not be written to.
func (v *Inventory) Fields() Fields {
	if v == nil {
		return baseFields()
	}
	return v.fields
}

// Device gives the record of a device by its name in the inventory (or any
// other name that Name knows). A device that the inventory does not know has a
// record with its name, and its address where the name is one; ok is then
// false. The map is never nil.
func (v *Inventory) Device(name string) (record map[string]any, ok bool) {
	if d := v.find(name); d != nil {
		return d.attrs, true
	}
	return Unknown(name, ""), false
}

// Unknown is the record of a device that is not in the inventory. Where name is
// an address it is the address too.
func Unknown(name, address string) map[string]any {
	if address == "" {
		if a, err := netip.ParseAddr(name); err == nil {
			address = a.Unmap().String()
		}
	}
	record := map[string]any{"name": name}
	if address != "" {
		record["address"] = address
	}
	return record
}

// Name gives the inventory's name of the device that calls itself hostname and
// sends from addr (an address, with or without a port; "" for not known). The
// host name counts first: by name in any case, then by the first label of a
// fully qualified name if that is unambiguous; then the address. A device that
// is not known keeps its host name, or its address where it has none.
func (v *Inventory) Name(hostname, addr string) string {
	if name, ok := v.Known(hostname, addr); ok {
		return name
	}
	if hostname != "" {
		return hostname
	}
	bare, _ := bareAddr(addr)
	return bare
}

// Known is Name for devices of the inventory only: ok is false for all others.
func (v *Inventory) Known(hostname, addr string) (name string, ok bool) {
	if v == nil {
		return "", false
	}
	if hostname != "" {
		if d := v.find(hostname); d != nil {
			return d.name, true
		}
	}
	if len(v.byAddr) == 0 || addr == "" {
		return "", false
	}
	if d := v.at(addr); d != nil {
		return d.name, true
	}
	return "", false
}

// asked is what was found at an address as it was written.
type asked struct {
	addr string
	d    *device // nil: no device of the inventory
}

// at finds the device at an address, with or without a port. Senders are few
// and write much: what was asked before is not parsed again.
func (v *Inventory) at(addr string) *device {
	h := uint32(len(addr))
	for i := max(len(addr)-8, 0); i < len(addr); i++ {
		h = h*31 + uint32(addr[i])
	}
	place := &v.asked[h%uint32(len(v.asked))]
	if a := place.Load(); a != nil && a.addr == addr {
		return a.d
	}
	a := &asked{addr: strings.Clone(addr)}
	if _, parsed := bareAddr(addr); parsed.IsValid() {
		a.d = v.byAddr[parsed]
	}
	place.Store(a)
	return a.d
}

func (v *Inventory) find(name string) *device {
	if v == nil || name == "" {
		return nil
	}
	if d := v.exact[name]; d != nil { // most names come from Name, so they are right
		return d
	}
	lower := strings.ToLower(name)
	if d := v.byName[lower]; d != nil {
		return d
	}
	if maybeAddr(name) {
		if a, err := netip.ParseAddr(name); err == nil {
			return v.byAddr[a.Unmap().WithZone("")]
		}
	}
	label, _, _ := strings.Cut(lower, ".")
	// sw1.example.net asks for sw1, and sw1 for sw1.example.net; but
	// sw1.example.net must not find sw1.example.org.
	d := v.byLabel[label]
	if d == nil || strings.Contains(lower, ".") && strings.Contains(d.name, ".") {
		return nil
	}
	return d
}

// Interface gives the record of a device's interface, whose name may be short
// or long. An interface that is not known has its canonical name only; ok is
// then false. The map is never nil.
func (v *Inventory) Interface(deviceName, name string) (record map[string]any, ok bool) {
	if name == "" {
		return nothing, false
	}
	canonical := event.CanonicalInterface(name)
	if d := v.find(deviceName); d != nil {
		if r, ok := d.interfaces[strings.ToLower(canonical)]; ok {
			return r, true
		}
	}
	return map[string]any{"name": canonical}, false
}

// Site gives the record of a site. A site that is not known, but that a device
// names, has its name only; ok is then false. The map is never nil.
func (v *Inventory) Site(name string) (record map[string]any, ok bool) {
	if v != nil {
		if r, ok := v.sites[name]; ok {
			return r, ok
		}
		if r, ok := v.unlisted[name]; ok {
			return r, false
		}
	}
	if name == "" {
		return nothing, false
	}
	return map[string]any{"name": name}, false
}

// nothing is the record of what has no name. Nobody writes to it.
var nothing = map[string]any{}

// maybeAddr spares most names an attempt to read them as an address, whose
// error costs an allocation.
func maybeAddr(s string) bool {
	return s[0] >= '0' && s[0] <= '9' || strings.IndexByte(s, ':') >= 0
}

func bareAddr(addr string) (string, netip.Addr) {
	if addr == "" {
		return "", netip.Addr{}
	}
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		a := ap.Addr().Unmap().WithZone("")
		return a.String(), a
	}
	if a, err := netip.ParseAddr(addr); err == nil {
		a = a.Unmap().WithZone("")
		return a.String(), a
	}
	return addr, netip.Addr{}
}

// baseFields are the attributes that expressions may always name.
func baseFields() Fields {
	return Fields{
		Device: map[string]Kind{
			"name": "string", "address": "string", "addresses": "list", "site": "string", "role": "string",
			"platform": "string", "vendor": "string", "tags": "list", "groups": "list", "interfaces": "map",
			"root": "bool",
		},
		Interface: map[string]Kind{
			"name": "string", "role": "string", "speed": "any", "peer": "string", "description": "string",
		},
		Site: map[string]Kind{"name": "string"},
	}
}

func kindOf(v any) Kind {
	switch v.(type) {
	case string:
		return "string"
	case int64:
		return "int"
	case float64:
		return "number"
	case bool:
		return "bool"
	case []any:
		return "list"
	case map[string]any:
		return "map"
	}
	return "any"
}

func (f Fields) clone() Fields {
	return Fields{Device: cloneKinds(f.Device), Interface: cloneKinds(f.Interface), Site: cloneKinds(f.Site)}
}

func cloneKinds(m map[string]Kind) map[string]Kind {
	out := make(map[string]Kind, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func note(kinds map[string]Kind, name string, v any) {
	if v == nil {
		return
	}
	k := kindOf(v)
	old, seen := kinds[name]
	switch {
	case !seen:
		kinds[name] = k
	case old == k, old == "any":
	case slices.Contains([]Kind{"int", "number"}, old) && slices.Contains([]Kind{"int", "number"}, k):
		kinds[name] = "number"
	default:
		kinds[name] = "any"
	}
}

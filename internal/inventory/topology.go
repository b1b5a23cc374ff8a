package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// Topology is how the devices are joined, nil where the files do not say. It
// must not be written to.
func (v *Inventory) Topology() *correlate.Topology {
	if v == nil {
		return nil
	}
	return v.topology
}

// end is one end of a link: a device, and its interface or "".
type end struct{ device, port string }

// linkLoad is a link as it is written. Devices are looked up when all files are
// read.
type linkLoad struct {
	file string
	at   *yaml.Node // what is said about b
	a, b end
	atA  *yaml.Node
	peer string // of an interface; b is then to be read from it
}

func (p *parser) truth(what string, n *yaml.Node) (v bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&v) != nil {
		p.errorf(n, "", "%s: expected true or false, found %s", what, kindName(n))
		return false
	}
	return v
}

const linkHint = `as in {a: sw1, a_interface: Gi0/1, b: core1, b_interface: Te1/1}, or "sw1:Gi0/1 core1:Te1/1"`

// readLinks reads the list of links. Each is a mapping, a text with two ends,
// or a list of two.
func (p *parser) readLinks(n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "begin each with a dash", "links: expected a list, found %s", kindName(n))
		return
	}
	for _, item := range n.Content {
		item = deref(item)
		var ends []string
		at := []*yaml.Node{item, item}
		switch item.Kind {
		case yaml.MappingNode:
			p.linkMapping(item)
			continue
		case yaml.SequenceNode:
			at = at[:0]
			for _, x := range item.Content {
				if s, ok := p.text("link", deref(x)); ok {
					ends, at = append(ends, s), append(at, deref(x))
				}
			}
		default:
			ends = strings.Fields(item.Value)
		}
		if len(ends) != 2 || isNull(item) {
			p.errorf(item, linkHint, "link: expected two ends, found %s", kindName(item))
			continue
		}
		p.links = append(p.links, linkLoad{file: p.file, at: at[1], atA: at[0], a: p.splitEnd(ends[0]), b: p.splitEnd(ends[1])})
	}
}

func (p *parser) linkMapping(n *yaml.Node) {
	l := linkLoad{file: p.file}
	known := []string{"a", "a_interface", "b", "b_interface"}
	p.eachPair(n, func(key, value *yaml.Node) {
		if !slices.Contains(known, key.Value) {
			p.errorf(key, spelling(key.Value, known), "unknown key %q, a link has %s", key.Value, strings.Join(known, ", "))
			return
		}
		if isNull(value) && strings.HasSuffix(key.Value, "_interface") {
			return
		}
		s, ok := p.text(key.Value, value)
		if !ok {
			return
		}
		switch key.Value {
		case "a":
			l.a.device, l.atA = s, value
		case "b":
			l.b.device, l.at = s, value
		case "a_interface":
			l.a.port = event.CanonicalInterface(s)
		case "b_interface":
			l.b.port = event.CanonicalInterface(s)
		}
	})
	for _, name := range []string{"a", "b"} {
		if valueOf(n, name) == nil {
			p.errorf(n, linkHint, "link: needs %s, a device", name)
		}
	}
	if l.at != nil && l.atA != nil {
		p.links = append(p.links, l)
	}
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// splitEnd reads sw1:Gi0/1. Interface names may have a colon of their own
// (Junos channels), device names hardly: the first one counts, unless all of it
// is a device (an IPv6 address).
func (p *parser) splitEnd(s string) end {
	device, port, ok := strings.Cut(s, ":")
	if !ok || p.inv.byName[strings.ToLower(s)] != nil {
		return end{device: s}
	}
	return end{device, event.CanonicalInterface(port)}
}

// join makes the topology of what was read.
func (p *parser) join() {
	names := map[string]bool{}
	for _, d := range p.inv.devices {
		names[d.name] = true
	}
	known := slices.Sorted(maps.Keys(names))
	seen := map[correlate.Link]bool{}
	var links []correlate.Link
	for _, l := range p.links {
		p.file = l.file
		link, ok := p.resolve(l, known)
		if ok && !seen[link] {
			seen[link] = true
			links = append(links, link)
		}
	}
	if len(links) == 0 && len(p.inv.roots) == 0 {
		return
	}
	links = mergeHalves(links)
	slices.SortFunc(links, func(a, b correlate.Link) int {
		return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.AInterface, b.AInterface), cmp.Compare(a.B, b.B), cmp.Compare(a.BInterface, b.BInterface))
	})
	slices.Sort(p.inv.roots)
	p.inv.topology = &correlate.Topology{Roots: p.inv.roots, Links: links}
}

// resolve gives a link with the inventory's names, its ends in one order.
func (p *parser) resolve(l linkLoad, known []string) (link correlate.Link, ok bool) {
	if l.peer != "" {
		l.b = p.splitEnd(strings.TrimSpace(l.peer))
		if p.inv.find(l.b.device) == nil {
			// A peer may be somebody else's; only a likely slip is worth a word.
			if hint := spelling(l.b.device, known); hint != "" {
				p.warnf(l.at, hint, "peer: device %q is not in the inventory", l.b.device)
			}
			return link, false
		}
	}
	for _, e := range []struct {
		end *end
		at  *yaml.Node
	}{{&l.a, l.atA}, {&l.b, l.at}} {
		if d := p.inv.find(e.end.device); d != nil {
			e.end.device = d.name
			continue
		}
		p.warnf(e.at, spelling(e.end.device, known), "link: device %q is not in the inventory", e.end.device)
	}
	if l.a.device == l.b.device {
		if l.peer == "" || l.a.port != l.b.port {
			p.errorf(l.at, "", "link: both ends are %s", l.a.device)
		}
		return link, false
	}
	if cmp.Or(cmp.Compare(l.a.device, l.b.device), cmp.Compare(l.a.port, l.b.port)) > 0 {
		l.a, l.b = l.b, l.a
	}
	return correlate.Link{A: l.a.device, AInterface: l.a.port, B: l.b.device, BInterface: l.b.port}, true
}

// mergeHalves makes one link of two that say one end each: sw1's Gi0/1 has the
// peer core1, and core1's Te1/1 has the peer sw1. Where there are several such
// between two devices nobody knows which belong together, and they stay.
func mergeHalves(links []correlate.Link) []correlate.Link {
	type pair struct{ a, b string }
	halves := map[pair][2][]int{}
	for i, l := range links {
		h := halves[pair{l.A, l.B}]
		switch {
		case l.AInterface != "" && l.BInterface == "":
			h[0] = append(h[0], i)
		case l.AInterface == "" && l.BInterface != "":
			h[1] = append(h[1], i)
		}
		halves[pair{l.A, l.B}] = h
	}
	drop := map[int]bool{}
	for i := range links {
		h := halves[pair{links[i].A, links[i].B}]
		if len(h[0]) == 1 && len(h[1]) == 1 && h[0][0] == i {
			links[i].BInterface = links[h[1][0]].BInterface
			drop[h[1][0]] = true
		}
	}
	out := links[:0:0]
	seen := map[correlate.Link]bool{}
	for i, l := range links {
		if !drop[i] && !seen[l] {
			seen[l] = true
			out = append(out, l)
		}
	}
	return out
}

func (p *parser) warnf(n *yaml.Node, hint, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: max(n.Line, 1), Col: max(n.Column, 1),
		Message: fmt.Sprintf(format, args...), Hint: hint, Warning: true})
}

package inventory

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v4"

	"signalbox/event"
)

// File is one inventory file: its name for messages, and its bytes.
type File struct {
	Name string
	Data []byte
}

// Problem is one mistake in a file.
type Problem struct {
	File      string
	Line, Col int // from 1
	Message   string
	Hint      string // what to do; "" for nothing to say
	Warning   bool   // the inventory can be used all the same
}

// Error writes the problem as file:line:col: message.
func (p Problem) Error() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	if p.Warning {
		s += "warning: "
	}
	s += p.Message
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// maxDepth bounds how deep attributes are nested.
const maxDepth = 16

type parser struct {
	file     string
	inv      *Inventory
	problems []Problem
	where    map[string]string // device, address or site → file:line where it is first
	links    []linkLoad
}

// Parse reads an inventory of all files together. It reports every mistake,
// and gives what could be read besides. The inventory is never nil.
func Parse(files []File) (*Inventory, []Problem) {
	p := &parser{
		inv: &Inventory{
			exact: map[string]*device{}, unlisted: map[string]map[string]any{},
			byName: map[string]*device{}, byAddr: map[netip.Addr]*device{},
			byLabel: map[string]*device{}, sites: map[string]map[string]any{}, fields: baseFields().clone(),
		},
		where: map[string]string{},
	}
	for _, f := range files {
		p.file = f.Name
		p.parseFile(f.Data)
	}
	p.inv.indexLabels()
	for _, d := range p.inv.devices {
		if site, _ := d.attrs["site"].(string); site != "" && p.inv.sites[site] == nil {
			p.inv.unlisted[site] = map[string]any{"name": site}
		}
	}
	p.join()
	return p.inv, p.problems
}

func (v *Inventory) indexLabels() {
	for _, d := range v.devices {
		label, _, _ := strings.Cut(strings.ToLower(d.name), ".")
		if _, taken := v.byLabel[label]; taken {
			v.byLabel[label] = nil
			continue
		}
		v.byLabel[label] = d
	}
}

func (p *parser) errorf(n *yaml.Node, hint, format string, args ...any) {
	line, col := 1, 1
	if n != nil {
		line, col = max(n.Line, 1), max(n.Column, 1)
	}
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Col: col, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *parser) parseFile(data []byte) {
	root, problem := Document(File{Name: p.file, Data: data})
	if problem != nil {
		p.problems = append(p.problems, *problem)
		return
	}
	if root == nil {
		return // an empty file has no devices
	}
	if root.Kind != yaml.MappingNode {
		p.errorf(root, "write devices: and below it a list", "expected a mapping with devices and sites, found %s", kindName(root))
		return
	}
	p.eachPair(root, func(key, value *yaml.Node) {
		switch key.Value {
		case "devices":
			p.eachNamed(value, "device", p.device)
		case "sites":
			p.eachNamed(value, "site", p.site)
		case "links":
			p.readLinks(value)
		default:
			p.errorf(key, spelling(key.Value, []string{"devices", "sites", "links"}), "unknown key %q, expected devices, sites or links", key.Value)
		}
	})
}

// eachPair walks a mapping and reports keys that are there twice or no strings.
func (p *parser) eachPair(n *yaml.Node, fn func(key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], deref(n.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			p.errorf(key, "", "expected a plain key, found %s", kindName(key))
			continue
		}
		if line, dup := seen[key.Value]; dup {
			p.errorf(key, "", "key %q is already at line %d", key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		fn(key, value)
	}
}

// eachNamed walks a list of mappings with a name, or a mapping from name to
// the rest.
func (p *parser) eachNamed(n *yaml.Node, what string, fn func(at *yaml.Node, name string, body *yaml.Node)) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			item = deref(item)
			if item.Kind == yaml.ScalarNode && item.ShortTag() == "!!str" {
				fn(item, item.Value, nil)
				continue
			}
			if item.Kind != yaml.MappingNode {
				p.errorf(item, "", "expected a %s with a name, found %s", what, kindName(item))
				continue
			}
			at, name := item, ""
			for i := 0; i+1 < len(item.Content); i += 2 {
				if item.Content[i].Value == "name" {
					at = deref(item.Content[i+1])
					if at.Kind == yaml.ScalarNode {
						name = at.Value
					}
				}
			}
			if strings.TrimSpace(name) == "" {
				p.errorf(at, "write name: and the "+what+"'s name", "this %s has no name", what)
				continue
			}
			fn(at, name, item)
		}
	case yaml.MappingNode:
		p.eachPair(n, func(key, value *yaml.Node) {
			if strings.TrimSpace(key.Value) == "" {
				p.errorf(key, "write the "+what+"'s name before the colon", "this %s has no name", what)
				return
			}
			if isNull(value) {
				value = nil
			} else if value.Kind != yaml.MappingNode {
				p.errorf(value, "", "expected the attributes of %s %q, found %s", what, key.Value, kindName(value))
				return
			}
			fn(key, key.Value, value)
		})
	case yaml.ScalarNode:
		if !isNull(n) {
			p.errorf(n, "", "expected a list of %ss, found %s", what, kindName(n))
		}
	}
}

// claim says that something may be there only once.
func (p *parser) claim(kind, name string, at *yaml.Node) bool {
	id := kind + "\x00" + name
	if first, dup := p.where[id]; dup {
		p.errorf(at, "", "%s %q is already at %s", kind, name, first)
		return false
	}
	p.where[id] = fmt.Sprintf("%s:%d", p.file, at.Line)
	return true
}

func (p *parser) device(at *yaml.Node, name string, body *yaml.Node) {
	if !p.claim("device", strings.ToLower(name), at) {
		return
	}
	d := &device{name: name, attrs: map[string]any{"name": name}, interfaces: map[string]map[string]any{}}
	var addrs []any
	if body != nil {
		p.eachPair(body, func(key, value *yaml.Node) {
			if isNull(value) {
				return // not set
			}
			switch key.Value {
			case "name":
			case "address":
				if a, ok := p.address(d, value); ok {
					addrs = append([]any{a}, addrs...)
				}
			case "addresses":
				if value.Kind != yaml.SequenceNode {
					p.errorf(value, "", "addresses: expected a list of addresses, found %s", kindName(value))
					return
				}
				for _, item := range value.Content {
					if a, ok := p.address(d, deref(item)); ok {
						addrs = append(addrs, a)
					}
				}
			case "site", "role", "platform", "vendor":
				if s, ok := p.text(key.Value, value); ok {
					d.attrs[key.Value] = s
				}
			case "root":
				if p.truth("root", value) {
					d.attrs["root"] = true
					p.inv.roots = append(p.inv.roots, name)
				}
			case "tags", "groups":
				if list, ok := p.texts(key.Value, value); ok {
					d.attrs[key.Value] = list
				}
			case "interfaces":
				p.interfaces(d, value)
			default:
				p.attribute(d.attrs, p.inv.fields.Device, key, value)
			}
		})
	}
	if len(addrs) > 0 {
		d.attrs["address"] = addrs[0]
		d.attrs["addresses"] = addrs
	}
	p.inv.devices = append(p.inv.devices, d)
	p.inv.byName[strings.ToLower(name)] = d
	p.inv.exact[name] = d
}

// address takes one address of d, with or without a prefix length.
func (p *parser) address(d *device, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		p.errorf(n, "", "expected an IP address, found %s", kindName(n))
		return "", false
	}
	text, _, _ := strings.Cut(n.Value, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		p.errorf(n, "as in 192.0.2.1 or 2001:db8::1", "expected an IP address, found %q", n.Value)
		return "", false
	}
	a = a.Unmap().WithZone("")
	if other := p.inv.byAddr[a]; other == d {
		return "", false // in address and in addresses: once is enough
	}
	if !p.claim("address", a.String(), n) {
		return "", false
	}
	p.inv.byAddr[a] = d
	return a.String(), true
}

func (p *parser) text(what string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.errorf(n, "", "%s: expected a text, found %s", what, kindName(n))
		return "", false
	}
	return n.Value, true
}

func (p *parser) texts(what string, n *yaml.Node) ([]any, bool) {
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "as in ["+n.Value+"]", "%s: expected a list of texts, found %s", what, kindName(n))
		return nil, false
	}
	out := make([]any, 0, len(n.Content))
	for _, item := range n.Content {
		if s, ok := p.text(what, deref(item)); ok {
			out = append(out, s)
		}
	}
	return out, true
}

func (p *parser) interfaces(d *device, n *yaml.Node) {
	all := map[string]any{}
	p.eachNamed(n, "interface", func(at *yaml.Node, name string, body *yaml.Node) {
		canonical := event.CanonicalInterface(name)
		id := strings.ToLower(canonical)
		if _, dup := d.interfaces[id]; dup {
			p.errorf(at, "", "interface %q of %s is there twice (%s)", name, d.name, canonical)
			return
		}
		record := map[string]any{"name": canonical}
		if body != nil {
			p.eachPair(body, func(key, value *yaml.Node) {
				if isNull(value) {
					return
				}
				switch key.Value {
				case "name":
				case "role", "peer", "description":
					s, ok := p.text(key.Value, value)
					if !ok {
						return
					}
					record[key.Value] = s
					if key.Value == "peer" {
						p.links = append(p.links, linkLoad{file: p.file, at: value, a: end{d.name, canonical}, peer: s})
					}
				default:
					p.attribute(record, p.inv.fields.Interface, key, value)
				}
			})
		}
		d.interfaces[id] = record
		all[canonical] = record
	})
	d.attrs["interfaces"] = all
}

func (p *parser) site(at *yaml.Node, name string, body *yaml.Node) {
	if !p.claim("site", name, at) {
		return
	}
	record := map[string]any{"name": name}
	if body != nil {
		p.eachPair(body, func(key, value *yaml.Node) {
			if key.Value != "name" {
				p.attribute(record, p.inv.fields.Site, key, value)
			}
		})
	}
	p.inv.sites[name] = record
}

// attribute takes a free attribute; its type is noted for the checks of
// expressions.
func (p *parser) attribute(record map[string]any, kinds map[string]Kind, key, value *yaml.Node) {
	v, err := plain(value, 0)
	if err != nil {
		p.errorf(value, "", "%s: %v", key.Value, err)
		return
	}
	if v == nil {
		return // not set
	}
	record[key.Value] = v
	note(kinds, key.Value, v)
}

// plain makes a Go value of a node: string, int64, float64, bool, []any,
// map[string]any or nil. Times stay the text that was written.
func plain(n *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	n = deref(n)
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, err := plain(item, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := plain(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			out[n.Content[i].Value] = v
		}
		return out, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return n.Value, nil //nolint:nilerr // what YAML cannot type is a text
	}
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case int64, float64, bool, string, nil:
		return v, nil
	case time.Time:
		return n.Value, nil
	}
	return n.Value, nil
}

// deref follows an alias. The YAML library has refused alias bombs by now.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

func spelling(word string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := levenshtein.ComputeDistance(word, k); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

package trap

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"signalbox/packs"
)

// Names knows what object identifiers are called. It is immutable once made,
// and safe for many goroutines.
type Names struct {
	byOID  map[string]*Object
	byName map[string]*Object
}

// Object is a notification or an object that a notification carries.
type Object struct {
	OID, Name, Module string
	Notification      bool
	// Show says how octets are shown: "mac", "inet" (an InetAddress), "lsp" (an
	// IS-IS id), "date" (DateAndTime), or "" for text where it is printable.
	Show string
	// Enum labels integers.
	Enum map[int64]string
	// Index says where in the index the addresses are: "ip" for four
	// numbers, "inet" for an InetAddressType and an InetAddress, "n" for one
	// number; in order.
	Index []string
}

var builtin = sync.OnceValue(func() *Names {
	n, err := parseTable(packs.Notifications)
	if err != nil {
		panic("packs/notifications.txt: " + err.Error()) // a test reads it first
	}
	return n
})

// Builtin returns the names in the binary.
func Builtin() *Names { return builtin() }

// Lookup finds the object that oid (dotted, no leading dot) is an instance of,
// and the index that follows. It returns nil and "" where none is known.
func (n *Names) Lookup(oid string) (*Object, string) {
	for end := len(oid); end > 0; end = strings.LastIndexByte(oid[:end], '.') {
		if o := n.byOID[oid[:end]]; o != nil {
			if end == len(oid) {
				return o, ""
			}
			return o, oid[end+1:]
		}
	}
	return nil, ""
}

// ByName finds an object by its name ("ifDescr"), or nil.
func (n *Names) ByName(name string) *Object { return n.byName[name] }

// Len is how many objects are known.
func (n *Names) Len() int { return len(n.byOID) }

// merge returns the union; extra wins on an OID, and n keeps its names.
func (n *Names) merge(extra []*Object) *Names {
	out := &Names{
		byOID:  make(map[string]*Object, len(n.byOID)+len(extra)),
		byName: make(map[string]*Object, len(n.byName)+len(extra)),
	}
	for k, v := range n.byOID {
		out.byOID[k] = v
	}
	for k, v := range n.byName {
		out.byName[k] = v
	}
	for _, o := range extra {
		if old := out.byOID[o.OID]; old != nil && old.Name == o.Name {
			continue // ours knows more: how to show it, where its addresses are
		}
		out.add(o)
	}
	return out
}

func (n *Names) add(o *Object) {
	n.byOID[o.OID] = o
	if n.byName[o.Name] == nil {
		n.byName[o.Name] = o
	}
}

// parseTable reads packs/notifications.txt; the file says what its lines mean.
func parseTable(table []byte) (*Names, error) {
	n := &Names{byOID: map[string]*Object{}, byName: map[string]*Object{}}
	var module, base string
	sc := bufio.NewScanner(bytes.NewReader(table))
	for line := 1; sc.Scan(); line++ {
		text := sc.Text()
		f := strings.Fields(text)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if text[0] != ' ' {
			module, base = f[0], ""
			continue
		}
		if b, ok := strings.CutPrefix(f[0], "@"); ok {
			base = b
			continue
		}
		o, err := parseEntry(f, base)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		o.Module = module
		if old := n.byOID[o.OID]; old != nil {
			return nil, fmt.Errorf("line %d: %s is %s already", line, o.OID, old.Name)
		}
		n.add(o)
	}
	return n, sc.Err()
}

func parseEntry(f []string, base string) (*Object, error) {
	if len(f) < 2 {
		return nil, fmt.Errorf("want an identifier and a name, got %q", f)
	}
	o := &Object{OID: f[0], Name: f[1]}
	if f[0][0] == '.' {
		if base == "" {
			return nil, fmt.Errorf("%s: no @ line before it", f[0])
		}
		o.OID = base + f[0]
	}
	for _, w := range f[2:] {
		switch {
		case w == "trap":
			o.Notification = true
		case w == "mac" || w == "inet" || w == "lsp" || w == "date":
			o.Show = w
		case strings.HasPrefix(w, "index="):
			o.Index = strings.Split(w[len("index="):], ",")
		default:
			if err := o.addLabel(w); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// addLabel takes "down(2)".
func (o *Object) addLabel(w string) error {
	label, number, ok := strings.Cut(strings.TrimSuffix(w, ")"), "(")
	i, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("%s: %q is neither trap, mac, inet, lsp, date, index= nor label(number)", o.Name, w)
	}
	if o.Enum == nil {
		o.Enum = map[int64]string{}
	}
	o.Enum[i] = label
	return nil
}

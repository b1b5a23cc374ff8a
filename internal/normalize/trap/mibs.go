package trap

import (
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/sleepinggenius2/gosmi/parser"
	"github.com/sleepinggenius2/gosmi/types"
)

// Bounds of a folder of MIB files. The largest that vendors ship are around
// 1 MB, their bundles around 1,500 files.
const (
	maxMIBFiles = 4000
	maxMIBSize  = 8 << 20
)

// LoadMIBs reads the MIB files in fsys and its folders, and returns the names
// in the binary with theirs added. Problems tell what could not be used in
// full: a file that does not parse, a module that another one needs and that is
// not there. The error is for a folder that cannot be read at all.
//
// Only gosmi's parser is used. Its symbol tables are global, print, and take an
// identifier whose import is missing for one directly below the root.
func LoadMIBs(fsys fs.FS) (names *Names, problems []string, err error) {
	l := &mibs{modules: map[string]*mib{}, oids: map[string]string{}, missing: map[string]map[string]bool{}}
	files := 0
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := path.Base(name); name != "." && strings.HasPrefix(base, ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if files++; files > maxMIBFiles {
			return fmt.Errorf("more than %d files", maxMIBFiles)
		}
		if p := l.readFile(fsys, name); p != "" {
			problems = append(problems, p)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	objects, unplaced := l.resolve()
	problems = append(problems, l.explain(unplaced)...)
	return Builtin().merge(objects), problems, nil
}

// mibs is what has been read so far.
type mibs struct {
	modules map[string]*mib
	oids    map[string]string          // "module::name", resolved; "" while under way
	missing map[string]map[string]bool // module that is not there → who needs it
}

type mib struct {
	name    string
	imports map[string]string // name → module
	nodes   map[string]*parser.Node
	order   []string
	oids    map[string]*parser.Oid
	types   map[string]*parser.SyntaxType
	layouts map[string][]string // index of a row, by the row's name
}

// readFile takes one file in and says what is wrong with it, "" for nothing.
func (l *mibs) readFile(fsys fs.FS, name string) (problem string) {
	// The parser is generated, unmaintained, and gets whatever is in the folder.
	defer func() {
		if r := recover(); r != nil {
			problem = fmt.Sprintf("%s: the MIB parser broke: %v", name, r)
		}
	}()
	if info, err := fs.Stat(fsys, name); err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	} else if info.Size() > maxMIBSize {
		return fmt.Sprintf("%s: %d bytes are more than a MIB file may have (%d)", name, info.Size(), maxMIBSize)
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	if !strings.Contains(string(text), "DEFINITIONS") {
		return name + ": no MIB module (it has no DEFINITIONS)"
	}
	m, err := parser.Parse(strings.NewReader(string(text)))
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	if l.modules[string(m.Name)] != nil {
		return fmt.Sprintf("%s: module %s is in another file too; that one is used", name, m.Name)
	}
	l.modules[string(m.Name)] = newMIB(m)
	return ""
}

func newMIB(m *parser.Module) *mib {
	out := &mib{
		name: string(m.Name), imports: map[string]string{}, nodes: map[string]*parser.Node{},
		oids: map[string]*parser.Oid{}, types: map[string]*parser.SyntaxType{}, layouts: map[string][]string{},
	}
	for _, i := range m.Body.Imports {
		for _, n := range i.Names {
			out.imports[string(n)] = string(i.Module)
		}
	}
	if id := m.Body.Identity; id != nil {
		out.oids[string(id.Name)] = &id.Oid
	}
	for i := range m.Body.Types {
		t := &m.Body.Types[i]
		switch {
		case t.TextualConvention != nil:
			out.types[string(t.Name)] = &t.TextualConvention.Syntax
		case t.Syntax != nil:
			out.types[string(t.Name)] = t.Syntax
		}
	}
	for i := range m.Body.Nodes {
		n := &m.Body.Nodes[i]
		name := string(n.Name)
		out.nodes[name] = n
		out.order = append(out.order, name)
		if n.Oid != nil {
			out.oids[name] = n.Oid
		}
	}
	return out
}

// roots are the identifiers that every module stands on (SNMPv2-SMI and the
// modules before it), so that these files need not be in the folder.
var roots = map[string]string{
	"ccitt": "0", "iso": "1", "joint-iso-ccitt": "2", "org": "1.3", "dod": "1.3.6",
	"internet": "1.3.6.1", "directory": "1.3.6.1.1", "mgmt": "1.3.6.1.2", "mib-2": "1.3.6.1.2.1",
	"system": "1.3.6.1.2.1.1", "interfaces": "1.3.6.1.2.1.2", "transmission": "1.3.6.1.2.1.10", "snmp": "1.3.6.1.2.1.11",
	"experimental": "1.3.6.1.3", "private": "1.3.6.1.4", "enterprises": "1.3.6.1.4.1", "security": "1.3.6.1.5",
	"snmpV2": "1.3.6.1.6", "snmpDomains": "1.3.6.1.6.1", "snmpProxys": "1.3.6.1.6.2", "snmpModules": "1.3.6.1.6.3",
	"snmpTraps": "1.3.6.1.6.3.1.1.5", "zeroDotZero": "0.0",
	"cisco": "1.3.6.1.4.1.9", "ciscoMgmt": "1.3.6.1.4.1.9.9", "ciscoExperiment": "1.3.6.1.4.1.9.10",
}

// grammar are the modules that define the language itself, or types that are
// known here.
var grammar = map[string]bool{
	"SNMPv2-SMI": true, "SNMPv2-TC": true, "SNMPv2-CONF": true, "RFC1155-SMI": true, "RFC-1212": true,
	"RFC-1215": true, "RFC1213-MIB": true, "INET-ADDRESS-MIB": true, "CISCO-SMI": true,
}

// resolve places every node, and tells how many of each module have no place.
func (l *mibs) resolve() (objects []*Object, unplaced map[string]int) {
	unplaced = map[string]int{}
	names := make([]string, 0, len(l.modules))
	for name := range l.modules {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		m := l.modules[name]
		for i, module := range m.imports {
			if l.modules[module] == nil && !grammar[module] && Builtin().ByName(i) == nil {
				if l.missing[module] == nil {
					l.missing[module] = map[string]bool{}
				}
				l.missing[module][name] = true
			}
		}
		for _, node := range m.order {
			o := l.object(m, node)
			if o == nil {
				unplaced[name]++
				continue
			}
			if o.OID != "" {
				objects = append(objects, o)
			}
		}
	}
	return objects, unplaced
}

// object makes what is known of one node; nil where it has no place, and one
// with no OID where it is of no use (a compliance statement, a table).
func (l *mibs) object(m *mib, name string) *Object {
	n := m.nodes[name]
	o := &Object{Name: name, Module: m.name}
	switch {
	case n.TrapType != nil && n.SubIdentifier != nil:
		enterprise := l.oid(m, string(n.TrapType.Enterprise), 0)
		if enterprise == "" {
			return nil
		}
		if enterprise == roots["snmp"] {
			return o // the six generic traps, known by their v2 names
		}
		o.OID, o.Notification = enterprise+".0."+strconv.FormatUint(uint64(*n.SubIdentifier), 10), true
		return o
	case n.NotificationType != nil:
		o.Notification = true
	case n.ObjectType != nil:
		l.describe(m, n, o)
	case n.ObjectGroup != nil, n.NotificationGroup != nil, n.ModuleCompliance != nil, n.AgentCapabilities != nil:
		return o
	}
	oid := l.oid(m, name, 0)
	if oid == "" {
		return nil
	}
	o.OID = oid
	return o
}

// oid resolves a name as module m sees it; "" where it cannot be.
func (l *mibs) oid(m *mib, name string, depth int) string {
	if depth > 128 {
		return ""
	}
	key := m.name + "::" + name
	if oid, ok := l.oids[key]; ok {
		return oid
	}
	l.oids[key] = "" // a circle ends here
	var oid string
	if def := m.oids[name]; def != nil {
		oid = l.place(m, def.SubIdentifiers, depth)
	} else if from := l.modules[m.imports[name]]; from != nil && from != m {
		oid = l.oid(from, name, depth+1)
	} else if r, ok := roots[name]; ok {
		oid = r
	} else if o := Builtin().ByName(name); o != nil && m.imports[name] != "" {
		oid = o.OID
	}
	l.oids[key] = oid
	return oid
}

// place turns "{ ifEntry 2 }" into numbers.
func (l *mibs) place(m *mib, subs []parser.SubIdentifier, depth int) string {
	out := ""
	for i, s := range subs {
		switch {
		case i == 0 && s.Name != nil:
			if out = l.oid(m, string(*s.Name), depth+1); out == "" && s.Number != nil {
				out = number(*s.Number)
			}
			if out == "" {
				return ""
			}
		case s.Number != nil:
			if out != "" {
				out += "."
			}
			out += number(*s.Number)
		default:
			return ""
		}
	}
	return out
}

func number(n types.SmiSubId) string { return strconv.FormatUint(uint64(n), 10) }

// explain writes for people what is missing.
func (l *mibs) explain(unplaced map[string]int) []string {
	var out []string
	for module, by := range l.missing {
		needs := make([]string, 0, len(by))
		for name := range by {
			if n := unplaced[name]; n > 0 {
				name += fmt.Sprintf(" (%d names cannot be placed)", n)
				delete(unplaced, strings.Fields(name)[0])
			}
			needs = append(needs, name)
		}
		sort.Strings(needs)
		out = append(out, fmt.Sprintf("module %s is not in the folder, and is needed by %s", module, strings.Join(needs, ", ")))
	}
	for name, n := range unplaced {
		out = append(out, fmt.Sprintf("module %s: %d names cannot be placed, since what they stand on cannot", name, n))
	}
	sort.Strings(out)
	return out
}

package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"signalbox/internal/schema/scan"
	"signalbox/packs"
)

// Catalogue holds the event types that Signalbox knows. It never changes once
// it is loaded, and is safe for many goroutines at once.
type Catalogue struct {
	// Version is a hash of all types: the same types, the same version.
	Version string
	types   map[string]*entry
	names   []string // sorted
}

// entry is a type and how its data is checked: by our own checker where the
// schema uses only what that knows, else by the library.
type entry struct {
	Type
	has  map[string]bool
	fast *object
	full *jsonschema.Schema
}

// Load reads the built-in types and then the *.json files of the users'
// folders, where a type of the same name takes the built-in one's place. The
// error lists every problem, each with its file and line.
func Load(users ...fs.FS) (*Catalogue, error) {
	c := &Catalogue{types: map[string]*entry{}}
	var errs []error
	for i, fsys := range append([]fs.FS{packs.Types()}, users...) {
		errs = append(errs, c.loadFolder(fsys, i > 0)...)
	}
	for name := range c.types {
		c.names = append(c.names, name)
	}
	slices.Sort(c.names)
	for _, name := range c.names {
		for _, other := range c.types[name].Clears {
			if _, ok := c.types[other]; !ok {
				errs = append(errs, fmt.Errorf("%s.json: x-clears: no event type %q", name, other))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, name := range c.names {
		fmt.Fprintf(h, "%s %d\n", name, len(c.types[name].Source))
		h.Write(c.types[name].Source)
	}
	c.Version = hex.EncodeToString(h.Sum(nil)[:8])
	return c, nil
}

func (c *Catalogue) loadFolder(fsys fs.FS, user bool) (errs []error) {
	files, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return []error{err}
	}
	slices.Sort(files)
	for _, file := range files {
		src, err := fs.ReadFile(fsys, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e, err := parseType(strings.TrimSuffix(path.Base(file), ".json"), src)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%w", file, err))
			continue
		}
		c.types[e.Name] = e
	}
	return errs
}

// FromSource makes a catalogue of schema documents by type name, as a rule
// bundle carries them. Nothing built in is added.
func FromSource(docs map[string][]byte) (*Catalogue, error) {
	c := &Catalogue{types: map[string]*entry{}}
	h := sha256.New()
	for name := range docs {
		c.names = append(c.names, name)
	}
	slices.Sort(c.names)
	for _, name := range c.names {
		e, err := parseType(name, docs[name])
		if err != nil {
			return nil, fmt.Errorf("%s.json:%w", name, err)
		}
		c.types[name] = e
		fmt.Fprintf(h, "%s %d\n", name, len(e.Source))
		h.Write(e.Source)
	}
	c.Version = hex.EncodeToString(h.Sum(nil)[:8])
	return c, nil
}

// Type finds a type by name.
func (c *Catalogue) Type(name string) (Type, bool) {
	if e, ok := c.types[name]; ok {
		return e.Type, true
	}
	return Type{}, false
}

// HasField says whether a type is known and its data has the named field. It is
// cheap enough to be asked for every message.
func (c *Catalogue) HasField(typ, field string) bool {
	e, ok := c.types[typ]
	return ok && e.has[field]
}

// Types lists all types by name.
func (c *Catalogue) Types() []Type {
	out := make([]Type, len(c.names))
	for i, name := range c.names {
		out[i] = c.types[name].Type
	}
	return out
}

// topologies are the values of x-topology.
var topologies = []string{"device_down", "device_up", "link_down", "link_up"}

// document is what we read of a schema document ourselves.
type document struct {
	Description string          `json:"description"`
	Type        json.RawMessage `json:"type"`
	Properties  json.RawMessage `json:"properties"`
	Required    []string        `json:"required"`
	Key         []string        `json:"x-key"`
	Clears      []string        `json:"x-clears"`
	Topology    string          `json:"x-topology"`
}

// property is one entry of properties.
type property struct {
	Type        json.RawMessage   `json:"type"`
	Description string            `json:"description"`
	Format      string            `json:"format"`
	Unit        string            `json:"x-unit"`
	Enum        []json.RawMessage `json:"enum"`
	Properties  json.RawMessage   `json:"properties"`
	Required    []string          `json:"required"`
}

func parseType(name string, src []byte) (*entry, error) {
	if !ValidType(name) {
		return nil, fmt.Errorf("1:1: %q is no name of an event type: use snake_case, as in interface_down", name)
	}
	if err := scan.Check(src, maxDepth); err != nil {
		var at *scan.Error
		errors.As(err, &at)
		return nil, fmt.Errorf("%s: %s", position(src, at.Offset), at.Msg)
	}
	var doc document
	if err := json.Unmarshal(src, &doc); err != nil {
		return nil, fmt.Errorf("1:1: %v", err)
	}
	if t, _ := scan.String(doc.Type); t != "object" {
		return nil, errors.New(`1:1: type: an event's data is an object; write "type": "object"`)
	}
	e := &entry{Type: Type{Name: name, Doc: doc.Description, Key: doc.Key, Clears: doc.Clears, Topology: doc.Topology, Source: src}}
	if doc.Topology != "" && !slices.Contains(topologies, doc.Topology) {
		return nil, fmt.Errorf("%s: x-topology: %q is none of %s", position(src, bytes.Index(src, []byte(`"x-topology"`))), doc.Topology, strings.Join(topologies, ", "))
	}
	var err error
	if e.Fields, err = fields(doc.Properties, doc.Required, 0); err != nil {
		return nil, fmt.Errorf("1:1: %w", err)
	}
	e.has = make(map[string]bool, len(e.Fields))
	for _, f := range e.Fields {
		e.has[f.Name] = true
	}
	for _, k := range doc.Key {
		if !slices.ContainsFunc(e.Fields, func(f Field) bool { return f.Name == k }) {
			return nil, fmt.Errorf("%s: x-key: no property %q", position(src, bytes.Index(src, []byte(`"x-key"`))), k)
		}
	}
	if e.full, err = compileFull(name, src); err != nil {
		return nil, fmt.Errorf("1:1: %w", err)
	}
	if fast, ok := compileFast(src); ok {
		e.fast = fast
	}
	return e, nil
}

// compileFull compiles with the library, which also checks the document
// against the meta schema. It reads no other file: $ref stays inside.
func compileFull(name string, src []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	comp := jsonschema.NewCompiler()
	comp.DefaultDraft(jsonschema.Draft2020)
	comp.UseLoader(jsonschema.SchemeURLLoader{})
	url := "mem:///" + name + ".json"
	if err := comp.AddResource(url, doc); err != nil {
		return nil, err
	}
	s, err := comp.Compile(url)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func fields(props json.RawMessage, required []string, depth int) ([]Field, error) {
	if depth > maxDepth {
		return nil, errors.New("properties nested too deep")
	}
	var out []Field
	for name, val := range scan.Members(props) {
		var p property
		if val[0] != '{' {
			continue // true or false as a schema
		}
		f := Field{Name: scan.Name(name)}
		if err := json.Unmarshal(val, &p); err != nil {
			return nil, fmt.Errorf("property %s: %w", f.Name, err)
		}
		f.Type, f.Format, f.Unit, f.Doc = firstType(p.Type), p.Format, p.Unit, p.Description
		f.Required = slices.Contains(required, f.Name)
		for _, e := range p.Enum {
			if s, ok := scan.String(e); ok {
				f.Enum = append(f.Enum, s)
			}
		}
		var err error
		if f.Fields, err = fields(p.Properties, p.Required, depth+1); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// firstType is the type of a property for type checks: of several the first
// that is not null, and "" for any.
func firstType(raw json.RawMessage) string {
	if s, ok := scan.String(scan.Trim(raw)); ok {
		return s
	}
	var one string
	for v := range scan.Elements(raw) {
		s, _ := scan.String(v)
		if s == "null" {
			continue
		}
		if one != "" {
			return ""
		}
		one = s
	}
	return one
}

// position turns a byte offset into line:column, from 1.
func position(src []byte, offset int) string {
	offset = min(max(offset, 0), len(src))
	line := 1 + bytes.Count(src[:offset], []byte("\n"))
	return fmt.Sprintf("%d:%d", line, offset-bytes.LastIndexByte(src[:offset], '\n'))
}

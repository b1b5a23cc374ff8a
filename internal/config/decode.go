package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v4"
)

// Problem is one mistake in a file, where it is and what to do about it.
type Problem struct {
	File      string
	Line, Col int // 0 where the whole file is meant
	Message   string
}

// String is file:line:column: message.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
}

// Problems is all the mistakes of a file; as an error it prints one a line.
type Problems []Problem

// Error lists the problems.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// parseYAML reads one document and puts environment variables in. An empty
// file is an empty mapping.
func parseYAML(path string, data []byte) (*yaml.Node, Problems) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		p := yamlProblem(path, err)
		if lines := bytes.Split(data, []byte("\n")); p.Line > 0 && p.Line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[p.Line-1], " "), []byte("\t")) {
			p.Message = "a tab: YAML is indented with spaces"
		}
		return nil, Problems{p}
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	}
	root := doc.Content[0]
	return root, interpolate(path, root)
}

// yamlLine is where the library says the place: "line 3, column 5: " or
// "… at L3.C5: ".
var yamlLine = regexp.MustCompile(`^(?:.* at L(\d+)\.C(\d+)|.*line (\d+)(?:, column (\d+))?): `)

func yamlProblem(path string, err error) Problem {
	p := Problem{File: path, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(p.Message); m != nil {
		_, _ = fmt.Sscan(m[1]+m[3], &p.Line)
		if _, err := fmt.Sscan(m[2]+m[4], &p.Col); err != nil {
			p.Col = 1
		}
		p.Message = p.Message[len(m[0]):]
	}
	if m := wrongKind.FindStringSubmatch(p.Message); m != nil {
		expected := kindOf(m[2])
		if m[3] != "" {
			expected = "text"
		}
		p.Message = "expected " + expected + ", found " + yamlKinds[m[1]]
	}
	return p
}

// wrongKind is how the library says that a value is of another kind than its
// place, with the type of ours that is there.
var wrongKind = regexp.MustCompile(`^cannot (?:construct|unmarshal) !!(\w+)(?: .*)? into (\S+)( \(TextUnmarshaler\))?$`)

var yamlKinds = map[string]string{"seq": "a list", "map": "a mapping", "str": "text", "int": "a number", "float": "a number",
	"bool": "true or false", "null": "nothing", "timestamp": "a time"}

// kindOf says what a type of ours is in YAML.
func kindOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "string"):
		return "text"
	case strings.HasPrefix(goType, "bool"):
		return "true or false"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	}
	return "a mapping (name: value)"
}

var envRef = regexp.MustCompile(`\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}`)

// interpolate puts ${env.NAME} in, after parsing: a variable's text can never
// become YAML.
func interpolate(path string, n *yaml.Node) Problems {
	var ps Problems
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${env.") {
		n.Value = envRef.ReplaceAllStringFunc(n.Value, func(ref string) string {
			name := envRef.FindStringSubmatch(ref)[1]
			v, ok := os.LookupEnv(name)
			if !ok {
				ps = append(ps, Problem{path, n.Line, n.Column, "environment variable " + name + " is not set"})
			}
			return v
		})
	}
	for _, c := range n.Content {
		ps = append(ps, interpolate(path, c)...)
	}
	return ps
}

// Decode lays the YAML of node over into, a pointer to a struct with yaml tags,
// and reports every unknown key with its likely spelling and every value of the
// wrong kind.
func Decode(path string, node *yaml.Node, into any) Problems {
	d := decoder{path: path}
	d.keys(node, reflect.TypeOf(into).Elem(), "")
	if node.Kind == yaml.MappingNode && len(node.Content) == 0 {
		return d.problems
	}
	// Unknown keys are passed over here, so that what stands beside one is
	// checked as well.
	err := node.Decode(into)
	var all *yaml.LoadErrors
	switch {
	case err == nil:
	case errors.As(err, &all):
		for _, e := range all.Errors {
			d.value(yamlProblem(path, e))
		}
	default:
		p := yamlProblem(path, err)
		if p.Line == 0 {
			p.Line, p.Col = node.Line, node.Column
		}
		d.value(p)
	}
	return d.problems
}

type decoder struct {
	path     string
	problems Problems
}

var (
	nodeType = reflect.TypeOf(yaml.Node{})
	textType = reflect.TypeOf((*encoding.TextUnmarshaler)(nil)).Elem()
	yamlType = reflect.TypeOf((*yaml.Unmarshaler)(nil)).Elem()
)

// keys walks node beside the type that it is meant for.
func (d *decoder) keys(n *yaml.Node, t reflect.Type, at string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t == nodeType || reflect.PointerTo(t).Implements(textType) || reflect.PointerTo(t).Implements(yamlType) {
		return
	}
	switch {
	case t == durationType:
		d.days(n)
		return
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		d.bytes(n)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		d.structKeys(n, t, at)
	case reflect.Map:
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				d.keys(n.Content[i+1], t.Elem(), join(at, n.Content[i].Value))
			}
		}
	case reflect.Slice:
		if n.Kind == yaml.SequenceNode {
			for _, c := range n.Content {
				d.keys(c, t.Elem(), at+"[]")
			}
		}
	}
}

var durationType = reflect.TypeOf(time.Duration(0))

// days lets a plain time.Duration be written with days.
func (d *decoder) days(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "d") {
		return
	}
	v, err := ParseDuration(n.Value)
	if err != nil {
		d.add(n, "%v", err)
		return
	}
	n.Value = v.String()
}

var sizeText = regexp.MustCompile(`\A\d+ *([KMGT]i?)?B\z`)

// bytes lets a plain number of bytes be written as a size.
func (d *decoder) bytes(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !sizeText.MatchString(n.Value) {
		return
	}
	var s Size
	if err := s.UnmarshalText([]byte(n.Value)); err != nil {
		d.add(n, "%v", err)
		return
	}
	n.Value, n.Tag = fmt.Sprint(int64(s)), "!!int"
}

func (d *decoder) structKeys(n *yaml.Node, t reflect.Type, at string) {
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || n.Value == "") {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(n, "%s: want a mapping of keys to values", at)
		return
	}
	fields := map[string]reflect.Type{}
	var names []string
	var collect func(t reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if opts == "inline" {
				collect(f.Type)
				continue
			}
			if tag == "-" || !f.IsExported() {
				continue
			}
			if tag == "" {
				tag = strings.ToLower(f.Name)
			}
			fields[tag] = f.Type
			names = append(names, tag)
		}
	}
	collect(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		ft, ok := fields[k.Value]
		if !ok {
			d.add(k, "unknown key %q%s%s", k.Value, under(at), Likely(k.Value, names))
			continue
		}
		d.keys(n.Content[i+1], ft, join(at, k.Value))
	}
}

// value takes a problem of decoding, unless one is known in that place.
func (d *decoder) value(p Problem) {
	for _, known := range d.problems {
		if known.Line == p.Line && known.Col == p.Col {
			return
		}
	}
	d.problems = append(d.problems, p)
}

func (d *decoder) add(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.path, n.Line, n.Column, fmt.Sprintf(format, args...)})
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func under(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}

// Likely is `, did you mean "x"?` where one of the known words is near, and the
// list of them otherwise.
func Likely(word string, known []string) string {
	best, dist := "", 3
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), k); d < dist {
			best, dist = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	if len(known) > 0 && len(known) <= 20 {
		return "; known are " + strings.Join(known, ", ")
	}
	return ""
}

package normalize

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/schema"
	"signalbox/internal/schema/scan"
)

// mapping is one compiled mapping.
type mapping struct {
	name string
	id   string // name@hash, what an event carries
	form Form
	file string
	node *yaml.Node

	tags  []string
	apps  []string
	words []string
	traps []string
	keys  []keyIndex

	matchOn  *ref // nil: the text
	patterns []*pattern
	regexp   *regexp.Regexp
	reSlots  []int // regexp group → capture slot
	slots    slots
	when     [][]condition // any of, all of
	each     []pathStep    // the list that is split, nil for none
	eachSrc  string        // as written
	redact   [][]pathStep

	typ      *value
	dev      *value
	ifc      *value
	time     *value
	sender   *value
	data     []dataField
	plans    map[string]plan // by event type
	examples []example
}

// keyIndex is an entry of `key:`.
type keyIndex struct {
	ref    ref
	values []string
}

type dataField struct {
	name string
	val  *value
	node *yaml.Node
}

// plan is how data is written for one event type.
type plan struct {
	fields []fieldPlan
	// message says that the type has a field message that the mapping leaves
	// to us.
	message bool
}

type fieldPlan struct {
	key   string // `"name":`
	field *schema.Field
	val   *value
}

var fileKeys = []string{"form", "mappings"}

var mappingKeys = []string{"name", "form", "tag", "app", "word", "key", "trap", "match", "match_on", "regexp", "when",
	"each", "redact", "type", "device", "interface", "time", "sender_id", "severity", "data", "examples"}

// mappings reads one file.
func (r *reader) mappings(src []byte, cat *schema.Catalogue) (out []*mapping) {
	root := r.parse(src)
	if root == nil || root.Kind == 0 {
		return nil
	}
	form := ""
	var list *yaml.Node
	r.entries(root, "a mapping file", fileKeys, func(key, val *yaml.Node) {
		switch key.Value {
		case "form":
			form = r.form(val)
		case "mappings":
			list = val
		}
	})
	if list == nil || list.Kind != yaml.SequenceNode {
		if root.Kind == yaml.MappingNode {
			r.fail(root, "`mappings:` is missing, or no list")
		}
		return nil
	}
	for _, n := range list.Content {
		m := &mapping{form: Form(form), file: r.file, node: resolve(n)}
		before := len(r.errs)
		r.mapping(m, cat)
		if len(r.errs) == before {
			m.id = m.name + "@" + m.hash()
			out = append(out, m)
		}
	}
	return out
}

func (r *reader) form(n *yaml.Node) string {
	s := r.text(n, "form")
	forms := []string{string(Syslog), string(SNMP), string(Payload)}
	if !slices.Contains(forms, s) {
		r.fail(n, "form is syslog, snmp or payload, not %q%s", s, suggest(s, forms))
		return ""
	}
	return s
}

// mapping reads one entry. The pattern goes first, since values refer to its
// captures wherever they stand.
func (r *reader) mapping(m *mapping, cat *schema.Catalogue) {
	keys := map[string]*yaml.Node{}
	r.entries(m.node, "a mapping", mappingKeys, func(key, val *yaml.Node) { keys[key.Value] = val })
	if m.node.Kind != yaml.MappingNode {
		return
	}
	if n := keys["name"]; n == nil {
		r.fail(m.node, "a mapping needs a `name:`")
	} else if m.name = r.text(n, "name"); !isMappingName(m.name) {
		r.fail(n, "%q is no name for a mapping: use lower case letters, digits, _ and dots, as in cisco_ios.link", m.name)
	}
	if n := keys["form"]; n != nil {
		m.form = Form(r.form(n))
	}
	if m.form == "" {
		if keys["form"] == nil {
			r.fail(m.node, "neither the file nor the mapping has a `form:`: syslog, snmp or payload")
		}
		return
	}
	before := len(r.errs)
	r.each(m, keys)
	r.matching(m, keys)
	if len(r.errs) > before {
		return // what follows would only complain about missing captures
	}
	r.finding(m, keys)
	if n := keys["when"]; n != nil {
		r.conditions(m, n)
	}
	r.results(m, keys, cat)
	if n := keys["examples"]; n != nil {
		r.readExamples(m, n)
	} else {
		r.fail(m.node, "a mapping needs `examples:`, at least one")
	}
}

func isMappingName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '_' || c == '.' || c == '-')) {
			return false
		}
	}
	return s != ""
}

func (r *reader) finding(m *mapping, keys map[string]*yaml.Node) {
	allowed := map[string]Form{"tag": Syslog, "app": Syslog, "word": Syslog, "key": Syslog, "trap": SNMP}
	found := 0
	for _, k := range []string{"tag", "app", "word", "key", "trap"} {
		n := keys[k]
		if n == nil {
			continue
		}
		found++
		if allowed[k] != m.form {
			r.fail(n, "%s: is for %s mappings, this one is %s", k, allowed[k], m.form)
			continue
		}
		switch k {
		case "tag":
			nodes := r.list(n, k)
			for _, t := range nodes {
				if i := strings.IndexByte(t.Value, '*'); i >= 0 && i < len(t.Value)-1 {
					r.failAt(t, i, "tag: a * stands at the end only")
				}
				if len(t.Value) > maxTag {
					r.fail(t, "tag: longer than %d bytes", maxTag)
				}
			}
			m.tags = values(nodes)
		case "app":
			m.apps = values(r.list(n, k))
		case "word":
			m.words = values(r.list(n, k))
		case "trap":
			m.traps = values(r.list(n, k))
		case "key":
			r.keyIndex(m, n)
		}
	}
	if found == 0 && m.form != Payload {
		r.fail(m.node, "nothing to find this mapping by: give it a tag, app, word or key (syslog) or a trap (snmp)")
	}
}

func (r *reader) keyIndex(m *mapping, n *yaml.Node) {
	var k keyIndex
	var err error
	r.entries(n, "key", []string{"from", "values"}, func(key, val *yaml.Node) {
		if key.Value == "values" {
			k.values = values(r.list(val, "key: values"))
			return
		}
		if k.ref, err = compileRef(r.text(val, "key: from"), m.form, &slots{}); err != nil {
			r.fail(val, "key: %v", err)
		} else if k.ref.kind == refCapture || k.ref.kind == refHeader || k.ref.kind == refPeer {
			r.fail(val, "key: is looked up by kv.NAME, csv.N, sd.NAME or msg.NAME")
		}
	})
	if len(k.values) == 0 || k.ref.src == "" && err == nil {
		r.fail(n, "key: needs both from and values")
		return
	}
	m.keys = append(m.keys, k)
}

func (r *reader) matching(m *mapping, keys map[string]*yaml.Node) {
	if n := keys["match_on"]; n != nil {
		ref, err := compileRef(r.text(n, "match_on"), m.form, &m.slots)
		if err != nil {
			r.fail(n, "match_on: %v", err)
		}
		m.matchOn = &ref
	} else if m.form != Syslog && (keys["match"] != nil || keys["regexp"] != nil) {
		r.fail(m.node, "a %s mapping has no text: say with match_on which part the pattern is for", m.form)
	}
	if n := keys["match"]; n != nil {
		for _, src := range r.list(n, "match") {
			p, err := compilePattern(src.Value, &m.slots)
			var perr *patternError
			if errors.As(err, &perr) {
				r.failAt(src, perr.offset, "match: %s", perr.msg)
				continue
			}
			m.patterns = append(m.patterns, p)
		}
	}
	if n := keys["regexp"]; n != nil {
		if keys["match"] != nil {
			r.fail(n, "regexp: stands in place of match, not beside it")
		}
		r.regexp(m, n)
	}
}

func (r *reader) regexp(m *mapping, n *yaml.Node) {
	const longest = 1000
	src := r.text(n, "regexp")
	if len(src) > longest {
		r.fail(n, "regexp: longer than %d bytes", longest)
		return
	}
	re, err := regexp.Compile(`\A(?:` + src + `)\z`)
	if err != nil {
		r.fail(n, "regexp: %v", err)
		return
	}
	m.regexp = re
	for _, name := range re.SubexpNames() {
		slot := -1
		if name != "" {
			var ok bool
			if slot, ok = m.slots.add(name); !ok || !isName(name) {
				r.fail(n, "regexp: %q is no name for a capture, or there are more than %d", name, maxCaptures)
			}
		}
		m.reSlots = append(m.reSlots, slot)
	}
}

func (r *reader) results(m *mapping, keys map[string]*yaml.Node, cat *schema.Catalogue) {
	get := func(key string) *value {
		if n := keys[key]; n != nil {
			return r.value(n, key, m.form, &m.slots)
		}
		return nil
	}
	m.typ, m.dev, m.ifc = get("type"), get("device"), get("interface")
	m.time, m.sender = get("time"), get("sender_id")
	if m.typ == nil {
		r.fail(m.node, "a mapping needs a `type:`")
		return
	}
	for _, k := range []string{"time", "sender_id"} {
		if n := keys[k]; n != nil && m.form != Payload {
			r.fail(n, "%s: is for payload mappings; the time of this form is the message's", k)
		}
	}
	if n := keys["data"]; n != nil {
		r.entries(n, "data", nil, func(key, val *yaml.Node) {
			m.data = append(m.data, dataField{key.Value, r.value(val, "data: "+key.Value, m.form, &m.slots), key})
		})
	}
	if n := keys["severity"]; n != nil {
		m.data = append(m.data, dataField{"severity", get("severity"), n})
	}
	r.plans(m, cat)
}

// plans works out, for each event type that the mapping can give, how data is
// written, and finds fields that no type has.
func (r *reader) plans(m *mapping, cat *schema.Catalogue) {
	m.plans = map[string]plan{}
	outcomes := m.typ.outcomes()
	for _, typ := range outcomes {
		if !schema.ValidType(typ) {
			r.fail(m.typ.node, "type: %q is no name of an event type: use snake_case", typ)
		}
		m.plans[typ] = m.plan(typ, cat)
	}
	if outcomes == nil {
		return
	}
	for _, f := range m.data {
		var names []string
		known, open := false, false
		var field *schema.Field
		for _, typ := range outcomes {
			t, ok := cat.Type(typ)
			open = open || !ok
			for i := range t.Fields {
				names = append(names, t.Fields[i].Name)
				if t.Fields[i].Name == f.name {
					known, field = true, &t.Fields[i]
				}
			}
		}
		if !known && !open {
			r.fail(f.node, "event type %s has no field %q%s", strings.Join(outcomes, ", "), f.name, suggest(f.name, names))
		} else if field != nil {
			r.checkOutcomes(f, field)
		}
	}
}

// checkOutcomes holds constants and tables against the schema, so that a
// mapping that cannot be right is found when it is loaded.
func (r *reader) checkOutcomes(f dataField, field *schema.Field) {
	for _, s := range f.val.outcomes() {
		if _, ok := appendField(nil, "", field, got{text: s, ok: true}); !ok {
			want := field.Type
			if len(field.Enum) > 0 {
				want = "one of " + strings.Join(field.Enum, ", ")
			}
			r.fail(f.val.node, "data: %s: %q is not %s", f.name, s, want)
		}
	}
}

// eachRef visits every part of a message that the mapping reads.
func (m *mapping) eachRef(visit func(*ref)) {
	if m.matchOn != nil {
		visit(m.matchOn)
	}
	for _, all := range m.when {
		for i := range all {
			visit(&all[i].ref)
		}
	}
	vals := []*value{m.typ, m.dev, m.ifc, m.time, m.sender}
	for _, f := range m.data {
		vals = append(vals, f.val)
	}
	for _, v := range vals {
		if v == nil {
			continue
		}
		for i := range v.from {
			visit(&v.from[i])
		}
		for i := range v.parts {
			if v.parts[i].lit == "" {
				visit(&v.parts[i].ref)
			}
		}
	}
}

func (m *mapping) plan(typ string, cat *schema.Catalogue) plan {
	t, known := cat.Type(typ)
	out := plan{message: cat.HasField(typ, "message")}
	for _, f := range m.data {
		p := fieldPlan{key: string(scan.AppendString(nil, f.name)) + ":", val: f.val}
		for i := range t.Fields {
			if t.Fields[i].Name == f.name {
				p.field = &t.Fields[i]
			}
		}
		if p.field != nil || !known {
			out.fields = append(out.fields, p)
		}
		out.message = out.message && f.name != "message"
	}
	return out
}

// hash is over the mapping's meaning as it is written, its examples left out.
func (m *mapping) hash() string {
	h := sha256.New()
	h.Write([]byte(m.form))
	for i := 0; i+1 < len(m.node.Content); i += 2 {
		if key := m.node.Content[i]; key.Value != "examples" {
			hashNode(h, key)
			hashNode(h, m.node.Content[i+1])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

func hashNode(h interface{ Write([]byte) (int, error) }, n *yaml.Node) {
	n = resolve(n)
	h.Write([]byte{byte(n.Kind)})
	h.Write([]byte(n.Value))
	h.Write([]byte{0, byte(len(n.Content))})
	for _, c := range n.Content {
		hashNode(h, c)
	}
}

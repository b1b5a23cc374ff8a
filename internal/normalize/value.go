package normalize

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/schema"
	"signalbox/internal/schema/scan"
)

// value is a compiled value of a mapping: text with {parts} in it, or the long
// form with from, values, default and case.
type value struct {
	node *yaml.Node
	// One of: lit alone (parts nil), parts joined, or from tried in turn.
	lit   string
	json  []byte // lit, where YAML takes it for a number or a boolean
	parts []part
	from  []ref

	table  map[string]string // lower case key → value
	except []string          // texts that count as none
	def    string
	hasDef bool
	upper  bool
	lower  bool
	host   bool // only the host of "host:port"
}

// part is a stretch of constant text, or a ref where lit is "".
type part struct {
	lit string
	ref ref
}

// constant says whether the value is the same for every message.
func (v *value) constant() bool { return len(v.parts) == 0 && len(v.from) == 0 }

// outcomes lists what the value can become, nil where it can be anything.
func (v *value) outcomes() []string {
	if v.constant() {
		return []string{v.lit}
	}
	if v.table == nil {
		return nil
	}
	var out []string
	for _, k := range keysOf(v.table) {
		out = append(out, v.table[k])
	}
	if v.hasDef {
		out = append(out, v.def)
	}
	return out
}

// get is the value for the message under work; ok is false where it has none.
func (v *value) get(m *message) got {
	g := v.raw(m)
	if g.ok && v.host {
		g = textOf(host(g.plain()))
	}
	if g.ok && len(v.except) > 0 && containsFold(v.except, g.plain()) {
		g = got{}
	}
	if g.ok && v.table != nil {
		to, ok := v.lookup(g)
		g = got{text: to, ok: ok}
	}
	if !g.ok && v.hasDef {
		return got{text: v.def, ok: true}
	}
	if g.ok && (v.lower || v.upper) {
		s := g.plain()
		if v.lower {
			return got{text: strings.ToLower(s), ok: true}
		}
		return got{text: strings.ToUpper(s), ok: true}
	}
	return g
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

func (v *value) raw(m *message) got {
	if v.constant() {
		return got{text: v.lit, json: v.json, ok: true}
	}
	for i := range v.from {
		if g := m.get(&v.from[i]); g.ok {
			return g
		}
	}
	if len(v.from) > 0 {
		return got{}
	}
	var b strings.Builder
	for i := range v.parts {
		p := &v.parts[i]
		if p.lit != "" {
			b.WriteString(p.lit)
			continue
		}
		g := m.get(&p.ref)
		if !g.ok {
			return got{}
		}
		b.WriteString(g.plain())
	}
	return textOf(b.String())
}

// lookup finds a text in the table without regard to case. Most texts are in
// lower case already, or short.
func (v *value) lookup(g got) (string, bool) {
	s := g.plain()
	if to, ok := v.table[s]; ok {
		return to, true
	}
	to, ok := v.table[strings.ToLower(s)]
	return to, ok
}

var valueKeys = []string{"from", "not", "values", "default", "case", "strip"}

// value reads either form.
func (r *reader) value(n *yaml.Node, what string, form Form, s *slots) *value {
	v := &value{node: n}
	if n.Kind == yaml.ScalarNode {
		r.template(v, n, what, form, s)
		return v
	}
	hasFrom := false
	r.entries(n, what, valueKeys, func(key, val *yaml.Node) {
		switch key.Value {
		case "from":
			hasFrom = true
			for _, src := range r.list(val, what+": from") {
				ref, err := compileRef(strings.Trim(src.Value, "{}"), form, s)
				if err != nil {
					r.fail(src, "%s: %v", what, err)
					continue
				}
				v.from = append(v.from, ref)
			}
		case "values":
			v.table = map[string]string{}
			r.entries(val, what+": values", nil, func(k, to *yaml.Node) {
				v.table[strings.ToLower(k.Value)] = r.text(to, what+": values")
			})
		case "not":
			v.except = values(r.list(val, what+": not"))
		case "default":
			v.def, v.hasDef = r.text(val, what+": default"), true
		case "strip":
			if v.host = val.Value == "port"; !v.host {
				r.fail(val, "%s: strip is port", what)
			}
		case "case":
			v.lower, v.upper = val.Value == "lower", val.Value == "upper"
			if !v.lower && !v.upper {
				r.fail(val, "%s: case is lower or upper", what)
			}
		}
	})
	if n.Kind == yaml.MappingNode && !hasFrom {
		r.fail(n, "%s: `from` is missing: which part of the message?", what)
	}
	return v
}

// template reads text with {parts}; {{ and }} stand for the braces themselves.
func (r *reader) template(v *value, n *yaml.Node, what string, form Form, s *slots) {
	text := r.text(n, what)
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			v.parts = append(v.parts, part{lit: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			lit.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				r.failAt(n, i, `%s: this "{" has no "}"`, what)
				return
			}
			ref, err := compileRef(text[i+1:i+end], form, s)
			if err != nil {
				r.failAt(n, i, "%s: %v", what, err)
				return
			}
			flush()
			v.parts = append(v.parts, part{ref: ref})
			i += end
		default:
			lit.WriteByte(c)
		}
	}
	if len(v.parts) == 0 {
		v.lit = lit.String()
		if (n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool") && scan.Check([]byte(v.lit), 1) == nil {
			v.json = []byte(v.lit)
		}
		return
	}
	flush()
	if len(v.parts) == 1 && v.parts[0].lit == "" {
		v.from, v.parts = []ref{v.parts[0].ref}, nil
	}
}

// appendField writes `"name":value` as the schema's type wants it; ok is false
// where the value does not fit, and the field is left out rather than the
// event refused: a vendor's odd value must not cost the whole message.
func appendField(dst []byte, key string, f *schema.Field, g got) (out []byte, ok bool) {
	start := len(dst)
	dst = append(dst, key...)
	kind := ""
	if f != nil {
		kind = f.Type
	}
	switch kind {
	case "string":
		dst, ok = appendText(dst, f, g)
	case "integer", "number":
		dst, ok = appendNumber(dst, kind, g)
	case "boolean":
		dst, ok = appendBool(dst, g)
	case "object", "array":
		if open := map[string]byte{"object": '{', "array": '['}[kind]; len(g.json) > 0 && g.json[0] == open {
			dst, ok = append(dst, g.json...), true
		}
	default:
		if g.json != nil {
			dst, ok = append(dst, g.json...), true
		} else {
			dst, ok = scan.AppendString(dst, g.text), true
		}
	}
	if !ok {
		return dst[:start], false
	}
	return dst, true
}

func appendText(dst []byte, f *schema.Field, g got) ([]byte, bool) {
	if len(g.json) > 0 {
		switch g.json[0] {
		case '{', '[':
			return dst, false
		case '"':
			if len(f.Enum) == 0 {
				return append(dst, g.json...), true
			}
		}
		g.text = g.plain()
	}
	if len(f.Enum) > 0 {
		for _, e := range f.Enum {
			if strings.EqualFold(e, g.text) {
				return scan.AppendString(dst, e), true
			}
		}
		return dst, false
	}
	return scan.AppendString(dst, g.text), true
}

func appendNumber(dst []byte, kind string, g got) ([]byte, bool) {
	s := strings.TrimPrefix(strings.TrimSpace(g.plain()), "+")
	if isPlainDigits(s) {
		return append(dst, s...), true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.AppendInt(dst, n, 10), true
	}
	if kind == "integer" {
		return dst, false
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x != x || x > 1e300 || x < -1e300 {
		return dst, false
	}
	return strconv.AppendFloat(dst, x, 'g', -1, 64), true
}

// isPlainDigits says whether s is a JSON number as it stands.
func isPlainDigits(s string) bool {
	if s == "" || len(s) > 15 || s[0] == '0' && len(s) > 1 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func appendBool(dst []byte, g got) ([]byte, bool) {
	switch strings.ToLower(g.plain()) {
	case "true", "yes", "on":
		return append(dst, "true"...), true
	case "false", "no", "off":
		return append(dst, "false"...), true
	}
	return dst, false
}

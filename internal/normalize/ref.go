package normalize

import (
	"encoding/csv"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/schema/scan"
)

// refKind is what a {part} of a value names.
type refKind uint8

const (
	refCapture refKind = iota
	refMsg
	refSD
	refKV
	refCSV
	refVarbind
	refTrap
	refPath
	refHeader
	refPeer
)

// ref is one compiled {part}.
type ref struct {
	kind refKind
	src  string // as written
	name string
	sub  string // of a varbind: "", index, name, text, addr; of a header: its canonical name
	num  int    // capture slot or CSV column
	path []pathStep
}

type pathStep = payload.Step

var msgParts = []string{"hostname", "app_name", "proc_id", "msg_id", "tag", "text", "content", "node", "format",
	"severity", "facility", "sequence"}
var trapParts = []string{"oid", "name", "uptime", "agent_address", "enterprise", "version"}
var varbindParts = []string{"index", "name", "text", "addr"}

// compileRef reads a part as packs/mappings/README.md describes it.
func compileRef(src string, form Form, s *slots) (ref, error) {
	r := ref{src: src}
	if strings.HasPrefix(src, "$") {
		if form != Payload {
			return r, fmt.Errorf("%q is for payload mappings", src)
		}
		var err error
		r.kind = refPath
		r.path, err = compilePath(src)
		return r, err
	}
	if isEach(src) && s.find(src) < 0 {
		if form != Payload || s.each == nil {
			return r, fmt.Errorf("%q: the mapping does not say with `each:` which list it goes through", src)
		}
		rest, err := compilePath("$" + strings.TrimPrefix(src, eachPart))
		r.kind, r.path = refPath, append(slices.Clip(s.each), rest...)
		return r, err
	}
	if src == "peer" {
		r.kind = refPeer
		return r, nil
	}
	space, name, dotted := strings.Cut(src, ".")
	if !dotted {
		r.kind, r.num = refCapture, s.find(src)
		if r.num < 0 {
			return r, fmt.Errorf("no capture %q in the pattern%s", src, suggest(src, s.names))
		}
		return r, nil
	}
	if name == "" {
		return r, fmt.Errorf("%q names nothing after the dot", src)
	}
	r.name = name
	return r, r.compileDotted(space, form)
}

// eachPart is the name of the element that the message was split by.
const eachPart = "each"

func isEach(src string) bool {
	rest, ok := strings.CutPrefix(src, eachPart)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (r *ref) compileDotted(space string, form Form) error {
	want := map[string]Form{"msg": Syslog, "sd": Syslog, "kv": Syslog, "csv": Syslog, "vb": SNMP, "trap": SNMP}
	if f, ok := want[space]; ok && f != form {
		return fmt.Errorf("%q is for %s mappings", r.src, f)
	}
	switch space {
	case "msg":
		r.kind = refMsg
		return oneOf("part of a message", r.name, msgParts)
	case "trap":
		r.kind = refTrap
		return oneOf("part of a trap", r.name, trapParts)
	case "sd":
		r.kind = refSD
	case "kv":
		r.kind = refKV
	case "header":
		r.kind = refHeader
		r.sub = textproto.CanonicalMIMEHeaderKey(r.name)
	case "csv":
		r.kind = refCSV
		n, err := strconv.Atoi(r.name)
		if err != nil || n < 0 || n >= maxColumns {
			return fmt.Errorf("csv.%s: a column is a number from 0 to %d", r.name, maxColumns-1)
		}
		r.num = n
	case "vb":
		r.kind = refVarbind
		if base, sub, ok := cutLast(r.name); ok && !isDigits(sub) {
			r.name, r.sub = base, sub
			return oneOf("part of a variable", sub, varbindParts)
		}
	default:
		return fmt.Errorf("no part %q%s", r.src, suggest(space, []string{"msg", "sd", "kv", "csv", "vb", "trap", "header", eachPart}))
	}
	return nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func oneOf(what, name string, names []string) error {
	for _, n := range names {
		if n == name {
			return nil
		}
	}
	return fmt.Errorf("no %s %q%s", what, name, suggest(name, names))
}

// compilePath reads $.a.b[0]['odd name'].
func compilePath(src string) ([]pathStep, error) {
	var out []pathStep
	for s := src[1:]; s != ""; {
		switch {
		case strings.HasPrefix(s, "['"):
			end := strings.Index(s, "']")
			if end < 0 {
				return nil, fmt.Errorf("%q: [' has no ']", src)
			}
			out = append(out, pathStep{Name: s[2:end]})
			s = s[end+2:]
		case s[0] == '[':
			end := strings.IndexByte(s, ']')
			if end < 0 {
				return nil, fmt.Errorf("%q: [ has no ]", src)
			}
			n, err := strconv.Atoi(s[1:end])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%q: an index is a number from 0 on, a name stands in quotes", src)
			}
			out = append(out, pathStep{Index: n})
			s = s[end+1:]
		case s[0] == '.':
			end := strings.IndexAny(s[1:], ".[")
			if end < 0 {
				end = len(s) - 1
			}
			if end == 0 {
				return nil, fmt.Errorf("%q: a dot with no name after it", src)
			}
			out = append(out, pathStep{Name: s[1 : 1+end]})
			s = s[1+end:]
		default:
			return nil, fmt.Errorf("%q is no path: write $.name.name or $.name[0]", src)
		}
	}
	return out, nil
}

// follow finds the value at a path, nil where there is none or it is null.
func follow(doc []byte, path []pathStep) []byte {
	for _, step := range path {
		var found []byte
		if step.Name != "" {
			for name, val := range scan.Members(doc) {
				if scan.NameIs(name, step.Name) {
					found = val
					break
				}
			}
		} else {
			i := 0
			for val := range scan.Elements(doc) {
				if i == step.Index {
					found = val
					break
				}
				i++
			}
		}
		if scan.IsNull(found) {
			return nil
		}
		doc = found
	}
	return doc
}

// got is the value of a part: text, or a JSON value as it stands in a message.
type got struct {
	text string
	json []byte
	ok   bool
}

func textOf(s string) got { return got{text: s, ok: s != ""} }

// plain is the value as text: a JSON string without quotes, anything else as
// it is written.
func (g got) plain() string {
	if g.json == nil {
		return g.text
	}
	if s, ok := scan.String(g.json); ok {
		return s
	}
	return string(g.json)
}

// get finds the value of a part in the message under work.
func (m *message) get(r *ref) got {
	switch r.kind {
	case refCapture:
		if c := m.caps[r.num]; c.end > 0 {
			return got{text: m.text[c.start:c.end], ok: true}
		}
	case refMsg:
		return textOf(m.msgPart(r.name))
	case refSD:
		return textOf(m.sdParam(r.name))
	case refKV:
		return textOf(m.kvField(r.name))
	case refCSV:
		return textOf(m.column(r.num))
	case refVarbind:
		return m.varbind(r)
	case refTrap:
		return textOf(m.trapPart(r.name))
	case refPath:
		if v := follow(m.body, r.path); v != nil {
			return got{json: v, ok: true}
		}
	case refHeader:
		v, ok := m.in.Meta[r.name]
		if !ok {
			v = m.in.Meta[r.sub] // by its canonical name
		}
		return textOf(v)
	case refPeer:
		return textOf(host(m.in.Peer))
	}
	return got{}
}

// host is the address in "address:port".
func host(peer string) string {
	if rest, ok := strings.CutPrefix(peer, "["); ok {
		if addr, port, ok := strings.Cut(rest, "]"); ok && (port == "" || port[0] == ':') {
			return addr // "[2001:db8::1]:514"
		}
		return peer
	}
	if name, port, ok := strings.Cut(peer, ":"); ok && !strings.Contains(port, ":") {
		return name // "192.0.2.1:514", "sw1:9116"; more colons are an IPv6 address alone
	}
	return peer
}

const (
	maxColumns = 256
	maxFields  = 256
)

// field is a NAME=value of a message's text.
type field struct{ name, value string }

func (m *message) kvField(name string) string {
	if !m.kvDone {
		m.kvDone = true
		m.kv = appendFields(m.kv[:0], m.fullText())
	}
	for i := range m.kv {
		if m.kv[i].name == name {
			return m.kv[i].value
		}
	}
	return ""
}

// appendFields reads NAME=value and NAME="value with spaces", separated by
// spaces, commas or semicolons, wherever they stand in s; what is no field is
// passed over.
func appendFields(dst []field, s string) []field {
	for i := 0; i < len(s) && len(dst) < maxFields; {
		eq := strings.IndexByte(s[i:], '=')
		if eq < 0 {
			break
		}
		eq += i
		start := eq
		for start > i && isFieldName(s[start-1]) {
			start--
		}
		i = eq + 1
		if start == eq {
			continue
		}
		var value string
		value, i = fieldValue(s, i)
		dst = append(dst, field{s[start:eq], value})
	}
	return dst
}

func isFieldName(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '-' || c == '.'
}

func fieldValue(s string, i int) (string, int) {
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		q := s[i]
		escaped := false
		for j := i + 1; j < len(s); j++ {
			switch s[j] {
			case '\\':
				escaped = true
				j++
			case q:
				v := s[i+1 : j]
				if escaped {
					v = unescape(v)
				}
				return v, j + 1
			}
		}
		return s[i+1:], len(s)
	}
	j := i
	for j < len(s) && !isBlank(s[j]) && s[j] != ',' && s[j] != ';' {
		j++
	}
	return s[i:j], j
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (m *message) column(n int) string {
	if !m.csvDone {
		m.csvDone = true
		m.csv = splitCSV(m.fullText())
	}
	if n < len(m.csv) {
		return m.csv[n]
	}
	return ""
}

// splitCSV splits one line. Without quotes, the common case, by hand.
func splitCSV(s string) []string {
	if !strings.Contains(s, `"`) {
		return strings.SplitN(s, ",", maxColumns)
	}
	r := csv.NewReader(strings.NewReader(s))
	r.LazyQuotes = true
	r.FieldsPerRecord = -1
	out, err := r.Read()
	if err != nil {
		return strings.SplitN(s, ",", maxColumns)
	}
	return out
}

package normalize

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/schema"
	"signalbox/internal/schema/scan"
)

// maxBodyDepth is the nesting of a message; data within it may be 32 deep.
const maxBodyDepth = 40

func (n *Normalizer) payload(m *message, res *Result) {
	raw := n.redacted(m.in.Mapping, m.in.Raw)
	res.Event.Raw = raw
	m.body = scan.Trim(raw)
	res.Event.Type = "webhook"
	if err := scan.Check(m.body, maxBodyDepth); err != nil {
		res.Reject = "not valid JSON: " + err.Error()
		return
	}
	if len(m.body) == 0 || m.body[0] != '{' {
		res.Reject = "expected a JSON object"
		return
	}
	if !n.findPayload(m, res) {
		n.defaultForm(m, res)
	}
	if res.Event.Device != "" && res.Reject == "" {
		n.nameDevice(&res.Event, "", "")
	}
}

func (n *Normalizer) findPayload(m *message, res *Result) bool {
	if m.in.Mapping == "" {
		return false
	}
	known := false
	for _, l := range n.layers {
		group := l.groups[m.in.Mapping]
		known = known || len(group) > 0
		if n.tryAll(group, m, res) {
			return true
		}
	}
	if known {
		res.Why = fmt.Sprintf("no mapping of %s takes this message", m.in.Mapping)
	} else {
		res.Why = fmt.Sprintf("there is no mapping %s", m.in.Mapping)
	}
	return false
}

// HasMapping says whether a source may name this mapping: one that is called
// so, or whose name begins so before its dot.
func (n *Normalizer) HasMapping(name string) bool {
	for _, l := range n.layers {
		if len(l.groups[name]) > 0 {
			return true
		}
	}
	return false
}

// Headers lists, by their canonical names, the headers that the mappings of a
// source read: what the source must keep in Input.Meta.
func (n *Normalizer) Headers(mapping string) []string {
	names := map[string]bool{}
	for _, l := range n.layers {
		for _, mp := range l.groups[mapping] {
			mp.eachRef(func(r *ref) {
				if r.kind == refHeader {
					names[r.sub] = true
				}
			})
		}
	}
	return keysOf(names)
}

// fieldError is a mistake in a message that needs no mapping; it names the
// field to the sender.
func (res *Result) fieldError(field, format string, args ...any) {
	res.Field = field
	res.Reject = field + ": " + fmt.Sprintf(format, args...)
}

// The names that the envelope's fields may have in a message that needs no
// mapping, the documented one first.
var (
	typeNames      = []string{"event_type", "type", "event"}
	deviceNames    = []string{"device", "host", "hostname", "device_name"}
	interfaceNames = []string{"interface", "interface_name", "ifname", "port"}
	timeNames      = []string{"timestamp", "time", "ts"}
	idNames        = []string{"event_id", "id"}
)

// defaultForm takes CloudEvents in structured mode and the flat form
//
//	{"event_type": "interface_down", "device": "sw1", "interface": "Eth1/1",
//	 "timestamp": 1640000000, ...}
//
// whose further members, and those of a member "data", become data. What names
// no event type is kept as a webhook.
func (n *Normalizer) defaultForm(m *message, res *Result) {
	if v := member(m.body, "specversion"); v != nil {
		n.cloudEvent(m, res)
		return
	}
	name, typ, ok := m.typeMember(res)
	if !ok {
		return
	}
	if typ == "" {
		if res.Why == "" {
			res.Why = "the message names no event type: it has no member event_type"
		}
		res.Event.Data = m.webhookData()
		return
	}
	taken := []string{name}
	ev := &res.Event
	ev.Type = typ
	for _, f := range []struct {
		names []string
		into  *string
	}{{deviceNames, &ev.Device}, {interfaceNames, &ev.Interface}, {idNames, &ev.SenderID}} {
		name, v := first(m.body, f.names)
		if v == nil {
			continue
		}
		s, ok := scalar(v)
		if !ok {
			if name != f.names[0] && f.into != &ev.SenderID {
				continue // "port": {...} is data then
			}
			res.fieldError(name, "expected text")
			return
		}
		taken = append(taken, name)
		if *f.into == "" {
			*f.into = s
		}
	}
	if name, v := first(m.body, timeNames); v != nil {
		t, err := parseTime(got{json: v, ok: true})
		if err != nil {
			res.fieldError(name, "%v", err)
			return
		}
		ev.Time = t
		taken = append(taken, name)
	}
	ev.Data = m.restData(taken)
	res.Mapped = true
	res.Why = ""
}

// typeMember finds the event type that the message names. Its other names are
// common in messages that are no events of ours; they count only for a name in
// snake_case beside a device. ok is false where event_type itself is wrong.
func (m *message) typeMember(res *Result) (name, typ string, ok bool) {
	for _, name := range typeNames {
		v := member(m.body, name)
		if v == nil {
			continue
		}
		typ, isText := scan.String(v)
		if name == typeNames[0] {
			if !isText {
				res.fieldError(name, "expected text, such as \"interface_down\"")
			} else if !schema.ValidType(typ) {
				res.fieldError(name, "is no name of an event type: use snake_case, as in interface_down")
			}
			return name, typ, res.Reject == ""
		}
		if _, device := first(m.body, deviceNames); device != nil && isName(typ) {
			return name, typ, true
		}
	}
	return "", "", true
}

// scalar reads text, or a number as text.
func scalar(v []byte) (string, bool) {
	if s, ok := scan.String(v); ok {
		return s, true
	}
	if c := v[0]; c == '-' || c >= '0' && c <= '9' {
		return string(v), true
	}
	return "", false
}

func member(body []byte, name string) []byte {
	for k, v := range scan.Members(body) {
		if scan.NameIs(k, name) {
			if scan.IsNull(v) {
				return nil
			}
			return v
		}
	}
	return nil
}

func first(body []byte, names []string) (string, []byte) {
	for _, name := range names {
		if v := member(body, name); v != nil {
			return name, v
		}
	}
	return names[0], nil
}

// restData writes the members of "data" and then those of the message that are
// not taken. Of a name that comes twice the first is kept.
func (m *message) restData(taken []string) []byte {
	b := append(m.out[:0], '{')
	var written []string
	write := func(obj []byte, skip []string) {
		for k, v := range scan.Members(obj) {
			name := scan.Name(k)
			if scan.IsNull(v) || slices.Contains(skip, name) || slices.Contains(written, name) {
				continue
			}
			if len(written) < maxFields {
				written = append(written, name)
			}
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(scan.AppendString(b, name), ':')
			b = append(b, v...)
		}
	}
	if data := member(m.body, "data"); data != nil && data[0] == '{' {
		write(data, nil)
		taken = append(taken, "data")
	}
	write(m.body, taken)
	m.out = append(b, '}')
	return append(make([]byte, 0, len(m.out)), m.out...)
}

func (m *message) webhookData() []byte {
	b := append(m.out[:0], `{"body":`...)
	b = append(b, m.body...)
	if len(m.in.Meta) > 0 {
		b = append(b, `,"headers":{`...)
		for i, name := range keysOf(m.in.Meta) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(scan.AppendString(b, name), ':')
			b = scan.AppendString(b, m.in.Meta[name])
		}
		b = append(b, '}')
	}
	m.out = append(b, '}')
	return append(make([]byte, 0, len(m.out)), m.out...)
}

// cloudEvent reads the JSON format of CloudEvents 1.0, section 3. device and
// interface are extensions; without them the subject is the device, or
// "device/interface" up to its first slash.
func (n *Normalizer) cloudEvent(m *message, res *Result) {
	ev := &res.Event
	attr := map[string]string{}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype",
		"traceparent", "device", "interface"} {
		v := member(m.body, name)
		if v == nil {
			continue
		}
		s, ok := scan.String(v)
		if !ok {
			res.fieldError(name, "expected text")
			return
		}
		attr[name] = s
	}
	if attr["specversion"] != "1.0" {
		res.fieldError("specversion", "only CloudEvents 1.0 is known")
		return
	}
	for _, name := range []string{"id", "source", "type"} {
		if attr[name] == "" {
			res.fieldError(name, "is required by CloudEvents 1.0 and may not be empty")
			return
		}
	}
	ev.Type = attr["type"]
	if ev.SenderID == "" {
		// Only both together are unique.
		ev.SenderID = attr["source"] + " " + attr["id"]
	}
	if ev.TraceParent == "" && payload.ValidTraceParent(attr["traceparent"]) {
		ev.TraceParent = attr["traceparent"]
	}
	ev.Device, ev.Interface = attr["device"], attr["interface"]
	if ev.Device == "" {
		dev, ifc, _ := strings.Cut(attr["subject"], "/")
		ev.Device = dev
		if ev.Interface == "" {
			ev.Interface = ifc
		}
	}
	if s := attr["time"]; s != "" {
		t, err := parseText(s)
		if err != nil {
			res.fieldError("time", "%v", err)
			return
		}
		ev.Time = t
	}
	data, err := cloudEventData(m.body, attr["datacontenttype"])
	if err != nil {
		res.fieldError("data_base64", "%v", err)
		return
	}
	ev.Data = data
	res.Mapped = true
	res.Why = ""
}

// cloudEventData is an object in any case: other data is wrapped as {"data":
// ...}, bytes that are no JSON as {"data_base64": "..."}.
func cloudEventData(body []byte, contentType string) ([]byte, error) {
	data, b64 := member(body, "data"), member(body, "data_base64")
	if data != nil && b64 != nil {
		return nil, errors.New("data and data_base64 may not both be there")
	}
	if b64 != nil {
		s, ok := scan.String(b64)
		if !ok {
			return nil, errors.New("expected text")
		}
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, errors.New("expected base64")
		}
		raw = scan.Trim(raw)
		if !isJSON(contentType) || scan.Check(raw, maxBodyDepth) != nil {
			return append(append([]byte(`{"data_base64":`), b64...), '}'), nil
		}
		data = raw
	}
	if data == nil {
		return nil, nil
	}
	if data[0] == '{' {
		return slices.Clone(data), nil
	}
	return append(append([]byte(`{"data":`), data...), '}'), nil
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

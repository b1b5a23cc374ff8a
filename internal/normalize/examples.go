package normalize

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/normalize/trap"
)

// example is one entry of a mapping's `examples:`.
type example struct {
	node *yaml.Node
	in   Input

	typ, device, ifc *yaml.Node // nil: not stated
	data             *yaml.Node
}

var exampleKeys = []string{"raw", "raw_hex", "headers", "trap", "varbinds", "agent_address",
	"type", "device", "interface", "data"}

// exampleTime is when examples are received, so that they come out the same
// every day; examplePeer is from where.
var exampleTime = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

const examplePeer = "192.0.2.1:514"

func (r *reader) readExamples(m *mapping, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(n, "examples: expected a list of at least one")
		return
	}
	for _, en := range n.Content {
		group, _, _ := strings.Cut(m.name, ".")
		ex := example{node: en, in: Input{Source: "example", Form: m.form, Received: exampleTime, Peer: examplePeer}}
		if m.form == Payload {
			ex.in.Mapping = group
		}
		r.entries(en, "an example", exampleKeys, func(key, val *yaml.Node) { r.exampleKey(&ex, key, val) })
		if ex.typ == nil {
			r.fail(en, "an example states its `type:`; none for what must not be taken")
		}
		if ex.in.Raw == nil && ex.in.Parsed == nil {
			r.fail(en, "an example needs its message: raw, raw_hex or trap")
		}
		m.examples = append(m.examples, ex)
	}
}

func (r *reader) exampleKey(ex *example, key, val *yaml.Node) {
	switch key.Value {
	case "raw":
		if val.Kind == yaml.ScalarNode {
			ex.in.Raw = []byte(val.Value)
			return
		}
		// A payload may be written as YAML, which reads better.
		var v any
		if err := val.Decode(&v); err != nil {
			r.fail(val, "raw: %v", err)
			return
		}
		ex.in.Raw, _ = json.Marshal(v)
	case "raw_hex":
		b, err := hex.DecodeString(strings.Join(strings.Fields(val.Value), ""))
		if err != nil {
			r.fail(val, "raw_hex: %v", err)
		}
		ex.in.Raw = b
	case "headers":
		ex.in.Meta = map[string]string{}
		r.entries(val, "headers", nil, func(k, v *yaml.Node) {
			ex.in.Meta[textproto.CanonicalMIMEHeaderKey(k.Value)] = r.text(v, "headers")
		})
	case "trap":
		t := exampleTrap(ex)
		if name := r.text(val, "trap"); name != "" && name[0] >= '0' && name[0] <= '9' {
			t.OID = name
		} else {
			t.Name = name
		}
	case "agent_address":
		exampleTrap(ex).AgentAddress = r.text(val, key.Value)
	case "varbinds":
		t := exampleTrap(ex)
		r.entries(val, "varbinds", nil, func(k, v *yaml.Node) {
			t.Varbinds = append(t.Varbinds, exampleVarbind(k.Value, v))
		})
	case "type":
		ex.typ = val
	case "device":
		ex.device = val
	case "interface":
		ex.ifc = val
	case "data":
		ex.data = val
	}
}

func exampleTrap(ex *example) *trap.Trap {
	t, ok := ex.in.Parsed.(*trap.Trap)
	if !ok {
		t = &trap.Trap{Version: "2c"}
		ex.in.Parsed = t
	}
	return t
}

// exampleVarbind makes a variable of "ifOperStatus.3: down(2)".
func exampleVarbind(key string, val *yaml.Node) trap.Varbind {
	v := trap.Varbind{Text: val.Value, Value: val.Value}
	if key[0] >= '0' && key[0] <= '9' {
		v.OID = key
	} else {
		v.Name, v.Index, _ = strings.Cut(key, ".")
	}
	label, num, ok := strings.Cut(val.Value, "(")
	if n, err := strconv.ParseInt(strings.TrimSuffix(num, ")"), 10, 64); ok && err == nil {
		v.Enum, v.Value = label, n
	} else if n, err := strconv.ParseInt(val.Value, 10, 64); err == nil {
		v.Value = n
	}
	return v
}

// CheckExamples runs every mapping's examples and tells all that do not come
// out as they say, each as a *PosError.
func (n *Normalizer) CheckExamples() []error {
	var errs []error
	for _, mp := range n.mappings {
		for i := range mp.examples {
			ex := &mp.examples[i]
			for _, p := range n.checkExample(mp, ex) {
				at := p.node
				if at == nil {
					at = ex.node
				}
				errs = append(errs, &PosError{mp.file, at.Line, at.Column, fmt.Sprintf("%s: %s", mp.name, p.msg)})
			}
		}
	}
	return errs
}

type problem struct {
	node *yaml.Node
	msg  string
}

func (n *Normalizer) checkExample(mp *mapping, ex *example) []problem {
	if t, ok := ex.in.Parsed.(*trap.Trap); ok {
		n.nameExample(t)
	}
	res := n.Normalize(ex.in)
	if ex.typ == nil {
		return nil
	}
	if ex.typ.Value == "none" {
		if res.Event.Mapping == mp.id {
			return []problem{{ex.typ, fmt.Sprintf("takes this message, as %s, and must not", res.Event.Type)}}
		}
		return nil
	}
	if res.Event.Mapping != mp.id {
		return []problem{{nil, n.whyNotTaken(mp, ex, &res)}}
	}
	var out []problem
	if res.Reject != "" {
		out = append(out, problem{nil, "the event is rejected: " + res.Reject})
	}
	for _, c := range []struct {
		what string
		want *yaml.Node
		got  string
	}{{"type", ex.typ, res.Event.Type}, {"device", ex.device, res.Event.Device}, {"interface", ex.ifc, res.Event.Interface}} {
		if c.want == nil || c.want.Value == c.got || c.what == "device" && n.calls(c.want.Value, ex.in.Peer, c.got) {
			continue
		}
		out = append(out, problem{c.want, fmt.Sprintf("%s is %q, expected %q", c.what, c.got, c.want.Value)})
	}
	if ex.data != nil {
		if msg := compareData(ex.data, res.Event.Data); msg != "" {
			out = append(out, problem{ex.data, msg})
		}
	}
	return out
}

// calls says whether the inventory calls a device of that name, or with that
// address or the peer's, name: an example is written without the user's
// inventory in mind.
func (n *Normalizer) calls(device, peer, name string) bool {
	return n.devices != nil && name != "" && (n.devices.Device(device, device) == name || n.devices.Device(device, peer) == name)
}

// nameExample gives the example's trap its OID or its name.
func (n *Normalizer) nameExample(t *trap.Trap) {
	if t.OID == "" {
		if o := n.names.ByName(t.Name); o != nil {
			t.OID = o.OID
		}
	} else if t.Name == "" {
		if o, _ := n.names.Lookup(t.OID); o != nil {
			t.Name = o.Name
		}
	}
}

func (n *Normalizer) whyNotTaken(mp *mapping, ex *example, res *Result) string {
	if res.Event.Mapping != "" {
		return "another mapping takes this message: " + res.Event.Mapping
	}
	for _, t := range n.Explain(ex.in).Tried {
		if t.Mapping == mp.id {
			return "does not take its example: " + t.Why
		}
	}
	return "is not even tried for its example: " + res.Why
}

// compareData holds data against what an example expects; message may be left
// out, since it is the message once more.
func compareData(want *yaml.Node, data []byte) string {
	var w, g any
	if err := want.Decode(&w); err != nil {
		return err.Error()
	}
	wj, err := json.Marshal(w)
	if err != nil {
		return err.Error()
	}
	if err := errors.Join(decode(wj, &w), decode(data, &g)); err != nil {
		return err.Error()
	}
	if gm, ok := g.(map[string]any); ok {
		if wm, ok := w.(map[string]any); !ok || wm["message"] == nil {
			delete(gm, "message")
		}
	}
	if reflect.DeepEqual(w, g) {
		return ""
	}
	gj, _ := json.Marshal(g)
	wj, _ = json.Marshal(w)
	return fmt.Sprintf("data is %s, expected %s", gj, wj)
}

func decode(b []byte, into *any) error {
	*into = nil
	if len(b) == 0 {
		b = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}

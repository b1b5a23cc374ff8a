package normalize

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"signalbox/internal/schema"
)

// holds checks what must be true of every result, whatever came in.
func holds(t *testing.T, n *Normalizer, in Input) {
	t.Helper()
	res := n.Normalize(in)
	ev := res.Event
	if string(ev.Raw) != string(in.Raw) {
		t.Fatal("raw bytes changed")
	}
	if res.Reject != "" {
		if strings.ContainsAny(res.Reject, "\n\x00\x1b") || !utf8.ValidString(res.Reject) {
			t.Fatalf("reason %q is not fit to be shown", res.Reject)
		}
		return
	}
	if !schema.ValidType(ev.Type) {
		t.Fatalf("type %q", ev.Type)
	}
	if len(ev.Data) > 0 && !json.Valid(ev.Data) {
		t.Fatalf("data is no JSON: %q", ev.Data)
	}
	for _, s := range []string{ev.Device, ev.Interface} {
		if !utf8.ValidString(s) || len(s) > schema.MaxName || strings.ContainsAny(s, "\x00\n\x1b") {
			t.Fatalf("device or interface %q", s)
		}
	}
	if res.Mapped == (res.Why != "") {
		t.Fatalf("mapped %v, why %q", res.Mapped, res.Why)
	}
	if again := n.Normalize(in); string(again.Event.Data) != string(ev.Data) || again.Event.Type != ev.Type {
		t.Fatal("not the same twice")
	}
}

func FuzzNormalizeSyslog(f *testing.F) {
	n := load(f)
	for _, m := range n.mappings {
		for _, ex := range m.examples {
			if m.form == Syslog {
				f.Add(ex.in.Raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		holds(t, n, Input{Source: "s", Form: Syslog, Raw: raw, Peer: "192.0.2.1:514", Received: exampleTime})
	})
}

func FuzzNormalizeSNMP(f *testing.F) {
	n := load(f)
	f.Add([]byte("\x30\x2e\x02\x01\x01\x04\x06public\xa7\x21\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x16\x30\x14\x06\x0a\x2b\x06\x01\x06\x03\x01\x01\x04\x01\x00\x06\x06\x2b\x06\x01\x06\x03\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		holds(t, n, Input{Source: "s", Form: SNMP, Raw: raw, Peer: "192.0.2.1:162", Received: exampleTime})
	})
}

func FuzzNormalizePayload(f *testing.F) {
	n := load(f)
	for _, m := range n.mappings {
		for _, ex := range m.examples {
			if m.form == Payload {
				f.Add(ex.in.Raw, ex.in.Mapping)
			}
		}
	}
	f.Add([]byte(`{"event_type":"interface_down","device":"switch-01","interface":"Eth1/1","timestamp":1640000000}`), "")
	f.Add([]byte(`{"specversion":"1.0","id":"7","source":"/mon","type":"x","subject":"a/b","data_base64":"e30="}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, mapping string) {
		holds(t, n, Input{Source: "s", Form: Payload, Raw: raw, Mapping: mapping, Peer: "192.0.2.1:1", Received: exampleTime})
	})
}

// FuzzMappingFile: a broken file is an error, never a panic.
func FuzzMappingFile(f *testing.F) {
	f.Add("form: syslog\nmappings:\n  - name: a\n    tag: T\n    match: 'a {b}'\n    type: {from: b, values: {x: y}}\n    data: {b: '{b}'}\n    when: {b: {present: true}}\n    examples: [{raw: x, type: none}]\n")
	cat, err := schema.Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		r := &reader{file: "m.yaml"}
		r.mappings([]byte(src), cat)
	})
}

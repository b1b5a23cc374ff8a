package normalize

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/normalize/trap"
)

// only makes a Normalizer of one file and nothing built in.
func only(t *testing.T, src string) (*Normalizer, error) {
	t.Helper()
	return New(Options{Catalogue: load(t).cat, Packs: fstest.MapFS{"m.yaml": {Data: []byte(src)}}})
}

// TestValues covers every part of a message that a value can name.
func TestValues(t *testing.T) {
	n, err := only(t, `mappings:
  - name: s.parts
    form: syslog
    tag: FOO-5-BAR
    match: 'user {user}[ port {port:int}][ state {state:up|down}]'
    type: t_parts
    device: '{msg.app_name}-x'
    interface: 'if{port}'
    severity: warning
    data:
      user: '{user}'
      both: '{user}/{port}'
      braces: '{{{user}}}'
      sd: '{sd.peer}'
      missing: '{port}'
      table: {from: state, values: {UP: one, down: two}, default: none}
      lower: {from: user, case: upper}
      first: {from: [port, msg.hostname]}
      except: {from: user, not: [ALICE]}
      host: {from: user, strip: port}
      sev: '{msg.severity}'
      fac: '{msg.facility}'
      peer: '{peer}'
      const: 5
      yes: true
      text: 'true'
    examples: [{raw: x, type: none}]
  - name: s.kv
    form: syslog
    key: {from: kv.id, values: ["100"]}
    match_on: kv.msg
    match: '{who} did {what:rest}'
    when:
      - kv.action: [deny, block]
        kv.extra: {present: false}
      - kv.force: {prefix: [y]}
    type: t_kv
    data: {who: '{who}', what: '{what}', action: '{kv.action}'}
    examples: [{raw: x, type: none}]
  - name: s.csv
    form: syslog
    key: {from: csv.1, values: [ROW]}
    type: {from: csv.2, values: {a: t_a, b: t_b}}
    data: {three: '{csv.3}', none: '{csv.9}'}
    examples: [{raw: x, type: none}]
  - name: s.re
    form: syslog
    tag: RE-1-X
    regexp: '(?P<a>\d+)-(?P<b>x)?y'
    type: t_re
    data: {a: '{a}', b: '{b}'}
    examples: [{raw: x, type: none}]
  - name: t.trap
    form: snmp
    trap: [fooTrap, 1.3.6.1.4.1.99999.0.7]
    type: interface_down
    interface: '{vb.ifDescr}'
    data: {if_index: '{vb.ifIndex}', admin_status: '{vb.ifAdminStatus}', oper_status: '{vb.ifOperStatus.name}', reason: '{vb.ifDescr.index} {vb.1.3.6.1.4.1.99999.5} {trap.oid}'}
    examples: [{trap: fooTrap, type: none}]
  - name: p.body
    form: payload
    when: {$.kind: thing, header.X-Kind: {not: [other]}, $.n: {not_contains: ['9']}}
    type: '{$.type}'
    sender_id: '{$.id}'
    device: '{$.dev.name}'
    time: '{$.at}'
    data: {n: '{$.n}', list: '{$.list}', second: '{$.list[1]}', odd: "{$['odd name']}", obj: '{$.dev}', nul: '{$.nul}', esc: '{$.esc}'}
    examples: [{raw: '{}', type: none}]
`)
	if err != nil {
		t.Fatal(err)
	}
	sys := func(s string) Input {
		return Input{Form: Syslog, Raw: []byte(s), Peer: "192.0.2.9:1", Received: exampleTime}
	}
	tests := []struct {
		name            string
		in              Input
		typ, dev, ifc   string
		data, mappingIs string
	}{
		{"all parts", sys(`<13>1 2026-01-05T10:00:00Z h app 7 - [a@1 peer="p"] %FOO-5-BAR: user alice port 22 state Up`), "t_parts", "app-x", "if22",
			`{"user":"alice","both":"alice/22","braces":"{alice}","sd":"p","missing":"22","table":"one","lower":"ALICE","first":"22","host":"alice",` +
				`"sev":"notice","fac":"user","peer":"192.0.2.9","const":5,"yes":true,"text":"true","severity":"warning"}`, "s.parts"},
		{"missing parts, another severity", sys(`<13>1 2026-01-05T10:00:00Z h app 7 - - %FOO-2-BAR: user bob`), "t_parts", "app-x", "",
			`{"user":"bob","braces":"{bob}","table":"none","lower":"BOB","first":"h","except":"bob","host":"bob","sev":"notice","fac":"user","peer":"192.0.2.9",` +
				`"const":5,"yes":true,"text":"true","severity":"warning"}`, "s.parts"},
		{"key=value", sys(`<13>Jan  5 10:00:00 h id=100 action=deny msg="bob did say \"hi\""`), "t_kv", "h", "", `{"who":"bob","what":"say \"hi\"","action":"deny"}`, "s.kv"},
		{"key=value, second alternative", sys(`<13>Jan  5 10:00:00 h id=100 extra=1 force=yes msg='bob did it'`), "t_kv", "h", "", `{"who":"bob","what":"it"}`, "s.kv"},
		{"key=value, no alternative", sys(`<13>Jan  5 10:00:00 h id=100 action=deny extra=1 msg="bob did it"`), "syslog_message", "h", "", "", ""},
		{"csv", sys(`<13>Jan  5 10:00:00 h 1,ROW,b,"x, ""y"""`), "t_b", "h", "", `{"three":"x, \"y\""}`, "s.csv"},
		{"csv, no type", sys(`<13>Jan  5 10:00:00 h 1,ROW,c,d`), "syslog_message", "h", "", "", ""},
		{"regexp", sys(`<13>Jan  5 10:00:00 h %RE-1-X: 12-y`), "t_re", "h", "", `{"a":"12"}`, "s.re"},
		{"regexp is anchored", sys(`<13>Jan  5 10:00:00 h %RE-1-X: 12-y!`), "syslog_message", "h", "", "", ""},
		{"trap", Input{Form: SNMP, Peer: "192.0.2.9:1", Parsed: &trap.Trap{OID: "1.3.6.1.4.1.99999.0.7", Varbinds: []trap.Varbind{
			{Name: "ifIndex", Index: "3", Text: "3", Value: int64(3)}, {Name: "ifDescr", Index: "3", Text: "Gi0/3"},
			{Name: "ifAdminStatus", Text: "up(1)", Enum: "up", Value: int64(1)}, {OID: "1.3.6.1.4.1.99999.5.0", Text: "five"}}}},
			"interface_down", "192.0.2.9", "Gi0/3", `{"if_index":3,"admin_status":"up","reason":"3 five 1.3.6.1.4.1.99999.0.7"}`, "t.trap"},
		{"payload", Input{Form: Payload, Mapping: "p", Meta: map[string]string{"X-Kind": "k"},
			Raw: []byte(`{"kind":"thing","type":"t_p","id":17,"dev":{"name":"sw1"},"at":1640000000,"n":1.50,"list":[1,"two"],"odd name":{"a":[]},"nul":null,"esc":"\u00e9\n"}`)},
			"t_p", "sw1", "", `{"n":1.50,"list":[1,"two"],"second":"two","odd":{"a":[]},"obj":{"name":"sw1"},"esc":"\u00e9\n"}`, "p.body"},
		{"payload, condition on a header", Input{Form: Payload, Mapping: "p", Meta: map[string]string{"X-Kind": "other"}, Raw: []byte(`{"kind":"thing","type":"t_p"}`)},
			"webhook", "", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ex := n.Explain(tt.in)
			ev := ex.Result.Event
			name, _, _ := strings.Cut(ev.Mapping, "@")
			got := []string{ev.Type, ev.Device, ev.Interface, name}
			if diff := cmp.Diff([]string{tt.typ, tt.dev, tt.ifc, tt.mappingIs}, got); diff != "" {
				t.Errorf("type, device, interface, mapping (-want +got):\n%s\n%+v", diff, ex.Tried)
			}
			if tt.data != "" {
				if diff := cmp.Diff(tt.data, string(ev.Data)); diff != "" {
					t.Errorf("data (-want +got):\n%s", diff)
				}
			}
			if ex.Result.Reject != "" {
				t.Errorf("rejected: %s", ex.Result.Reject)
			}
		})
	}
	res := n.Normalize(tests[10].in)
	if res.Event.SenderID != "17" || res.Event.Time.Unix() != 1640000000 {
		t.Errorf("sender %q, time %v", res.Event.SenderID, res.Event.Time)
	}
}

// TestLoadErrors: every mistake is told, all in one go, each at its place and
// with the likely spelling.
func TestLoadErrors(t *testing.T) {
	const ok = "    examples: [{raw: x, type: none}]\n"
	const head = "form: syslog\nmappings:\n  - name: a.b\n    tag: T\n"
	tests := []struct{ name, src, want string }{
		{"unknown key", "form: syslog\nmapings: []\n", `m.yaml:2:1: a mapping file has no key "mapings": did you mean "mappings"?`},
		{"unknown key of a mapping", head + "    typ: x\n" + ok, `m.yaml:5:5: a mapping has no key "typ": did you mean "type"?`},
		{"unknown form", "form: sylog\nmappings: []\n", `m.yaml:1:7: form is syslog, snmp or payload, not "sylog": did you mean "syslog"?`},
		{"place in a pattern", head + "    match: 'state {s:intt}'\n    type: x\n" + ok, `m.yaml:5:19: match: no kind of capture "intt": did you mean "int"?`},
		{"capture that is not there", head + "    match: 'state {state}'\n    type: x\n    data: {a: '{stat}'}\n" + ok, `m.yaml:7:16: data: a: no capture "stat" in the pattern: did you mean "state"?`},
		{"field that the type has not", head + "    type: bgp_neighbor_down\n    data: {neigbor: x}\n" + ok, `m.yaml:6:12: event type bgp_neighbor_down has no field "neigbor": did you mean "neighbor"?`},
		{"constant that the schema refuses", head + "    type: interface_down\n    data: {admin_status: upp}\n" + ok, `m.yaml:6:26: data: admin_status: "upp" is not one of up, down, testing`},
		{"table that the schema refuses", head + "    type: interface_down\n    data: {vlan: {from: msg.text, values: {a: b}}}\n" + ok, `m.yaml:6:18: data: vlan: "b" is not integer`},
		{"bad type name", head + "    type: 'no good'\n" + ok, `m.yaml:5:11: type: "no good" is no name of an event type: use snake_case`},
		{"no type", head + ok, "m.yaml:3:5: a mapping needs a `type:`"},
		{"no key", "form: syslog\nmappings:\n  - name: a\n    type: x\n" + ok, "m.yaml:3:5: nothing to find this mapping by: give it a tag, app, word or key (syslog) or a trap (snmp)"},
		{"no examples", head + "    type: x\n", "m.yaml:3:5: a mapping needs `examples:`, at least one"},
		{"key of another form", head + "    trap: x\n    type: x\n" + ok, "m.yaml:5:11: trap: is for snmp mappings, this one is syslog"},
		{"part of another form", head + "    type: x\n    data: {a: '{$.x}'}\n" + ok, `m.yaml:6:16: data: a: "$.x" is for payload mappings`},
		{"part that is none", head + "    type: x\n    data: {a: '{msg.hostnam}'}\n" + ok, `m.yaml:6:16: data: a: no part of a message "hostnam": did you mean "hostname"?`},
		{"regexp", head + "    regexp: '('\n    type: x\n" + ok, "m.yaml:5:13: regexp: error parsing regexp: missing closing ): `\\A(?:()\\z`"},
		{"twice", head + "    type: x\n" + ok + "  - name: a.b\n    tag: T\n    type: x\n" + ok, `m.yaml:7:5: mapping "a.b" is there already, at m.yaml:3`},
		{"a star in the middle", "form: syslog\nmappings:\n  - name: a\n    tag: [A-5-*_DOWN]\n    type: x\n" + ok, "m.yaml:4:15: tag: a * stands at the end only"},
		{"no YAML", "form: [syslog\n", "m.yaml:2:1: "},
		{"unknown example key", head + "    type: x\n    examples: [{rw: x, type: none}]\n", `m.yaml:6:17: an example has no key "rw": did you mean "raw"?`},
		{"condition", head + "    type: x\n    when: {kv.a: {contain: b}}\n" + ok, `m.yaml:6:19: when has no key "contain": did you mean "contains"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := only(t, tt.src)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains("\n"+err.Error(), "\n"+tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
			var pos *PosError
			if !errors.As(err, &pos) {
				t.Error("no PosError")
			}
		})
	}
	_, err := only(t, head+"    typ: x\n    type: 'no good'\n    data: {a: '{b}'}\n"+ok)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes, told as:\n%v", err)
	}
}

// TestCheckExamples: examples that do not hold are told with their place.
func TestCheckExamples(t *testing.T) {
	n, err := only(t, `form: syslog
mappings:
  - name: a.b
    tag: LINK-3-UPDOWN
    match: 'Interface {i} {s:up|down}'
    type: interface_down
    interface: '{i}'
    data: {oper_status: '{s}'}
    examples:
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 up', type: interface_up}
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 up', type: interface_down, interface: e2}
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 up', type: interface_down, data: {oper_status: down}}
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 up', type: none}
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 flat', type: interface_down}
      - {raw: '<1>: %LINK-3-UPDOWN: Interface e1 down', type: interface_down, interface: e1, data: {oper_status: down}}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, err := range n.CheckExamples() {
		got = append(got, err.Error())
	}
	want := []string{
		`m.yaml:10:61: a.b: type is "interface_down", expected "interface_up"`,
		`m.yaml:11:88: a.b: interface is "e1", expected "e2"`,
		`m.yaml:12:83: a.b: data is {"oper_status":"up"}, expected {"oper_status":"down"}`,
		`m.yaml:13:61: a.b: takes this message, as interface_down, and must not`,
		`m.yaml:14:9: a.b: does not take its example: expected one of up|down after "Interface e1 "`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHashes: a mapping's version changes with its meaning, not with its
// examples.
func TestHashes(t *testing.T) {
	id := func(typ, ex string) string {
		n, err := only(t, "form: syslog\nmappings:\n  - name: a\n    tag: T\n    type: "+typ+"\n    examples: [{raw: "+ex+", type: none}]\n")
		if err != nil {
			t.Fatal(err)
		}
		return n.mappings[0].id
	}
	if id("x", "a") != id("x", "b") || id("x", "a") == id("y", "a") || !strings.HasPrefix(id("x", "a"), "a@") {
		t.Error(id("x", "a"), id("x", "b"), id("y", "a"))
	}
}

func TestTagKey(t *testing.T) {
	for tag, want := range map[string]string{
		"LINK-3-UPDOWN": "LINK-UPDOWN", "ROUTING-BGP-5-ADJCHANGE": "ROUTING-BGP-ADJCHANGE",
		"LINK-SW1_SP-3-UPDOWN": "LINK-UPDOWN", "SYSMGR-STANDBY-3-SHUTDOWN_START": "SYSMGR-SHUTDOWN_START",
		"IFNET/4/LINK_STATE": "IFNET/LINK_STATE", "ASA-6-302013": "ASA-302013", "ADJCHANGE": "ADJCHANGE",
		"0100032002": "0100032002", "": "", "-": "-", "A-3": "A-3", "A-9-B": "A-9-B", "SECURITY-login-6-AUTHEN_SUCCESS": "SECURITY-LOGIN-AUTHEN_SUCCESS",
	} {
		if got := string(tagKey(nil, tag)); got != want {
			t.Errorf("tagKey(%q) = %q, want %q", tag, got, want)
		}
	}
}

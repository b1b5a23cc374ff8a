package normalize

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/normalize/trap"
)

func payloadInput(body string) Input {
	return Input{Source: "hook", Form: Payload, Raw: []byte(body), Received: exampleTime, Peer: "192.0.2.9:40000"}
}

// TestDefaultForm covers what needs no mapping: the flat form and CloudEvents.
func TestDefaultForm(t *testing.T) {
	t0 := time.Unix(1640000000, 0).UTC()
	tests := []struct {
		name, body              string
		typ, device, ifc        string
		time                    time.Time
		sender, data, rejectHas string
	}{
		{"the documented body", `{"event_type":"interface_down","device":"switch-01","interface":"Eth1/1","timestamp":1640000000}`,
			"interface_down", "switch-01", "Eth1/1", t0, "", `{}`, ""},
		{"milliseconds", `{"event_type":"interface_down","device":"s","timestamp":1640000000000}`,
			"interface_down", "s", "", t0, "", `{}`, ""},
		{"RFC 3339 with a zone", `{"event_type":"heartbeat","device":"s","timestamp":"2021-12-20T12:33:20+01:00"}`,
			"heartbeat", "s", "", t0, "", `{}`, ""},
		{"rest becomes data, after data", `{"event_type":"site_alarm","host":"s","floor":3,"data":{"a":1,"floor":2},"event_id":"x1"}`,
			"site_alarm", "s", "", time.Time{}, "x1", `{"a":1,"floor":2}`, ""},
		{"a port's number", `{"event_type":"link","device":"s","port":7}`, "link", "s", "7", time.Time{}, "", `{}`, ""},
		{"type beside a device", `{"type":"door_open","device":"s"}`, "door_open", "s", "", time.Time{}, "", `{}`, ""},
		{"event beside a host name", `{"event":"door_open","hostname":"s","ifname":"e1","ts":"2021-12-20T11:33:20Z","id":9}`, "door_open", "s", "e1", t0, "9", `{}`, ""},
		{"event_type goes before type", `{"type":"a","event_type":"door_open","device":"s"}`, "door_open", "s", "", time.Time{}, "", `{"type":"a"}`, ""},
		{"a type that no catalogue has, with any data", `{"event_type":"acme.lift_stuck","device_name":"s","floor":[1,{"a":null}],"up":true}`,
			"acme.lift_stuck", "s", "", time.Time{}, "", `{"floor":[1,{"a":null}],"up":true}`, ""},
		{"event that is no name", `{"event":"Door Open","device":"s"}`, "webhook", "", "", time.Time{}, "", `{"body":{"event":"Door Open","device":"s"}}`, ""},
		{"seconds with a fraction", `{"event_type":"heartbeat","device":"s","timestamp":1640000000.0}`, "heartbeat", "s", "", t0, "", `{}`, ""},
		{"seconds as text", `{"event_type":"heartbeat","device":"s","time":"1640000000"}`, "heartbeat", "s", "", t0, "", `{}`, ""},
		{"milliseconds as text", `{"event_type":"heartbeat","device":"s","timestamp":"1640000000000"}`, "heartbeat", "s", "", t0, "", `{}`, ""},
		{"RFC 3339 with a fraction", `{"event_type":"heartbeat","device":"s","timestamp":"2021-12-20T11:33:20.000Z"}`, "heartbeat", "s", "", t0, "", `{}`, ""},
		{"a time that is null", `{"event_type":"heartbeat","device":"s","timestamp":null}`, "heartbeat", "s", "", time.Time{}, "", `{}`, ""},
		{"a time before 1970", `{"event_type":"heartbeat","device":"s","timestamp":-5}`, "heartbeat", "s", "", time.Time{}, "", "", "timestamp: expected seconds"},
		{"a time that is a list", `{"event_type":"heartbeat","device":"s","timestamp":[1]}`, "heartbeat", "s", "", time.Time{}, "", "", "timestamp: expected seconds"},
		{"type alone is nobody's event", `{"type":"block_actions","user":1}`, "webhook", "", "", time.Time{}, "", `{"body":{"type":"block_actions","user":1}}`, ""},
		{"no type", `{"hello":"world"}`, "webhook", "", "", time.Time{}, "", `{"body":{"hello":"world"}}`, ""},
		{"a type that is a number", `{"event_type":5}`, "webhook", "", "", time.Time{}, "", "", "event_type: expected text"},
		{"a device that is a list", `{"event_type":"x","device":["a"]}`, "x", "", "", time.Time{}, "", "", "device: expected text"},
		{"a time that is none", `{"event_type":"x","device":"a","timestamp":"soon"}`, "x", "a", "", time.Time{}, "", "", "timestamp: expected seconds"},
		{"an empty type", `{"event_type":""}`, "webhook", "", "", time.Time{}, "", "", "event_type: is no name"},
		{"a field of the wrong type", `{"event_type":"interface_utilisation","device":"a","percent":"hot"}`,
			"interface_utilisation", "a", "", time.Time{}, "", `{"percent":"hot"}`, "data.percent: expected number, got a string"},
		{"a field that is missing", `{"event_type":"bgp_neighbor_down","device":"a"}`,
			"bgp_neighbor_down", "a", "", time.Time{}, "", `{}`, "data.neighbor: is required"},
		{"a list", `[1]`, "webhook", "", "", time.Time{}, "", "", "expected a JSON object"},
		{"no JSON", `{"a":}`, "webhook", "", "", time.Time{}, "", "", "not valid JSON"},
		{"a nesting bomb", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), "webhook", "", "", time.Time{}, "", "", "nested too deep"},
		{"CloudEvents", `{"specversion":"1.0","id":"7","source":"/mon","type":"interface_down","subject":"sw1/Gi0/1","time":"2021-12-20T11:33:20Z","data":{"reason":"x"}}`,
			"interface_down", "sw1", "Gi0/1", t0, "/mon 7", `{"reason":"x"}`, ""},
		{"CloudEvents with extensions", `{"specversion":"1.0","id":"7","source":"/mon","type":"com.example.thing","device":"sw1","interface":"e1","subject":"other","data":[1]}`,
			"com.example.thing", "sw1", "e1", time.Time{}, "/mon 7", `{"data":[1]}`, ""},
		{"CloudEvents in base64", `{"specversion":"1.0","id":"7","source":"/mon","type":"heartbeat","datacontenttype":"application/json","data_base64":"eyJzdGF0dXMiOiJvayJ9"}`,
			"heartbeat", "", "", time.Time{}, "/mon 7", `{"status":"ok"}`, ""},
		{"CloudEvents without id", `{"specversion":"1.0","source":"/mon","type":"x"}`, "webhook", "", "", time.Time{}, "", "", "id: is required"},
		{"CloudEvents of the future", `{"specversion":"2.0","id":"1","source":"/mon","type":"x"}`, "webhook", "", "", time.Time{}, "", "", "specversion: only"},
	}
	n := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := n.Normalize(payloadInput(tt.body))
			ev := res.Event
			if !strings.Contains(res.Reject, tt.rejectHas) || tt.rejectHas == "" && res.Reject != "" {
				t.Fatalf("rejected with %q, expected %q", res.Reject, tt.rejectHas)
			}
			if res.Reject != "" && strings.Contains(tt.rejectHas, ": ") && !strings.HasPrefix(tt.rejectHas, res.Field+": ") {
				t.Errorf("field %q is not that of %q", res.Field, res.Reject)
			}
			got := []string{ev.Type, ev.Device, ev.Interface, ev.SenderID, string(ev.Data)}
			want := []string{tt.typ, tt.device, tt.ifc, tt.sender, tt.data}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("type, device, interface, sender, data (-want +got):\n%s", diff)
			}
			if !ev.Time.Equal(tt.time) {
				t.Errorf("time %v, want %v", ev.Time, tt.time)
			}
		})
	}
}

type inventory map[string]string

func (i inventory) Device(hostname, addr string) string {
	if name := i[hostname]; name != "" {
		return name
	}
	return i[addr]
}

// TestDevice: the inventory's name, else the message's, else the sender's
// address.
func TestDevice(t *testing.T) {
	n, err := New(Options{Devices: inventory{"sw1.example.net": "sw1", "192.0.2.7": "r7", "192.0.2.1": "r1"}})
	if err != nil {
		t.Fatal(err)
	}
	link := ": %LINK-3-UPDOWN: Interface Gi0/1, changed state to up"
	v1 := &trap.Trap{Version: "1", AgentAddress: "192.0.2.7", OID: "1.3.6.1.6.3.1.1.5.1", Name: "coldStart"}
	tests := []struct {
		name, want string
		in         Input
	}{
		{"host name known", "sw1", Input{Form: Syslog, Raw: []byte("<189>45: sw1.example.net" + link), Peer: "203.0.113.9:514"}},
		{"host name unknown, address known", "r7", Input{Form: Syslog, Raw: []byte("<189>45: other" + link), Peer: "192.0.2.7:514"}},
		{"both unknown", "other", Input{Form: Syslog, Raw: []byte("<189>45: other" + link), Peer: "203.0.113.9:514"}},
		{"no host name, IPv6 sender", "2001:db8::1", Input{Form: Syslog, Raw: []byte("<189>45" + link), Peer: "[2001:db8::1]:514"}},
		{"v1 trap's agent address, not its sender", "r7", Input{Form: SNMP, Parsed: v1, Peer: "192.0.2.1:162"}},
		{"v2c trap's sender", "r1", Input{Form: SNMP, Parsed: &trap.Trap{Version: "2c", OID: "1.2.3"}, Peer: "192.0.2.1:162"}},
		{"payload", "sw1", payloadInput(`{"event_type":"x","device":"sw1.example.net"}`)},
		{"payload without one", "", payloadInput(`{"event_type":"x"}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := n.Normalize(tt.in).Event.Device; got != tt.want {
				t.Errorf("device %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnmapped: what no mapping takes is kept with all that is in it, whatever
// its bytes.
func TestUnmapped(t *testing.T) {
	n := load(t)
	raw := "<13>1 2026-01-05T10:00:00Z h app 7 ID1 [a@1 k=\"v\" k=\"w\"][a@1 x=\"y\"] \x1b[31mred\x00 \xff \u009b\"quoted\"\\"
	res := n.Normalize(Input{Source: "s", Form: Syslog, Raw: []byte(raw), Received: exampleTime, Peer: "192.0.2.1:1"})
	if res.Reject != "" || res.Mapped || res.Event.Type != "syslog_message" || res.Event.Mapping != "" || string(res.Event.Raw) != raw {
		t.Fatalf("%+v", res)
	}
	if !json.Valid(res.Event.Data) {
		t.Fatalf("data is no JSON: %s", res.Event.Data)
	}
	for _, c := range string(res.Event.Data) {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			t.Errorf("control character %U in data", c)
		}
	}
	var data map[string]any
	if err := json.Unmarshal(res.Event.Data, &data); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"app_name": "app", "proc_id": "7", "msg_id": "ID1", "hostname": "h", "severity": "notice", "facility": "user",
		"tag": data["tag"], "message": "\x1b[31mred\x00 \ufffd \u009b\"quoted\"\\", "structured_data": map[string]any{"a@1": map[string]any{"k": "v"}}}
	if data["tag"] == nil {
		delete(want, "tag")
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}

	tr := &trap.Trap{Version: "2c", OID: "1.3.6.1.4.1.99999.0.1", Uptime: 1500 * time.Millisecond,
		Varbinds: []trap.Varbind{{OID: "1.3.6.1.4.1.99999.1.0", Kind: "integer", Value: int64(-5), Text: "-5"},
			{OID: "1.3.6.1.4.1.99999.2.0", Kind: "counter64", Value: uint64(1) << 60, Text: "1152921504606846976"}}}
	res = n.Normalize(Input{Source: "s", Form: SNMP, Parsed: tr, Peer: "192.0.2.1:162"})
	wantData := `{"oid":"1.3.6.1.4.1.99999.0.1","version":"2c","uptime":1.5,"varbinds":[` +
		`{"oid":"1.3.6.1.4.1.99999.1.0","type":"integer","value":-5},` +
		`{"oid":"1.3.6.1.4.1.99999.2.0","type":"counter64","value":"1152921504606846976"}]}`
	if res.Event.Type != "snmp_trap" || string(res.Event.Data) != wantData || res.Reject != "" {
		t.Errorf("%s %s %s", res.Event.Type, res.Event.Data, res.Reject)
	}
	res = n.Normalize(Input{Source: "s", Form: SNMP, Raw: []byte("no BER"), Peer: "192.0.2.1:162"})
	if !strings.HasPrefix(res.Reject, "not an SNMP notification") {
		t.Errorf("reject %q", res.Reject)
	}
}

// TestLongAndHostile: foreign text cannot break the envelope.
func TestLongAndHostile(t *testing.T) {
	n := load(t)
	long := strings.Repeat("é", 4000)
	res := n.Normalize(Input{Form: Syslog, Raw: []byte("<189>45: sw1: %LINK-3-UPDOWN: Interface " + long + ", changed state to up"), Peer: "192.0.2.1:1"})
	if res.Reject != "" || res.Event.Type != "interface_up" || len(res.Event.Interface) > 255 || len(res.Event.Data) > 2000 {
		t.Errorf("reject %q, type %s, interface of %d bytes, data of %d", res.Reject, res.Event.Type, len(res.Event.Interface), len(res.Event.Data))
	}
	if got := clean("a\x00b\x1b\u009bc\xff "); got != "abc\ufffd" {
		t.Errorf("clean: %q", got)
	}
}

// TestUserMappings: users' mappings are asked first and replace built-in ones
// of the same name.
func TestUserMappings(t *testing.T) {
	user := fstest.MapFS{"mine.yaml": {Data: []byte(`form: syslog
mappings:
  - name: cisco_ios.link
    tag: LINK-3-UPDOWN
    match: 'Interface {i}, changed state to {:up|down}'
    type: my_link
    data: {port: '{i}', n: 5}
    examples:
      - {raw: '<189>45: sw1: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up', type: my_link, data: {port: Gi0/1, n: 5}}
  - name: mine.app
    app: myd
    type: heartbeat
    examples: [{raw: '<13>Jan  5 10:00:00 h myd: alive', type: heartbeat}]
`)}}
	n, err := New(Options{User: []fs.FS{user}})
	if err != nil {
		t.Fatal(err)
	}
	if errs := n.CheckExamples(); len(errs) > 0 {
		t.Error(errs)
	}
	res := n.Normalize(Input{Form: Syslog, Raw: []byte("<189>45: sw1: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up")})
	if res.Event.Type != "my_link" || !strings.HasPrefix(res.Event.Mapping, "cisco_ios.link@") || string(res.Event.Data) != `{"port":"Gi0/1","n":5}` {
		t.Errorf("%s %s %s", res.Event.Type, res.Event.Mapping, res.Event.Data)
	}
	if got := load(t).mappings; len(got) == len(n.mappings) {
		t.Error("the built-in mapping is still there beside the user's")
	}
}

func TestHeaders(t *testing.T) {
	n := load(t)
	if diff := cmp.Diff([]string{"X-Github-Delivery", "X-Github-Event"}, n.Headers("github")); diff != "" {
		t.Error(diff)
	}
	if !n.HasMapping("netbox") || n.HasMapping("nobody") {
		t.Error("HasMapping")
	}
}

// TestExplain: an engineer learns which tag was looked up and where the
// pattern stopped.
func TestExplain(t *testing.T) {
	n := load(t)
	ex := n.Explain(Input{Form: Syslog, Raw: []byte("<189>45: sw1: %LINK-3-UPDOWN: Interface Gi0/1, changed its state to up")})
	if ex.Key != "LINK-3-UPDOWN" || len(ex.Tried) != 1 || ex.Result.Event.Type != "syslog_message" {
		t.Fatalf("%+v", ex)
	}
	if want := `expected "state" after "Interface Gi0/1, changed "`; ex.Tried[0].Why != want {
		t.Errorf("why %q, want %q", ex.Tried[0].Why, want)
	}
	if !strings.Contains(ex.Result.Why, "cisco_ios.link@") || !strings.Contains(ex.Result.Why, `no mapping takes the tag "LINK-3-UPDOWN"`) {
		t.Errorf("why %q", ex.Result.Why)
	}
	if ex := n.Explain(Input{Form: Syslog, Raw: []byte("<13>Jan  5 10:00:00 h who: hello")}); !strings.Contains(ex.Result.Why, `no mapping takes the program "who"`) {
		t.Errorf("why %q", ex.Result.Why)
	}
}

// corpus is the folder of messages that others wrote, kept outside of the
// repository.
func corpus(t *testing.T) string {
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("left out: SIGNALBOX_CORPUS does not name a folder of messages")
	}
	return dir
}

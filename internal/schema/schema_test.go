package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"signalbox/event"
)

func load(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBuiltin holds the built-in types to what people and rules rely on.
func TestBuiltin(t *testing.T) {
	c := load(t)
	for _, name := range []string{"interface_down", "interface_up", "interface_flap", "bgp_neighbor_down", "bgp_neighbor_up",
		"ospf_neighbor_down", "ospf_neighbor_up", "isis_neighbor_down", "isis_neighbor_up", "bfd_down", "bfd_up", "device_reboot",
		"config_change", "login_failed", "login_succeeded", "snmp_auth_failed", "hardware_fault", "hardware_clear", "stp_topology_change",
		"bpduguard", "err_disable", "acl_deny", "duplicate_ip", "mac_flap", "lacp_member_down", "lacp_member_up", "ntp_unsynchronised",
		"ntp_synchronised", "process_crash", "device_unreachable", "device_reachable", "heartbeat", "interface_utilisation",
		"syslog_message", "snmp_trap", "webhook"} {
		if _, ok := c.Type(name); !ok {
			t.Errorf("no type %s", name)
		}
	}
	for _, typ := range c.Types() {
		if typ.Doc == "" || !strings.HasSuffix(typ.Doc, ".") {
			t.Errorf("%s: no sentence says what it is", typ.Name)
		}
		for _, f := range typ.Fields {
			if f.Doc == "" || f.Type == "" {
				t.Errorf("%s.%s: no description or type", typ.Name, f.Name)
			}
		}
		if c.types[typ.Name].fast == nil {
			t.Errorf("%s: too complicated for the fast checker", typ.Name)
		}
	}
	down, _ := c.Type("bgp_neighbor_down")
	if diff := cmp.Diff([]string{"neighbor", "vrf", "address_family"}, down.Key); diff != "" {
		t.Error(diff)
	}
	up, _ := c.Type("interface_up")
	if !slices.Contains(up.Clears, "interface_down") {
		t.Errorf("interface_up clears %v", up.Clears)
	}
	for typ, field := range map[string]string{"interface_down": "admin_status", "bgp_neighbor_down": "reason", "ospf_neighbor_down": "neighbor", "interface_utilisation": "percent"} {
		if !c.HasField(typ, field) {
			t.Errorf("%s has no field %s", typ, field)
		}
	}
}

func TestValidate(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33)
	tests := []struct {
		name string
		ev   event.Event
		want string // "" passes
	}{
		{"plain", event.Event{Type: "interface_down", Device: "sw1", Data: json.RawMessage(`{"admin_status":"up","if_index":3}`)}, ""},
		{"no data", event.Event{Type: "interface_down"}, ""},
		{"unknown field", event.Event{Type: "interface_down", Data: json.RawMessage(`{"x":1}`)}, ""},
		{"unknown type", event.Event{Type: "coffee_ready", Data: json.RawMessage(`{"x":1}`)}, ""},
		{"CloudEvents type", event.Event{Type: "com.example.thing"}, ""},
		{"no type", event.Event{}, "type: is required"},
		{"type with a space", event.Event{Type: "a b"}, `type: "a b" is no name`},
		{"type with a newline", event.Event{Type: "a\nb"}, `type: "a\nb" is no name`},
		{"long device", event.Event{Type: "x", Device: strings.Repeat("a", 256)}, "device: is longer than 255 bytes"},
		{"device with a control", event.Event{Type: "x", Device: "a\x1b"}, "device: has a control character in it"},
		{"device in Latin-1", event.Event{Type: "x", Device: "a\xe9"}, "device: is not valid UTF-8"},
		{"interface with a newline", event.Event{Type: "x", Interface: "a\n"}, "interface: has a control"},
		{"data is a list", event.Event{Type: "x", Data: json.RawMessage(`[]`)}, "data: expected an object"},
		{"data is cut off", event.Event{Type: "x", Data: json.RawMessage(`{"a":`)}, "data: JSON ends too early"},
		{"data too deep", event.Event{Type: "x", Data: json.RawMessage(deep)}, "data: JSON nested too deep"},
		{"data too long", event.Event{Type: "x", Data: json.RawMessage(`{"a":"` + strings.Repeat("a", 1<<20) + `"}`)}, "data: 1048584 bytes are more"},
		{"data not UTF-8", event.Event{Type: "x", Data: json.RawMessage("{\"a\":\"\xff\"}")}, "data: invalid UTF-8"},
		{"missing", event.Event{Type: "bgp_neighbor_down"}, "data.neighbor: is required"},
		{"null is no value", event.Event{Type: "bgp_neighbor_down", Data: json.RawMessage(`{"neighbor":null}`)}, "data.neighbor: expected string, got null"},
		{"wrong type", event.Event{Type: "bgp_neighbor_down", Data: json.RawMessage(`{"neighbor":1}`)}, "data.neighbor: expected string, got a number"},
		{"not of the enum", event.Event{Type: "interface_down", Data: json.RawMessage(`{"admin_status":"upp"}`)}, `data.admin_status: "upp" is not one of up, down, testing`},
		{"enum with an escape", event.Event{Type: "interface_down", Data: json.RawMessage(`{"admin_status":"\u0075p"}`)}, ""},
		{"name with an escape", event.Event{Type: "interface_down", Data: json.RawMessage(`{"\u0061dmin_status":"upp"}`)}, `data.admin_status: "upp" is not one of`},
		{"below the minimum", event.Event{Type: "interface_down", Data: json.RawMessage(`{"if_index":-1}`)}, "data.if_index: -1 is below the minimum 0"},
		{"above the maximum", event.Event{Type: "interface_down", Data: json.RawMessage(`{"vlan":4096}`)}, "data.vlan: 4096 is above the maximum 4095"},
		{"a fraction", event.Event{Type: "interface_down", Data: json.RawMessage(`{"vlan":1.5}`)}, "data.vlan: expected integer, got a number with a fraction"},
		{"1.0 is whole", event.Event{Type: "interface_down", Data: json.RawMessage(`{"vlan":1.0}`)}, ""},
		{"twice", event.Event{Type: "interface_down", Data: json.RawMessage(`{"vlan":1,"vlan":2}`)}, "data.vlan: is there twice"},
	}
	c := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Validate(&tt.ev)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestLoadUsers: users' types come beside the built-in ones; a schema that is
// beyond the fast checker is left to the library.
func TestLoadUsers(t *testing.T) {
	users := fstest.MapFS{"door_open.json": {Data: []byte(`{"description":"A door.","type":"object","properties":{"door":{"type":"string","pattern":"^[a-z]+$"}},"required":["door"]}`)}}
	c, err := Load(users)
	if err != nil {
		t.Fatal(err)
	}
	if c.types["door_open"].fast != nil {
		t.Error("a pattern is beyond the fast checker")
	}
	if c.Version == load(t).Version {
		t.Error("the same version with one more type")
	}
	err = c.Validate(&event.Event{Type: "door_open", Data: json.RawMessage(`{"door":"A1"}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "data.door: ") {
		t.Errorf("got %v", err)
	}
	if err := c.Validate(&event.Event{Type: "door_open", Data: json.RawMessage(`{"door":"a"}`)}); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]struct{ src, want string }{
		"a.json":      {"{\n \"type\": object}", "a.json:2:10: expected a JSON value"},
		"b.json":      {`{"type":"string"}`, "b.json:1:1: type: an event's data is an object"},
		"c d.json":    {`{"type":"object"}`, `c d.json:1:1: "c d" is no name`},
		"e.json":      {`{"type":"object","x-key":["n"]}`, `e.json:1:18: x-key: no property "n"`},
		"f.json":      {`{"type":"object","x-clears":["n"]}`, `f.json: x-clears: no event type "n"`},
		"g.json":      {`{"type":"object","properties":{"a":{"type":"strng"}}}`, "g.json:1:1: "},
		"h_file.json": {`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "h_file.json:1:1: "},
		"h_http.json": {`{"type":"object","properties":{"a":{"$ref":"http://192.0.2.1/x"}}}`, "h_http.json:1:1: "},
	} {
		_, err := Load(fstest.MapFS{name: {Data: []byte(bad.src)}})
		if err == nil || !strings.HasPrefix(err.Error(), bad.want) {
			t.Errorf("%s: got %v, want %s", name, err, bad.want)
		}
	}
}

// TestFastAgrees holds the fast checker to the library's verdict, for random
// schemas and values.
func TestFastAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(drawSchema(t, "schema", 2))
		fast, ok := compileFast(src)
		if !ok {
			t.Fatalf("beyond the fast checker: %s", src)
		}
		full, err := compileFull("x", src)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(drawValue(t, "value", 3))
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil || data[0] != '{' {
			return
		}
		want := full.Validate(v) == nil
		if got := fast.validate(data); got.found() == want {
			t.Fatalf("schema %s\nvalue %s\nfast says %+v, the library %v", src, data, got, want)
		}
	})
}

var propNames = []string{"a", "b", "c"}

func drawSchema(t *rapid.T, label string, depth int) string {
	var props, required []string
	for _, name := range propNames {
		if rapid.Bool().Draw(t, label+" has "+name) {
			props = append(props, fmt.Sprintf("%q:%s", name, drawProperty(t, label+"."+name, depth)))
			if rapid.Bool().Draw(t, label+" wants "+name) {
				required = append(required, fmt.Sprintf("%q", name))
			}
		}
	}
	return fmt.Sprintf(`{"type":"object","properties":{%s},"required":[%s],"additionalProperties":%v}`,
		strings.Join(props, ","), strings.Join(required, ","), rapid.Bool().Draw(t, label+" open"))
}

func drawProperty(t *rapid.T, label string, depth int) string {
	num := rapid.SampledFrom([]string{"-1.5", "0", "1", "2", "10"})
	switch rapid.IntRange(0, 7).Draw(t, label) {
	case 0:
		return `{"type":"string","enum":["x","y"]}`
	case 1:
		return fmt.Sprintf(`{"type":"integer","minimum":%s,"maximum":%s}`, num.Draw(t, label+" min"), num.Draw(t, label+" max"))
	case 2:
		return fmt.Sprintf(`{"type":["number","null"],"exclusiveMinimum":%s}`, num.Draw(t, label+" over"))
	case 3:
		return `{"type":"string","minLength":1,"maxLength":2,"format":"uri"}`
	case 4:
		return `{"type":["array","boolean"]}`
	case 5:
		if depth > 0 {
			return drawSchema(t, label, depth-1)
		}
		return `{"type":"object"}`
	case 6:
		return `{"exclusiveMaximum":2,"maxLength":1,"description":"any","x-unit":"u"}`
	}
	return `{"type":"number"}`
}

func drawValue(t *rapid.T, label string, depth int) string {
	if depth == 3 || depth > 0 && rapid.IntRange(0, 4).Draw(t, label+" deeper") == 0 {
		var members []string
		for _, name := range append(propNames, "d") {
			if rapid.Bool().Draw(t, label+" has "+name) {
				members = append(members, fmt.Sprintf(" %q : %s", name, drawValue(t, label+"."+name, depth-1)))
			}
		}
		return "{" + strings.Join(members, ",") + " }"
	}
	return rapid.SampledFrom([]string{`"x"`, `"\u0079"`, `""`, `"zzz"`, `"é"`, `"éé"`, "0", "1", "1.0", "-1", "1.5", "10", "1e1", "15e-1", "1e-1", "100e-2",
		"12345678901234567890.5", "true", "false", "null", "[]", `[1,{"a":[]}]`, "{}", `{"a":1}`}).Draw(t, label)
}

func BenchmarkValidate(b *testing.B) {
	c := load(b)
	ev := &event.Event{Type: "interface_down", Device: "sw1", Interface: "Gi0/1",
		Data: json.RawMessage(`{"layer":"link","oper_status":"down","message":"Interface GigabitEthernet0/1, changed state to down"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Validate(ev); err != nil {
			b.Fatal(err)
		}
	}
}

func TestText(t *testing.T) {
	typ, _ := load(t).Type("interface_utilisation")
	text := typ.Text()
	for _, want := range []string{"interface_utilisation\n  How busy an interface is", "  percent (number, percent, required)\n",
		"      one of: in, out\n", "equal in device, type, interface, direction."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

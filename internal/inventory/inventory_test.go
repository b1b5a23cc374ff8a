package inventory

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const good = `
devices:
  - name: sw1.example.net
    address: 192.0.2.1
    addresses: [192.0.2.1, 198.51.100.1/24, "2001:db8::1"]
    site: ber1
    role: access
    tags: [campus]
    rack: 12
    since: 2024-05-01
    weight: 1.5
    owner: {team: netops, people: [a, b]}
    gone: null
    interfaces:
      Gi0/1: {role: uplink, speed: 1000, mtu: 9000}
      Te1/1:
  - {name: core1, address: "::ffff:192.0.2.2", site: ham1, rack: 1.5, redundant: true, weight: heavy}
  - core2
sites:
  - {name: ber1, city: Berlin}
`

func mustParse(t testing.TB, texts ...string) *Inventory {
	t.Helper()
	var files []File
	for _, s := range texts {
		files = append(files, File{Name: "devices.yaml", Data: []byte(s)})
	}
	inv, problems := Parse(files)
	for _, p := range problems {
		t.Errorf("%v", p)
	}
	return inv
}

func TestDevice(t *testing.T) {
	inv := mustParse(t, good, "devices: {edge1: {address: 192.0.2.7}, edge2: }\n")
	if inv.Len() != 5 || strings.Join(inv.Names(), " ") != "sw1.example.net core1 core2 edge1 edge2" {
		t.Errorf("%d devices: %v", inv.Len(), inv.Names())
	}
	got, ok := inv.Device("sw1.example.net")
	want := map[string]any{
		"name": "sw1.example.net", "address": "192.0.2.1", "addresses": []any{"192.0.2.1", "198.51.100.1", "2001:db8::1"},
		"site": "ber1", "role": "access", "tags": []any{"campus"}, "rack": int64(12), "since": "2024-05-01", "weight": 1.5,
		"owner": map[string]any{"team": "netops", "people": []any{"a", "b"}},
		"interfaces": map[string]any{
			"GigabitEthernet0/1":    map[string]any{"name": "GigabitEthernet0/1", "role": "uplink", "speed": int64(1000), "mtu": int64(9000)},
			"TenGigabitEthernet1/1": map[string]any{"name": "TenGigabitEthernet1/1"},
		},
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("%v (-want +got):\n%s", ok, diff)
	}
	for name, want := range map[string]map[string]any{
		"ghost":         {"name": "ghost"},
		"198.51.100.77": {"name": "198.51.100.77", "address": "198.51.100.77"},
		"":              {"name": ""},
	} {
		got, ok := inv.Device(name)
		if diff := cmp.Diff(want, got); ok || diff != "" {
			t.Errorf("%q: %v %s", name, ok, diff)
		}
	}
}

func TestName(t *testing.T) {
	inv := mustParse(t, good, `
devices: [{name: dup.a.example, address: 192.0.2.20}, {name: dup.b.example, address: 192.0.2.21}]
`)
	tests := []struct{ host, addr, want string }{
		{"sw1.example.net", "", "sw1.example.net"},
		{"SW1.Example.NET", "", "sw1.example.net"},
		{"sw1", "", "sw1.example.net"},
		{"sw1.example.org", "", "sw1.example.org"}, // another domain is another device
		{"core1.example.net", "", "core1"},
		{"dup", "", "dup"}, // two have that label
		{"dup", "192.0.2.21:514", "dup.b.example"},
		{"", "192.0.2.1:51000", "sw1.example.net"},
		{"", "[2001:db8::1]:514", "sw1.example.net"},
		{"", "2001:0db8:0::1", "sw1.example.net"},
		{"", "::ffff:192.0.2.2", "core1"},
		{"192.0.2.2", "", "core1"},
		{"other", "192.0.2.2", "core1"}, // the host name is not known, the address is
		{"other", "203.0.113.1:9", "other"},
		{"", "203.0.113.1:9", "203.0.113.1"},
		{"", "", ""},
		{"", "pipe", "pipe"},
	}
	for _, tt := range tests {
		if got := inv.Name(tt.host, tt.addr); got != tt.want {
			t.Errorf("Name(%q, %q) = %q, want %q", tt.host, tt.addr, got, tt.want)
		}
	}
}

func TestInterfaceAndSite(t *testing.T) {
	inv := mustParse(t, good)
	for _, name := range []string{"Gi0/1", "gigabitethernet0/1", "GIG 0/1"} {
		if r, ok := inv.Interface("sw1", name); !ok || r["role"] != "uplink" {
			t.Errorf("%q: %v %v", name, r, ok)
		}
	}
	if r, ok := inv.Interface("ghost", "Gi0/9"); ok || r["name"] != "GigabitEthernet0/9" {
		t.Errorf("unknown interface: %v %v", r, ok)
	}
	if r, ok := inv.Interface("sw1", ""); ok || r == nil || len(r) != 0 {
		t.Errorf("no interface: %v %v", r, ok)
	}
	if r, ok := inv.Site("ber1"); !ok || r["city"] != "Berlin" {
		t.Errorf("site: %v %v", r, ok)
	}
	if r, ok := inv.Site("ham1"); ok || r["name"] != "ham1" {
		t.Errorf("site that nobody describes: %v %v", r, ok)
	}
	if r, ok := inv.Site(""); ok || r == nil {
		t.Errorf("no site: %v %v", r, ok)
	}
}

func TestFields(t *testing.T) {
	f := mustParse(t, good).Fields()
	for name, want := range map[string]Kind{
		"name": "string", "role": "string", "platform": "string", "rack": "number", "weight": "any",
		"owner": "map", "redundant": "bool", "tags": "list", "since": "string",
	} {
		if f.Device[name] != want {
			t.Errorf("device.%s is %q, want %q", name, f.Device[name], want)
		}
	}
	if _, there := f.Device["gone"]; there {
		t.Error("an attribute that is null everywhere is one")
	}
	if f.Interface["mtu"] != "int" || f.Site["city"] != "string" {
		t.Errorf("interface.mtu %q, site.city %q", f.Interface["mtu"], f.Site["city"])
	}
}

func TestNilInventory(t *testing.T) {
	var inv *Inventory
	if r, ok := inv.Device("x"); ok || r["name"] != "x" || inv.Len() != 0 || inv.Name("a", "b") != "a" {
		t.Error("a nil inventory is not an empty one")
	}
	if r, _ := inv.Interface("x", "Gi0/1"); r["name"] != "GigabitEthernet0/1" {
		t.Errorf("interface %v", r)
	}
	if r, _ := inv.Site("x"); r["name"] != "x" {
		t.Errorf("site %v", r)
	}
	if len(inv.Fields().Device) == 0 || len(inv.Names()) != 0 {
		t.Error("fields or names")
	}
}

func TestProblems(t *testing.T) {
	for _, name := range []string{"bad", "broken", "bomb", "links"} {
		src, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		_, problems := Parse([]File{{Name: name + ".yaml", Data: src}})
		var b strings.Builder
		for _, p := range problems {
			b.WriteString(p.Error() + "\n")
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("devices: {a: {address: 192.0.2.1, x: &a [*a]}}"))
	f.Add([]byte("devices:\n- name: &a sw\n  role: *a\n  <<: {b: 1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, problems := Parse([]File{{Name: "f", Data: data}})
		for _, p := range problems {
			if p.Line < 1 || p.Col < 1 || p.Message == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
		for _, name := range inv.Names() {
			if r, ok := inv.Device(name); !ok || r["name"] == nil {
				t.Errorf("%q is not found by its name", name)
			}
		}
	})
}

// What was asked before is kept, and in one place for several addresses: it is
// never mistaken for another, whoever asks at the same time.
func TestAddressesAskedBefore(t *testing.T) {
	inv := mustParse(t, "devices: {edge1: {address: 192.0.2.7}, edge2: {address: '2001:db8::7'}}\n")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3000 {
				want := ""
				addr := fmt.Sprintf("192.0.%d.%d", i/250, i%250)
				if i%3 == 0 {
					addr = fmt.Sprintf("[2001:db8::%x]:514", i%32)
				}
				switch addr {
				case "192.0.2.7":
					want = "edge1"
				case "[2001:db8::7]:514":
					want = "edge2"
				}
				if name, ok := inv.Known("", addr); name != want || ok != (want != "") {
					t.Errorf("%s is %q, want %q", addr, name, want)
				}
			}
		})
	}
	wg.Wait()
}

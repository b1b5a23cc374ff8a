package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/correlate"
)

func TestTopology(t *testing.T) {
	inv := mustParse(t, `
devices:
  - {name: core1, root: true, interfaces: {Te1/1: {peer: acc1}, Te1/2: {peer: "acc2:Gi0/24"}, Te1/9: {peer: a carrier}}}
  - {name: acc1, address: 192.0.2.11, interfaces: {Gi0/24: {peer: core1}}}
  - {name: acc2, root: false, interfaces: {Gi0/24: {peer: "CORE1:TenGigabitEthernet1/2"}}}
  - {name: far.example.net}
`, `
links:
  - {a: acc1, a_interface: Gi0/1, b: acc3, b_interface: gig 0/24}
  - "acc2:Gi0/2 192.0.2.11:xe-0/0/0:1"
  - [far, acc1]
  - {b: acc1, a: far}
devices: [acc3]
`)
	want := &correlate.Topology{Roots: []string{"core1"}, Links: []correlate.Link{
		{A: "acc1", B: "far.example.net"},
		{A: "acc1", AInterface: "GigabitEthernet0/1", B: "acc3", BInterface: "GigabitEthernet0/24"},
		{A: "acc1", AInterface: "GigabitEthernet0/24", B: "core1", BInterface: "TenGigabitEthernet1/1"},
		{A: "acc1", AInterface: "xe-0/0/0:1", B: "acc2", BInterface: "GigabitEthernet0/2"},
		{A: "acc2", AInterface: "GigabitEthernet0/24", B: "core1", BInterface: "TenGigabitEthernet1/2"},
	}}
	if diff := cmp.Diff(want, inv.Topology()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r, _ := inv.Device("core1"); r["root"] != true {
		t.Error("device.root is not true")
	}
}

// Two ports of one device with the same peer are two links, and nobody can say
// which ports of the peer they end at.
func TestParallelLinksStayApart(t *testing.T) {
	inv := mustParse(t, `
devices:
  a: {interfaces: {Gi0/1: {peer: b}, Gi0/2: {peer: b}}}
  b: {interfaces: {Gi0/1: {peer: a}}}
`)
	if n := len(inv.Topology().Links); n != 3 {
		t.Errorf("%d links: %v", n, inv.Topology().Links)
	}
}

func TestNoTopology(t *testing.T) {
	var none *Inventory
	if none.Topology() != nil || mustParse(t, good).Topology() != nil {
		t.Error("a topology where no file says one")
	}
}

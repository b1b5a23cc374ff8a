package event

import (
	"testing"
)

func TestCanonicalInterface(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Gi0/1", "GigabitEthernet0/1"},
		{"GigabitEthernet0/1", "GigabitEthernet0/1"},
		{"gig 0/1", "GigabitEthernet0/1"},
		{"GIGABITETHERNET1/0/24", "GigabitEthernet1/0/24"},
		{"GE0/0/1", "GigabitEthernet0/0/1"},
		{"XGigabitEthernet0/0/1", "TenGigabitEthernet0/0/1"},
		{"100GE1/0/1", "HundredGigE1/0/1"},
		{"Te1/1/1", "TenGigabitEthernet1/1/1"},
		{"TenGigE0/0/0/1", "TenGigabitEthernet0/0/0/1"},
		{"Hu0/0/0/1", "HundredGigE0/0/0/1"},
		{"Fa0/1.100", "FastEthernet0/1.100"},
		{"Twe1/0/1", "TwentyFiveGigE1/0/1"},
		{"Eth1/1", "Ethernet1/1"},
		{"Et1", "Ethernet1"},
		{"Ethernet1/1", "Ethernet1/1"},
		{"eth1/1", "Ethernet1/1"},
		{"eth0", "eth0"},
		{"eth0.12", "eth0.12"},
		{"Po1", "Port-channel1"},
		{"port-channel1", "Port-channel1"},
		{"Port-Channel1", "Port-channel1"},
		{"Vl10", "Vlan10"},
		{"Vlanif10", "Vlan10"},
		{"Lo0", "Loopback0"},
		{"loopback 0", "Loopback0"},
		{"mgmt0", "mgmt0"},
		{"BE1", "Bundle-Ether1"},
		{"Bundle-Ether1", "Bundle-Ether1"},
		{"Tu10", "Tunnel10"},
		{"ge-0/0/0", "ge-0/0/0"},
		{"xe-0/0/0.0", "xe-0/0/0.0"},
		{"et-0/0/1", "et-0/0/1"},
		{"ae0", "ae0"},
		{"swp1", "swp1"},
		{"MgmtEth0/RP0/CPU0/0", "MgmtEth0/RP0/CPU0/0"},
		{"port1", "port1"},
		{"outside", "outside"},
		{" Gi0/2 ", "GigabitEthernet0/2"},
		{"", ""},
		{"-", "-"},
		{"7", "7"},
	}
	for _, tt := range tests {
		if got := CanonicalInterface(tt.in); got != tt.want {
			t.Errorf("CanonicalInterface(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzCanonicalInterface(f *testing.F) {
	for _, s := range []string{"Gi0/1", "ge-0/0/0", "100GE1/0/1", "Bundle-Ether1.2", "eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := CanonicalInterface(s)
		if twice := CanonicalInterface(once); twice != once {
			t.Errorf("%q: %q, then %q", s, once, twice)
		}
	})
}

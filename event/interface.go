package event

import "strings"

// interfaceForms gives, for the letters before the first digit (lower case,
// without blanks), the name's long form. The same letters mean the same kind of
// port at every vendor that uses them; forms that only one vendor has (Junos
// ge-, xe-, et-; Linux eth0, ens3, swp1) stay what they are.
var interfaceForms = map[string]string{
	"e": "Ethernet", "et": "Ethernet", "eth": "Ethernet", "ethernet": "Ethernet",
	"fa": "FastEthernet", "fas": "FastEthernet", "fast": "FastEthernet", "fastethernet": "FastEthernet",
	"g": "GigabitEthernet", "ge": "GigabitEthernet", "gi": "GigabitEthernet", "gig": "GigabitEthernet",
	"gige": "GigabitEthernet", "gigabit": "GigabitEthernet", "gigabitethernet": "GigabitEthernet",
	"tw": "TwoGigabitEthernet", "two": "TwoGigabitEthernet", "twogigabitethernet": "TwoGigabitEthernet",
	"fi": "FiveGigabitEthernet", "five": "FiveGigabitEthernet", "fivegigabitethernet": "FiveGigabitEthernet",
	"te": "TenGigabitEthernet", "ten": "TenGigabitEthernet", "tengig": "TenGigabitEthernet",
	"tengige": "TenGigabitEthernet", "tengigabitethernet": "TenGigabitEthernet",
	"xge": "TenGigabitEthernet", "xgigabitethernet": "TenGigabitEthernet",
	"twe": "TwentyFiveGigE", "twentyfivegige": "TwentyFiveGigE", "twentyfivegigabitethernet": "TwentyFiveGigE",
	"tf": "TwentyFiveGigE", "25ge": "TwentyFiveGigE",
	"fo": "FortyGigabitEthernet", "for": "FortyGigabitEthernet", "fortygige": "FortyGigabitEthernet",
	"fortygigabitethernet": "FortyGigabitEthernet", "40ge": "FortyGigabitEthernet",
	"fif": "FiftyGigE", "fiftygige": "FiftyGigE", "fiftygigabitethernet": "FiftyGigE", "50ge": "FiftyGigE",
	"hu": "HundredGigE", "hun": "HundredGigE", "hundredgige": "HundredGigE",
	"hundredgigabitethernet": "HundredGigE", "100ge": "HundredGigE",
	"th": "TwoHundredGigE", "twohundredgige": "TwoHundredGigE", "200ge": "TwoHundredGigE",
	"fh": "FourHundredGigE", "f": "FourHundredGigE", "fourhundredgige": "FourHundredGigE", "400ge": "FourHundredGigE",
	"ap": "AppGigabitEthernet", "appgigabitethernet": "AppGigabitEthernet",
	"po": "Port-channel", "port-channel": "Port-channel", "portchannel": "Port-channel", "port-ch": "Port-channel",
	"be": "Bundle-Ether", "bundle-ether": "Bundle-Ether", "bundle-ethernet": "Bundle-Ether",
	"eth-trunk": "Eth-Trunk", "trk": "Trk",
	"vl": "Vlan", "vlan": "Vlan", "vlanif": "Vlan", "vlan-interface": "Vlan",
	"bv": "BVI", "bvi": "BVI", "bdi": "BDI", "bd": "BDI",
	"lo": "Loopback", "loop": "Loopback", "loopback": "Loopback",
	"tu": "Tunnel", "tun": "Tunnel", "tunnel": "Tunnel", "tunnel-ip": "tunnel-ip", "ti": "tunnel-ip",
	"tunnel-te": "tunnel-te", "tt": "tunnel-te",
	"se": "Serial", "ser": "Serial", "serial": "Serial", "nu": "Null", "null": "Null",
	"ma": "Management", "management": "Management", "mg": "MgmtEth", "mgmteth": "MgmtEth",
	"mgmt": "mgmt", "meth": "MEth", "nve": "nve", "di": "Dialer", "dialer": "Dialer",
	"vt": "Virtual-Template", "virtual-template": "Virtual-Template",
	"vi": "Virtual-Access", "virtual-access": "Virtual-Access", "vx": "Vxlan", "vxlan": "Vxlan",
}

// CanonicalInterface gives the one form of an interface name that its short
// and long forms share: "Gi0/1", "gig 0/1" and "GigabitEthernet0/1" are
// GigabitEthernet0/1, "Po1" and "port-channel1" are Port-channel1. What it does
// not know (Junos ge-0/0/0, Linux eth0) it gives back as it is, without blanks
// around it. It is idempotent.
func CanonicalInterface(name string) string {
	name = strings.TrimSpace(name)
	letters, rest := splitInterface(name)
	if letters == "" || rest == "" {
		return name
	}
	if unixPort(letters, rest) {
		return name
	}
	long, ok := interfaceForms[strings.ToLower(letters)]
	if !ok {
		return name
	}
	if long+rest == name {
		return name // no copy for what is canonical already
	}
	return long + rest
}

// splitInterface splits "Gi 0/1" into "Gi" and "0/1". Junos names have a dash
// right before their first digit ("ge-0/0/0"): they have no letters in this
// sense. Huawei's 100GE1/0/1 begins with digits that belong to its letters.
func splitInterface(name string) (letters, rest string) {
	i := 0
	if n := leadingDigits(name); n > 0 && len(name) > n+2 && strings.EqualFold(name[n:n+2], "GE") {
		i = n + 2
	} else {
		for i < len(name) && (isLetter(name[i]) || name[i] == '-') {
			i++
		}
	}
	if i == 0 || name[i-1] == '-' {
		return "", ""
	}
	rest = strings.TrimLeft(name[i:], " ")
	if rest == "" || rest[0] < '0' || rest[0] > '9' {
		// IOS-XR's MgmtEth0/RP0/CPU0/0 and route processors have a digit
		// first as well, so what has none is no port of these forms.
		return "", ""
	}
	return name[:i], rest
}

// unixPort says that letters and rest are a Linux device such as eth0 or
// eth1.100, which is not the Ethernet1 of a switch: those have a slash, or a
// capital.
func unixPort(letters, rest string) bool {
	return letters == "eth" && !strings.Contains(rest, "/")
}

func leadingDigits(s string) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

package attacks

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"signalbox/test/harness"
)

// sendTrap sends a linkDown about an interface of that name.
func sendTrap(t *testing.T, addr string, g *gosnmp.GoSNMP, name string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	g.Target, g.Port, g.Timeout, g.MaxOids = host, uint16(n), 2*time.Second, 60
	if err := g.Connect(); err != nil {
		t.Fatal(err)
	}
	defer g.Conn.Close()
	_, err = g.SendTrap(gosnmp.SnmpTrap{Variables: []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
		{Name: ".1.3.6.1.2.1.2.2.1.1.1", Type: gosnmp.Integer, Value: 1},
		{Name: ".1.3.6.1.2.1.2.2.1.8.1", Type: gosnmp.Integer, Value: 2},
		{Name: ".1.3.6.1.2.1.2.2.1.2.1", Type: gosnmp.OctetString, Value: name},
	}})
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
}

func v3(user, auth, priv string, flags gosnmp.SnmpV3MsgFlags) *gosnmp.GoSNMP {
	p := &gosnmp.UsmSecurityParameters{UserName: user, AuthoritativeEngineID: "\x80\x00\x4f\xb8\x05cloud\x4d\xab\x22\xcc",
		AuthoritativeEngineBoots: 1, AuthoritativeEngineTime: 1}
	if flags&gosnmp.AuthNoPriv != 0 {
		p.AuthenticationProtocol, p.AuthenticationPassphrase = gosnmp.SHA256, auth
	}
	if flags == gosnmp.AuthPriv {
		p.PrivacyProtocol, p.PrivacyPassphrase = gosnmp.AES, priv
	}
	return &gosnmp.GoSNMP{Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags, SecurityParameters: p}
}

// The whole matrix of what a user may do and what a message claims: nothing
// weaker than the user's level is taken.
func TestSNMPv3Levels(t *testing.T) {
	addr := harness.FreePort(t, "udp")
	s := harness.New(t, map[string]string{"signalbox.yaml": fmt.Sprintf(`
http: {listen: HTTPADDR}
dedup: {off: true}
sources:
  t:
    kind: snmp
    listen: %q
    communities: [right-community]
    users:
      - {name: none, level: noAuthNoPriv}
      - {name: auth, auth: {protocol: SHA256, secret: auth-password}}
      - {name: priv, auth: {protocol: SHA256, secret: auth-password}, priv: {protocol: AES, secret: priv-password}}
`, addr)})
	s.StartReady()
	levels := []gosnmp.SnmpV3MsgFlags{gosnmp.NoAuthNoPriv, gosnmp.AuthNoPriv, gosnmp.AuthPriv}
	want := map[string]bool{}
	sent := 0
	send := func(name string, g *gosnmp.GoSNMP, taken bool) {
		sendTrap(t, addr, g, name)
		sent++
		if taken {
			want[name] = true
		}
	}
	for user, own := range map[string]int{"none": 0, "auth": 1, "priv": 2} {
		for level, flags := range levels {
			// A user without a key can't be checked at a level that needs one.
			send(fmt.Sprintf("%s at level %d", user, level), v3(user, "auth-password", "priv-password", flags), level == own || user == "priv" && level > own)
		}
	}
	for i, flags := range levels {
		send(fmt.Sprintf("an unknown user at level %d", i), v3("mallory", "auth-password", "priv-password", flags), false)
	}
	send("a wrong password", v3("auth", "other-password", "", gosnmp.AuthNoPriv), false)
	send("a wrong password of two", v3("priv", "other-password", "priv-password", gosnmp.AuthPriv), false)
	send("a wrong key", v3("priv", "auth-password", "other-password", gosnmp.AuthPriv), false)
	send("a wrong community", &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "wrong"}, false)
	send("no community", &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: ""}, false)
	send("the right community", &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "right-community"}, true)
	// The last one is in: UDP on loopback keeps the order, so all were seen.
	send("the end", &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "right-community"}, true)
	s.Eventually("the last trap", limit, func() bool {
		for _, e := range s.Events() {
			if e.Event.Interface == "the end" {
				return true
			}
		}
		return false
	})
	got := map[string]bool{}
	for _, e := range s.Events() {
		got[e.Event.Interface] = true
		if !want[e.Event.Interface] {
			t.Errorf("taken: %s", e.Event.Interface)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("refused: %s", name)
		}
	}
	l := s.Settled(limit)
	for _, src := range l.Intake {
		if src.Name != "t" {
			continue
		}
		var refused uint64
		for _, n := range src.Refused {
			refused += n
		}
		if src.Received != uint64(sent) || refused != uint64(sent-len(want)) {
			t.Errorf("received %d and refused %d of %d sent: %v", src.Received, refused, sent, src.Refused)
		}
	}
}

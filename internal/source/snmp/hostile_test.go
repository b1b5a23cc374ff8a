package snmp

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/secret"
	"signalbox/internal/source"
)

// newRun is a source's inside without sockets.
func newRun(t testing.TB, cfg Config) (*run, *books) {
	t.Helper()
	b := newBooks()
	if len(cfg.Listen) == 0 {
		cfg.Listen = Addresses{"127.0.0.1:0"}
	}
	src, err := New(source.Env{Name: "traps", Log: slog.New(slog.DiscardHandler), Counters: b}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{Source: src.(*Source), answers: make(chan answer, 64), inFlight: map[string]*answer{}}
	r.emit = func(context.Context, []normalize.Input, func([]source.Receipt)) error { return nil }
	return r, b
}

var from = netip.MustParseAddrPort("192.0.2.7:40000")

var hostileUsers = []User{
	{Name: "alice", Auth: Protocol{"SHA", secret.New("password-1")}, Priv: Protocol{"AES", secret.New("password-2")}},
	{Name: "bob", Level: "noAuthNoPriv"},
}

// FuzzPacket sends datagrams through the whole path: no panic, the books
// balance, and what is kept can be parsed or is told not to be.
func FuzzPacket(f *testing.F) {
	f.Add(packet(0xa7, 1, "public", "Gi0/1"))
	f.Add(packet(0xa6, 1, "public", "Gi0/1"))
	f.Add(v3Trap(f, hostileUsers[0], "\x80\x00\x00\x00\x05AAAA", 5, 1000, trapPDU(f, "Gi0/1")))
	f.Add(unhex(f, "303e020101303011020203e8020300ffe3040104020103041030 0e0400020100020100040004000400301404000400a00e020203e8020100020100 3000"))
	f.Add([]byte{0x30, 0x04, 0x02, 0x02, 0x30, 0x03})
	r, b := newRun(f, Config{Communities: []secret.Ref{secret.New("public")}, Users: hostileUsers})
	f.Fuzz(func(t *testing.T, p []byte) {
		before, refused := b.received, total(b)
		in, a, ok := r.take(datagram{bytes: append([]byte(nil), p...), from: from, received: time.Unix(1, 0)})
		got := b.received - before
		if ok && (got != 1 || len(in.Raw) == 0) || !ok && got != total(b)-refused {
			t.Errorf("taken %v, received %d, refused %d", ok, got, total(b)-refused)
		}
		if a != nil {
			if _, err := r.guard.build(*a); err != nil {
				t.Errorf("a good inform cannot be answered: %v", err)
			}
			r.landed(a)
		}
		for len(r.answers) > 0 {
			if _, err := r.guard.build(<-r.answers); err != nil {
				t.Errorf("report: %v", err)
			}
		}
	})
}

func total(b *books) (n int) {
	for _, v := range b.refused {
		n += v
	}
	return n
}

// TestCommunityBlanked looks for secrets in what is kept, also where a proxy
// put one among the variables.
func TestCommunityBlanked(t *testing.T) {
	inner := tlv(tagSequence, trapCommunity, tlv(tagOctets, []byte("canary-inside")))
	m, err := parseMessage(packet(0xa7, 1, "canary-outside", "Gi0/1"))
	if err != nil {
		t.Fatal(err)
	}
	r := reader{b: m.pdu}
	_, content, _ := r.next()
	c := reader{b: content}
	_, _, id := c.next()
	_, _, e1 := c.next()
	_, _, e2 := c.next()
	_, vars, _ := c.next()
	pdu := tlv(pduTrapV2, id, e1, e2, tlv(tagSequence, vars, inner))
	msg := tlv(tagSequence, integer(tagInteger, 1), tlv(tagOctets, []byte("canary-outside")), pdu)

	run, _ := newRun(t, Config{})
	in, _, ok := run.take(datagram{bytes: msg, from: from})
	if !ok {
		t.Fatalf("not taken: %x", msg)
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(in.Raw), "canary") || strings.Contains(string(text), "canary") {
		t.Errorf("a community is kept: %q", in.Raw)
	}
	if got := parsed(t, in).Get("ifDescr"); got == nil || got.Text != "Gi0/1" {
		t.Errorf("ifDescr %+v", got)
	}
}

func TestOtherPDUs(t *testing.T) {
	r, b := newRun(t, Config{})
	for _, kind := range []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa5, 0xa8, 0x30} {
		msg := packet(0xa7, 1, "public", "Gi0/1")
		m, err := parseMessage(msg)
		if err != nil {
			t.Fatal(err)
		}
		m.pdu[0] = kind // within msg
		if _, _, ok := r.take(datagram{bytes: msg, from: from}); ok {
			t.Errorf("PDU %#x was taken", kind)
		}
	}
	if b.count("not_trap") != 7 {
		t.Errorf("refused: %v", b.refused)
	}
}

func TestConfig(t *testing.T) {
	good := User{Name: "u", Auth: Protocol{"SHA-256", secret.New("password")}}
	for name, tt := range map[string]struct {
		c    Config
		want string // "" for valid
	}{
		"loopback, open":      {Config{Listen: Addresses{"127.0.0.1:1162", "[::1]:1162"}}, ""},
		"everybody, open":     {Config{Listen: Addresses{":1162"}}, "allow_any_community"},
		"one of two is open":  {Config{Listen: Addresses{"127.0.0.1:1162", "192.0.2.1:162"}}, "allow_any_community"},
		"open in words":       {Config{Listen: Addresses{":1162"}, AllowAnyCommunity: true}, ""},
		"users only":          {Config{Listen: Addresses{":1162"}, Users: []User{good}}, ""},
		"no auth, not said":   {Config{Listen: Addresses{":1162"}, Users: []User{{Name: "u"}}}, "level: noAuthNoPriv"},
		"no auth, said":       {Config{Listen: Addresses{":1162"}, Users: []User{{Name: "u", Level: "noAuthNoPriv"}}}, ""},
		"priv without auth":   {Config{Listen: Addresses{":1"}, Users: []User{{Name: "u", Priv: Protocol{"AES", secret.New("password")}}}}, "needs auth"},
		"level without means": {Config{Listen: Addresses{":1"}, Users: []User{{Name: "u", Auth: good.Auth, Level: "authPriv"}}}, "needs auth and priv"},
		"unknown protocol":    {Config{Listen: Addresses{":1"}, Users: []User{{Name: "u", Auth: Protocol{"ROT13", secret.New("password")}}}}, "ROT13"},
		"twice":               {Config{Listen: Addresses{":1"}, Users: []User{good, good}}, "already"},
		"bad engine":          {Config{Listen: Addresses{":1"}, EngineID: "0x80", Users: []User{good}}, "5 to 32"},
		"bad address":         {Config{Listen: Addresses{"1162"}, Users: []User{good}}, "listen"},
	} {
		err := tt.c.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	// With users and no communities, v1 and v2c are closed on loopback too.
	if (Config{Listen: Addresses{"127.0.0.1:1"}, Users: []User{good}}).anyCommunity() {
		t.Error("a source with users takes any community")
	}
	if _, err := newUser(User{Name: "u", Auth: Protocol{"SHA", secret.New("short")}}); err == nil || strings.Contains(err.Error(), "short\"") {
		t.Errorf("a secret of 5 characters: %v", err)
	}
}

// TestCorpus sends what others captured: every v3 vector must decode with its
// published secrets, and no malformed packet may do harm.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("SIGNALBOX_CORPUS is not set: messages that others wrote are left out")
	}
	text, err := os.ReadFile(filepath.Join(dir, "snmp", "traps-wire.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var c wireCase
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimPrefix(c.ID, "snmp/"), func(t *testing.T) { c.check(t) })
	}
}

type wireCase struct {
	ID, Kind, Hex, Version string
	Raw                    string `json:"raw_b64"`
	Usm                    struct {
		User, Auth, Priv string
		AuthPassphrase   string `json:"auth_passphrase"`
		PrivPassphrase   string `json:"priv_passphrase"`
	}
	Expected map[string]any
}

func (c *wireCase) check(t *testing.T) {
	raw, err := hex.DecodeString(c.Hex)
	if err != nil || len(raw) == 0 {
		if raw, err = base64.StdEncoding.DecodeString(c.Raw); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{}
	if c.Usm.User != "" {
		u := User{Name: c.Usm.User, Auth: Protocol{c.Usm.Auth, secret.New(c.Usm.AuthPassphrase)}}
		if c.Usm.Priv != "" {
			u.Priv = Protocol{c.Usm.Priv, secret.New(c.Usm.PrivPassphrase)}
		}
		cfg.Users = []User{u}
	}
	r, b := newRun(t, cfg)
	in, _, ok := r.take(datagram{bytes: raw, from: from})
	pdu, _ := c.Expected["pdu"].(string)
	isTrap := pdu == "trap" || pdu == "snmpV2-trap"
	if c.Kind == "usm-vector" && c.Usm.User != "" {
		// A response: let in by its secrets, and then refused as no trap.
		if b.count("not_trap") != 1 {
			t.Errorf("not authentic or not decrypted: %v", b.refused)
		}
		return
	}
	if ok && !isTrap {
		if _, err := trap.Parse(in.Raw); err != nil {
			return // kept with its bytes, and rejected with the reason
		}
	}
	if ok != isTrap {
		t.Fatalf("taken: %v, want %v; refused: %v", ok, isTrap, b.refused)
	}
	if !ok {
		return
	}
	tr := parsed(t, in)
	if want, has := c.Expected["trap_oid"].(string); has && tr.OID != want {
		t.Errorf("notification %s, want %s", tr.OID, want)
	}
	if want, has := c.Expected["agent_addr"].(string); has && tr.AgentAddress != want {
		t.Errorf("agent address %s, want %s", tr.AgentAddress, want)
	}
	if want, has := c.Expected["sysUpTime_ms"].(float64); has && tr.Uptime != time.Duration(want)*time.Millisecond {
		t.Errorf("uptime %v, want %v ms", tr.Uptime, want)
	}
	if want, has := c.Expected["args_after_uptime_and_trapoid"].(float64); has && len(tr.Varbinds) != int(want) {
		t.Errorf("%d variables, want %v", len(tr.Varbinds), want)
	}
	checkVarbinds(t, tr, c.Expected["varbinds"])
}

func checkVarbinds(t *testing.T, tr *trap.Trap, expected any) {
	want, _ := expected.(map[string]any)
	for oid, value := range want {
		var got *trap.Varbind
		for i := range tr.Varbinds {
			if tr.Varbinds[i].OID == oid {
				got = &tr.Varbinds[i]
			}
		}
		if got == nil {
			t.Errorf("%s is not there", oid)
			continue
		}
		switch v := value.(type) {
		case float64:
			n, _ := got.Value.(int64)
			u, _ := got.Value.(uint64)
			if float64(n) != v && float64(u) != v {
				t.Errorf("%s is %v, want %v", oid, got.Value, v)
			}
		case string:
			if b, is := got.Value.([]byte); is && strings.HasPrefix(v, "0x") {
				if hex.EncodeToString(b) != v[2:] {
					t.Errorf("%s is %x, want %s", oid, b, v)
				}
			} else if got.Text != v {
				t.Errorf("%s is %q, want %q", oid, got.Text, v)
			}
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for _, bm := range []struct {
		name string
		raw  []byte
	}{
		{"v2c", packet(0xa7, 1, "public", "GigabitEthernet0/1")},
		{"v3", v3Trap(b, hostileUsers[0], "\x80\x00\x00\x00\x05AAAA", 5, 1000, trapPDU(b, "GigabitEthernet0/1"))},
	} {
		b.Run(bm.name, func(b *testing.B) {
			r, _ := newRun(b, Config{Communities: []secret.Ref{secret.New("public")}, Users: hostileUsers})
			b.ReportAllocs()
			for b.Loop() {
				in, _, ok := r.take(datagram{bytes: bm.raw, from: from})
				if !ok {
					b.Fatal("refused")
				}
				if _, err := trap.Parse(in.Raw); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "traps/s")
		})
	}
}

// TestOwnMIBs names an object that only the source's folder knows.
func TestOwnMIBs(t *testing.T) {
	dir := t.TempDir()
	mib := "EXAMPLE-MIB DEFINITIONS ::= BEGIN IMPORTS enterprises, OBJECT-TYPE FROM SNMPv2-SMI; " +
		"example OBJECT IDENTIFIER ::= { enterprises 32473 } " +
		"exampleOpened NOTIFICATION-TYPE STATUS current DESCRIPTION \"d\" ::= { example 0 7 } END"
	if err := os.WriteFile(filepath.Join(dir, "EXAMPLE-MIB"), []byte(mib), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := newRun(t, Config{MIBs: dir})
	p := &gosnmp.SnmpPacket{Version: gosnmp.Version2c, PDUType: gosnmp.SNMPv2Trap, Variables: []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.4.1.32473.0.7"}}}
	msg, err := p.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	in, _, ok := r.take(datagram{bytes: msg, from: from})
	tr, _ := in.Parsed.(*trap.Trap)
	if !ok || tr == nil || tr.Name != "exampleOpened" || tr.Module != "EXAMPLE-MIB" {
		t.Errorf("taken %v: %+v", ok, tr)
	}
}

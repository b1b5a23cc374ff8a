package snmp

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"signalbox/internal/secret"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeys holds the keys against RFC 3414, A.3.
func TestKeys(t *testing.T) {
	engine := string(unhex(t, "000000000000000000000002"))
	for _, tt := range []struct{ protocol, ku, localised string }{
		{"MD5", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"},
		{"SHA", "9fb5cc0381497b3793528939ff788d5d79145211", "6695febc9288e36282235fc7151f128497b38f3f"},
	} {
		a := authOf(tt.protocol)
		ku := stretch(a, []byte("maplesyrup"))
		if got := hex.EncodeToString(ku); got != tt.ku {
			t.Errorf("%s: key %s, want %s", tt.protocol, got, tt.ku)
		}
		if got := hex.EncodeToString(localise(a, ku, engine)); got != tt.localised {
			t.Errorf("%s: localised %s, want %s", tt.protocol, got, tt.localised)
		}
	}
}

func TestEncryption(t *testing.T) {
	for _, name := range []string{"DES", "AES", "AES192", "AES256", "AES192C", "AES256C"} {
		for _, auth := range []string{"MD5", "SHA", "SHA512"} {
			u, err := newUser(User{Name: "u", Auth: Protocol{auth, secret.New("password-1")}, Priv: Protocol{name, secret.New("password-2")}})
			if err != nil {
				t.Fatal(err)
			}
			key := u.privKey("engine-id")
			if len(key) != u.priv.size {
				t.Errorf("%s/%s: key of %d bytes, want %d", auth, name, len(key), u.priv.size)
			}
			plain, salt := []byte("attack at dawn, or a little later"), []byte("saltsalt")
			secretText, err := encrypt(u.priv, key, 3, 4, salt, plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decrypt(u.priv, key, 3, 4, salt, secretText)
			if err != nil || !strings.HasPrefix(string(got), string(plain)) {
				t.Errorf("%s/%s: %q, %v", auth, name, got, err)
			}
			if _, err := decrypt(u.priv, key, 3, 4, salt[:7], secretText); err == nil {
				t.Errorf("%s: a short salt was taken", name)
			}
		}
	}
}

// v3Trap writes an authPriv trap of a sender with its own engine.
func v3Trap(t testing.TB, c User, engineID string, boots, seconds uint32, pdu []byte) []byte {
	t.Helper()
	u, err := newUser(c)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1_700_000_000, 0)
	g := &guard{peers: newPeers(4), engine: &engine{id: engineID, boots: boots, start: start}}
	g.now = func() time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	scoped := tlv(tagSequence, tlv(tagOctets, []byte(engineID)), []byte{tagOctets, 0}, pdu)
	b, err := g.buildV3(7, u.name, u, u.level, scoped)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trapPDU(t testing.TB, text string) []byte {
	t.Helper()
	m, err := parseMessage(packet(0xa7, 9, "", text))
	if err != nil {
		t.Fatal(err)
	}
	return m.pdu
}

// TestTimeWindow replays traps: those of an earlier start of the engine, and
// those older than 150 seconds, must not come in (RFC 3414, 3.2 (7b)).
func TestTimeWindow(t *testing.T) {
	cfg := Config{Listen: Addresses{"127.0.0.1:0"}, Users: []User{{Name: "alice",
		Auth: Protocol{"SHA256", secret.New("password-1")}, Priv: Protocol{"AES", secret.New("password-2")}}}}
	now := time.Unix(1_750_000_000, 0)
	g, err := newGuard(cfg, "traps", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	const engineA, engineB = "\x80\x00\x00\x00\x05AAAA", "\x80\x00\x00\x00\x05BBBB"
	for i, tt := range []struct {
		engine         string
		boots, seconds uint32
		later          time.Duration // since the one before
		want           string
	}{
		{engineA, 5, 1000, 0, ""},
		{engineA, 5, 1000, 0, ""}, // the same second
		{engineA, 5, 851, 0, ""},  // late, within the window
		{engineA, 5, 849, 0, "replay"},
		{engineA, 4, 999999, 0, "replay"}, // before a restart
		{engineA, 5, 1000, 151 * time.Second, "replay"},
		{engineA, 5, 1100, 0, ""},
		{engineB, 1, 3, 0, ""}, // another engine has its own clock
		{engineA, 6, 2, 0, ""}, // restarted
		{engineA, 5, 1300, 0, "replay"},
		{engineA, maxBoots, 1, 0, "replay"}, // an engine that may not be trusted any more
		{engineA, 7, 1, 0, "replay"},
	} {
		now = now.Add(tt.later)
		m, err := parseMessage(v3Trap(t, cfg.Users[0], tt.engine, tt.boots, tt.seconds, trapPDU(t, "Gi0/1")))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, ref := g.admit(m); ref != nil {
			got = ref.reason
		}
		if got != tt.want {
			t.Errorf("step %d (boots %d, time %d): %q, want %q", i, tt.boots, tt.seconds, got, tt.want)
		}
	}
}

// TestForged changes every byte of an authentic trap: none may come in.
func TestForged(t *testing.T) {
	cfg := Config{Listen: Addresses{"127.0.0.1:0"}, Users: []User{{Name: "alice",
		Auth: Protocol{"SHA", secret.New("password-1")}, Priv: Protocol{"DES", secret.New("password-2")}}}}
	good := v3Trap(t, cfg.Users[0], "\x80\x00\x00\x00\x05AAAA", 5, 1000, trapPDU(t, "Gi0/1"))
	g, err := newGuard(cfg, "traps", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, flip := range []byte{0x01, 0x02, 0x80, 0xff} {
			bad := append([]byte(nil), good...)
			bad[i] ^= flip
			m, err := parseMessage(bad)
			if err != nil {
				continue
			}
			if _, ref := g.admit(m); ref == nil {
				t.Fatalf("byte %d changed by %#x, and taken", i, flip)
			}
		}
	}
}

func TestEngineState(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_750_000_000, 0)
	first, err := newEngine(Config{StateDir: dir}, "traps", now)
	if err != nil {
		t.Fatal(err)
	}
	// The clock went back a year: boots must grow all the same.
	second, err := newEngine(Config{StateDir: dir}, "traps", now.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if second.id != first.id || second.boots <= first.boots {
		t.Errorf("first %x %d, second %x %d", first.id, first.boots, second.id, second.boots)
	}
	a, errA := newEngine(Config{}, "traps", now)
	b, errB := newEngine(Config{}, "traps", now.Add(time.Second))
	if errA != nil || errB != nil || a.id != b.id || b.boots <= a.boots {
		t.Errorf("without a folder: %+v %v, %+v %v", a, errA, b, errB)
	}
}

func TestPeersAreBounded(t *testing.T) {
	u, err := newUser(User{Name: "u", Auth: Protocol{"SHA", secret.New("password-1")}})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeers(10)
	for i := range 100 {
		p.fresh(strings.Repeat("x", 5+i%27)+string(rune('a'+i%26)), u, nil, 1, 1, time.Now())
	}
	if len(p.byID) > 10 || p.recent.Len() > 10 {
		t.Errorf("%d engines are kept, the limit is 10", len(p.byID))
	}
}

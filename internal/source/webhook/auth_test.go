package webhook

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/internal/secret"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

const key = "documentation-only"

func hexMAC(body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

func mac512(body string) []byte {
	m := hmac.New(sha512.New, []byte(key))
	m.Write([]byte(body))
	return m.Sum(nil)
}

func withAuth(a Auth) Config {
	cfg := DefaultConfig()
	cfg.Auth = a
	return cfg
}

func TestAuth(t *testing.T) {
	github := Auth{HMAC: &HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256=", Secret: secret.New(key)}}
	netbox := Auth{HMAC: &HMAC{Algorithm: "sha512", Header: "X-Hook-Signature", Secret: secret.New(key)}}
	b64 := Auth{HMAC: &HMAC{Algorithm: "sha512", Encoding: "base64", Header: "X-Sig", Secret: secret.New(key)}}
	token := Auth{Bearer: secret.New("t0ken")}
	user := Auth{Basic: &Basic{User: "netops", Password: secret.New("pa:ss")}}
	basicHeader := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	good := "sha256=" + hexMAC(sample)
	tests := []struct {
		name    string
		auth    Auth
		headers []string
		want    int
	}{
		{"hmac", github, []string{"X-Hub-Signature-256", good}, 202},
		{"hmac in capitals", github, []string{"X-Hub-Signature-256", "sha256=" + strings.ToUpper(hexMAC(sample))}, 202},
		{"hmac missing", github, nil, 401},
		{"hmac empty", github, []string{"X-Hub-Signature-256", ""}, 401},
		{"hmac only the prefix", github, []string{"X-Hub-Signature-256", "sha256="}, 401},
		{"hmac without the prefix", github, []string{"X-Hub-Signature-256", hexMAC(sample)}, 401},
		{"hmac cut short", github, []string{"X-Hub-Signature-256", good[:len(good)-2]}, 401},
		{"hmac not hex", github, []string{"X-Hub-Signature-256", "sha256=zz"}, 401},
		{"hmac of another body", github, []string{"X-Hub-Signature-256", "sha256=" + hexMAC(sample+" ")}, 401},
		{"hmac 512", netbox, []string{"X-Hook-Signature", hex.EncodeToString(mac512(sample))}, 202},
		{"hmac 256 for 512", netbox, []string{"X-Hook-Signature", hexMAC(sample)}, 401},
		{"hmac base64", b64, []string{"X-Sig", base64.StdEncoding.EncodeToString(mac512(sample))}, 202},
		{"bearer", token, []string{"Authorization", "Bearer t0ken"}, 202},
		{"bearer in small letters", token, []string{"Authorization", "bearer t0ken"}, 202},
		{"bearer missing", token, nil, 401},
		{"bearer empty", token, []string{"Authorization", "Bearer "}, 401},
		{"bearer wrong", token, []string{"Authorization", "Bearer t0kem"}, 401},
		{"bearer longer", token, []string{"Authorization", "Bearer t0kens"}, 401},
		{"bearer as basic", token, []string{"Authorization", "Basic t0ken"}, 401},
		{"basic", user, []string{"Authorization", basicHeader("netops:pa:ss")}, 202},
		{"basic missing", user, nil, 401},
		{"basic wrong password", user, []string{"Authorization", basicHeader("netops:pa")}, 401},
		{"basic wrong user", user, []string{"Authorization", basicHeader("netop:pa:ss")}, 401},
		{"basic empty", user, []string{"Authorization", basicHeader(":")}, 401},
		{"two ways, one given", Auth{Bearer: token.Bearer, HMAC: github.HMAC}, []string{"X-Hub-Signature-256", good}, 401},
		{"two ways, both given", Auth{Bearer: token.Bearer, HMAC: github.HMAC}, []string{"X-Hub-Signature-256", good, "Authorization", "Bearer t0ken"}, 202},
		{"mtls over plain HTTP", Auth{MTLS: &MTLS{Names: []string{"sw1"}}}, nil, 401},
		{"none", Auth{None: true}, nil, 202},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withAuth(tt.auth))
			a := r.post(t, sample, tt.headers...)
			if a.status != tt.want {
				t.Fatalf("status %d, want %d: %s", a.status, tt.want, a.body)
			}
			if tt.want == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if n := r.Log.Emitted(); (n == 1) != (tt.want == 202) {
				t.Errorf("%d events were handed over", n)
			}
			if strings.Contains(a.body, key) || strings.Contains(a.body, "t0ken") || strings.Contains(a.body, "pa:ss") {
				t.Errorf("the answer tells the secret: %s", a.body)
			}
		})
	}
}

// Two signatures of which one is right: nobody could say which counts.
func TestSignatureGivenTwice(t *testing.T) {
	r := newRig(t, withAuth(Auth{HMAC: &HMAC{Header: "X-Sig", Secret: secret.New(key)}}))
	req, _ := http.NewRequest(http.MethodPost, r.url, strings.NewReader(sample))
	req.Header["X-Sig"] = []string{"00", hexMAC(sample)}
	if a := do(t, req); a.status != 401 {
		t.Errorf("status %d", a.status)
	}
}

func TestSignatureCoversTheWire(t *testing.T) {
	r := newRig(t, withAuth(Auth{HMAC: &HMAC{Header: "X-Sig", Secret: secret.New(key)}}))
	packed := gzipped(t, sample)
	if a := r.post(t, packed, "Content-Encoding", "gzip", "X-Sig", hexMAC(packed)); a.status != 202 {
		t.Errorf("signed as sent: %d %s", a.status, a.body)
	}
	if a := r.post(t, packed, "Content-Encoding", "gzip", "X-Sig", hexMAC(sample)); a.status != 401 {
		t.Errorf("signed as inflated: %d %s", a.status, a.body)
	}
	if got := string(r.Log.Durable()[0].Raw); got != sample {
		t.Errorf("logged %s", got)
	}
}

func TestTimestampedSignature(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	cfg := withAuth(Auth{HMAC: &HMAC{Header: "X-Slack-Signature", Prefix: "v0=", Secret: secret.New(key),
		TimestampHeader: "X-Slack-Request-Timestamp", Tolerance: time.Minute, Signs: "v0:{timestamp}:{body}"}})
	r := newRig(t, cfg)
	r.src.now = func() time.Time { return now }
	post := func(at time.Time) answer {
		ts := strconv.FormatInt(at.Unix(), 10)
		return r.post(t, sample, "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", "v0="+hexMAC("v0:"+ts+":"+sample))
	}
	for _, tt := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"fresh", now, 202}, {"the same again", now, 409}, {"edge", now.Add(-time.Minute), 202},
		{"expired", now.Add(-61 * time.Second), 401}, {"ahead", now.Add(61 * time.Second), 401}, {"a new time", now.Add(time.Second), 202},
	} {
		if a := post(tt.at); a.status != tt.want {
			t.Errorf("%s: %d, want %d: %s", tt.name, a.status, tt.want, a.body)
		}
	}
	ts := strconv.FormatInt(now.Unix(), 10)
	if a := r.post(t, sample, "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", "v0="+hexMAC("v0:"+ts+"0:"+sample)); a.status != 401 {
		t.Errorf("the time was changed: %d", a.status)
	}
}

// whsec is the secret of the tests, in the written form.
var whsec = "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))

func signStandard(id string, at time.Time, body string) []string {
	ts := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(id + "." + ts + "." + body))
	return []string{"webhook-id", id, "webhook-timestamp", ts, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))}
}

func TestStandardWebhooks(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := newRig(t, withAuth(Auth{StandardWebhooks: &StandardWebhooks{Secret: secret.New(whsec)}}))
	r.src.now = func() time.Time { return now }
	first := signStandard("msg_1", now, sample)
	if a := r.post(t, sample, first...); a.status != 202 {
		t.Fatal(a.status, a.body)
	}
	if id := r.Log.Durable()[0].SenderID; id != "msg_1" {
		t.Errorf("sender id %q", id)
	}
	if a := r.post(t, sample, first...); a.status != 409 {
		t.Errorf("a replay: %d", a.status)
	}
	if a := r.post(t, sample, signStandard("msg_1", now.Add(time.Second), sample)...); a.status != 202 {
		t.Errorf("an honest retry, signed anew: %d", a.status)
	}
	if a := r.post(t, sample+" ", first...); a.status != 401 {
		t.Errorf("another body: %d", a.status)
	}
	for _, off := range []time.Duration{-301 * time.Second, 301 * time.Second} {
		if a := r.post(t, sample, signStandard("msg_2", now.Add(off), sample)...); a.status != 401 {
			t.Errorf("off by %v: %d", off, a.status)
		}
	}
	// What was not taken may come again with the same signature.
	third := signStandard("msg_3", now, sample)
	r.Log.FailNext(1, source.ErrUnavailable)
	for i, want := range []int{503, 202, 409} {
		if a := r.post(t, sample, third...); a.status != want {
			t.Errorf("try %d: %d, want %d", i, a.status, want)
		}
	}
	// After its time has passed a replay is refused for that.
	r.src.now = func() time.Time { return now.Add(6 * time.Minute) }
	if a := r.post(t, sample, third...); a.status != 401 {
		t.Errorf("a late replay: %d", a.status)
	}
	// Placeholders and dots in an id stay text.
	r.src.now = func() time.Time { return now }
	for _, id := range []string{"{body}", "{timestamp}"} {
		if a := r.post(t, sample, signStandard(id, now, sample)...); a.status != 202 {
			t.Errorf("id %q: %d", id, a.status)
		}
	}
	if a := r.post(t, sample, signStandard("msg.4", now, sample)...); a.status != 401 {
		t.Errorf("an id with a dot: %d", a.status)
	}
}

func TestCorpusStandardWebhooks(t *testing.T) {
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("left out: SIGNALBOX_CORPUS does not name a folder of public messages")
	}
	f, err := os.Open(filepath.Join(dir, "webhook", "standard-webhooks.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var c struct {
			ID, Secret, Body string
			Now              int64 `json:"now_unix"`
			Headers          map[string]string
			Expected         struct{ Valid bool }
		}
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		check, err := newStandardWebhooks(StandardWebhooks{Secret: secret.New(c.Secret)})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		for k, v := range c.Headers {
			r.Header.Set(k, v)
		}
		if _, no := check(r, []byte(c.Body), time.Unix(c.Now, 0)); (no == nil) != c.Expected.Valid {
			t.Errorf("%s: %v, want valid %v", c.ID, no, c.Expected.Valid)
		}
	}
}

func TestMTLS(t *testing.T) {
	spiffe, _ := url.Parse("spiffe://example.net/sw1")
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "sw1.example.net"}, DNSNames: []string{"sw1-mgmt.example.net"},
		EmailAddresses: []string{"noc@example.net"}, URIs: []*url.URL{spiffe}}
	check := mtls([]string{"sw1.example.net", "sw1-mgmt.example.net", "noc@example.net", "spiffe://example.net/sw1"})
	with := func(state *tls.ConnectionState) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.TLS = state
		return r
	}
	if no := check(with(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}})); no != nil {
		t.Errorf("a verified certificate: %v", no.detail)
	}
	if no := check(with(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})); no == nil {
		t.Error("a certificate that nobody verified was let in")
	}
	if no := check(with(nil)); no == nil {
		t.Error("no TLS at all was let in")
	}
	other := &x509.Certificate{Subject: pkix.Name{CommonName: "sw1.example.net.attacker.example"}}
	if no := check(with(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{other, leaf}}})); no == nil {
		t.Error("another name was let in for its issuer's")
	}
	for _, name := range []string{leaf.Subject.CommonName, leaf.DNSNames[0], leaf.EmailAddresses[0], spiffe.String()} {
		if !certificateNamed(leaf, []string{name}) {
			t.Errorf("%q is not found", name)
		}
	}
}

func TestSameMachine(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "[2001:db8::1]:1": false, "0.0.0.0:1": false, "localhost:1": false, "": false, "@": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = addr
		if no := sameMachine(r); (no == nil) != want {
			t.Errorf("%q: let in %v, want %v", addr, no == nil, want)
		}
	}
	c, err := newChecks(Config{AllowUnauthenticatedFromAnywhere: true}, "x")
	if err != nil || len(c.header) != 0 {
		t.Errorf("allowed from anywhere, and yet %d checks (%v)", len(c.header), err)
	}
}

// An empty secret would let everybody in: it is an error when the source is
// built, wherever it comes from.
func TestEmptySecrets(t *testing.T) {
	t.Setenv("SIGNALBOX_TEST_EMPTY", "")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"", "${env.SIGNALBOX_TEST_EMPTY}", "${file:" + empty + "}", "${file:/does/not/exist}"} {
		s := secret.New(ref)
		for name, a := range map[string]Auth{
			"hmac": {HMAC: &HMAC{Header: "X", Secret: s}}, "standard": {StandardWebhooks: &StandardWebhooks{Secret: s}},
			"basic": {Basic: &Basic{User: "u", Password: s}}, "bearer": {Bearer: s},
		} {
			if ref == "" && name == "bearer" {
				continue // not set at all: for the same machine only
			}
			cfg := withAuth(a)
			f := &sourcetest.Fixture{Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
			_, err := New(f.Env("x"), cfg)
			if cfg.Validate() == nil && err == nil {
				t.Errorf("%s with %q was taken", name, ref)
			}
		}
	}
	for _, s := range []string{"whsec_", "whsec_%%%"} {
		if _, err := newStandardWebhooks(StandardWebhooks{Secret: secret.New(s)}); err == nil || strings.Contains(err.Error(), "%%%") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestValidate(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	cfg.MaxBody, cfg.Timeout, cfg.IDHeader, cfg.IDField = 0, 0, "X", "y"
	cfg.Headers = []string{"authorization"}
	cfg.Auth = Auth{None: true, Basic: &Basic{}, MTLS: &MTLS{}, HMAC: &HMAC{Algorithm: "md5", Encoding: "x", Tolerance: 1, Signs: "v0"},
		StandardWebhooks: &StandardWebhooks{Tolerance: -1}}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"max_body", "timeout", "id_header", "headers", "auth.none", "auth.basic.user", "auth.basic.password", "auth.mtls.names",
		"md5", "auth.hmac.encoding", "auth.hmac.header", "auth.hmac.secret", "timestamp_header", "{body}", "auth.standard_webhooks.secret", "auth.standard_webhooks.tolerance"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported:\n%v", want, err)
		}
	}
	h := HMAC{Header: "X", Secret: secret.New("x"), TimestampHeader: "T", Signs: "{body}"}
	cfg = withAuth(Auth{HMAC: &h})
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "{timestamp}") {
		t.Errorf("a timestamp that is not signed: %v", err)
	}
}

func TestSeenIsBounded(t *testing.T) {
	s := newSeen(time.Minute)
	s.max = 100
	now := time.Unix(1_700_000_000, 0)
	sig := make([]byte, 32)
	for i := range 1000 {
		copy(sig, fmt.Sprintf("%016d", i))
		if _, no := s.claim(sig, now); no != nil {
			t.Fatal("a new signature was refused")
		}
	}
	if n := len(s.young) + len(s.old); n > 2*s.max {
		t.Errorf("%d are remembered", n)
	}
	if _, no := s.claim(sig, now); no == nil {
		t.Error("the last one was taken again")
	}
}

// FuzzSignature: no header and body pass that the key did not sign, and
// nothing panics.
func FuzzSignature(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	good := signStandard("msg_1", now, sample)
	f.Add("sha256="+hexMAC(sample), "msg_1", "1700000000", good[5], []byte(sample))
	f.Add("", "", "", "v1,", []byte{})
	f.Add("sha256=", "a.b", "-1", "v1,AA== v1,", []byte("{}"))
	f.Add("sha256=00", "{body}", "99999999999999999999", "v1a,AA==", []byte("{}"))
	plain, err := newHMAC(HMAC{Header: "X-Sig", Prefix: "sha256=", Secret: secret.New(key)})
	if err != nil {
		f.Fatal(err)
	}
	standard, err := newStandardWebhooks(StandardWebhooks{Secret: secret.New(whsec)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sig, id, ts, list string, body []byte) {
		r := &http.Request{Header: http.Header{"X-Sig": {sig}, "Webhook-Id": {id}, "Webhook-Timestamp": {ts}, "Webhook-Signature": {list}}}
		if _, no := plain(r, body, now); no == nil && !strings.EqualFold(sig, "sha256="+hexMAC(string(body))) {
			t.Errorf("taken: %q for %q", sig, body)
		}
		c, no := standard(r, body, now)
		if no == nil {
			c.release()
			want := signStandard(id, now, string(body))
			if ts == want[3] && !strings.Contains(list, want[5][:40]) {
				t.Errorf("taken: %q for %q", list, body)
			}
		}
	})
}

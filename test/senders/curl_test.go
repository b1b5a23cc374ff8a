package senders

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const standardKey = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

const hooks = `
  open: {kind: webhook, auth: {none: true}}
  bearer: {kind: webhook, auth: {bearer: t0ken-of-tools}}
  basic: {kind: webhook, auth: {basic: {user: grafana, password: pass-of-grafana}}}
  hub: {kind: webhook, auth: {hmac: {header: X-Hub-Signature-256, prefix: "sha256=", secret: key-of-hub}}}
  standard: {kind: webhook, auth: {standard_webhooks: {secret: whsec_` + standardKey + `}}}
`

// curl posts with the real curl and gives the status and the body of the answer.
func curl(t *testing.T, url string, args ...string) (status, body string) {
	t.Helper()
	program := tool(t, "curl")
	file := filepath.Join(t.TempDir(), "answer")
	code, out := command(t, "", program, append([]string{"-sS", "-o", file, "-w", "%{http_code}", url}, args...)...)
	if code != 0 {
		return "", out
	}
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out, string(b)
}

// file writes a body that curl reads with --data-binary @FILE.
func file(t *testing.T, name string, body []byte) (at string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return "@" + path
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hmac signs a file with the real openssl; key are its parameters of the key.
// The signature is in hex.
func hmac(t *testing.T, at string, key ...string) string {
	t.Helper()
	args := append(append([]string{"dgst", "-sha256", "-hex"}, key...), strings.TrimPrefix(at, "@"))
	status, out := command(t, "", tool(t, "openssl"), args...)
	_, sum, ok := strings.Cut(out, "= ")
	if status != 0 || !ok {
		t.Fatalf("openssl: exit status %d\n%s", status, out)
	}
	return strings.TrimSpace(sum)
}

// standardWebhook gives the headers of a request that is signed as Standard
// Webhooks has it.
func standardWebhook(t *testing.T, id, body string) []string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(standardKey)
	if err != nil {
		t.Fatal(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	sum, err := hex.DecodeString(hmac(t, file(t, "signed", []byte(id+"."+now+"."+body)), "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString(key)))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-H", "webhook-id: " + id, "-H", "webhook-timestamp: " + now,
		"-H", "webhook-signature: v1," + base64.StdEncoding.EncodeToString(sum)}
}

// accepted gives the ids of the events of a request that has to be answered 202.
func accepted(t *testing.T, status, body string, events int) (ids []string) {
	t.Helper()
	var answer struct {
		Events []struct {
			ID string `json:"id"`
		} `json:"events"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != "202" || len(answer.Events) != events {
		t.Fatalf("answer %s %s (%v), want 202 with %d events", status, body, err, events)
	}
	for _, e := range answer.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

const asJSON = "Content-Type: application/json"

func object(iface string) string {
	return `{"event_type":"interface_down","device":"switch-01","interface":"` + iface + `","timestamp":1640000000}`
}

func cloudEvent(id, iface string) string {
	return `{"specversion":"1.0","id":"` + id + `","source":"/monitor","type":"interface_down","subject":"switch-01/` + iface +
		`","time":"2026-11-24T10:00:00Z","data":{"reason":"link lost"}}`
}

func TestCurl(t *testing.T) {
	tool(t, "curl")
	s := start(t, hooks, "")
	zipped := file(t, "zipped", gzipped(t, object("Eth1/6")))
	signed := file(t, "signed", []byte(object("Eth1/7")))
	signedZip := file(t, "signed.gz", gzipped(t, object("Eth1/8")))
	key := []string{"-hmac", "key-of-hub"}

	tests := []struct {
		name, source string
		args         []string
		ifaces       []string
		raws         []string // "" for the same as an object of ours
		senderID     string
	}{
		{name: "an object", source: "open", args: []string{"-H", asJSON, "-d", object("Eth1/1")}, ifaces: []string{"Eth1/1"}},
		{name: "an array", source: "open", args: []string{"-H", asJSON, "-d", "[" + object("Eth1/2") + "," + object("Eth2/2") + "]"},
			ifaces: []string{"Eth1/2", "Eth2/2"}},
		{name: "CloudEvents, structured", source: "open", args: []string{"-H", "Content-Type: application/cloudevents+json", "-d", cloudEvent("c3", "Eth1/3")},
			ifaces: []string{"Eth1/3"}, raws: []string{cloudEvent("c3", "Eth1/3")}, senderID: "c3"},
		{name: "CloudEvents, batched", source: "open", args: []string{"-H", "Content-Type: application/cloudevents-batch+json",
			"-d", "[" + cloudEvent("c4", "Eth1/4") + "," + cloudEvent("c4b", "Eth2/4") + "]"},
			ifaces: []string{"Eth1/4", "Eth2/4"}, raws: []string{cloudEvent("c4", "Eth1/4"), cloudEvent("c4b", "Eth2/4")}},
		{name: "CloudEvents, binary", source: "open", args: []string{"-H", "ce-specversion: 1.0", "-H", "ce-id: c5", "-H", "ce-source: /monitor",
			"-H", "ce-type: interface_down", "-H", "ce-subject: switch-01/Eth1/5", "-H", asJSON, "-d", `{"reason":"link lost"}`},
			ifaces: []string{"Eth1/5"}, raws: []string{`"reason":"link lost"`}, senderID: "c5"},
		{name: "gzip", source: "open", args: []string{"-H", asJSON, "-H", "Content-Encoding: gzip", "--data-binary", zipped}, ifaces: []string{"Eth1/6"}},
		{name: "HMAC", source: "hub", args: []string{"-H", asJSON, "-H", "X-Hub-Signature-256: sha256=" + hmac(t, signed, key...), "--data-binary", signed},
			ifaces: []string{"Eth1/7"}},
		{name: "HMAC over gzip", source: "hub", args: []string{"-H", asJSON, "-H", "Content-Encoding: gzip",
			"-H", "X-Hub-Signature-256: sha256=" + hmac(t, signedZip, key...), "--data-binary", signedZip}, ifaces: []string{"Eth1/8"}},
		{name: "Standard Webhooks", source: "standard", args: append(standardWebhook(t, "msg_1", object("Eth1/11")), "-H", asJSON, "-d", object("Eth1/11")),
			ifaces: []string{"Eth1/11"}, senderID: "msg_1"},
		{name: "bearer", source: "bearer", args: []string{"-H", asJSON, "-H", "Authorization: Bearer t0ken-of-tools", "-d", object("Eth1/9")},
			ifaces: []string{"Eth1/9"}},
		{name: "basic", source: "basic", args: []string{"-H", asJSON, "-u", "grafana:pass-of-grafana", "-d", object("Eth1/10")}, ifaces: []string{"Eth1/10"}},
	}
	sent := 0
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := curl(t, "http://"+s.HTTP+"/webhook/"+tt.source, tt.args...)
			ids := accepted(t, status, body, len(tt.ifaces))
			for i, iface := range tt.ifaces {
				sent++
				w := want{source: tt.source, typ: "interface_down", device: "switch-01", iface: iface, raw: object(iface), exact: true, id: tt.senderID}
				if tt.raws != nil {
					w.raw, w.exact = tt.raws[i], false
				}
				e := one(t, s, w)
				if string(e.Event.ID) != ids[i] {
					t.Errorf("the answer named %s, the log has %s", ids[i], e.Event.ID)
				}
			}
		})
	}
	settled(t, s, sent)
}

// TestCurlRefused: a forged request is 401, counted, and not in the log.
func TestCurlRefused(t *testing.T) {
	tool(t, "curl")
	s := start(t, hooks, "")
	body := file(t, "body", []byte(object("Eth1/1")))
	tests := []struct {
		name, source string
		args         []string
	}{
		{"no bearer", "bearer", nil},
		{"wrong bearer", "bearer", []string{"-H", "Authorization: Bearer t0ken-of-toolz"}},
		{"wrong password", "basic", []string{"-u", "grafana:pass-of-gravana"}},
		{"wrong key", "hub", []string{"-H", "X-Hub-Signature-256: sha256=" + hmac(t, body, "-hmac", "key-of-hubb")}},
		{"signature of another body", "hub", []string{"-H", "X-Hub-Signature-256: sha256=" + hmac(t, file(t, "other", []byte("{}")), "-hmac", "key-of-hub")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := intake(t, s, tt.source).Refused["auth"]
			status, answer := curl(t, "http://"+s.HTTP+"/webhook/"+tt.source, append([]string{"-H", asJSON, "--data-binary", body}, tt.args...)...)
			if status != "401" {
				t.Errorf("answer %s %s, want 401", status, answer)
			}
			if n := intake(t, s, tt.source).Refused["auth"]; n != before+1 {
				t.Errorf("the ledger has %d refused, want %d", n, before+1)
			}
		})
	}
	settled(t, s, 0)
}

// TestCurlClientCertificate: mutual TLS, by name of the certificate.
func TestCurlClientCertificate(t *testing.T) {
	tool(t, "curl")
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue("signalbox.example.net")
	good, goodKey := ca.issue("netbox.example.net")
	named, namedKey := ca.issue("printer.example.net")
	foreign, foreignKey := other.issue("netbox.example.net")
	s := prepare(t, "  netbox: {kind: webhook, auth: {mtls: {names: [netbox.example.net]}}}\n",
		"http: {listen: HTTPADDR, tls: {cert: CERT, key: KEY, client_ca: CA}}\n", "CERT", cert, "KEY", key, "CA", ca.path("ca.pem"))
	t.Setenv("SSL_CERT_FILE", ca.path("ca.pem")) // for signalbox's own command line, as docs/operations.md says
	s.Start()
	trust := []string{"--cacert", ca.path("ca.pem")}
	s.Eventually("ready", limit, func() bool {
		status, _ := curl(t, "https://"+s.HTTP+"/readyz", trust...)
		return status == "200"
	})
	tests := []struct {
		name   string
		args   []string
		status string // "" where TLS refuses it
	}{
		{"ours", []string{"--cert", good, "--key", goodKey}, "202"},
		{"none", nil, "401"},
		{"another's name", []string{"--cert", named, "--key", namedKey}, "401"},
		{"another authority's", []string{"--cert", foreign, "--key", foreignKey}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append(append([]string{"-H", asJSON, "-d", object("Eth1/1")}, trust...), tt.args...)
			status, body := curl(t, "https://"+s.HTTP+"/webhook/netbox", args...)
			if status != tt.status {
				t.Errorf("answer %q %s, want %q", status, body, tt.status)
			}
		})
	}
	one(t, s, want{source: "netbox", typ: "interface_down", device: "switch-01", iface: "Eth1/1", raw: object("Eth1/1"), exact: true})
	settled(t, s, 1)
}

package webhook

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/secret"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// splitRig is a rig whose mapping "list" splits by the member alerts.
func splitRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{}
	h := sourcetest.Harness{Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
		env.SplitPayload = func(mapping string, raw []byte) ([][]byte, error) {
			if mapping != "list" {
				t.Errorf("asked for mapping %q", mapping)
			}
			return splitAlerts(raw)
		}
		src, err := New(env, cfg)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(src)
		r.url, r.src = srv.URL, src
		return src, newPeer(srv)
	}}
	r.Fixture = h.StartFixture(t)
	sourcetest.Wait(t, time.Second, "the source runs", r.src.running)
	return r
}

func splitAlerts(raw []byte) ([][]byte, error) {
	if parts, err := payload.SplitList(raw, payload.Dotted("alerts")); parts != nil || err != nil {
		return parts, err
	}
	return payload.SplitList(raw, payload.Dotted("data.alerts"))
}

func TestSplit(t *testing.T) {
	const ce = `{"specversion":"1.0","id":"7","source":"/net","type":"x","data":{"alerts":[1,2]}}`
	tests := []struct {
		name          string
		header, field string
		contentType   string
		body          string
		want          []string // sender's id and raw
	}{
		{"by the request's id", "X-Id", "", "", `{"s":1,"alerts":[{"a":1},{"a":2}]}`, []string{`r1/0 {"s":1,"alerts":[{"a":1}]}`, `r1/1 {"s":1,"alerts":[{"a":2}]}`}},
		{"an array, of which one splits", "X-Id", "", "", `[{"a":1},{"alerts":[1,2]}]`, []string{`r1/0 {"a":1}`, `r1/1 {"alerts":[1]}`, `r1/2 {"alerts":[2]}`}},
		{"a field around the list", "", "id", "", `{"id":"n","alerts":[1,2]}`, []string{`n/1 {"id":"n","alerts":[1]}`, `n/2 {"id":"n","alerts":[2]}`}},
		{"one alone", "X-Id", "", "", `{"alerts":[1]}`, []string{`r1 {"alerts":[1]}`}},
		{"no list", "X-Id", "", "", `{"a":1}`, []string{`r1 {"a":1}`}},
		{"a CloudEvent", "", "", "application/cloudevents+json", ce, []string{
			`/net 7/1 ` + strings.Replace(ce, "[1,2]", "[1]", 1), `/net 7/2 ` + strings.Replace(ce, "[1,2]", "[2]", 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Mapping, cfg.IDHeader, cfg.IDField = "list", tt.header, tt.field
			r := splitRig(t, cfg)
			headers := []string{"X-Id", "r1"}
			if tt.contentType != "" {
				headers = append(headers, "Content-Type", tt.contentType)
			}
			a := r.post(t, tt.body, headers...)
			if a.status != http.StatusAccepted || len(a.Events) != len(tt.want) {
				t.Fatalf("%d with %d events: %s", a.status, len(a.Events), a.body)
			}
			var got []string
			for _, in := range r.Log.Durable() {
				got = append(got, in.SenderID+" "+string(in.Raw))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSplitBounds: the limits hold for what a body is split into, not for the
// body, and nothing of it is taken where one is passed.
func TestSplitBounds(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mapping, cfg.MaxEvents, cfg.MaxEvent = "list", 10, 100
	r := splitRig(t, cfg)
	list := func(n int, el string) string {
		return `{"alerts":[` + strings.TrimSuffix(strings.Repeat(el+",", n), ",") + `]}`
	}
	long := `"` + strings.Repeat("x", 60) + `"`
	if a := r.post(t, list(10, long)); a.status != http.StatusAccepted || len(a.Events) != 10 {
		t.Errorf("ten events that are longer together than one may be: %d %s", a.status, a.body)
	}
	for name, body := range map[string]string{"too many": list(11, "1"), "one too long": list(2, `"`+strings.Repeat("x", 100)+`"`), "whole and too long": `{"a":` + long + `,"b":` + long + `}`} {
		if a := r.post(t, body); a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if n := len(r.Log.Durable()); n != 10 {
		t.Errorf("%d events in the log, want 10", n)
	}
	if used := r.src.mem.used.Load(); used != 0 {
		t.Errorf("%d bytes are still counted as in use", used)
	}
}

// TestBodySecret: only who knows the secret gets in, and it stays outside.
func TestBodySecret(t *testing.T) {
	const canary = "canarybodysecret77c0"
	cfg := DefaultConfig()
	cfg.Mapping = "list"
	cfg.Auth.BodySecret = &BodySecret{Field: "auth.shared", Secret: secret.New(canary)}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := splitRig(t, cfg)
	event := func(s string) string { return fmt.Sprintf(`{"auth":{"shared":%s},"alerts":[1,2]}`, s) }
	right := event(`"` + canary + `"`)
	for name, body := range map[string]string{
		"none": `{"alerts":[1]}`, "wrong": event(`"guess"`), "empty": event(`""`), "null": event("null"), "a number": event("5"),
		"a list": event(`["` + canary + `"]`), "elsewhere": `{"shared":"` + canary + `"}`, "longer": event(`"` + canary + `x"`),
		"one of two": "[" + right + "," + event(`"guess"`) + "]", "no event": "[]",
	} {
		a := r.post(t, body)
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if strings.Contains(a.body, canary) {
			t.Errorf("%s: the answer has the secret: %s", name, a.body)
		}
	}
	if n := len(r.Log.Durable()); n != 0 {
		t.Fatalf("%d events of strangers", n)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(right))
	z.Close()
	for _, a := range []answer{r.post(t, right), r.post(t, "["+right+","+right+"]"), r.post(t, packed.String(), "Content-Encoding", "gzip")} {
		if a.status != http.StatusAccepted {
			t.Errorf("the right one: %d %s", a.status, a.body)
		}
	}
	got := r.Log.Durable()
	if len(got) != 8 {
		t.Errorf("%d events, want 8", len(got))
	}
	for _, in := range got {
		if bytes.Contains(in.Raw, []byte(canary)) || !bytes.Contains(in.Raw, []byte(`"shared":"[redacted]"`)) {
			t.Errorf("raw is %s", in.Raw)
		}
	}
}

func TestBodySecretConfig(t *testing.T) {
	for want, b := range map[string]BodySecret{
		"auth.body_secret.field":  {Secret: secret.New("s")},
		`"a..b" names no member`:  {Field: "a..b", Secret: secret.New("s")},
		"auth.body_secret.secret": {Field: "a"},
	} {
		err := withAuth(Auth{BodySecret: &b}).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := withAuth(Auth{None: true, BodySecret: &BodySecret{Field: "a", Secret: secret.New("s")}}).Validate(); err == nil {
		t.Error("none beside a secret")
	}
}

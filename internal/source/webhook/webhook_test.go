package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// rig is a source behind a real HTTP server.
type rig struct {
	*sourcetest.Fixture
	url string
	src *Source
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{}
	h := sourcetest.Harness{Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
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

// peer is a sender that repeats what is refused.
type peer struct {
	srv   *httptest.Server
	acked atomic.Int64
	wg    sync.WaitGroup
	ctx   context.Context
	end   context.CancelFunc
}

func newPeer(srv *httptest.Server) *peer {
	ctx, cancel := context.WithCancel(context.Background())
	return &peer{srv: srv, ctx: ctx, end: cancel}
}

func (p *peer) Send(body []byte) {
	p.wg.Go(func() {
		for p.ctx.Err() == nil {
			req, _ := http.NewRequestWithContext(p.ctx, http.MethodPost, p.srv.URL, bytes.NewReader(body))
			resp, err := p.srv.Client().Do(req)
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusAccepted:
				p.acked.Add(1)
				return
			case http.StatusBadRequest:
				return
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-p.ctx.Done():
			}
		}
	})
}

func (p *peer) Acked() int { return int(p.acked.Load()) }

func (p *peer) Close() {
	p.end()
	p.wg.Wait()
	p.srv.Close()
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{
		Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
			src, err := New(env, DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			return src, newPeer(httptest.NewServer(src))
		},
		Bad: []byte(`{"device":`),
	})
}

type answer struct {
	status int
	header http.Header
	body   string
	Detail string
	Field  string
	Events []struct{ ID, Rejected string }
}

func (r *rig) post(t *testing.T, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Errorf("the answer is not JSON: %v: %s", err, b)
	}
	want := "application/problem+json"
	if out.status < 300 {
		want = "application/json"
	}
	if got := resp.Header.Get("Content-Type"); got != want {
		t.Errorf("status %d with Content-Type %q, want %q", out.status, got, want)
	}
	return out
}

const sample = `{"event_type":"interface_down","device":"switch-01","interface":"Eth1/1","timestamp":1640000000}`

func TestAccepted(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mapping = "netbox"
	cfg.IDHeader = "X-Request-ID"
	cfg.Headers = []string{"x-kind"}
	r := newRig(t, cfg)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := r.post(t, "["+sample+", {}]", "X-Request-Id", "req-1", "X-Kind", "device", "Traceparent", trace)
	if a.status != http.StatusAccepted || len(a.Events) != 2 || a.Events[0].ID == "" {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	got := r.Log.Durable()
	for i := range got {
		if got[i].Peer == "" || got[i].Received.IsZero() {
			t.Errorf("event %d: no peer or time", i)
		}
		got[i].Peer, got[i].Received = "", time.Time{}
	}
	meta := map[string]string{"X-Kind": "device"}
	want := []normalize.Input{
		{Source: "suite", Form: normalize.Payload, Mapping: "netbox", Raw: []byte(sample), SenderID: "req-1/0", TraceParent: trace, Meta: meta},
		{Source: "suite", Form: normalize.Payload, Mapping: "netbox", Raw: []byte("{}"), SenderID: "req-1/1", TraceParent: trace, Meta: meta},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if a := r.post(t, "[]"); a.status != http.StatusAccepted || a.body != "{\"events\":[]}\n" {
		t.Errorf("an empty array: %d %s", a.status, a.body)
	}
}

func TestSenderID(t *testing.T) {
	const ce = `{"specversion":"1.0","id":"7","source":"/net","type":"x"}`
	tests := []struct {
		name            string
		header, field   string
		contentType     string
		body, requestID string
		want            string
	}{
		{"none", "", "", "application/json", `{"id":"1"}`, "r1", ""},
		{"header", "X-GitHub-Delivery", "", "application/json", `{"id":"1"}`, "r1", "r1"},
		{"field", "", "event.id", "application/json", `{"event":{"x":[1],"id":"e1"}}`, "r1", "e1"},
		{"number", "", "id", "application/json", `{"id":4616132097}`, "", "4616132097"},
		{"field not there", "", "event.id", "application/json", `{"event":[{"id":1}]}`, "r1", ""},
		{"field is an object", "", "event", "application/json", `{"event":{}}`, "r1", ""},
		{"CloudEvent", "", "", "application/cloudevents+json", ce, "r1", "/net 7"},
		{"CloudEvent before header", "X-GitHub-Delivery", "", "application/cloudevents+json", ce, "r1", "/net 7"},
		{"too long to keep", "X-GitHub-Delivery", "", "application/json", "{}", strings.Repeat("x", 513), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.IDHeader, cfg.IDField = tt.header, tt.field
			r := newRig(t, cfg)
			if a := r.post(t, tt.body, "Content-Type", tt.contentType, "X-GitHub-Delivery", tt.requestID); a.status != http.StatusAccepted {
				t.Fatal(a.status, a.body)
			}
			if got := r.Log.Durable()[0].SenderID; got != tt.want {
				t.Errorf("sender id %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCloudEventsBinary(t *testing.T) {
	r := newRig(t, DefaultConfig())
	a := r.post(t, `{"mtu":9000}`, "ce-specversion", "1.0", "ce-id", "b-1", "ce-source", "/a%20b", "ce-type", "t")
	if a.status != http.StatusAccepted {
		t.Fatal(a.status, a.body)
	}
	in := r.Log.Durable()[0]
	const want = `{"datacontenttype":"application/json","id":"b-1","source":"/a b","specversion":"1.0","type":"t","data":{"mtu":9000}}`
	if string(in.Raw) != want || in.SenderID != "/a b b-1" {
		t.Errorf("got %s as %q", in.Raw, in.SenderID)
	}
	if a := r.post(t, `{}`, "ce-specversion", "1.0", "ce-source", "/a", "ce-type", "t"); a.status != 400 || a.Field != "id" {
		t.Errorf("without an id: %d %s", a.status, a.body)
	}
}

func TestRefused(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxBody, cfg.MaxEvents, cfg.MaxEvent = 64<<10, 3, 32<<10
	r := newRig(t, cfg)
	tests := []struct {
		name, body  string
		headers     []string
		status      int
		field, says string
	}{
		{"malformed", `{"device":"sw","interface":}`, nil, 400, "interface", "not valid JSON"},
		{"malformed in an array", `[{},{"a":{"b":x}}]`, nil, 400, "a.b", "event 1"},
		{"empty", "", nil, 400, "", "empty"},
		{"too many events", "[{},{},{},{}]", nil, 413, "", "3 events"},
		{"long event", `{"a":"` + strings.Repeat("x", 33<<10) + `"}`, nil, 413, "", "32768"},
		{"long body", `{"a":"` + strings.Repeat("x", 65<<10) + `"}`, nil, 413, "", "65536"},
		{"deep", `{"a":` + strings.Repeat("[", 1000), nil, 413, "", "nested"},
		{"xml", "<a/>", []string{"Content-Type", "application/xml"}, 415, "", "application/xml"},
		{"brotli", "{}", []string{"Content-Encoding", "br"}, 415, "", "gzip"},
		{"two encodings", "{}", []string{"Content-Encoding", "gzip, gzip"}, 415, "", "gzip"},
		{"not gzip", "{}", []string{"Content-Encoding", "gzip"}, 400, "", "not gzip"},
		{"browser", "{}", []string{"Origin", "http://example.com"}, 403, "", "web pages"},
		{"proxied", "{}", []string{"X-Forwarded-For", "192.0.2.1"}, 403, "", "same machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.post(t, tt.body, tt.headers...)
			if a.status != tt.status || a.Field != tt.field || !strings.Contains(a.Detail, tt.says) {
				t.Errorf("status %d, field %q: %s\nwant %d, %q, %q", a.status, a.Field, a.body, tt.status, tt.field, tt.says)
			}
			if tt.status == 415 && strings.Contains(tt.name, "encoding") && a.header.Get("Accept-Encoding") != "gzip" {
				t.Error("does not say which encoding it takes")
			}
		})
	}
	if n := r.Log.Emitted(); n != 0 {
		t.Errorf("%d events were handed over", n)
	}
	received, refused := r.Counters.Totals()
	if received != len(tests) || refused != len(tests) {
		t.Errorf("received %d and refused %d of %d", received, refused, len(tests))
	}
}

func TestOnlyPost(t *testing.T) {
	r := newRig(t, DefaultConfig())
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		req, _ := http.NewRequest(method, r.url, nil)
		if a := do(t, req); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
}

func TestLogAway(t *testing.T) {
	cfg := DefaultConfig()
	cfg.BusyWait = 10 * time.Millisecond
	tests := []struct {
		name   string
		fail   func(*sourcetest.Log)
		status int
	}{
		{"busy", func(l *sourcetest.Log) { l.FailNext(1, source.ErrBusy) }, 429},
		{"wait ended", func(l *sourcetest.Log) { l.FailNext(1, fmt.Errorf("waiting: %w", context.DeadlineExceeded)) }, 429},
		{"unavailable", func(l *sourcetest.Log) { l.FailNext(1, source.ErrUnavailable) }, 503},
		{"answer lost", func(l *sourcetest.Log) { l.LoseNext(1, source.ErrUnavailable) }, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cfg)
			tt.fail(r.Log)
			a := r.post(t, sample)
			if a.status != tt.status || a.header.Get("Retry-After") == "" {
				t.Errorf("status %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
			}
			if n := len(r.Log.Durable()); n != 0 {
				t.Errorf("%d events are durable after %d", n, a.status)
			}
			if a := r.post(t, sample); a.status != 202 {
				t.Errorf("then: %d %s", a.status, a.body)
			}
		})
	}
}

func TestRejected(t *testing.T) {
	r := newRig(t, DefaultConfig())
	r.Log.Reject(func(in normalize.Input) string {
		if bytes.Contains(in.Raw, []byte("bad")) {
			return "data.interface: a string was expected"
		}
		return ""
	})
	a := r.post(t, `{"bad":1}`)
	if a.status != 400 || a.Field != "data.interface" || !strings.Contains(a.Detail, a.Events[0].ID) {
		t.Errorf("one rejected event: %d %s", a.status, a.body)
	}
	a = r.post(t, `[{"bad":1},{"good":1}]`)
	if a.status != 202 || a.Events[0].Rejected == "" || a.Events[1].Rejected != "" {
		t.Errorf("one of two rejected: %d %s", a.status, a.body)
	}
	a = r.post(t, `[{"bad":1},{"bad":2}]`)
	if a.status != 400 || len(a.Events) != 2 {
		t.Errorf("both rejected: %d %s", a.status, a.body)
	}
	if n := len(r.Log.Durable()); n != 5 {
		t.Errorf("%d events are in the log, want all 5", n)
	}
}

func TestRate(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Rate = Rate{PerSecond: 0.001, Burst: 2}
	r := newRig(t, cfg)
	for i, want := range []int{202, 202, 429} {
		if a := r.post(t, sample); a.status != want {
			t.Errorf("request %d: %d, want %d", i, a.status, want)
		}
	}
}

func TestNotRunning(t *testing.T) {
	f := &sourcetest.Fixture{Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
	src, err := New(f.Env("x"), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(src)
	defer srv.Close()
	req, _ := http.NewRequest(http.MethodPost, srv.URL, strings.NewReader("{}"))
	if a := do(t, req); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestDefault(t *testing.T) {
	f := &sourcetest.Fixture{Log: &sourcetest.Log{}, Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
	env := f.Env("")
	mux := http.NewServeMux()
	env.Handle = func(h http.Handler) { mux.Handle("POST /webhook/{name}", h) }
	src := Default(env)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- src.Run(ctx, f.Log.Emit) }()
	sourcetest.Wait(t, time.Second, "the source runs", src.running)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for name, want := range map[string]int{"demo": 202, "a_b-9": 202, "Demo": 404, "a.b": 404, strings.Repeat("a", 65): 404, "%2e%2e": 404, "a%0ab": 404} {
		req, err := http.NewRequest(http.MethodPost, srv.URL+"/webhook/"+name, strings.NewReader(sample))
		if err != nil {
			t.Fatal(err)
		}
		if a := do(t, req); a.status != want {
			t.Errorf("%q: %d, want %d: %s", name, a.status, want, a.body)
		}
	}
	for _, in := range f.Log.Durable() {
		if in.Source != "demo" && in.Source != "a_b-9" {
			t.Errorf("source %q", in.Source)
		}
	}
	cancel()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

package httpaction

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"signalbox/event"
	"signalbox/internal/action"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newAction(t *testing.T, cfg Config) *Action {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func loopback() Config {
	c := DefaultConfig()
	c.AllowLoopback = true
	return c
}

func call(args map[string]any) action.Call {
	return action.Call{
		Run: "run-1", Step: "1", Attempt: 1, Rule: "port-down", Args: args, Key: "run-1.1",
		Event: &event.Event{ID: "e1", Type: "interface_down", TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
}

// seen is what a server got.
type seen struct {
	Method, URL, Body string
	Header            http.Header
}

func recorder(t *testing.T, answer http.HandlerFunc) (*httptest.Server, func() []seen) {
	t.Helper()
	var mu sync.Mutex
	var got []seen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, seen{r.Method, r.URL.String(), string(b), r.Header.Clone()})
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv, func() []seen { mu.Lock(); defer mu.Unlock(); return append([]seen(nil), got...) }
}

func TestRequest(t *testing.T) {
	tests := []struct {
		name string
		args map[string]any
		want seen // Header: those that must be there
	}{
		{"get by default", map[string]any{"url": "/a?x=1", "query": map[string]any{"q": "a b&c=\n", "n": int64(3), "l": []any{"1", true}}},
			seen{"GET", "/a?l=1&l=true&n=3&q=a+b%26c%3D%0A&x=1", "", http.Header{
				"Idempotency-Key": {"run-1.1"}, "User-Agent": {"signalbox"},
				"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}}},
		{"map is json", map[string]any{"url": "/", "body": map[string]any{"a": "<b>", "n": int64(1)}},
			seen{"POST", "/", `{"a":"<b>","n":1}`, http.Header{"Content-Type": {"application/json"}}}},
		{"list is json", map[string]any{"url": "/", "method": "put", "body": []any{"a"}},
			seen{"PUT", "/", `["a"]`, http.Header{"Content-Type": {"application/json"}}}},
		{"text is text", map[string]any{"url": "/", "method": "REPORT", "body": "a $(id) `id` {{7*7}} ${event}\x1b[0m\n"},
			seen{"REPORT", "/", "a $(id) `id` {{7*7}} ${event}\x1b[0m\n", http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}},
		{"headers", map[string]any{"url": "/", "headers": map[string]any{"X-Depth": int64(3), "Content-Type": "a/b", "X-L": []any{"1", "2"}}, "body": "x"},
			seen{"POST", "/", "x", http.Header{"X-Depth": {"3"}, "Content-Type": {"a/b"}, "X-L": {"1", "2"}}}},
		{"bearer", map[string]any{"url": "/", "auth": map[string]any{"bearer": "tok"}},
			seen{"GET", "/", "", http.Header{"Authorization": {"Bearer tok"}}}},
		{"basic", map[string]any{"url": "/", "auth": map[string]any{"basic": map[string]any{"username": "u", "password": "p:q"}}},
			seen{"GET", "/", "", http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("u:p:q"))}}}},
		{"own key header", map[string]any{"url": "/", "idempotency_header": "X-Request-Id"},
			seen{"GET", "/", "", http.Header{"X-Request-Id": {"run-1.1"}, "Idempotency-Key": nil}}},
		{"no key header", map[string]any{"url": "/", "idempotency_header": ""},
			seen{"GET", "/", "", http.Header{"Idempotency-Key": nil}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, got := recorder(t, func(http.ResponseWriter, *http.Request) {})
			tt.args["url"] = srv.URL + tt.args["url"].(string)
			if _, err := newAction(t, loopback()).Do(t.Context(), call(tt.args)); err != nil {
				t.Fatal(err)
			}
			g := got()[0]
			for k, v := range tt.want.Header {
				if diff := cmp.Diff(v, g.Header[k]); diff != "" {
					t.Errorf("%s: %s", k, diff)
				}
			}
			g.Header, tt.want.Header = nil, nil
			if diff := cmp.Diff(tt.want, g); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusedArguments(t *testing.T) {
	ok := func(extra map[string]any) map[string]any {
		m := map[string]any{"url": "http://192.0.2.1/"}
		for k, v := range extra {
			m[k] = v
		}
		return m
	}
	tests := []struct {
		args map[string]any
		want string
	}{
		{map[string]any{}, "url: is missing"},
		{map[string]any{"url": "ftp://192.0.2.1/"}, "expected http:// or https://"},
		{map[string]any{"url": "http://u:p@192.0.2.1/"}, "use auth"},
		{map[string]any{"url": "http://192.0.2.1/\r\nX: y"}, "control character"},
		{map[string]any{"url": "http://192.0.2.1/\x00"}, "control character"},
		{map[string]any{"url": "http://192.0.2.1/a b"}, "a space"},
		{map[string]any{"url": "http:///x"}, "no host"},
		{map[string]any{"url": "http://192.0.2.1:0/"}, "port"},
		{map[string]any{"url": "http://192.0.2.1:99999/"}, "port"},
		{map[string]any{"url": "http://192.0.2.1/" + strings.Repeat("a", 9000)}, "more than the 8192"},
		{map[string]any{"url": []any{}}, "expected text, got a list"},
		{ok(map[string]any{"method": "GET / HTTP/1.1\r\nX: y"}), "method"},
		{ok(map[string]any{"method": "CONNECT"}), "method"},
		{ok(map[string]any{"headers": map[string]any{"X": "a\r\nY: b"}}), "line break"},
		{ok(map[string]any{"headers": map[string]any{"X": "a\x00"}}), "control character"},
		{ok(map[string]any{"headers": map[string]any{"X\r\nY": "b"}}), "not a header name"},
		{ok(map[string]any{"headers": map[string]any{"transfer-encoding": "chunked"}}), "set by the protocol"},
		{ok(map[string]any{"headers": map[string]any{"Content-Length": int64(1)}}), "set by the protocol"},
		{ok(map[string]any{"headers": map[string]any{"Host": "a/b"}}), "not a host"},
		{ok(map[string]any{"headers": "X: y"}), "expected a map"},
		{ok(map[string]any{"auth": map[string]any{"digest": "x"}}), "auth: expected"},
		{ok(map[string]any{"auth": map[string]any{"bearer": "a\nb"}}), "no token has"},
		{ok(map[string]any{"auth": map[string]any{"basic": map[string]any{"username": "a:b", "password": "zzzz"}}}), "no colon"},
		{ok(map[string]any{"expect": []any{"2xx", "many"}}), `expected statuses such as 404 or "5xx", got "many"`},
		{ok(map[string]any{"recoverable": []any{int64(700)}}), "recoverable"},
		{ok(map[string]any{"timeout": "soon"}), "timeout"},
		{ok(map[string]any{"body": strings.Repeat("a", 5<<20)}), "more than the 4194304"},
		{ok(map[string]any{"body": func() {}}), "body"},
		{ok(map[string]any{"query": map[string]any{"a": map[string]any{}}}), "query: a"},
	}
	a := newAction(t, DefaultConfig())
	for _, tt := range tests {
		_, err := a.Do(t.Context(), call(tt.args))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80v: error %v, want %q", tt.args, err, tt.want)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Errorf("%v is recoverable", err)
		}
	}
}

func TestOutput(t *testing.T) {
	srv, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/json":
			w.Header().Set("X-Two", "a")
			w.Header().Add("X-Two", "b")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, `{"id":9007199254740993,"f":1.5,"l":[1]}`)
		case "/bytes":
			_, _ = w.Write([]byte("a\xff\x00b"))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 32<<20))
			_ = z.Close()
		case "/deep":
			_, _ = io.WriteString(w, strings.Repeat("[", 200_000))
		case "/headers":
			for i := range 200 {
				w.Header().Set(fmt.Sprintf("X-%03d", i), "v")
			}
		}
	})
	a := newAction(t, loopback())
	get := func(path string, extra ...any) map[string]any {
		t.Helper()
		args := map[string]any{"url": srv.URL + path}
		for i := 0; i < len(extra); i += 2 {
			args[extra[i].(string)] = extra[i+1]
		}
		res, err := a.Do(t.Context(), call(args))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(res.Output); err != nil {
			t.Fatalf("%s: output does not marshal: %v", path, err)
		}
		return res.Output
	}
	out := get("/json")
	want := map[string]any{"id": int64(9007199254740993), "f": 1.5, "l": []any{int64(1)}}
	if diff := cmp.Diff(want, out["json"]); diff != "" || out["status"] != 201 || out["truncated"] != false {
		t.Errorf("%v %s", out, diff)
	}
	if h := out["headers"].(map[string]any); h["x-two"] != "a, b" {
		t.Errorf("headers %v", h)
	}
	if out := get("/bytes"); out["body"] != "a\uFFFD\x00b" || out["json"] != nil {
		t.Errorf("%q", out["body"])
	}
	if out := get("/bomb"); len(out["body"].(string)) != 64<<10 || out["truncated"] != true {
		t.Errorf("bomb: %d bytes, truncated %v", len(out["body"].(string)), out["truncated"])
	}
	if out := get("/json", "max_response", int64(5)); out["body"] != `{"id"` || out["truncated"] != true || out["json"] != nil {
		t.Errorf("short: %v", out)
	}
	if out := get("/deep"); out["json"] != nil {
		t.Error("a nesting bomb was parsed")
	}
	if n := len(get("/headers")["headers"].(map[string]any)); n > maxOutputHeaders {
		t.Errorf("%d headers", n)
	}
}

func TestStatuses(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name        string
		status      int
		retryAfter  string
		args        map[string]any
		ok          bool
		recoverable bool
		after       time.Duration
	}{
		{name: "200", status: 200, ok: true},
		{name: "204", status: 204, ok: true},
		{name: "400", status: 400},
		{name: "501", status: 501},
		{name: "408", status: 408, recoverable: true},
		{name: "425", status: 425, recoverable: true},
		{name: "429 with seconds", status: 429, retryAfter: "7", recoverable: true, after: 7 * time.Second},
		{name: "503 with a date", status: 503, retryAfter: now.Add(90 * time.Second).Format(http.TimeFormat), recoverable: true, after: 90 * time.Second},
		{name: "503 with a past date", status: 503, retryAfter: now.Add(-time.Hour).Format(http.TimeFormat), recoverable: true},
		{name: "503 for ever", status: 503, retryAfter: "99999999999999", recoverable: true, after: time.Hour},
		{name: "503 with nonsense", status: 503, retryAfter: "-5", recoverable: true},
		{name: "500", status: 500, recoverable: true},
		{name: "502", status: 502, recoverable: true},
		{name: "504", status: 504, recoverable: true},
		{name: "404 expected", status: 404, args: map[string]any{"expect": []any{int64(200), int64(404)}}, ok: true},
		{name: "404 by class", status: 404, args: map[string]any{"expect": []any{"4xx"}}, ok: true},
		{name: "200 not expected", status: 200, args: map[string]any{"expect": int64(201)}},
		{name: "404 recoverable", status: 404, args: map[string]any{"recoverable": []any{int64(404)}}, recoverable: true},
		{name: "503 not recoverable", status: 503, args: map[string]any{"recoverable": []any{int64(404)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, _ := recorder(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				if tt.status != 204 {
					_, _ = io.WriteString(w, "because\x1b[31m")
				}
			})
			a := newAction(t, loopback())
			a.now = func() time.Time { return now }
			args := map[string]any{"url": srv.URL + "/p?token=abc"}
			for k, v := range tt.args {
				args[k] = v
			}
			res, err := a.Do(t.Context(), call(args))
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if res.Output["status"] != tt.status {
				t.Errorf("output %v", res.Output)
			}
			after, again := action.IsRecoverable(err)
			if again != tt.recoverable || after != tt.after {
				t.Errorf("recoverable %v after %s, want %v after %s", again, after, tt.recoverable, tt.after)
			}
			if err != nil {
				want := fmt.Sprintf("http: GET %s/p?[redacted]: answered %d %s: because\\x1b[31m", srv.URL, tt.status, http.StatusText(tt.status))
				if err.Error() != want {
					t.Errorf("error %q, want %q", err, want)
				}
			}
		})
	}
}

func TestNetworkErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	release := make(chan struct{})
	srv, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-release
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}
	})
	defer close(release)
	a := newAction(t, loopback())
	for _, u := range []string{"http://" + closed.Addr().String(), srv.URL + "/cut", srv.URL + "/hang", srv.URL + "/half"} {
		_, err := a.Do(t.Context(), call(map[string]any{"url": u, "timeout": "200ms"}))
		if _, again := action.IsRecoverable(err); err == nil || !again {
			t.Errorf("%s: %v should be recoverable", u, err)
		}
		_, err = a.Do(t.Context(), call(map[string]any{"url": u, "timeout": "200ms", "recoverable": []any{}}))
		if _, again := action.IsRecoverable(err); err == nil || again {
			t.Errorf("%s: %v should not be recoverable", u, err)
		}
	}
	_, err = a.Do(t.Context(), call(map[string]any{"url": srv.URL + "/hang", "timeout": "50ms"}))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestRedirects(t *testing.T) {
	const token = "s3cr3t-token"
	other, gotOther := recorder(t, func(http.ResponseWriter, *http.Request) {})
	var srv *httptest.Server
	srv, got := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		code := map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[r.URL.Path]
		switch {
		case code != 0 && r.URL.Query().Get("x") != "":
			http.Redirect(w, r, other.URL+"/there", code)
		case code != 0:
			http.Redirect(w, r, "/end", code)
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	})
	a := newAction(t, loopback())
	do := func(method, path string, body any, extra map[string]any) (map[string]any, error) {
		args := map[string]any{"url": srv.URL + path, "method": method, "body": body, "auth": map[string]any{"bearer": token},
			"headers": map[string]any{"X-Api-Key": "key-" + token, "X-Plain": "p", "Cookie": "c=1"}}
		for k, v := range extra {
			args[k] = v
		}
		c := call(args)
		c.Secrets = []string{token}
		res, err := a.Do(t.Context(), c)
		return res.Output, err
	}
	last := func(of []seen) seen { return of[len(of)-1] }

	for _, path := range []string{"/301", "/302", "/303", "/307", "/308"} {
		if _, err := do("GET", path, nil, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if g := last(got()); g.URL != "/end" || g.Method != "GET" || g.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("%s: %+v", path, g)
		}
		if _, err := do("GET", path+"?x=1", nil, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		g := last(gotOther())
		for _, k := range []string{"Authorization", "X-Api-Key", "Cookie", "Referer"} {
			if g.Header.Get(k) != "" {
				t.Errorf("%s: another host got %s: %s", path, k, g.Header.Get(k))
			}
		}
		if g.Header.Get("X-Plain") != "p" {
			t.Errorf("%s: X-Plain is gone", path)
		}
	}
	// A POST is not silently made a GET that does nothing.
	for _, path := range []string{"/301", "/302"} {
		_, err := do("POST", path, "x", nil)
		if err == nil || !strings.Contains(err.Error(), "a redirect to "+srv.URL+"/end that is not followed") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/307", "/308"} {
		if _, err := do("POST", path, "x", nil); err != nil || last(got()).Body != "x" || last(got()).Method != "POST" {
			t.Errorf("%s: %v, %+v", path, err, last(got()))
		}
		if _, err := do("POST", path+"?x=1", "x", nil); err == nil || !strings.Contains(err.Error(), "with a body to another host") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := do("POST", "/303", "x", nil); err != nil || last(got()).Method != "GET" || last(got()).Body != "" {
		t.Errorf("303: %v, %+v", err, last(got()))
	}
	before := len(got())
	if _, err := do("GET", "/loop", nil, nil); err == nil || !strings.Contains(err.Error(), "more than 5 redirects") {
		t.Errorf("loop: %v", err)
	}
	if n := len(got()) - before; n != 6 {
		t.Errorf("loop: %d requests", n)
	}
	if out, err := do("GET", "/302", nil, map[string]any{"redirects": int64(0), "expect": []any{int64(302)}}); err != nil || out["status"] != 302 {
		t.Errorf("redirects 0: %v, %v", out, err)
	}
}

func TestTLS(t *testing.T) {
	plain, _ := recorder(t, func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plain.URL, http.StatusFound)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	_, err := newAction(t, loopback()).Do(t.Context(), call(map[string]any{"url": srv.URL}))
	if _, again := action.IsRecoverable(err); err == nil || again || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	dir := t.TempDir()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := loopback()
	cfg.Dir, cfg.CA = dir, "ca.pem"
	a := newAction(t, cfg)
	if _, err := a.Do(t.Context(), call(map[string]any{"url": srv.URL})); err != nil {
		t.Errorf("known authority: %v", err)
	}
	if _, err := a.Do(t.Context(), call(map[string]any{"url": srv.URL + "/down"})); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("downgrade: %v", err)
	}
	cfg = loopback()
	cfg.Insecure = true
	if _, err := newAction(t, cfg).Do(t.Context(), call(map[string]any{"url": srv.URL})); err != nil {
		t.Errorf("insecure: %v", err)
	}
	cfg.CA = "gone.pem"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "gone.pem") {
		t.Errorf("missing ca: %v", err)
	}
}

// TestCanary lets a secret go everywhere that it can, and looks for it in
// everything that is given back.
func TestCanary(t *testing.T) {
	const canary = `CANARY-7f3a/+ "&=é`
	srv, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		w.WriteHeader(map[string]int{"/bad": 400, "/again": 503}[r.URL.Path])
		fmt.Fprintf(w, "%s %s %s", r.URL.RawQuery, r.Header.Get("Authorization"), b)
	})
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	a := newAction(t, loopback())
	for _, base := range []string{srv.URL + "/bad", srv.URL + "/again", "http://" + dead.Addr().String(), "http://169.254.169.254", "::", "http://u:" + canary + "@h"} {
		for _, dry := range []bool{false, true} {
			c := call(map[string]any{
				"url": base, "query": map[string]any{"key": canary}, "body": map[string]any{"a": canary, canary: "b"},
				"headers": map[string]any{"X-Key": canary}, "expect": []any{int64(200), int64(400)},
				"auth": map[string]any{"basic": map[string]any{"username": "u", "password": canary}},
			})
			c.Secrets, c.DryRun = []string{canary}, dry
			res, err := a.Do(t.Context(), c)
			out, _ := json.Marshal(res.Output)
			for _, text := range []string{string(out), fmt.Sprint(err), fmt.Sprintf("%+v", err)} {
				if strings.Contains(text, "CANARY") || strings.Contains(text, "Q0FOQVJZ") || strings.Contains(text, "6Q0FOQVJZ") {
					t.Errorf("%s dry %v: %s", base, dry, text)
				}
			}
		}
	}
}

func TestDryRun(t *testing.T) {
	srv, got := recorder(t, func(http.ResponseWriter, *http.Request) {})
	c := call(map[string]any{"url": srv.URL + "/x?k=v", "body": "abc", "auth": map[string]any{"bearer": "tok"}})
	c.DryRun = true
	res, err := newAction(t, loopback()).Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"dry_run": true, "would": "send POST " + srv.URL + "/x?[redacted] with a body of 3 bytes",
		"request": map[string]any{"method": "POST", "url": srv.URL + "/x?[redacted]", "body_bytes": 3,
			"headers": []any{"Authorization", "Content-Type", "Idempotency-Key", "Traceparent", "User-Agent"}},
		"status": 0, "headers": map[string]any{}, "body": "", "json": nil, "truncated": false, "took_ms": int64(0)}
	if diff := cmp.Diff(want, res.Output); diff != "" {
		t.Error(diff)
	}
	if n := len(got()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestIdempotent(t *testing.T) {
	a := newAction(t, DefaultConfig())
	for _, tt := range []struct {
		args map[string]any
		want bool
	}{
		{map[string]any{}, true},
		{map[string]any{"body": "x"}, false},
		{map[string]any{"method": "put", "body": "x"}, true},
		{map[string]any{"method": "DELETE"}, true},
		{map[string]any{"method": "POST"}, false},
		{map[string]any{"method": "PATCH"}, false},
		{map[string]any{"method": "POST", "idempotent": true}, true},
		{map[string]any{"method": "GET", "idempotent": false}, false},
	} {
		if got := a.Idempotent(tt.args); got != tt.want {
			t.Errorf("%v: %v", tt.args, got)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Allow: []string{"many"}, Deny: []string{"10.0.0.0/99"}, Proxy: "http://u:hunter2@\x7f", MaxRedirects: 99, Cert: "c", IdempotencyHeader: "a b"}
	err := cfg.Validate()
	for _, want := range []string{"allow:", "deny:", "proxy:", "max_redirects:", "cert and key:", "timeout:", "max_response:", "max_request:", "max_output:", "max_retry_after:", "idempotency_header:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("%v shows a password", err)
	}
}

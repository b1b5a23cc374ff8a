package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// concrete fills the wildcards of a pattern.
func concrete(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{id}", "r1-0-abc", "{profile}", "heap").Replace(path)
}

// Every route is found in the router itself, so that a new one can't be
// forgotten here.
func TestEveryRouteDeniesWithoutTheToken(t *testing.T) {
	b := &backend{entries: 1}
	s := newServer(t, b)
	if len(s.Routes()) < 15 {
		t.Fatalf("only %d routes: is the list whole?", len(s.Routes()))
	}
	bad := map[string][]string{
		"no token":            nil,
		"an empty one":        {"Authorization: Bearer "},
		"a wrong one":         {"Authorization: Bearer " + strings.Repeat("0", len(token))},
		"its beginning":       {"Authorization: Bearer " + token[:len(token)-1]},
		"more than it":        {bearer + "0"},
		"another case":        {"Authorization: Bearer " + strings.ToUpper(token)},
		"a list":              {bearer + ", Bearer x"},
		"without the scheme":  {"Authorization: " + token},
		"another scheme":      {"Authorization: Basic " + token},
		"two spaces":          {"Authorization: Bearer  " + token},
		"in another header":   {"X-Api-Key: " + token},
		"in a cookie":         {"Cookie: token=" + token},
		"said to be loopback": {"X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-Ip: 127.0.0.1"},
	}
	for _, route := range s.Routes() {
		method, path := concrete(route.Pattern)
		for name, headers := range bad {
			for _, peer := range []string{here, here6, there} {
				if route.Open && peer != there {
					continue
				}
				w := request(s, method, path, peer, "{}", headers...)
				if w.Code != http.StatusUnauthorized {
					t.Errorf("%s from %s with %s: %d %s", route.Pattern, peer, name, w.Code, w.Body)
				}
				if w.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%s: 401 with no challenge", route.Pattern)
				}
				if w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: 401 as %s", route.Pattern, w.Header().Get("Content-Type"))
				}
			}
		}
		w := request(s, method, path+"?token="+token+"&access_token="+token, there, "{}")
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s with the token in the query: %d", route.Pattern, w.Code)
		}
	}
	if asked := b.calls(); len(asked) != 0 {
		t.Errorf("what was denied was done: %v", asked)
	}
	for _, route := range s.Routes() {
		method, path := concrete(route.Pattern)
		if w := request(s, method, path, there, "{}", bearer); w.Code != http.StatusOK {
			t.Errorf("%s with the token: %d %s", route.Pattern, w.Code, w.Body)
		}
	}
}

// Health and metrics are open to the same machine and nobody else.
func TestOpenRoutesAreForLoopback(t *testing.T) {
	s := newServer(t, &backend{})
	open := 0
	for _, route := range s.Routes() {
		if !route.Open {
			continue
		}
		open++
		method, path := concrete(route.Pattern)
		for _, tt := range []struct {
			peer    string
			headers []string
			want    int
		}{
			{here, nil, 200}, {here6, nil, 200}, {"127.9.9.9:1", nil, 200}, {"[::ffff:127.0.0.1]:1", nil, 200},
			{there, nil, 401}, {"[2001:db8::1]:1", nil, 401}, {"10.0.0.1:1", nil, 401}, {"[fe80::1%eth0]:1", nil, 401},
			{"", nil, 401}, {"localhost:1", nil, 401}, {"@", nil, 401},
			{here, []string{"X-Forwarded-For: 192.0.2.1"}, 401}, // a proxy on this machine speaks for others
			{here, []string{"Forwarded: for=192.0.2.1"}, 401},
			{there, []string{bearer}, 200},
		} {
			if w := request(s, method, path, tt.peer, "", tt.headers...); w.Code != tt.want {
				t.Errorf("%s from %q with %v: %d, want %d", route.Pattern, tt.peer, tt.headers, w.Code, tt.want)
			}
		}
	}
	if open != 3 {
		t.Errorf("%d open routes, want /healthz, /readyz and /metrics", open)
	}
}

// odd are other ways to write a path.
func odd(path string) []string {
	last := strings.LastIndexByte(path, '/')
	segment := strings.TrimPrefix(path, "/")
	first, rest, _ := strings.Cut(segment, "/")
	out := []string{
		"/" + path, path + "/", path + "//", path + "/.", path + "/..", path + ";x=1", path + "%00", path + "%20",
		path[:last] + "//" + path[last+1:], path[:last] + "/./" + path[last+1:], path[:last] + "/x/../" + path[last+1:],
		path[:last] + "%2f" + path[last+1:], path[:last] + "%2F" + path[last+1:], path[:last] + "%5c" + path[last+1:],
		path[:last+1] + fmt.Sprintf("%%%02x", path[last+1]) + path[last+2:], // the first letter in percent
		"/%2e" + path, "/%2e%2e" + path, "/./" + segment, "/x/.." + path, "/webhook/.." + path, "/webhook/%2e%2e" + path,
		"/healthz/.." + path, "/healthz/%2e%2e" + path, "/metrics/../" + segment,
		strings.ToUpper(path), "/" + strings.ToUpper(first[:1]) + first[1:] + "/" + rest,
	}
	return out
}

// The router is asked over a real connection: what a client library would clean
// comes as it was written.
func TestOddPathsDeny(t *testing.T) {
	b := &backend{entries: 1}
	s := newServer(t, b)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = there
		s.ServeHTTP(w, r)
	}))
	defer srv.Close()
	n := 0
	for _, route := range s.Routes() {
		method, path := concrete(route.Pattern)
		for _, p := range odd(path) {
			for _, m := range []string{method, "HEAD", "OPTIONS", "PUT", "get", "TRACE"} {
				n++
				switch code := wire(t, srv.Listener.Addr().String(), m, p); code {
				case 401, 404, 405, 301, 307, 400:
				default:
					t.Errorf("%s %s: %d", m, p, code)
				}
			}
		}
		for _, m := range []string{"HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get", "X"} {
			if code := wire(t, srv.Listener.Addr().String(), m, path); code/100 == 2 {
				t.Errorf("%s %s: %d", m, path, code)
			}
		}
	}
	if asked := b.calls(); len(asked) != 0 {
		t.Errorf("what was denied was done: %v", asked)
	}
	t.Logf("%d odd requests", n)
}

// wire sends a request line as it is and gives the status of the answer.
func wire(t *testing.T, addr, method, path string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", method, path)
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestNewNeedsAToken(t *testing.T) {
	if _, err := New(&backend{}, "", http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an empty token is taken, which would let everybody in")
	}
}

// What is on the page is text: nothing may be loaded, framed or guessed.
func TestHeaders(t *testing.T) {
	s := newServer(t, &backend{})
	for _, path := range []string{"/", "/healthz", "/api/v1/status", "/webhook/x", "/<script>"} {
		h := request(s, "GET", path, here, "", bearer).Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "default-src 'none'" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
		if ct := h.Get("Content-Type"); strings.Contains(ct, "html") {
			t.Errorf("%s is %s", path, ct)
		}
	}
}

func TestWebhooksGoToTheirSource(t *testing.T) {
	s := newServer(t, &backend{})
	name := func(n string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, n) })
	}
	w := request(s, "POST", "/webhook/nobody", here, "{}")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("while starting: %d %s", w.Code, w.Body)
	}
	s.Mounted()
	w = request(s, "POST", "/webhook/nobody", here, "{}")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `\"nobody\"`) {
		t.Errorf("no source: %d %s", w.Code, w.Body)
	}
	s.Webhook("netbox", name("netbox"))
	s.Webhook("", name("others"))
	for path, want := range map[string]string{"/webhook/netbox": "netbox", "/webhook/x": "others", "/webhook/NETBOX": "others", "/webhook/net%62ox": "netbox"} {
		if got := request(s, "POST", path, there, "{}").Body.String(); got != want {
			t.Errorf("%s goes to %q, want %q", path, got, want)
		}
	}
	if w := request(s, "POST", "/webhook/netbox/x", there, "{}"); w.Code != http.StatusNotFound {
		t.Errorf("below a source: %d", w.Code)
	}
}

func TestProblemsAreRFC9457(t *testing.T) {
	s := newServer(t, &backend{})
	w := request(s, "GET", "/nowhere", here, "")
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != 404 || p.Type != "about:blank" || p.Title == "" || !strings.Contains(p.Detail, "/webhook/<source>") {
		t.Errorf("%+v", p)
	}
}

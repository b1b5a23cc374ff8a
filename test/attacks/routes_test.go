package attacks

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"signalbox/internal/api"
	"signalbox/test/harness"
)

// routes asks the router itself.
func routes(t *testing.T) []api.Route {
	t.Helper()
	s, err := api.New(nil, "x", http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s.Routes()
}

// raw sends a request line as it is written.
func raw(t *testing.T, addr, method, path string, headers ...string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n", method, path)
	for _, h := range headers {
		fmt.Fprintf(c, "%s\r\n", h)
	}
	_, _ = io.WriteString(c, "\r\n{}")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestEveryRouteDeniesWithoutToken(t *testing.T) {
	s := harness.New(t, map[string]string{"signalbox.yaml": "http: {listen: HTTPADDR}\nsources: {w: {kind: webhook, auth: {none: true}}}\n"})
	s.StartReady()
	tok := token(t, s)
	for _, route := range routes(t) {
		method, path, _ := strings.Cut(route.Pattern, " ")
		path = strings.NewReplacer("{id}", "r1-0-0000000000000000", "{profile}", "heap").Replace(path)
		if !route.Open {
			for name, header := range map[string]string{
				"none": "X: y", "a wrong one": "Authorization: Bearer " + strings.Repeat("a", len(tok)), "an empty one": "Authorization: Bearer",
				"its beginning": "Authorization: Bearer " + tok[:32], "another case": "Authorization: Bearer " + strings.ToUpper(tok),
				"forwarded": "X-Forwarded-For: 127.0.0.1", "basic": "Authorization: Basic " + tok,
			} {
				want := http.StatusUnauthorized
				if code := raw(t, s.HTTP, method, path, header); code != want {
					t.Errorf("%s with token %s: %d", route.Pattern, name, code)
				}
			}
		}
		for _, p := range []string{"/" + path, strings.Replace(path, "/", "/./", 1), "/%2e" + path, "/x/.." + path, "/x/%2e%2e" + path,
			path + "/", path + "/.", path + "//", strings.ToUpper(path), strings.Replace(path, "/v1", "//v1", 1), "/webhook/.." + path,
			"/healthz/.." + path, path + "%00", path + ";a", strings.Replace(path, "/", "/%", 1)} {
			if p == path {
				continue
			}
			switch code := raw(t, s.HTTP, method, p); code {
			case 301, 307, 308, 400, 401, 404, 405:
			default:
				t.Errorf("%s %s: %d", method, p, code)
			}
		}
		if code := raw(t, s.HTTP, method, path, "Authorization: Bearer "+tok); code == http.StatusUnauthorized {
			t.Errorf("%s with the token: %d", route.Pattern, code)
		}
	}
	// The absolute form of a request names no other route.
	if code := raw(t, s.HTTP, "GET", "http://x/api/v1/status"); code != http.StatusUnauthorized {
		t.Errorf("absolute form: %d", code)
	}
	if l := s.Settled(limit); l.Log.Logged != 0 {
		t.Errorf("%d events came of it", l.Log.Logged)
	}
}

// Health and metrics are for this machine. Another address of it stands for
// another machine: what it comes from is not loopback.
func TestHealthAndMetricsOnLoopbackOnly(t *testing.T) {
	outside := address(t)
	s := harness.New(t, map[string]string{"signalbox.yaml": "http: {listen: HTTPADDR}\nsources: {w: {kind: webhook, auth: {none: true}}}\n"})
	_, port, _ := net.SplitHostPort(s.HTTP)
	s.Write("signalbox.yaml", "http: {listen: \"0.0.0.0:"+port+"\"}\nsources: {w: {kind: webhook, auth: {none: true}}}\n")
	s.StartReady()
	from := net.JoinHostPort(outside, port)
	tok := token(t, s)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if code := raw(t, s.HTTP, "GET", path); code != http.StatusOK {
			t.Errorf("%s on loopback: %d", path, code)
		}
		if code := raw(t, from, "GET", path); code != http.StatusUnauthorized {
			t.Errorf("%s from %s: %d", path, outside, code)
		}
		if code := raw(t, from, "GET", path, "Authorization: Bearer "+tok); code != http.StatusOK {
			t.Errorf("%s from %s with the token: %d", path, outside, code)
		}
		if code := raw(t, s.HTTP, "GET", path, "X-Forwarded-For: 192.0.2.1"); code != http.StatusUnauthorized {
			t.Errorf("%s through a proxy: %d", path, code)
		}
	}
	// No authentication means this machine only.
	for _, path := range []string{"/webhook/w", "/webhook/nobody"} {
		if code := raw(t, from, "POST", path); code/100 == 2 {
			t.Errorf("%s from %s: %d", path, outside, code)
		}
	}
	if l := s.Settled(limit); l.Log.Logged+l.Log.Reject != 0 {
		t.Errorf("%d events came of it", l.Log.Logged)
	}
}

// address is one of this machine that is not loopback.
func address(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

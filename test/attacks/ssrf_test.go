package attacks

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"signalbox/test/harness"
)

// door listens and counts who comes.
func door(t *testing.T, addr string) (port string, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("%s is not there on this machine: %v", addr, err)
	}
	came = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, came
}

const fetch = `
rules:
  - name: fetch
    on: alert_url
    lock: none
    retry: {attempts: 1}
    do:
      - http: {url: "${event.data.url}", method: GET}
`

// An event that names the URL reaches neither this machine nor the metadata
// service of a cloud, however the address is written.
func TestSSRF(t *testing.T) {
	port, came := door(t, "127.0.0.1:0")
	port6, came6 := door(t, "[::1]:0")
	s := harness.New(t, map[string]string{"signalbox.yaml": `
http: {listen: HTTPADDR}
sources: {w: {kind: webhook, auth: {none: true}}}
rules: rules/
dedup: {off: true}
workers: {concurrency: 32}
`, "rules/r.yaml": fetch})
	s.StartReady()
	urls := []string{
		"http://127.0.0.1:PORT/", "http://localhost:PORT/", "http://127.1:PORT/", "http://2130706433:PORT/", "http://0x7f000001:PORT/", "http://0x7f.0.0.1:PORT/",
		"http://017700000001:PORT/", "http://0177.0.0.1:PORT/", "http://127.000.000.001:PORT/", "http://0.0.0.0:PORT/", "http://0:PORT/", "http://127.0.0.1.:PORT/",
		"http://127.8.8.8:PORT/", "http://[::1]:PORT6/", "http://[::]:PORT6/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
		"http://[::127.0.0.1]:PORT/", "http://[64:ff9b::7f00:1]:PORT/", "http://[2002:7f00:1::]:PORT/", "http://user@127.0.0.1:PORT/", "http://example.com@127.0.0.1:PORT/",
		"http://127.0.0.1:PORT\\@example.com/", "http://127.0.0.1%2f:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://LOCALHOST:PORT/", "http://localhost.:PORT/", "HTTP://127.0.0.1:PORT/",
		"http://[fe80::1%25lo]:PORT/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xa9fea9fe/", "http://169.254.43518/",
		"http://[fd00:ec2::254]/", "http://metadata.google.internal/", "http://100.100.100.200/",
		"file:///etc/passwd", "gopher://127.0.0.1:PORT/", "ftp://127.0.0.1:PORT/", "//127.0.0.1:PORT/", "127.0.0.1:PORT", "javascript:alert(1)", "",
		"http://127.0.0.1:PORT/\r\nHost: evil\r\n\r\n", "http://127.0.0.1 :PORT/", "unix:///var/run/docker.sock", "data:text/plain,hello",
	}
	for _, u := range urls {
		u = strings.NewReplacer("PORT6", port6, "PORT", port).Replace(u)
		body := fmt.Sprintf(`{"event_type":"alert_url","device":"d","data":{"url":%q}}`, u)
		if code, answer := post(t, s, "/webhook/w", body); code != 202 {
			t.Errorf("%q: %d %s", u, code, answer)
		}
	}
	l := s.Settled(limit)
	if n := came.Load() + came6.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	if l.Log.Runs.Started != uint64(len(urls)) || l.Log.Runs.Failed != uint64(len(urls)) {
		t.Errorf("%d runs, of which %d failed, of %d URLs", l.Log.Runs.Started, l.Log.Runs.Failed, len(urls))
	}
}

// A server that may be asked sends on to one that may not.
func TestSSRFRedirects(t *testing.T) {
	outside := address(t)
	port, came := door(t, "127.0.0.1:0")
	to := []string{"http://127.0.0.1:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/", "http://localhost:" + port + "/", "http://2130706433:" + port + "/",
		"//127.0.0.1:" + port + "/", "http://169.254.169.254/latest/", "file:///etc/passwd", "gopher://127.0.0.1:" + port + "/"}
	var asked atomic.Int64
	ln, err := net.Listen("tcp", net.JoinHostPort(outside, "0"))
	if err != nil {
		t.Skip(err)
	}
	web := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var n, code int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d", &code, &n); err != nil || n >= len(to) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Location", to[n])
		w.WriteHeader(code)
	})}}
	web.Start()
	defer web.Close()
	s := harness.New(t, map[string]string{"signalbox.yaml": fmt.Sprintf(`
http: {listen: HTTPADDR}
sources: {w: {kind: webhook, auth: {none: true}}}
rules: rules/
dedup: {off: true}
actions: {http: {allow: [%q]}}
`, outside), "rules/r.yaml": fetch})
	s.StartReady()
	n := 0
	for i := range to {
		for _, code := range []int{301, 302, 303, 307, 308} {
			n++
			if code, answer := post(t, s, "/webhook/w", fmt.Sprintf(`{"event_type":"alert_url","device":"d","data":{"url":"%s/%d/%d"}}`, web.URL, code, i)); code != 202 {
				t.Fatalf("%d %s", code, answer)
			}
		}
	}
	l := s.Settled(limit)
	if asked.Load() == 0 {
		t.Error("the server that may be asked was not")
	}
	if c := came.Load(); c != 0 {
		t.Errorf("%d connections", c)
	}
	if l.Log.Runs.Failed != uint64(n) {
		t.Errorf("%d of %d runs failed", l.Log.Runs.Failed, n)
	}
}

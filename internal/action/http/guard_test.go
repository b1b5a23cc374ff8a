package httpaction

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"signalbox/internal/action"
)

func TestGuard(t *testing.T) {
	open := func(c *Config) { c.AllowLoopback = true }
	allow := func(p ...string) func(*Config) { return func(c *Config) { c.Allow = p } }
	deny := func(p ...string) func(*Config) { return func(c *Config) { c.Deny = p } }
	tests := []struct {
		addr string
		set  func(*Config)
		want string // "" for allowed
	}{
		{"192.0.2.1", nil, ""},
		{"10.1.2.3", nil, ""},
		{"172.16.0.1", nil, ""},
		{"192.168.1.1", nil, ""},
		{"100.64.0.1", nil, ""},
		{"2001:db8::1", nil, ""},
		{"fd12:3456::1", nil, ""},

		{"127.0.0.1", nil, "loopback"},
		{"127.255.0.9", nil, "loopback"},
		{"::1", nil, "loopback"},
		{"0.0.0.0", nil, "unspecified"},
		{"0.1.2.3", nil, "unspecified"},
		{"::", nil, "unspecified"},
		{"169.254.1.1", nil, "link-local"},
		{"fe80::1", nil, "link-local"},
		{"fe80::1%eth0", nil, "link-local"},
		{"fec0::1", nil, "site-local"},
		{"224.0.0.1", nil, "multicast"},
		{"239.1.1.1", nil, "multicast"},
		{"ff02::1", nil, "multicast"},
		{"255.255.255.255", nil, "reserved"},
		{"250.1.1.1", nil, "reserved"},
		{"169.254.169.254", nil, "metadata"},
		{"100.100.100.200", nil, "metadata"},
		{"168.63.129.16", nil, "metadata"},
		{"fd00:ec2::254", nil, "metadata"},

		{"::ffff:127.0.0.1", nil, "loopback"},
		{"::ffff:169.254.169.254", nil, "metadata"},
		{"::ffff:192.0.2.1", nil, ""},
		{"::127.0.0.1", nil, "IPv4-compatible"},
		{"::ffff:0:127.0.0.1", nil, "IPv4-translated"},
		{"64:ff9b::7f00:1", nil, "NAT64"},
		{"64:ff9b::a9fe:a9fe", nil, "NAT64"},
		{"64:ff9b:1::7f00:1", nil, "NAT64"},
		{"2002:7f00:1::1", nil, "6to4"},
		{"2002:a9fe:a9fe::", nil, "6to4"},
		{"2001:0:1:2:3:4:80ff:fffe", nil, "Teredo"},
		{"2001:db8::5efe:7f00:1", nil, "ISATAP"},

		{"127.0.0.1", open, ""},
		{"::1", open, ""},
		{"169.254.1.1", open, "link-local"},
		{"127.0.0.1", allow("127.0.0.1"), ""},
		{"127.0.0.2", allow("127.0.0.1"), "loopback"},
		{"169.254.7.7", allow("169.254.7.0/24"), ""},
		{"169.254.169.254", allow("0.0.0.0/0"), "metadata"},
		{"169.254.169.254", allow("169.254.0.0/16"), "metadata"},
		{"169.254.169.254", allow("169.254.169.254"), ""},
		{"64:ff9b::c000:201", allow("64:ff9b::/96"), ""},
		{"64:ff9b::7f00:1", allow("64:ff9b::/96"), "loopback"},
		{"10.1.2.3", deny("10.0.0.0/8"), "deny"},
		{"::ffff:10.1.2.3", deny("10.0.0.0/8"), "deny"},
		{"10.1.2.3", func(c *Config) { c.Deny = []string{"0.0.0.0/0"}; c.Allow = []string{"10.0.0.0/8"} }, ""},
		{"11.1.2.3", func(c *Config) { c.Deny = []string{"0.0.0.0/0"}; c.Allow = []string{"10.0.0.0/8"} }, "deny"},
		{"10.1.2.3", func(c *Config) { c.Deny = []string{"10.1.0.0/16"}; c.Allow = []string{"10.0.0.0/8"} }, "deny"},
		{"10.1.2.3", func(c *Config) { c.Deny = []string{"10.0.0.0/8"}; c.Allow = []string{"10.0.0.0/8"} }, "deny"},
		{"127.0.0.1", func(c *Config) { c.Deny = []string{"127.0.0.1"}; c.AllowLoopback = true }, "deny"},
	}
	for _, tt := range tests {
		cfg := DefaultConfig()
		if tt.set != nil {
			tt.set(&cfg)
		}
		g, err := newGuard(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = g.control("tcp", netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 80).String(), nil)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s allow %v deny %v: %v", tt.addr, cfg.Allow, cfg.Deny, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s allow %v deny %v: %v, want %q", tt.addr, cfg.Allow, cfg.Deny, err, tt.want)
		}
	}
}

// loopbackServer counts what connects to it; nothing should.
func loopbackServer(t *testing.T) (port string, connects *atomic.Int64) {
	t.Helper()
	connects = new(atomic.Int64)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connects.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, connects
}

func TestNoSpellingReachesLoopback(t *testing.T) {
	port, connects := loopbackServer(t)
	a := newAction(t, DefaultConfig())
	resolveWith(a, fakeDNS(t, func(string, int) []net.IP { return nil }))
	hosts := []string{
		"127.0.0.1", "127.1", "127.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1",
		"127.0.0.1.", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]",
		"[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.", "①②⑦.0.0.1", "127。0。0。1",
		"%31%32%37.0.0.1", "[::1%25lo]", "example.com@127.0.0.1", "127.0.0.1\\@example.com", "127.0.0.1 ", "127.0.0.1\t", "127.0.0.1\r\n",
	}
	for _, h := range hosts {
		for _, scheme := range []string{"http", "https", "HTTP"} {
			_, err := a.Do(t.Context(), call(map[string]any{"url": scheme + "://" + h + ":" + port + "/", "timeout": "2s"}))
			if err == nil {
				t.Errorf("%s://%q was reached", scheme, h)
			}
		}
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestRebinding(t *testing.T) {
	port, connects := loopbackServer(t)
	a := newAction(t, DefaultConfig())
	// The first answer is harmless, each later one is us.
	var asked atomic.Int64
	resolveWith(a, fakeDNS(t, func(_ string, n int) []net.IP {
		asked.Add(1)
		if n == 0 {
			return []net.IP{net.IPv4(127, 0, 0, 53), net.IPv4(127, 0, 0, 1)}
		}
		return []net.IP{net.IPv4(127, 0, 0, 1)}
	}))
	for range 5 {
		_, err := a.Do(t.Context(), call(map[string]any{"url": "http://rebind.example.net:" + port, "timeout": "5s"}))
		var denied *DeniedError
		if !errors.As(err, &denied) || denied.Reason != "loopback" {
			t.Errorf("error %v, want one that denies loopback", err)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Error("a denied address is not worth another attempt")
		}
	}
	if asked.Load() == 0 {
		t.Error("the name was not resolved at all")
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestRedirectIsCheckedToo(t *testing.T) {
	port, connects := loopbackServer(t)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}))
	defer first.Close()
	cfg := DefaultConfig()
	cfg.Allow = []string{"127.0.0.1"} // where the first server is; nothing else
	cfg.Deny = []string{"127.0.0.2", "::1"}
	a := newAction(t, cfg)
	for _, to := range []string{
		"http://127.0.0.2:" + port, "http://127.0.0.3:" + port, "http://[::1]:" + port, "http://169.254.169.254/latest/meta-data/",
		"http://user:pass@192.0.2.1/", "file:///etc/passwd", "gopher://127.0.0.1:" + port, "javascript:alert(1)", "http://0.0.0.0:" + port, "//127.0.0.9:" + port,
	} {
		_, err := a.Do(t.Context(), call(map[string]any{"url": first.URL, "query": map[string]any{"to": to}, "timeout": "5s"}))
		if err == nil {
			t.Errorf("redirect to %s was followed", to)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Errorf("redirect to %s: %v is recoverable", to, err)
		}
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestProxy(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		_, _ = w.Write([]byte("via proxy"))
	}))
	defer proxy.Close()

	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	plain := newAction(t, DefaultConfig())
	if plain.transport.proxy != nil {
		t.Error("the environment's proxy is used without being asked for")
	}

	cfg := DefaultConfig()
	cfg.Proxy = proxy.URL
	a := newAction(t, cfg)
	res, err := a.Do(t.Context(), call(map[string]any{"url": "http://device.example.net/x"}))
	if err != nil || res.Output["body"] != "via proxy" || asked.Load() != "http://device.example.net/x" {
		t.Errorf("output %v, error %v, proxy saw %v", res.Output, err, asked.Load())
	}
	asked.Store("")
	for _, h := range []string{"127.0.0.1", "localhost", "a.localhost.", "[::1]", "127.1", "2130706433", "0x7f.1", "169.254.169.254", "metadata.google.internal", "[::ffff:169.254.169.254]"} {
		if _, err := a.Do(t.Context(), call(map[string]any{"url": "http://" + h + "/"})); err == nil {
			t.Errorf("%s went through the proxy", h)
		}
	}
	if asked.Load() != "" {
		t.Errorf("the proxy was asked for %v", asked.Load())
	}
}

// fakeDNS is a resolver whose answers the test makes up: by name and the
// number of the question.
func fakeDNS(t *testing.T, answer func(name string, n int) []net.IP) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for n := 0; ; n++ {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if size > 12 {
				_, _ = pc.WriteTo(dnsAnswer(buf[:size], n, answer), from)
			}
		}
	}()
	t.Cleanup(func() { _ = pc.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func dnsAnswer(q []byte, n int, answer func(string, int) []net.IP) []byte {
	end, name := 12, ""
	for end < len(q) && q[end] != 0 {
		name += string(q[end+1:end+1+int(q[end])]) + "."
		end += 1 + int(q[end])
	}
	kind := binary.BigEndian.Uint16(q[end+1:])
	question := q[12 : end+5]
	var ips []net.IP
	if kind == 1 {
		ips = answer(name, n)
	}
	out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(len(ips)), 0, 0, 0, 0}, question...)
	if kind == 1 && len(ips) == 0 {
		out[3] = 0x83 // no such name
	}
	for _, ip := range ips {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, ip.To4()...)
	}
	return out
}

func resolveWith(a *Action, r *net.Resolver) {
	d := &net.Dialer{Timeout: 5 * time.Second, Control: a.transport.guard.control, Resolver: r}
	a.transport.direct.DialContext = d.DialContext
}

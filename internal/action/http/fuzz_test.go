package httpaction

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func FuzzURL(f *testing.F) {
	for _, s := range []string{"http://192.0.2.1/", "https://[2001:db8::1]:8443/a?b=c#d", "http://a@b/", "http://127.0.0.1\\@b", "http://%31/", "//x", "http:x", "http://a:b:c/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseURL(s)
		if err != nil {
			return
		}
		// What is sent must be read by others as it was read here.
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.User != nil || again.Scheme != u.Scheme {
			t.Fatalf("%q is %q, then %v, %v", s, u, again, err)
		}
		if strings.ContainsAny(u.Host, "@/\\?# \r\n\x00") || strings.ContainsAny(u.RequestURI(), " \r\n\x00") {
			t.Fatalf("%q: host %q, path %q", s, u.Host, u.RequestURI())
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "-1", "99999999999999999999", "Fri, 31 Dec 2027 23:59:59 GMT", "soon", ""} {
		f.Add(s)
	}
	a := &Action{cfg: DefaultConfig(), now: time.Now}
	f.Fuzz(func(t *testing.T, s string) {
		if d := a.retryAfter(s); d < 0 || d > a.cfg.MaxRetryAfter {
			t.Fatalf("%q: %s", s, d)
		}
	})
}

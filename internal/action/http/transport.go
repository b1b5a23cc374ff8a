package httpaction

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// transport sends requests directly, each connection checked by the guard, or
// through the proxy, whose own address need not pass it.
type transport struct {
	guard   *guard
	proxy   func(*http.Request) (*url.URL, error) // nil: none
	direct  *http.Transport
	proxied *http.Transport
}

func newTransport(cfg Config) (*transport, error) {
	g, err := newGuard(cfg)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	t := &transport{guard: g}
	t.direct = newHTTPTransport(tlsConfig, &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: g.control})
	switch cfg.Proxy {
	case "":
		return t, nil
	case ProxyEnvironment:
		t.proxy = http.ProxyFromEnvironment
	default:
		u, err := url.Parse(cfg.Proxy)
		if err != nil {
			return nil, errors.New("proxy: is not a URL")
		}
		t.proxy = http.ProxyURL(u)
	}
	t.proxied = newHTTPTransport(tlsConfig, &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second})
	t.proxied.Proxy = t.proxy
	return t, nil
}

func newHTTPTransport(tlsConfig *tls.Config, d *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            d.DialContext,
		TLSClientConfig:        tlsConfig.Clone(),
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        60 * time.Second,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// RoundTrip sends one request, over the way that the configuration says.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.proxy != nil {
		via, err := t.proxy(req)
		if err != nil {
			return nil, errors.New("the proxy's URL in the environment cannot be read")
		}
		if via != nil {
			if err := t.checkLiteral(req.URL.Hostname()); err != nil {
				return nil, err
			}
			return t.proxied.RoundTrip(req)
		}
	}
	return t.direct.RoundTrip(req)
}

// checkLiteral checks a host that a proxy will resolve, as far as it can be
// known here: addresses, and the names that always mean the proxy's machine or
// a metadata service.
func (t *transport) checkLiteral(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return t.guard.check(a)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return t.guard.check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	if host == "metadata" || host == "metadata.google.internal" {
		return t.guard.check(netip.AddrFrom4([4]byte{169, 254, 169, 254}))
	}
	if last := host[strings.LastIndexByte(host, '.')+1:]; last == "" || last[0] >= '0' && last[0] <= '9' {
		// 127.1, 0x7f.1, 2130706433: no name ends in a number (RFC 3696), but
		// inet_aton reads these as addresses.
		return permanent("%w", fmt.Errorf("host %q is an address in a form that cannot be checked; write it as four numbers", host))
	}
	return nil
}

func (t *transport) close() {
	t.direct.CloseIdleConnections()
	if t.proxied != nil {
		t.proxied.CloseIdleConnections()
	}
}

// certificate says whether err is about the server's certificate: to try again
// does not mend that.
func certificate(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid)
}

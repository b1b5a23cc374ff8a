package httpaction

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// ProxyEnvironment as Config.Proxy takes the proxy from HTTP_PROXY,
// HTTPS_PROXY and NO_PROXY, as curl does.
const ProxyEnvironment = "environment"

// Config sets up the http action. Start from DefaultConfig: the zero value is
// not usable.
type Config struct {
	// Allow and Deny are CIDRs or addresses that requests may or may not reach;
	// of several that hold an address the longest prefix counts, and Deny where
	// two are equally long. What neither holds is as the package comment says.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
	// AllowLoopback lets requests reach this machine (127.0.0.0/8, ::1).
	AllowLoopback bool `yaml:"allow_loopback"`

	// Proxy is the URL of a proxy for all requests, or "environment"; "" for
	// none. Behind a proxy the names are resolved by the proxy, so that only
	// addresses written in the URL can be checked here.
	Proxy string `yaml:"proxy"`

	CA       string `yaml:"ca"`       // PEM file of authorities trusted beside the system's
	Cert     string `yaml:"cert"`     // PEM file: our certificate, where servers ask for one
	Key      string `yaml:"key"`      // PEM file: its key
	Insecure bool   `yaml:"insecure"` // do not verify servers' certificates

	Timeout       time.Duration `yaml:"timeout"`         // of one attempt, redirects included
	MaxResponse   int           `yaml:"max_response"`    // bytes of a response that are read, after decompression
	MaxOutput     int           `yaml:"max_output"`      // bytes of it that output.body keeps
	MaxRequest    int           `yaml:"max_request"`     // bytes of a request's body
	MaxRedirects  int           `yaml:"max_redirects"`   // 0: none is followed
	MaxRetryAfter time.Duration `yaml:"max_retry_after"` // longest wait that a server may ask for

	// IdempotencyHeader is the header that carries the key of run and step;
	// "" for none.
	IdempotencyHeader string `yaml:"idempotency_header"`

	// Dir is the folder of the configuration file: relative paths start there.
	Dir string `yaml:"-"`
}

// DefaultConfig is what holds where the configuration says nothing.
func DefaultConfig() Config {
	return Config{
		Timeout:           30 * time.Second,
		MaxResponse:       1 << 20,
		MaxOutput:         64 << 10,
		MaxRequest:        4 << 20,
		MaxRedirects:      5,
		MaxRetryAfter:     time.Hour,
		IdempotencyHeader: "Idempotency-Key",
	}
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }
	if _, err := newGuard(c); err != nil {
		errs = append(errs, err)
	}
	if c.Timeout <= 0 {
		bad("timeout: %s is not positive", c.Timeout)
	}
	if c.MaxRetryAfter <= 0 {
		bad("max_retry_after: %s is not positive", c.MaxRetryAfter)
	}
	for name, n := range map[string]int{"max_response": c.MaxResponse, "max_output": c.MaxOutput, "max_request": c.MaxRequest} {
		if n < 1 || n > 64<<20 {
			bad("%s: %d is not between 1 and 67108864 bytes", name, n)
		}
	}
	if c.MaxRedirects < 0 || c.MaxRedirects > 20 {
		bad("max_redirects: %d is not between 0 and 20", c.MaxRedirects)
	}
	if c.IdempotencyHeader != "" && checkHeader(c.IdempotencyHeader, "") != nil {
		bad("idempotency_header: %q is not a header name that may be set", c.IdempotencyHeader)
	}
	if c.Proxy != "" && c.Proxy != ProxyEnvironment {
		// The error of Parse quotes the URL, which may hold a password.
		if u, err := url.Parse(c.Proxy); err != nil || u.Host == "" || !oneOf(u.Scheme, "http", "https", "socks5") {
			bad(`proxy: expected "environment" or a URL such as http://proxy.example.net:3128`)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("cert and key: one is there without the other")
	}
	return errors.Join(errs...)
}

func oneOf(s string, words ...string) bool {
	for _, w := range words {
		if s == w {
			return true
		}
	}
	return false
}

// prefix reads a CIDR or a single address.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network such as 192.0.2.0/24", s)
	}
	return p.Masked(), nil
}

func (c Config) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Dir, p)
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // off unless the configuration asks for it
	if c.CA != "" {
		pem, err := os.ReadFile(c.path(c.CA))
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate in PEM", c.CA)
		}
		t.RootCAs = pool
	}
	if c.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.path(c.Cert), c.path(c.Key))
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

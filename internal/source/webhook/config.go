package webhook

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"signalbox/internal/secret"
)

// Config sets up one webhook source. Start from DefaultConfig: the zero value
// is not usable.
type Config struct {
	// Mapping names the mapping of this sender's payloads; without one the
	// body is read in Signalbox's own form.
	Mapping string `yaml:"mapping"`
	Auth    Auth   `yaml:"auth"`
	// AllowUnauthenticatedFromAnywhere lets everybody who reaches the listener
	// send events. Without it a source with no authentication takes events
	// from the same machine only.
	AllowUnauthenticatedFromAnywhere bool `yaml:"allow_unauthenticated_from_anywhere"`

	// IDHeader and IDField say where the sender's id of an event is: in a
	// header (X-GitHub-Delivery), or in the event ("event.id"). The same id
	// again is a redelivery, and decided once.
	IDHeader string `yaml:"id_header"`
	IDField  string `yaml:"id_field"`
	// Headers are kept with the event, for mappings that read them.
	Headers []string `yaml:"headers"`
	// Form accepts form-encoded bodies with the JSON in the field "payload".
	Form bool `yaml:"form"`

	MaxBody     int           `yaml:"max_body"`     // bytes of a body as it is sent
	MaxInflated int           `yaml:"max_inflated"` // bytes of a gzip body inflated
	MaxRatio    int           `yaml:"max_ratio"`    // inflated bytes for each byte sent
	MaxEvents   int           `yaml:"max_events"`   // events in one request
	MaxEvent    int           `yaml:"max_event"`    // bytes of one event
	MaxMemory   int           `yaml:"max_memory"`   // bytes of all bodies at hand at one time
	Timeout     time.Duration `yaml:"timeout"`      // for a body to arrive whole
	BusyWait    time.Duration `yaml:"busy_wait"`    // before "busy" is answered
	Rate        Rate          `yaml:"rate"`
}

// Rate bounds requests per second; zero for no bound.
type Rate struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"` // at once, default: one second's worth
}

// Auth says how requests prove who sends them. Everything that is set must
// pass; with nothing set, or None, the source is for the same machine only.
type Auth struct {
	HMAC             *HMAC             `yaml:"hmac"`
	StandardWebhooks *StandardWebhooks `yaml:"standard_webhooks"`
	Bearer           secret.Ref        `yaml:"bearer"`
	Basic            *Basic            `yaml:"basic"`
	MTLS             *MTLS             `yaml:"mtls"`
	BodySecret       *BodySecret       `yaml:"body_secret"`
	None             bool              `yaml:"none"`
}

func (a Auth) isNone() bool {
	return a.HMAC == nil && a.StandardWebhooks == nil && a.Bearer.IsZero() && a.Basic == nil && a.MTLS == nil && a.BodySecret == nil
}

// HMAC is a signature over the body's bytes as they are on the wire, so before
// a gzip body is inflated: what GitHub, NetBox and most tools send.
type HMAC struct {
	Algorithm string     `yaml:"algorithm"` // sha256 (default) or sha512
	Header    string     `yaml:"header"`    // X-Hub-Signature-256
	Prefix    string     `yaml:"prefix"`    // "sha256=", stands before the signature
	Encoding  string     `yaml:"encoding"`  // hex (default) or base64
	Secret    secret.Ref `yaml:"secret"`
	// TimestampHeader is the header with the time of signing in seconds since
	// 1970, where the sender signs one; Tolerance is how far it may be off
	// (default 5m).
	TimestampHeader string        `yaml:"timestamp_header"`
	Tolerance       time.Duration `yaml:"tolerance"`
	// Signs is what the signature covers: "{body}" by default,
	// "{timestamp}.{body}" with a TimestampHeader; Slack's is
	// "v0:{timestamp}:{body}".
	Signs string `yaml:"signs"`
}

// StandardWebhooks is the scheme of standardwebhooks.com, signature version v1
// (HMAC-SHA256).
type StandardWebhooks struct {
	Secret    secret.Ref    `yaml:"secret"`    // "whsec_" and base64
	Tolerance time.Duration `yaml:"tolerance"` // default 5m
}

// Basic is HTTP basic authentication.
type Basic struct {
	User     string     `yaml:"user"`
	Password secret.Ref `yaml:"password"`
}

// MTLS asks for a client certificate that the listener has verified and that
// carries one of Names as a DNS, URI, e-mail or IP name, or as its common name.
type MTLS struct {
	Names []string `yaml:"names"`
}

// BodySecret asks for a secret in a field of the event itself, as Meraki sends
// its own. It is taken out before anything is kept. Unlike a signature it shows
// the secret to whoever reads the request: use it over https only.
type BodySecret struct {
	Field  string     `yaml:"field"` // sharedSecret, or event.secret
	Secret secret.Ref `yaml:"secret"`
}

// DefaultConfig is a source for the same machine, with the usual limits.
func DefaultConfig() Config {
	return Config{
		MaxBody: 1 << 20, MaxInflated: 10 << 20, MaxRatio: 100,
		MaxEvents: 1000, MaxEvent: 256 << 10, MaxMemory: 64 << 20,
		Timeout: 10 * time.Second, BusyWait: time.Second,
	}
}

// Validate reports every problem at once. It does not resolve secrets; New
// does.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, v := range []struct {
		name  string
		value int
	}{
		{"max_body", c.MaxBody}, {"max_inflated", c.MaxInflated}, {"max_ratio", c.MaxRatio},
		{"max_events", c.MaxEvents}, {"max_event", c.MaxEvent},
	} {
		if v.value <= 0 {
			bad("%s: %d must be more than 0", v.name, v.value)
		}
	}
	if c.MaxMemory < c.MaxBody+c.MaxInflated {
		bad("max_memory: %d is below max_body and max_inflated together (%d)", c.MaxMemory, c.MaxBody+c.MaxInflated)
	}
	if c.Timeout <= 0 {
		bad("timeout: %v must be more than 0", c.Timeout)
	}
	if c.BusyWait < 0 {
		bad("busy_wait: %v must not be negative", c.BusyWait)
	}
	if c.Rate.PerSecond < 0 || c.Rate.Burst < 0 {
		bad("rate: must not be negative")
	}
	if c.IDHeader != "" && c.IDField != "" {
		bad("id_header, id_field: the sender's id is in one place; leave one out")
	}
	for _, h := range c.Headers {
		if secretHeader(h) {
			bad("headers: %s carries a secret and is not kept with events", h)
		}
	}
	c.Auth.check(bad)
	return errors.Join(errs...)
}

func secretHeader(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Authorization", "Cookie", "Proxy-Authorization":
		return true
	}
	return false
}

func (a Auth) check(bad func(string, ...any)) {
	if a.None && !a.isNone() {
		bad("auth.none: stands alone; another way to authenticate is set beside it")
	}
	if b := a.Basic; b != nil {
		if b.User == "" {
			bad("auth.basic.user: is empty")
		}
		if b.Password.IsZero() {
			bad("auth.basic.password: is empty, which would let everybody in")
		}
	}
	if m := a.MTLS; m != nil && len(m.Names) == 0 {
		bad("auth.mtls.names: name at least one client, as its certificate does")
	}
	if s := a.StandardWebhooks; s != nil {
		if s.Secret.IsZero() {
			bad("auth.standard_webhooks.secret: is empty, which would let everybody in")
		}
		if s.Tolerance < 0 {
			bad("auth.standard_webhooks.tolerance: %v must not be negative", s.Tolerance)
		}
	}
	if b := a.BodySecret; b != nil {
		if b.Field == "" || slices.Contains(strings.Split(b.Field, "."), "") {
			bad("auth.body_secret.field: %q names no member of the event, for example sharedSecret", b.Field)
		}
		if b.Secret.IsZero() {
			bad("auth.body_secret.secret: is empty, which would let everybody in")
		}
	}
	if a.HMAC != nil {
		a.HMAC.check(bad)
	}
}

func (h *HMAC) check(bad func(string, ...any)) {
	switch h.Algorithm {
	case "", "sha256", "sha512":
	default:
		bad("auth.hmac.algorithm: %q is not known: sha256 or sha512", h.Algorithm)
	}
	switch h.Encoding {
	case "", "hex", "base64":
	default:
		bad("auth.hmac.encoding: %q is not known: hex or base64", h.Encoding)
	}
	if h.Header == "" {
		bad("auth.hmac.header: say which header carries the signature, for example X-Hub-Signature-256")
	}
	if h.Secret.IsZero() {
		bad("auth.hmac.secret: is empty, which would let everybody in")
	}
	if h.Tolerance < 0 {
		bad("auth.hmac.tolerance: %v must not be negative", h.Tolerance)
	}
	if h.Tolerance > 0 && h.TimestampHeader == "" {
		bad("auth.hmac.tolerance: needs timestamp_header")
	}
	if h.Signs != "" && !strings.Contains(h.Signs, "{body}") {
		bad("auth.hmac.signs: %q leaves out {body}", h.Signs)
	}
	if h.TimestampHeader != "" && h.Signs != "" && !strings.Contains(h.Signs, "{timestamp}") {
		bad("auth.hmac.signs: %q leaves out {timestamp}, so that anybody could change it", h.Signs)
	}
	if h.TimestampHeader == "" && strings.Contains(h.Signs, "{timestamp}") {
		bad("auth.hmac.signs: {timestamp} needs timestamp_header")
	}
}

package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/secret"
)

// refusal is why a request is not let in: an HTTP status and words for the
// sender that give nothing away.
type refusal struct {
	status    int
	detail    string
	challenge string // WWW-Authenticate
}

// headerCheck decides by what stands before the body, so that strangers cost
// no memory.
type headerCheck func(*http.Request) *refusal

// bodyCheck decides by the body as it was on the wire. It returns a claim on
// the signature, or nil where there is nothing to claim.
type bodyCheck func(r *http.Request, wire []byte, now time.Time) (*claim, *refusal)

// eventCheck decides by what the events say, and takes the secret out of them.
type eventCheck func([]payload.Item) *refusal

type checks struct {
	header []headerCheck
	body   []bodyCheck
	event  eventCheck // nil for none
}

func newChecks(c Config, realm string) (checks, error) {
	var out checks
	a := c.Auth
	if a.isNone() && !c.AllowUnauthenticatedFromAnywhere {
		out.header = append(out.header, sameMachine)
	}
	if !a.Bearer.IsZero() {
		want, err := digest(a.Bearer)
		if err != nil {
			return out, fmt.Errorf("auth.bearer: %w", err)
		}
		out.header = append(out.header, bearer(want, realm))
	}
	if a.Basic != nil {
		want, err := digest(a.Basic.Password)
		if err != nil {
			return out, fmt.Errorf("auth.basic.password: %w", err)
		}
		out.header = append(out.header, basic(sha256.Sum256([]byte(a.Basic.User)), want, realm))
	}
	if a.MTLS != nil {
		out.header = append(out.header, mtls(a.MTLS.Names))
	}
	if a.HMAC != nil {
		v, err := newHMAC(*a.HMAC)
		if err != nil {
			return out, fmt.Errorf("auth.hmac: %w", err)
		}
		out.body = append(out.body, v)
	}
	if a.StandardWebhooks != nil {
		v, err := newStandardWebhooks(*a.StandardWebhooks)
		if err != nil {
			return out, fmt.Errorf("auth.standard_webhooks: %w", err)
		}
		out.body = append(out.body, v)
	}
	if a.BodySecret != nil {
		want, err := digest(a.BodySecret.Secret)
		if err != nil {
			return out, fmt.Errorf("auth.body_secret.secret: %w", err)
		}
		out.event = bodySecret(a.BodySecret.Field, want)
	}
	return out, nil
}

// digest resolves a secret. Only its digest is kept: digests have one length,
// so that comparing them takes one time whatever was sent.
func digest(ref secret.Ref) ([sha256.Size]byte, error) {
	v, err := ref.Value()
	if err == nil && v == "" {
		err = fmt.Errorf("the secret is empty, which would let everybody in")
	}
	return sha256.Sum256([]byte(v)), err
}

func sameDigest(text string, want [sha256.Size]byte) int {
	got := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(got[:], want[:])
}

func bearer(want [sha256.Size]byte, realm string) headerCheck {
	no := &refusal{http.StatusUnauthorized, "a valid bearer token is needed", fmt.Sprintf("Bearer realm=%q", realm)}
	return func(r *http.Request) *refusal {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if sameDigest(strings.TrimSpace(token), want) != 1 || !strings.EqualFold(scheme, "Bearer") {
			return no
		}
		return nil
	}
}

func basic(user, password [sha256.Size]byte, realm string) headerCheck {
	no := &refusal{http.StatusUnauthorized, "a valid user and password are needed", fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", realm)}
	return func(r *http.Request) *refusal {
		u, p, ok := r.BasicAuth()
		if sameDigest(u, user)&sameDigest(p, password) != 1 || !ok {
			return no
		}
		return nil
	}
}

// bodySecret asks for the secret in a field of every event. How long it takes
// does not tell how much of a guess is right, nor which event's.
func bodySecret(field string, want [sha256.Size]byte) eventCheck {
	no := &refusal{status: http.StatusUnauthorized, detail: "every event must carry this source's secret"}
	names, path := strings.Split(field, "."), payload.Dotted(field)
	return func(items []payload.Item) *refusal {
		same := 1
		for i := range items {
			same &= sameDigest(lookup(items[i].Raw, names), want)
		}
		if same != 1 || len(items) == 0 { // an empty list proves nothing
			return no
		}
		for i := range items {
			items[i].Raw = payload.Redact(items[i].Raw, path)
		}
		return nil
	}
}

func mtls(names []string) headerCheck {
	no := &refusal{http.StatusUnauthorized, "a client certificate that this source knows is needed", "ClientCertificate"}
	return func(r *http.Request) *refusal {
		// Only a chain that the listener has verified counts: a certificate
		// that was merely shown proves nothing.
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
			return no
		}
		if !certificateNamed(r.TLS.VerifiedChains[0][0], names) {
			return no
		}
		return nil
	}
}

func certificateNamed(c *x509.Certificate, names []string) bool {
	for _, want := range names {
		if c.Subject.CommonName == want || slices.Contains(c.DNSNames, want) || slices.Contains(c.EmailAddresses, want) {
			return true
		}
		for _, u := range c.URIs {
			if u.String() == want {
				return true
			}
		}
		for _, ip := range c.IPAddresses {
			if ip.String() == want {
				return true
			}
		}
	}
	return false
}

// sameMachine lets in what comes over the loopback interface. A request that
// passed a proxy on this machine comes from elsewhere, and one that a browser
// sends for a web page carries Origin: neither is the user of this machine.
func sameMachine(r *http.Request) *refusal {
	no := &refusal{status: http.StatusForbidden, detail: "this source has no authentication and takes events from the same machine only: " +
		"configure auth, or say allow_unauthenticated_from_anywhere: true"}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return no
	}
	host, _, _ = strings.Cut(host, "%")
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return no
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if len(r.Header[h]) > 0 {
			return no
		}
	}
	if len(r.Header["Origin"]) > 0 || len(r.Header["Sec-Fetch-Site"]) > 0 {
		return &refusal{status: http.StatusForbidden, detail: "requests of web pages are refused by a source without authentication"}
	}
	return nil
}

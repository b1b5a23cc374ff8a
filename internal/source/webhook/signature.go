package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const defaultTolerance = 5 * time.Minute

var dot = []byte(".")

var errEmptySecret = errors.New("the secret is empty, which would let everybody in")

// newHMAC builds the check of a configurable signature header.
func newHMAC(c HMAC) (bodyCheck, error) {
	key, err := c.Secret.Value()
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if key == "" {
		return nil, fmt.Errorf("secret: %w", errEmptySecret)
	}
	newHash := sha256.New
	if c.Algorithm == "sha512" {
		newHash = sha512.New
	}
	decode := hex.DecodeString
	if c.Encoding == "base64" {
		decode = base64.StdEncoding.DecodeString
	}
	signs := newTemplate(c.Signs, c.TimestampHeader != "")
	macs := newMacPool(newHash, []byte(key))
	seen := newSeen(orTolerance(c.Tolerance))
	header, stamp := http.CanonicalHeaderKey(c.Header), http.CanonicalHeaderKey(c.TimestampHeader)
	no := &refusal{http.StatusUnauthorized, "a valid signature in the header " + header + " is needed", fmt.Sprintf("HMAC header=%q", header)}
	return func(r *http.Request, wire []byte, now time.Time) (*claim, *refusal) {
		text, ok := single(r.Header, header)
		if !ok {
			return nil, no
		}
		text, ok = strings.CutPrefix(text, c.Prefix)
		got, err := decode(text)
		if !ok || err != nil {
			return nil, no
		}
		timestamp := ""
		if c.TimestampHeader != "" {
			if timestamp, ok = single(r.Header, stamp); !ok {
				return nil, no
			}
		}
		want := macs.sum(signs.parts(timestamp, wire)...)
		if !hmac.Equal(got, want) {
			return nil, no
		}
		if c.TimestampHeader == "" {
			return nil, nil
		}
		if no := checkTime(timestamp, now, orTolerance(c.Tolerance), no.challenge); no != nil {
			return nil, no
		}
		return seen.claim(want, now)
	}, nil
}

// newStandardWebhooks builds the check of the Standard Webhooks scheme, v1.
func newStandardWebhooks(c StandardWebhooks) (bodyCheck, error) {
	text, err := c.Secret.Value()
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil {
		return nil, errors.New(`secret: "whsec_" and base64 are expected`)
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("secret: %w", errEmptySecret)
	}
	macs := newMacPool(sha256.New, key)
	seen := newSeen(orTolerance(c.Tolerance))
	no := &refusal{http.StatusUnauthorized, "a valid Standard Webhooks signature is needed", `StandardWebhooks version="v1"`}
	return func(r *http.Request, wire []byte, now time.Time) (*claim, *refusal) {
		id, okID := single(r.Header, "Webhook-Id")
		timestamp, okTime := single(r.Header, "Webhook-Timestamp")
		signatures, okSig := single(r.Header, "Webhook-Signature")
		// The parts are signed with dots between them: a dot in the id would
		// let one message be read as another.
		if !okID || !okTime || !okSig || len(id) > 256 || strings.Contains(id, ".") {
			return nil, no
		}
		want := macs.sum([]byte(id), dot, []byte(timestamp), dot, wire)
		if !anySignature(signatures, want) {
			return nil, no
		}
		if no := checkTime(timestamp, now, orTolerance(c.Tolerance), no.challenge); no != nil {
			return nil, no
		}
		// A retry of an honest sender is signed anew, with a new time and the
		// same id, and the log folds it. The same signature again is a replay.
		return seen.claim(want, now)
	}, nil
}

// anySignature says whether one of the "v1,<base64>" in the list is want.
func anySignature(list string, want []byte) bool {
	ok, n := false, 0
	for s := range strings.FieldsSeq(list) {
		if n++; n > 16 {
			return false
		}
		text, v1 := strings.CutPrefix(s, "v1,")
		if !v1 {
			continue
		}
		got, err := base64.StdEncoding.DecodeString(text)
		if err == nil && hmac.Equal(got, want) {
			ok = true
		}
	}
	return ok
}

// single gives the value of a header that is there exactly once: of two
// signatures nobody could say which counts.
func single(h http.Header, canonical string) (string, bool) {
	v := h[canonical]
	if len(v) != 1 || v[0] == "" {
		return "", false
	}
	return v[0], true
}

func orTolerance(d time.Duration) time.Duration {
	if d == 0 {
		return defaultTolerance
	}
	return d
}

// checkTime is asked once the signature is known to be right, so that its words
// help only the true sender.
func checkTime(text string, now time.Time, tolerance time.Duration, challenge string) *refusal {
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return &refusal{http.StatusUnauthorized, "the timestamp is not a number of seconds since 1970", challenge}
	}
	diff := now.Sub(time.Unix(sec, 0))
	if diff.Abs() > tolerance {
		return &refusal{http.StatusUnauthorized, fmt.Sprintf("the signature is right, but its time is off by %v, more than %v", diff.Round(time.Second), tolerance), challenge}
	}
	return nil
}

// macPool spares deriving the two inner keys of HMAC for each request.
type macPool struct{ pool sync.Pool }

func newMacPool(newHash func() hash.Hash, key []byte) *macPool {
	return &macPool{sync.Pool{New: func() any { return hmac.New(newHash, key) }}}
}

// sum signs the parts, one after the other. Nothing is put together first:
// bodies are never copied.
func (p *macPool) sum(parts ...[]byte) []byte {
	m := p.pool.Get().(hash.Hash)
	m.Reset()
	for _, b := range parts {
		m.Write(b)
	}
	out := m.Sum(nil)
	p.pool.Put(m)
	return out
}

// template is what a signature covers, cut at its placeholders once at load: a
// placeholder that a sender puts into his values stays text.
type template []string

func newTemplate(text string, stamped bool) template {
	switch {
	case text == "" && stamped:
		text = "{timestamp}.{body}"
	case text == "":
		text = "{body}"
	}
	var out template
	for text != "" {
		i, found := len(text), ""
		for _, p := range []string{"{body}", "{timestamp}"} {
			if j := strings.Index(text, p); j >= 0 && j < i {
				i, found = j, p
			}
		}
		if i > 0 {
			out = append(out, text[:i])
		}
		if found != "" {
			out = append(out, found)
		}
		text = text[i+len(found):]
	}
	return out
}

func (t template) parts(timestamp string, body []byte) [][]byte {
	out := make([][]byte, len(t))
	for i, s := range t {
		switch s {
		case "{body}":
			out[i] = body
		case "{timestamp}":
			out[i] = []byte(timestamp)
		default:
			out[i] = []byte(s)
		}
	}
	return out
}

// seen remembers the signatures that were accepted, for as long as their
// timestamps are valid. It is two generations of bounded size: when the young
// one is full or old enough it becomes the old one. What falls out early, or is
// forgotten in a restart, is still a redelivery to the log, by its sender's id.
type seen struct {
	mu         sync.Mutex
	young, old map[[16]byte]struct{}
	since      time.Time
	window     time.Duration
	max        int // of one generation
}

// maxSeen signatures cost about 4 MB.
const maxSeen = 1 << 17

func newSeen(tolerance time.Duration) *seen {
	// A timestamp may be tolerance ahead, and is then valid for twice that.
	return &seen{young: map[[16]byte]struct{}{}, window: 2 * tolerance, max: maxSeen}
}

// claim is a signature that one request holds. Its holder says in the end
// whether the events were taken; if not, the same request may come again.
type claim struct {
	from *seen
	key  [16]byte
}

func (s *seen) claim(signature []byte, now time.Time) (*claim, *refusal) {
	c := &claim{from: s, key: [16]byte(signature)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= s.max || now.Sub(s.since) > s.window {
		s.old, s.young, s.since = s.young, map[[16]byte]struct{}{}, now
	}
	_, a := s.young[c.key]
	_, b := s.old[c.key]
	if a || b {
		return nil, &refusal{status: http.StatusConflict, detail: "this signed request was taken before: a replay is refused"}
	}
	s.young[c.key] = struct{}{}
	return c, nil
}

// release gives the claim up: nothing was taken.
func (c *claim) release() {
	if c == nil {
		return
	}
	c.from.mu.Lock()
	delete(c.from.young, c.key)
	delete(c.from.old, c.key)
	c.from.mu.Unlock()
}

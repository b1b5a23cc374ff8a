// Package httpaction is the action http: one request to any web service, with
// the answer as output.
//
// It promises three things. A request goes nowhere that the configuration does
// not allow: the address is checked after the name is resolved, on every hop,
// so that an event that names a host cannot reach this machine, the cloud's
// metadata service or the like. By default loopback, link-local, multicast,
// unspecified and reserved addresses are denied, and the forms of IPv6 that
// hold an IPv4 address; private addresses (RFC 1918, RFC 4193) are allowed,
// since that is where networks are managed. Secrets appear in no error, log
// line or output. And everything is bounded: time, bytes, redirects.
package httpaction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/internal/action"
	"signalbox/internal/rule"
)

// Action is the action http. It is safe for many goroutines.
type Action struct {
	cfg       Config
	transport *transport
	now       func() time.Time
}

// New makes the action. It reads the files that the configuration names, and
// starts nothing.
func New(cfg Config) (*Action, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	return &Action{cfg: cfg, transport: t, now: time.Now}, nil
}

// Close lets go of idle connections.
func (a *Action) Close() { a.transport.close() }

// Spec describes the action.
func (a *Action) Spec() rule.ActionSpec {
	return rule.ActionSpec{
		Name: "http",
		Doc: "Sends one HTTP request. The address is checked after the name is resolved, on every redirect too: " +
			"loopback, link-local and other special addresses are denied unless actions.http.allow names them. " +
			"Every attempt of a step carries the same Idempotency-Key, so that a service that knows the header does the thing once. " +
			"GET, HEAD, OPTIONS, TRACE, PUT and DELETE may be repeated after a crash (RFC 9110); POST and PATCH only with idempotent: true.",
		Args: []rule.Arg{
			{Name: "url", Type: "string", Required: true, Doc: "http:// or https://, without user and password"},
			{Name: "method", Type: "string", Doc: "any method; default GET, or POST where there is a body"},
			{Name: "query", Type: "map", Doc: "parameters added to the URL, escaped; a list repeats one"},
			{Name: "headers", Type: "map", Doc: "request headers; line breaks and the headers that frame a message are refused"},
			{Name: "body", Type: "any", Doc: "text as it is; a map or list as JSON"},
			{Name: "auth", Type: "map", Doc: `{bearer: "${secret('token')}"} or {basic: {username: u, password: "${secret('p')}"}}`},
			{Name: "expect", Type: "list", Doc: `statuses that are success, such as [200, 404] or ["2xx"]; default 2xx`},
			{Name: "recoverable", Type: "list", Doc: "statuses that another attempt may cure; default [408, 425, 429, 500, 502, 503, 504]. " +
				"Network errors are recoverable too, unless the list is empty"},
			{Name: "timeout", Type: "duration", Doc: "of the attempt, redirects included; default 30s"},
			{Name: "redirects", Type: "int", Doc: "how many are followed; default 5. Never from https to http; credentials and secrets are not sent to another host; " +
				"a 301 or 302 is followed for GET and HEAD only"},
			{Name: "max_response", Type: "int", Doc: "bytes of the response that are read; default 1048576"},
			{Name: "idempotency_header", Type: "string", Doc: `header that carries the key of run and step; default Idempotency-Key, "" for none`},
			{Name: "idempotent", Type: "bool", Doc: "the request may be repeated when nobody knows whether it was carried out; default by method"},
		},
		Output: []rule.Arg{
			{Name: "status", Type: "int", Doc: "status code"},
			{Name: "headers", Type: "map", Doc: "response headers by lower-case name, the first 64"},
			{Name: "body", Type: "string", Doc: "the response as text, the first 64 KiB"},
			{Name: "json", Type: "any", Doc: "the response parsed, where it is JSON; else null"},
			{Name: "truncated", Type: "bool", Doc: "there was more than body or max_response holds"},
			{Name: "took_ms", Type: "int", Doc: "milliseconds from the request to the end of the response"},
		},
		Example: `- http:
    method: PATCH
    url: "https://netbox.example.net/api/dcim/devices/${device.id}/"
    auth: {bearer: "${secret('netbox')}"}
    body: {status: offline, comments: "${event.type} at ${event.time}"}
  register: netbox`,
	}
}

// Idempotent goes by the method (RFC 9110, 9.2.2), unless the arguments say it.
func (a *Action) Idempotent(args map[string]any) bool {
	if b, ok := args["idempotent"].(bool); ok {
		return b
	}
	return idempotent(method(args))
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Do sends the request. Where the status is not the expected one it returns
// both an error and the output.
func (a *Action) Do(ctx context.Context, call action.Call) (action.Result, error) {
	r, err := a.read(call)
	if err != nil {
		return action.Result{}, fmt.Errorf("http: %w", err)
	}
	if call.DryRun {
		return action.Result{Output: r.redact.Output(r.would())}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	start := a.now()
	resp, err := a.send(ctx, r)
	if err != nil {
		return action.Result{}, r.redact.Error(a.classify(ctx, r, err))
	}
	defer resp.Body.Close()
	body, more, err := readBounded(resp.Body, r.maxResponse)
	if err != nil {
		err = fmt.Errorf("the answer %d broke off: %w", resp.StatusCode, err)
		return action.Result{}, r.redact.Error(a.classify(ctx, r, err))
	}
	out := a.output(r, resp, body, more)
	out["took_ms"] = a.now().Sub(start).Milliseconds()
	out = r.redact.Output(out)
	if !r.expect.has(resp.StatusCode) {
		return action.Result{Output: out}, r.redact.Error(a.unexpected(r, resp, body))
	}
	return action.Result{Output: out}, nil
}

// would tells what a dry run would have sent: names of headers, no values.
func (r *request) would() map[string]any {
	names := make([]any, 0, len(r.header))
	for k := range r.header {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return map[string]any{
		"dry_run": true,
		"would":   fmt.Sprintf("send %s %s with a body of %d bytes", r.method, shown(r.url), len(r.body)),
		"request": map[string]any{"method": r.method, "url": shown(r.url), "headers": names, "body_bytes": len(r.body)},
		// The fields of the Spec, so that a later step may ask for any of them.
		"status": 0, "headers": map[string]any{}, "body": "", "json": nil, "truncated": false, "took_ms": int64(0),
	}
}

// send makes the request and follows redirects. It does so itself, because
// what http.Client keeps across hosts (own headers, the Referer with its
// query, bodies) is too much here, and because it makes a GET of a redirected
// POST, after which a run would succeed though nothing was done.
func (a *Action) send(ctx context.Context, r *request) (*http.Response, error) {
	method, u, header, body, host := r.method, r.url, r.header, r.body, r.host
	for hop := 0; ; hop++ {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
		if err != nil {
			return nil, permanent("the request cannot be built: %w", err)
		}
		if len(body) == 0 {
			req.Body, req.GetBody, req.ContentLength = nil, nil, 0
		}
		req.Header, req.Host = header.Clone(), host
		resp, err := a.transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		next, err := location(resp)
		if next == nil && err == nil || hop == 0 && r.redirects == 0 || !follows(method, resp.StatusCode) {
			return resp, nil
		}
		drain(resp)
		if err != nil {
			return nil, err
		}
		if hop >= r.redirects {
			return nil, permanent("more than %d redirects, the last to %s", r.redirects, shown(next))
		}
		if u.Scheme == "https" && next.Scheme != "https" {
			return nil, permanent("redirect from https to %s is not followed", shown(next))
		}
		if resp.StatusCode == http.StatusSeeOther && method != http.MethodHead {
			method, body = http.MethodGet, nil
			header = without(header, "Content-Type", "Content-Encoding")
		}
		if !sameOrigin(u, next) {
			if len(body) > 0 {
				return nil, permanent("redirect of a request with a body to another host, %s, is not followed", shown(next))
			}
			header, host = r.strangersHeader(header), ""
		}
		u = next
	}
}

// strangersHeader is what another host may see: nothing that identifies us.
func (r *request) strangersHeader(h http.Header) http.Header {
	h = without(h, "Authorization", "Cookie", "Referer")
	for k, values := range h {
		if slices.ContainsFunc(values, r.redact.Holds) {
			delete(h, k)
		}
	}
	return h
}

func without(h http.Header, names ...string) http.Header {
	h = h.Clone()
	for _, n := range names {
		h.Del(n)
	}
	return h
}

func follows(method string, status int) bool {
	switch status {
	case http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return method == http.MethodGet || method == http.MethodHead
}

// location is where a redirect points to, or nil.
func location(resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	text := resp.Header.Get("Location")
	if text == "" {
		return nil, nil
	}
	to, err := resp.Request.URL.Parse(text)
	if err != nil {
		return nil, permanent("answered %d with a Location that is no URL", resp.StatusCode)
	}
	to, err = parseURL(to.String())
	if err != nil {
		return nil, permanent("answered %d with a Location that %w", resp.StatusCode, err)
	}
	return to, nil
}

func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return u.Scheme
	}
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	// The same host over TLS instead of without is no stranger.
	return port(a) == port(b) && a.Scheme == b.Scheme || port(a) == "http" && port(b) == "https"
}

// permanentError marks what no further attempt cures.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func permanent(format string, v ...any) error {
	return &permanentError{fmt.Errorf(format, v...)}
}

// classify says what went wrong before there was an answer, and whether
// another attempt may cure it.
func (a *Action) classify(ctx context.Context, r *request, err error) error {
	where := fmt.Sprintf("http: %s %s", r.method, shown(r.url))
	var denied *DeniedError
	var perm *permanentError
	switch {
	case errors.As(err, &denied):
		return fmt.Errorf("%s: %w", where, denied)
	case errors.As(err, &perm):
		return fmt.Errorf("%s: %w", where, perm)
	case certificate(err):
		return fmt.Errorf("%s: %w", where, scrubbed(err))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%s: no answer in time (timeout %s); it may have been carried out: %w", where, r.timeout, context.DeadlineExceeded)
	default:
		err = fmt.Errorf("%s: %w", where, scrubbed(err))
	}
	if !r.network {
		return err
	}
	return action.Recoverable(err, 0)
}

// scrubbed is err without the URL that net/http writes before it.
func scrubbed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err
}

func (a *Action) unexpected(r *request, resp *http.Response, body []byte) error {
	text := fmt.Sprintf("http: %s %s: answered %d %s", r.method, shown(r.url), resp.StatusCode, http.StatusText(resp.StatusCode))
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		if next, err := location(resp); err == nil && next != nil {
			text += ", a redirect to " + shown(next) + " that is not followed"
		}
	}
	// Redact before the cut: half a secret is a secret too.
	if said := strings.TrimSpace(r.redact.Text(string(body))); said != "" {
		text += ": " + action.Escape(said, 300)
	}
	err := errors.New(text)
	if !r.recoverable.has(resp.StatusCode) {
		return err
	}
	return action.Recoverable(err, a.retryAfter(resp.Header.Get("Retry-After")))
}

// retryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3). What cannot be
// read is no wait; a long one is cut to the configured bound.
func (a *Action) retryAfter(v string) time.Duration {
	v = strings.TrimSpace(v)
	var wait time.Duration
	if n, err := strconv.ParseUint(v, 10, 64); err == nil {
		wait = time.Duration(min(n, uint64(a.cfg.MaxRetryAfter/time.Second)+1)) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		wait = t.Sub(a.now())
	}
	return min(max(wait, 0), a.cfg.MaxRetryAfter)
}

const (
	maxOutputHeaders     = 64
	maxOutputHeaderBytes = 8 << 10
)

func (a *Action) output(r *request, resp *http.Response, body []byte, more bool) map[string]any {
	headers, size := map[string]any{}, 0
	names := make([]string, 0, len(resp.Header))
	for k := range resp.Header {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		v := strings.Join(resp.Header[k], ", ")
		if size += len(k) + len(v); size > maxOutputHeaderBytes || len(headers) == maxOutputHeaders {
			break
		}
		headers[strings.ToLower(k)] = strings.ToValidUTF8(v, "\uFFFD")
	}
	// Redacted before it is cut: half a secret is a secret too.
	text := r.redact.Head(string(body), a.cfg.MaxOutput)
	out := map[string]any{
		"status": resp.StatusCode, "headers": headers, "json": nil,
		"body":      strings.ToValidUTF8(text, "\uFFFD"),
		"truncated": more || len(body) > a.cfg.MaxOutput,
	}
	if isJSON(resp.Header.Get("Content-Type"), body) && !more {
		if v, err := action.DecodeJSON(body); err == nil {
			out["json"] = v
		}
	}
	return out
}

func isJSON(contentType string, body []byte) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err == nil && (t == "application/json" || strings.HasSuffix(t, "+json")) {
		return true
	}
	// Many services send JSON and call it text.
	b := bytes.TrimSpace(body)
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

// readBounded reads up to limit bytes and says whether there is more.
func readBounded(from io.Reader, limit int) (b []byte, more bool, err error) {
	b, err = io.ReadAll(io.LimitReader(from, int64(limit)+1))
	if len(b) > limit {
		return b[:limit], true, nil
	}
	return b, false, err
}

// drain reads what is left of a redirect's body, so that the connection can be
// used again, within reason.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}

package httpaction

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/internal/action"
)

const maxURL = 8 << 10 // bytes; more is refused by most servers

// request is one call's arguments, checked: all that is needed to send it.
type request struct {
	method      string
	url         *url.URL
	header      http.Header
	host        string // Host header, "" for the URL's
	body        []byte
	expect      statuses
	recoverable statuses
	network     bool // network errors are recoverable
	redirects   int
	timeout     time.Duration
	maxResponse int
	redact      *action.Redactor
}

// defaultRecoverable are the statuses that say "not now" (RFC 9110, RFC 6585,
// RFC 8470) rather than "no".
var defaultRecoverable = statuses{{408, 408}, {425, 425}, {429, 429}, {500, 500}, {502, 504}}

func (a *Action) read(call action.Call) (*request, error) {
	args := action.ReadArgs(call.Args)
	secrets := slices.Clone(call.Secrets)
	r := &request{
		method:      method(call.Args),
		header:      http.Header{},
		expect:      readStatuses(args, "expect", statuses{{200, 299}}),
		recoverable: readStatuses(args, "recoverable", defaultRecoverable),
		redirects:   args.Int("redirects", a.cfg.MaxRedirects, 0, 20),
		timeout:     args.Duration("timeout", a.cfg.Timeout),
		maxResponse: args.Int("max_response", a.cfg.MaxResponse, 1, a.cfg.MaxResponse),
	}
	// An empty list means that nothing is recoverable, a broken network included.
	r.network = len(r.recoverable) > 0
	if !token(r.method) || r.method == http.MethodConnect {
		args.Fail("method", "%q is not a method that can be sent", r.method)
	}
	r.url = readURL(args, call.Args)
	r.readHeaders(args)
	secrets = append(secrets, r.readAuth(args)...)
	r.readBody(args, a.cfg.MaxRequest)

	name := args.String("idempotency_header", a.cfg.IdempotencyHeader)
	if name != "" {
		if err := checkHeader(name, call.Key); err != nil {
			args.Fail("idempotency_header", "%w", err)
		} else if r.header.Get(name) == "" && call.Key != "" {
			r.header.Set(name, call.Key)
		}
	}
	if e := call.Event; e != nil && e.TraceParent != "" && r.header.Get("Traceparent") == "" && checkHeader("Traceparent", e.TraceParent) == nil {
		r.header.Set("Traceparent", e.TraceParent)
	}
	if r.header.Get("User-Agent") == "" {
		r.header.Set("User-Agent", "signalbox")
	}
	r.redact = action.NewRedactor(secrets...)
	return r, r.redact.Error(args.Err())
}

// method is the method that arguments ask for: GET, or POST where there is a
// body.
func method(args map[string]any) string {
	if m, ok := action.Text(args["method"]); ok && m != "" {
		return strings.ToUpper(m)
	}
	if args["body"] != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// readURL refuses whatever could make the request go elsewhere than a reader
// of the URL thinks. Its errors never quote the URL, which may hold a secret.
func readURL(args *action.Args, values map[string]any) *url.URL {
	text := args.String("url", "")
	u, err := parseURL(text)
	if err != nil {
		args.Fail("url", "%w", err)
		return nil
	}
	query := args.Map("query")
	if len(query) == 0 {
		return u
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		args.Fail("url", "the query cannot be parsed")
		return nil
	}
	for k, v := range query {
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		q.Del(k)
		for _, v := range list {
			if v == nil {
				continue
			}
			s, ok := action.Text(v)
			if !ok {
				args.Fail("query", "%s: expected text or a list of text", k)
			}
			q.Add(k, s)
		}
	}
	u.RawQuery = q.Encode()
	return u
}

func parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("is missing")
	}
	if len(text) > maxURL {
		return nil, fmt.Errorf("%d bytes is more than the %d allowed", len(text), maxURL)
	}
	if strings.IndexFunc(text, func(r rune) bool { return r <= 0x20 || r == 0x7f || r == '\\' }) >= 0 {
		return nil, errors.New("holds a space, a backslash or a control character; pass values by query, or escape them")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("expected http:// or https://")
	}
	if u.User != nil {
		return nil, errors.New("holds a user or password before the host; use auth")
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("has no host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("the port is not between 1 and 65535")
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

func (r *request) readHeaders(args *action.Args) {
	for name, v := range args.Map("headers") {
		if v == nil {
			continue
		}
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, v := range list {
			s, ok := action.Text(v)
			if !ok {
				args.Fail("headers", "%s: expected text", action.Escape(name, 100))
				continue
			}
			if err := checkHeader(name, s); err != nil {
				args.Fail("headers", "%w", err)
				continue
			}
			if strings.EqualFold(name, "Host") {
				r.host = s
				continue
			}
			r.header.Add(name, s)
		}
	}
}

// The headers that say where a message ends and who gets it: to set them is to
// smuggle a second request.
var framing = map[string]bool{
	"Connection": true, "Content-Length": true, "Keep-Alive": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Http2-Settings": true, "Expect": true,
}

// checkHeader refuses names that are no tokens, framing headers, and control
// bytes. Its errors quote the name, never the value.
func checkHeader(name, value string) error {
	shown := action.Escape(name, 100)
	if !token(name) {
		return fmt.Errorf("%q is not a header name (RFC 9110)", shown)
	}
	if framing[http.CanonicalHeaderKey(name)] {
		return fmt.Errorf("%s is set by the protocol and may not be given", shown)
	}
	if strings.IndexFunc(value, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) >= 0 {
		return fmt.Errorf("%s: the value holds a line break or another control character", shown)
	}
	if strings.EqualFold(name, "Host") && strings.ContainsAny(value, "/@\\ \t?#") {
		return fmt.Errorf("%s: the value is not a host", shown)
	}
	return nil
}

func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// readAuth sets Authorization, and tells what of it is secret whatever it was
// made of.
func (r *request) readAuth(args *action.Args) (secrets []string) {
	m := args.Map("auth")
	if len(m) == 0 {
		return nil
	}
	bearer, hasBearer := action.Text(m["bearer"])
	basic, hasBasic := m["basic"].(map[string]any)
	if len(m) != 1 || !hasBearer && !hasBasic {
		args.Fail("auth", `expected {bearer: TOKEN} or {basic: {username: NAME, password: PASSWORD}}`)
		return nil
	}
	if r.header.Get("Authorization") != "" {
		args.Fail("auth", "headers has an Authorization as well")
	}
	if hasBearer {
		if bearer == "" || strings.IndexFunc(bearer, func(c rune) bool { return c <= 0x20 || c >= 0x7f }) >= 0 {
			args.Fail("auth", "bearer: the token is empty or holds a space, a line break or another character that no token has")
			return []string{bearer}
		}
		r.header.Set("Authorization", "Bearer "+bearer)
		return []string{bearer}
	}
	user, okUser := action.Text(basic["username"])
	password, okPassword := action.Text(basic["password"])
	if !okUser || !okPassword || strings.Contains(user, ":") {
		args.Fail("auth", "basic: expected {username: NAME, password: PASSWORD}, and no colon in the name")
		return []string{password}
	}
	both := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	r.header.Set("Authorization", "Basic "+both)
	return []string{password, both}
}

func (r *request) readBody(args *action.Args, limit int) {
	v := args.Any("body")
	if v == nil {
		return
	}
	contentType := "application/json"
	if s, ok := v.(string); ok {
		r.body = []byte(s)
		contentType = "text/plain; charset=utf-8"
		if json.Valid(r.body) && len(s) > 0 && (s[0] == '{' || s[0] == '[') {
			contentType = "application/json"
		}
	} else {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			args.Fail("body", "%w", err)
			return
		}
		r.body = bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	}
	if len(r.body) > limit {
		args.Fail("body", "%d bytes is more than the %d allowed (actions.http.max_request)", len(r.body), limit)
	}
	if r.header.Get("Content-Type") == "" {
		r.header.Set("Content-Type", contentType)
	}
}

// statuses are ranges of HTTP status codes, ends included.
type statuses [][2]int

func (s statuses) has(code int) bool {
	return slices.ContainsFunc(s, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
}

// readStatuses reads numbers and classes such as "2xx".
func readStatuses(args *action.Args, name string, otherwise statuses) statuses {
	if !args.Has(name) {
		return otherwise
	}
	out := statuses{}
	for _, v := range args.List(name) {
		s, _ := action.Text(v)
		if len(s) == 3 && strings.EqualFold(s[1:], "xx") && '1' <= s[0] && s[0] <= '5' {
			from := int(s[0]-'0') * 100
			out = append(out, [2]int{from, from + 99})
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 || n > 599 {
			args.Fail(name, `expected statuses such as 404 or "5xx", got %q`, action.Escape(s, 40))
			continue
		}
		out = append(out, [2]int{n, n})
	}
	return out
}

// shown is a URL as people may see it: no query, since secrets are sent there.
func shown(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		s += "?" + action.Redacted
	}
	return action.Escape(s, 500)
}

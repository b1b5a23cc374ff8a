package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"signalbox/internal/api"
)

// DefaultData is where the data is when nobody says otherwise.
const DefaultData = "signalbox-data"

func dataDir(flag string) string {
	if flag != "" {
		return flag
	}
	if d := os.Getenv("SIGNALBOX_DATA"); d != "" {
		return d
	}
	return DefaultData
}

// client speaks to the running server's API.
type client struct {
	base, token string
	http        *http.Client
}

// connect finds the server by its data folder, or by SIGNALBOX_URL and
// SIGNALBOX_TOKEN.
func (a *app) connect() (*client, error) {
	c := &client{base: os.Getenv("SIGNALBOX_URL"), token: os.Getenv("SIGNALBOX_TOKEN"), http: &http.Client{}}
	dir := dataDir(a.data)
	if c.base == "" {
		b, err := os.ReadFile(filepath.Join(dir, api.AddressFile))
		if err != nil {
			return nil, fmt.Errorf("no server has its data in %s (%w); start one with 'signalbox serve', or name the folder with --data or SIGNALBOX_DATA", dir, err)
		}
		c.base = strings.TrimSpace(string(b))
	}
	if err := c.trust(filepath.Join(dir, api.CertFile)); err != nil {
		return nil, err
	}
	if c.token == "" {
		b, err := os.ReadFile(filepath.Join(dir, api.TokenFile))
		if err != nil {
			return nil, fmt.Errorf("the API's token: %w", err)
		}
		c.token = strings.TrimSpace(string(b))
	}
	return c, nil
}

// trust takes exactly the certificate that the server has written into its data
// folder. It is not about names: the address is one of this machine. Without
// the file the system's authorities decide.
func (c *client) trust(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return fmt.Errorf("%s holds no certificate", path)
	}
	c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the comparison below stands in its place
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the server's certificate is not the one in %s", path)
			}
			return nil
		},
	}}
	return nil
}

func (c *client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		rd = bytes.NewReader(b)
	}
	u := c.base + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, rd)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *url.Error
		if errors.As(err, &op) && ctx.Err() == nil {
			return nil, fmt.Errorf("the server does not answer at %s: %w; is 'signalbox serve' running on this data folder?", c.base, op.Err)
		}
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

func problem(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var p api.Problem
	if json.Unmarshal(b, &p) == nil && p.Title != "" {
		switch {
		case p.Detail == "":
			return errors.New(clean(p.Title))
		case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusBadRequest:
			return errors.New(cleanLines(p.Detail)) // it says all of it
		}
		return fmt.Errorf("%s: %s", clean(p.Title), cleanLines(p.Detail))
	}
	return fmt.Errorf("the server answered %s", resp.Status)
}

// get decodes one JSON answer.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	resp, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// post sends body and decodes the answer.
func (c *client) post(ctx context.Context, path string, body, into any) error {
	resp, err := c.do(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// lines calls fn for every line of a list, as it comes. The last line of a list
// that broke off is an error.
func (c *client) lines(ctx context.Context, path string, query url.Values, fn func([]byte) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(make([]byte, 0, 64<<10), 32<<20)
	for sc.Scan() {
		line := sc.Bytes()
		if msg, ok := bytes.CutPrefix(line, []byte(`{"error":`)); ok {
			return fmt.Errorf("the list broke off: %s", clean(strings.Trim(string(msg), `"}`)))
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // a person ended it
	}
	if why := resp.Trailer.Get(api.Partial); why != "" && sc.Err() == nil {
		return &partialError{clean(why)}
	}
	return sc.Err()
}

// partialError says why a list is not all that was asked for.
type partialError struct{ why string }

func (e *partialError) Error() string { return e.why }

// list prints what the server lists, a line each. Where there is nothing, people
// are told so: an empty screen could be a mistake.
func (a *app) list(cmd *cobra.Command, c *client, path string, query url.Values, show func([]byte) error, nothing string) error {
	n := 0
	flush := func() error { return nil }
	if query.Get("follow") == "" { // a line at a time would be a write each
		out, buf := a.out, bufio.NewWriterSize(a.out, 64<<10)
		a.out, flush = buf, buf.Flush
		defer func() { a.out = out }()
	}
	err := c.lines(cmd.Context(), path, query, func(line []byte) error {
		n++
		return show(line)
	})
	if out := flush(); err == nil {
		err = out
	}
	if p := (*partialError)(nil); errors.As(err, &p) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s (%s)\n", p.why, counted(n, "line"))
		return nil
	}
	if err == nil && n == 0 && !a.json && query.Get("follow") == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), nothing)
	}
	return err
}

// clean makes text from the network safe for a terminal: every control
// character is written as an escape.
func clean(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case isControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cleanJSON makes a JSON text safe for a terminal without changing what it says:
// control characters that JSON lets stand in strings (DEL, C1, the
// bidirectional overrides) are written as \u escapes.
func cleanJSON(b []byte) []byte {
	unsafe := func(r rune) bool { return r >= 0x7f && isControl(r) }
	if bytes.IndexFunc(b, unsafe) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for _, r := range string(b) {
		if unsafe(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// isControl covers C0, DEL, C1 and the bidirectional overrides, with which text
// can be made to read as another.
func isControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}

// when reads a point in time: RFC 3339, a date, or a span before now ("30m",
// "24h", "7d").
func when(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	d, err := parseSpan(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time: write 2026-11-24T10:00:00Z, 2026-11-24, or a span before now as 30m or 7d", s)
	}
	return now.Add(-d), nil
}

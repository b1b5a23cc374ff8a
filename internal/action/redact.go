package action

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// Redactor takes known secrets out of text, in the spellings that they have on
// the way: as they are, quoted, escaped for a URL or for JSON, in base64. It is safe
// for many goroutines; the nil Redactor changes nothing.
type Redactor struct {
	values   []string
	replacer *strings.Replacer
}

// NewRedactor makes a Redactor of the given secrets. Empty ones are ignored.
func NewRedactor(secrets ...string) *Redactor {
	var spellings []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		spellings = append(spellings, s, url.QueryEscape(s), url.PathEscape(s),
			base64.StdEncoding.EncodeToString([]byte(s)),
			base64.URLEncoding.EncodeToString([]byte(s)),
			base64.RawURLEncoding.EncodeToString([]byte(s)))
		// As errors quote it.
		shown := Escape(s, 0)
		quoted, twice := strconv.Quote(s), strconv.Quote(shown)
		spellings = append(spellings, shown, quoted[1:len(quoted)-1], twice[1:len(twice)-1])
		if b, err := json.Marshal(s); err == nil {
			spellings = append(spellings, string(b[1:len(b)-1]))
		}
	}
	if len(spellings) == 0 {
		return nil
	}
	// Longest first: of a secret and a longer one that begins with it, the
	// longer must be found.
	slices.SortFunc(spellings, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	spellings = slices.Compact(spellings)
	pairs := make([]string, 0, 2*len(spellings))
	for _, s := range spellings {
		pairs = append(pairs, s, Redacted)
	}
	return &Redactor{values: spellings, replacer: strings.NewReplacer(pairs...)}
}

// Text takes the secrets out of s.
func (r *Redactor) Text(s string) string {
	if r == nil {
		return s
	}
	return r.replacer.Replace(s)
}

// Head is the beginning of s without secrets, at most limit bytes of it. Where
// s itself was cut by who read it, a secret may have been cut with it; give
// some more than limit bytes, so that it is seen whole. What could be the
// beginning of a secret at the end goes as well.
func (r *Redactor) Head(s string, limit int) string {
	s = r.Text(s)
	if r != nil {
		for _, v := range r.values {
			for n := min(len(v)-1, len(s)); n >= 4; n-- {
				if strings.HasSuffix(s, v[:n]) {
					s = s[:len(s)-n]
					break
				}
			}
		}
	}
	if len(s) > limit {
		s = s[:limit]
	}
	return s
}

// Holds says whether s has a secret in it.
func (r *Redactor) Holds(s string) bool {
	if r == nil {
		return false
	}
	return slices.ContainsFunc(r.values, func(v string) bool { return strings.Contains(s, v) })
}

// Value takes the secrets out of all text in v, map keys included. Maps and
// lists are copied where something changes inside; v stays as it is.
func (r *Redactor) Value(v any) any {
	if r == nil {
		return v
	}
	switch t := v.(type) {
	case string:
		return r.Text(t)
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = r.Value(t[i])
		}
		return out
	case []string:
		out := make([]string, len(t))
		for i := range t {
			out[i] = r.Text(t[i])
		}
		return out
	case map[string]string:
		out := make(map[string]string, len(t))
		for k, s := range t {
			out[r.Text(k)] = r.Text(s)
		}
		return out
	case map[string]any:
		return r.Output(t)
	}
	return v
}

// Output is Value for an action's output.
func (r *Redactor) Output(m map[string]any) map[string]any {
	if r == nil || m == nil {
		return m
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[r.Text(k)] = r.Value(v)
	}
	return out
}

// Error takes the secrets out of an error's text. The class (recoverable or
// not) stays; the wrapped errors go, because their text may hold the secret.
func (r *Redactor) Error(err error) error {
	if r == nil || err == nil {
		return err
	}
	text := err.Error()
	clean := r.Text(text)
	if clean == text {
		return err
	}
	if after, ok := IsRecoverable(err); ok {
		return Recoverable(errors.New(clean), after)
	}
	return errors.New(clean)
}

// Escape makes text from outside safe to show: control bytes (C0, DEL, C1,
// line separators and direction overrides) and broken UTF-8 are written as
// \xNN or \uNNNN, and what is longer than limit bytes is cut and says so.
// limit 0 means no limit.
func Escape(s string, limit int) string {
	cut := limit > 0 && len(s) > limit
	if cut {
		at := limit
		for at > max(limit-utf8.UTFMax, 0) && !utf8.RuneStart(s[at]) {
			at-- // not in the middle of a character
		}
		s = s[:at]
	}
	if strings.IndexFunc(s, dangerous) >= 0 || !utf8.ValidString(s) {
		s = escape(s)
	}
	if cut {
		s += "…"
	}
	return s
}

func dangerous(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func escape(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == utf8.RuneError && n == 1, r < 0x80 && dangerous(r):
			b.WriteString(`\x`)
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
		case dangerous(r):
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[r>>shift&15])
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Package secret keeps secrets out of what is written: a reference in the
// configuration that is resolved when it is needed and prints as [redacted].
package secret

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const redacted = "[redacted]"

// Ref is a secret as the configuration writes it: "${env.NAME}" takes an
// environment variable, "${file:/path}" a file (without its last newline), and
// anything else is the secret itself. Its printed forms never show it.
type Ref struct{ text string }

// New makes a Ref of its written form.
func New(text string) Ref { return Ref{text} }

// UnmarshalText takes the written form.
func (r *Ref) UnmarshalText(b []byte) error { r.text = string(b); return nil }

// MarshalText never shows a literal secret.
func (r Ref) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return nil, nil
	}
	return []byte(redacted), nil
}

// IsZero says that no secret was configured.
func (r Ref) IsZero() bool { return r.text == "" }

// Value resolves the reference. The error names the variable or file, never a
// secret. A reference to something empty is an error: an empty secret would
// let everybody in.
func (r Ref) Value() (string, error) {
	if name, ok := cut(r.text, "${env."); ok {
		v := os.Getenv(name)
		if v == "" {
			return "", fmt.Errorf("secret: environment variable %s is not set or empty", name)
		}
		return v, nil
	}
	if path, ok := cut(r.text, "${file:"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		v := strings.TrimRight(string(b), "\r\n")
		if v == "" {
			return "", fmt.Errorf("secret: file %s is empty", path)
		}
		return v, nil
	}
	if r.text == "" {
		return "", fmt.Errorf("secret: none is configured")
	}
	return r.text, nil
}

func cut(s, prefix string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, prefix); ok && strings.HasSuffix(rest, "}") {
		return rest[:len(rest)-1], true
	}
	return "", false
}

// String, GoString, Format and LogValue hide the secret.
func (Ref) String() string             { return redacted }
func (Ref) GoString() string           { return redacted }
func (Ref) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }
func (Ref) LogValue() slog.Value       { return slog.StringValue(redacted) }

package action_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/action"
)

func TestArgs(t *testing.T) {
	a := action.ReadArgs(map[string]any{
		"s": "x", "n": int64(3), "f": 3.0, "u": uint64(4), "b": true, "d": "90s", "days": "1d", "secs": int64(5), "dur": time.Minute, "fs": 1.5, "null": nil,
		"m": map[string]any{"a": 1}, "ms": map[string]string{"a": "b"}, "l": []any{1, "a"}, "ls": []string{"a"}, "ints": []any{int64(1), 2.0},
	})
	got := []any{
		a.String("s", ""), a.String("n", ""), a.String("f", ""), a.String("b", ""), a.String("dur", ""), a.String("null", "d"), a.String("none", "d"),
		a.Int("n", 0, 0, 9), a.Int("f", 0, 0, 9), a.Int("u", 0, 0, 9), a.Int("none", 7, 0, 9), a.Bool("b", false), a.Bool("none", true),
		a.Duration("d", 0), a.Duration("days", 0), a.Duration("secs", 0), a.Duration("dur", 0), a.Duration("fs", 0), a.Duration("none", time.Hour),
		a.Map("m"), a.Map("ms"), a.Map("none"), a.List("l"), a.List("ls"), a.List("s"), a.List("none"),
		a.Ints("ints", nil, 0, 9), a.Ints("n", nil, 0, 9), a.Ints("none", []int{0}, 0, 9), a.OneOf("s", "", "x", "y"), a.Has("null"), a.Any("n"),
	}
	want := []any{
		"x", "3", "3", "true", "1m0s", "d", "d",
		3, 3, 4, 7, true, true,
		90 * time.Second, 24 * time.Hour, 5 * time.Second, time.Minute, 1500 * time.Millisecond, time.Hour,
		map[string]any{"a": 1}, map[string]any{"a": "b"}, map[string]any(nil), []any{1, "a"}, []any{"a"}, []any{"x"}, []any(nil),
		[]int{1, 2}, []int{3}, []int{0}, "x", false, int64(3),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := a.Err(); err != nil {
		t.Error(err)
	}
}

func TestArgsNameEveryProblem(t *testing.T) {
	const secret = "hunter2"
	a := action.ReadArgs(map[string]any{
		"s": []any{secret}, "n": secret, "big": int64(99), "half": 1.5, "b": secret, "d": secret, "minus": "-1s", "m": secret,
		"l": map[string]any{"a": secret}, "i": []any{secret}, "w": "z",
	})
	a.String("s", "")
	a.Int("n", 0, 0, 9)
	a.Int("big", 0, 0, 9)
	a.Int("half", 0, 0, 9)
	a.Bool("b", false)
	a.Duration("d", 1)
	a.Duration("minus", 1)
	a.Map("m")
	a.List("l")
	a.Ints("i", nil, 0, 9)
	a.OneOf("w", "", "x", "y")
	a.Fail("own", "too %s", "blue")
	err := a.Err().Error()
	if n := strings.Count(err, "\n") + 1; n != 12 {
		t.Errorf("%d problems: %s", n, err)
	}
	for _, want := range []string{"s: expected text, got a list", "n: expected a whole number, got text", "big: 99 is not between 0 and 9",
		"half: expected a whole number, got a number", "b: expected true or false", `d: expected a positive duration such as "30s", got text`,
		"m: expected a map, got text", "l: expected a list, got a map", "i: expected numbers between 0 and 9", `w: "z" is none of ["x" "y"]`, "own: too blue"} {
		if !strings.Contains(err, want) {
			t.Errorf("%q is not in %s", want, err)
		}
	}
	if strings.Contains(err, secret) {
		t.Errorf("a value is in %s", err)
	}
}

func TestText(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		in   any
		want string
	}{
		{"a", "a"}, {[]byte("b"), "b"}, {true, "true"}, {1, "1"}, {int32(-2), "-2"}, {uint32(3), "3"}, {uint64(math.MaxUint64), "18446744073709551615"},
		{1e6, "1000000"}, {1e300, "1e+300"}, {0.1, "0.1"}, {when, "2026-01-02T03:04:05Z"}, {json.Number("12"), "12"},
	} {
		if got, ok := action.Text(tt.in); got != tt.want || !ok {
			t.Errorf("%v: %q, %v", tt.in, got, ok)
		}
	}
	for _, in := range []any{nil, []any{}, map[string]any{}, struct{}{}} {
		if _, ok := action.Text(in); ok {
			t.Errorf("%v is text", in)
		}
	}
	for _, in := range []any{uint64(math.MaxUint64), 1e18, math.NaN(), math.Inf(1), "1", json.Number("1.5")} {
		if n, ok := action.Int(in); ok {
			t.Errorf("%v is the whole number %d", in, n)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	got, err := action.DecodeJSON([]byte(` {"a":[1,-2.5,1e3,9223372036854775808,1e999],"b":null} `))
	want := map[string]any{"a": []any{int64(1), -2.5, 1000.0, 9223372036854775808.0, "1e999"}, "b": nil}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "{", "{} {}", "1 2", "nul", strings.Repeat("[", 100_000)} {
		if _, err := action.DecodeJSON([]byte(bad)); !errors.Is(err, action.ErrNotJSON) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestRecoverable(t *testing.T) {
	cause := errors.New("busy")
	err := fmt.Errorf("step: %w", action.Recoverable(cause, time.Second))
	if after, ok := action.IsRecoverable(err); !ok || after != time.Second || !errors.Is(err, cause) || err.Error() != "step: busy" {
		t.Error(err, after, ok)
	}
	if action.Recoverable(nil, 0) != nil {
		t.Error("nil became an error")
	}
	if _, ok := action.IsRecoverable(cause); ok {
		t.Error("an unmarked error is recoverable")
	}
}

func TestRedactor(t *testing.T) {
	r := action.NewRedactor("", "s3cr/t+1", "s3cr", "line\n\"x\"")
	for in, want := range map[string]string{
		"a s3cr/t+1 b": "a [redacted] b", "s3cr": "[redacted]", "s3c": "s3c", "s3cr%2Ft%2B1": "[redacted]", "czNjci90KzE=": "[redacted]",
		`{"a":"line\n\"x\""}`: `{"a":"[redacted]"}`, "line\n\"x\"": "[redacted]", `line\n"x"`: "[redacted]",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	in := map[string]any{"s3cr": []any{"s3cr", 1, map[string]any{"k": "s3cr"}}, "l": []string{"s3cr"}, "m": map[string]string{"s3cr": "s3cr"}, "n": 1}
	want := map[string]any{"[redacted]": []any{"[redacted]", 1, map[string]any{"k": "[redacted]"}}, "l": []string{"[redacted]"},
		"m": map[string]string{"[redacted]": "[redacted]"}, "n": 1}
	if diff := cmp.Diff(want, r.Value(in)); diff != "" {
		t.Error(diff)
	}
	if in["l"].([]string)[0] != "s3cr" {
		t.Error("the original was changed")
	}
	after := action.Recoverable(errors.New("x s3cr"), time.Second)
	err := r.Error(fmt.Errorf("step: %w", after))
	if wait, ok := action.IsRecoverable(err); !ok || wait != time.Second || err.Error() != "step: x [redacted]" || errors.Is(err, after) {
		t.Error(err, wait, ok)
	}
	clean := errors.New("clean")
	if r.Error(clean) != clean || r.Error(nil) != nil {
		t.Error("an error without a secret was changed")
	}
	var none *action.Redactor
	if none.Text("x") != "x" || none.Value(in) == nil || none.Error(clean) != clean || none.Holds("x") || none.Head("abc", 2) != "ab" || none.Output(nil) != nil {
		t.Error("the nil Redactor changes something")
	}
	if got := r.Head("xxs3cr/t+1yyyy", 7); got != "xx[reda" {
		t.Error(got)
	}
	if got := r.Head("xxxxxx s3cr/t", 100); strings.Contains(got, "s3cr") {
		t.Error(got)
	}
}

func TestNoSecretSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(4, 30, -1).Draw(t, "secret")
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		r := action.NewRedactor(secret)
		for _, text := range []string{before + secret + after, before + fmt.Sprintf("%q", secret) + after, before + action.Escape(secret, 0) + after} {
			if got := r.Text(text); strings.Contains(strings.ReplaceAll(got, action.Redacted, "\x00\x00"), secret) {
				t.Fatalf("%q is in %q", secret, got)
			}
		}
	})
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain ö 日本": "plain ö 日本", "a\nb\tc\rd": `a\nb\tc\rd`, "\x1b[31m\x00\x7f": `\x1b[31m\x00\x7f`, "\u009b": `\u009b`,
		"\u202e\u2066\u2028": `\u202e\u2066\u2028`, "\xff\xc3": `\xff\xc3`, "": "",
	} {
		if got := action.Escape(in, 0); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if got := action.Escape("aaéb", 3); got != "aa…" {
		t.Error(got)
	}
	if got := action.Escape("aaéb", 4); got != "aaé…" {
		t.Error(got)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("\x1b[31m", 3)
	f.Add("é\u202e\xff", 2)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		got := action.Escape(s, limit)
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%q: %q", s, got)
			}
		}
		if limit > 0 && len(got) > 6*limit+3 {
			t.Fatalf("%d bytes for %d", len(got), limit)
		}
	})
}

package rule_test

import (
	"pgregory.net/rapid"
	"testing"
	"time"

	"signalbox/internal/rule"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"60s", time.Minute, true},
		{"1h30m", 90 * time.Minute, true},
		{"1.5h", 90 * time.Minute, true},
		{"30d", 720 * time.Hour, true},
		{"2w", 336 * time.Hour, true},
		{"250ms", 250 * time.Millisecond, true},
		{" 5m ", 5 * time.Minute, true},
		{"0", 0, true},
		{"", 0, false},
		{"5", 0, false},
		{"-5s", 0, false},
		{"5 s", 0, false},
		{"5y", 0, false},
		{"s", 0, false},
		{"1.2.3s", 0, false},
		{"99999999999999999999d", 0, false},
	}
	for _, tt := range tests {
		got, err := rule.ParseDuration(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

// A line of a file cannot play tricks with the terminal, and the caret stands
// where the mistake is.
func TestFormatIsSafe(t *testing.T) {
	d := rule.Diagnostic{Pos: rule.Pos{File: "f", Line: 2, Col: 5}, Severity: rule.Error, Message: "wrong"}
	want := "f:2:5: wrong\n  1 | a\n  2 | \u00b7[2J x\n    |     ^\n  3 | b\n"
	if got := d.Format([]byte("a\r\n\x1b[2J\tx\nb\n")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Pos.Line = 99
	if got := d.Format(nil); got != "f:99:5: wrong\n" {
		t.Errorf("beyond the file: %q", got)
	}
}

// TestDurationIsExact: what String writes is read as it was, to the nanosecond.
func TestDurationIsExact(t *testing.T) {
	for _, d := range []time.Duration{33791 * time.Millisecond, 1, 999_999_999, time.Hour - 1, 8*time.Hour + 59*time.Minute + 33790999999} {
		if got, err := rule.ParseDuration(d.String()); err != nil || got != d {
			t.Errorf("%s is read as %s (%v)", d, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "ns"))
		if got, err := rule.ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%s is read as %s (%v)", d, got, err)
		}
	})
	for text, want := range map[string]time.Duration{"1.5d": 36 * time.Hour, ".5s": 500 * time.Millisecond, "1.s": time.Second,
		"0.0000000019s": 1, "0.3333333333333333333333333h": 20*time.Minute - 1} {
		if got, err := rule.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is read as %s, want %s (%v)", text, got, want, err)
		}
	}
	for _, text := range []string{"1.2.3s", ".s", ".", "99999999999999999999s", "300y1d", "9999999d", "100000d100000d"} {
		if got, err := rule.ParseDuration(text); err == nil {
			t.Errorf("%s is read as %s", text, got)
		}
	}
}

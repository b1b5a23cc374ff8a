package rule_test

import (
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

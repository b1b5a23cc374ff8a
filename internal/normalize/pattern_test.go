package normalize

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func captures(p *pattern, s *slots, text string) map[string]string {
	var caps [maxCaptures]span
	if !p.match(text, &caps) {
		return nil
	}
	out := map[string]string{}
	for i, name := range s.names {
		if c := caps[i]; c.end > 0 {
			out[name] = text[c.start:c.end]
		}
	}
	return out
}

func TestPattern(t *testing.T) {
	type caps = map[string]string
	tests := []struct {
		pattern, text string
		want          caps // nil: no match
	}{
		{"Interface {i}, changed state to {s:up|down}", "Interface Gi0/1, changed state to down", caps{"i": "Gi0/1", "s": "down"}},
		{"Interface {i}, changed state to {s:up|down}", "Interface Gi0/1, changed state to downy", nil},
		{"Interface {i}, changed state to {s:up|down}", "Interface a b, changed state to up", nil},
		{"one space", "one \t  space", caps{}},
		{"one space", "onespace", nil},
		{"{a:up|UPPER}", "upper", caps{"a": "upper"}},
		{"{a:admin down|down}[ now]", "Admin Down now", caps{"a": "Admin Down"}},
		{"x {a:text} y", "x one two y y", caps{"a": "one two y"}},
		{"x {a:text} y...", "x one two y y", caps{"a": "one two"}},
		{"x {a:rest}", "x all of it ", caps{"a": "all of it "}},
		{"x {a:rest}", "x", caps{}},
		{"x{a:rest}", "x", caps{}},
		{"n={n:int};", "n=-12;", caps{"n": "-12"}},
		{"n={n:int}", "n=1.5", nil},
		{"n={n:number} dBm.", "n=-14.5 dBm.", caps{"n": "-14.5"}},
		{"n={n:number}.", "n=14.", caps{"n": "14"}},
		{"from {ip:ip}.", "from 192.0.2.1.", caps{"ip": "192.0.2.1"}},
		{"from {ip:ip}:{p:int}", "from 192.0.2.1:179", caps{"ip": "192.0.2.1", "p": "179"}},
		{"from {ip:ip}({p:int})", "from 2001:db8::1(179)", caps{"ip": "2001:db8::1", "p": "179"}},
		{"from {ip:ip}", "from fe80::1%eth0", caps{"ip": "fe80::1%eth0"}},
		{"from {ip:ip}", "from 300.1.1.1", nil},
		{"from {ip:ip}", "from face", nil},
		{"{m:mac} x", "00:53:00:12:34:56 x", caps{"m": "00:53:00:12:34:56"}},
		{"{m:mac} x", "0053.0012.3456 x", caps{"m": "0053.0012.3456"}},
		{"{m:mac} x", "0053-0012-3456 x", caps{"m": "0053-0012-3456"}},
		{"{m:mac}", "0053.0012.34567", nil},
		{"{m:mac}", "0053.0012.345", nil},
		{"{h:hex}", "0x6000Af", caps{"h": "0x6000Af"}},
		{"a[ b {x}][ c {y}]", "a c 2", caps{"y": "2"}},
		{"a[ b {x}][ c {y}]", "a b 1 c 2", caps{"x": "1", "y": "2"}},
		{"a[ b[ {x}] c]", "a b c", caps{}},
		{"a[ b[ {x}] c]", "a b 7 c", caps{"x": "7"}},
		{"...down {i}...", "it went down Gi0/1 and up", caps{"i": "G"}},
		{"...down {i} ...", "it went down Gi0/1 and up", caps{"i": "Gi0/1"}},
		{`\[{n:int}\] \{x\} a\...`, "[5] {x} a...", caps{"n": "5"}},
		{"{state:=going down} now", "going DOWN now", caps{"state": "going DOWN"}},
		{"{:word} {x}", "a b", caps{"x": "b"}},
		{"{x:up|down}|", "up|", caps{"x": "up"}},
	}
	for _, tt := range tests {
		t.Run(tt.pattern+"/"+tt.text, func(t *testing.T) {
			var s slots
			p, err := compilePattern(tt.pattern, &s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, captures(p, &s, tt.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatternErrors(t *testing.T) {
	tests := []struct {
		pattern string
		offset  int
		msg     string
	}{
		{"", 0, "empty"},
		{"a {b", 2, `has no "}"`},
		{"a b}", 3, `unexpected "}"`},
		{"a [b", 2, `has no "]"`},
		{"ab]", 2, `unexpected "]"`},
		{"x {n:itn}", 2, `did you mean "int"?`},
		{"x {N}", 2, "is no name for a capture"},
		{"x {}", 2, "needs a name or a kind"},
		{"x {a:|b}", 2, "empty alternative"},
		{`x \q`, 2, "unknown escape"},
		{"x []", 2, "nothing in it"},
		{strings.Repeat("[a", 9) + strings.Repeat("]", 9), 16, "deeper than 8"},
	}
	for _, tt := range tests {
		_, err := compilePattern(tt.pattern, &slots{})
		perr, ok := err.(*patternError)
		if !ok || perr.offset != tt.offset || !strings.Contains(perr.msg, tt.msg) {
			t.Errorf("%q: got %v at %+v, want %q at %d", tt.pattern, err, perr, tt.msg, tt.offset)
		}
	}
}

// TestPatternBounded: a pattern with many ways to match ends all the same.
func TestPatternBounded(t *testing.T) {
	var s slots
	p, err := compilePattern("{a:text} {b:text} {c:text} {d:text} {e:text} {f:text} end", &s)
	if err != nil {
		t.Fatal(err)
	}
	if captures(p, &s, strings.Repeat("a ", 30000)) != nil {
		t.Error("matched what has no end")
	}
}

// TestPatternLiteral: any text, escaped, is a pattern that fits that text.
func TestPatternLiteral(t *testing.T) {
	escape := strings.NewReplacer(`\`, `\\`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`, "...", `\...`)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.TrimSpace(rapid.StringMatching(`[a-z{}\[\]\\. :]{1,20}`).Draw(t, "text"))
		if text == "" {
			return
		}
		var s slots
		p, err := compilePattern(escape.Replace(text), &s)
		if err != nil {
			t.Fatal(err)
		}
		if captures(p, &s, text) == nil {
			t.Fatalf("%q does not fit itself", text)
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("Interface {i}[ ({d:text})], {s:up|down}...", "Interface Gi0/1 (x), up")
	f.Fuzz(func(t *testing.T, src, text string) {
		var s slots
		p, err := compilePattern(src, &s)
		if err != nil {
			return
		}
		captures(p, &s, text)
	})
}

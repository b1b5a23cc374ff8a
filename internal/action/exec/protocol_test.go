package exec

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/action"
)

func TestReadAnswer(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":"1","ok":true}`: "", `{"id":"1","ok":false,"more":1}`: "",
		``: "expected one JSON object", `[]`: "expected one JSON object", `"x"`: "expected one JSON object", `{"id":1,"ok":true}`: "expected one JSON object",
		`{"id":"1","ok":true} x`: "expected one JSON object", `{"id":"2","ok":true}`: "expected the answer to request 1",
		`{"ok":true}`: "with id and ok", `{"id":"1"}`: "with id and ok", `null`: "with id and ok",
		strings.Repeat("x", 1000): "…",
	} {
		_, err := readAnswer([]byte(in), "1", action.Escape)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || len(err.Error()) > 400) {
			t.Errorf("%.50q: %v, want %q", in, err, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	for in, want := range map[float64]time.Duration{0: 0, -1: 0, 0.5: 500 * time.Millisecond, 1e300: maxRetryAfter} {
		if got := (answer{RetryAfter: in}).wait(); got != want {
			t.Errorf("%v: %s", in, got)
		}
	}
	for in, want := range map[string]any{
		"": nil, "null": nil, `{"a":1}`: map[string]any{"a": int64(1)}, `"x"`: "x", `[1]`: []any{int64(1)},
	} {
		got, err := answer{Output: []byte(in)}.output()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(in, diff, err)
		}
	}
}

func TestReadLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("a\r\n\n"+strings.Repeat("b", 100)+"\nlast"), 16)
	for _, want := range []string{"a", "", strings.Repeat("b", 100), "last"} {
		if got, err := readLine(r, 100); string(got) != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := readLine(r, 100); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, err := readLine(bufio.NewReader(strings.NewReader(strings.Repeat("c", 1<<20))), 1000); !errors.Is(err, errLongLine) {
		t.Error(err)
	}
	if _, err := readLine(bufio.NewReaderSize(strings.NewReader("abcdefgh"), 16), 3); !errors.Is(err, errLongLine) {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"id":"1","ok":true,"output":{"a":[1,null,"x"]}}`, 100)
	f.Add("Traceback\x1b[31m\n", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + max(limit, -limit)%1000
		line, err := readLine(bufio.NewReaderSize(strings.NewReader(s), 16), limit)
		if err != nil {
			return
		}
		if len(line) > limit+1 {
			t.Fatalf("%d bytes for %d", len(line), limit)
		}
		a, err := readAnswer(line, "1", action.Escape)
		if err != nil {
			if action.Escape(err.Error(), 0) != err.Error() {
				t.Fatalf("%q", err)
			}
			return
		}
		_, _ = a.output()
		if w := a.wait(); w < 0 || w > maxRetryAfter {
			t.Fatal(w)
		}
	})
}

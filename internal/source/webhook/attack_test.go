package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

func gzipped(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzip(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxInflated = 256 << 10
	r := newRig(t, cfg)
	packed := gzipped(t, sample)
	dense := gzipped(t, `{"a":"`+strings.Repeat("x", 200<<10)+`"}`)
	long := make([]byte, 0, 300<<10) // what gzip cannot shrink much
	for i := 0; len(long) < 300<<10; i++ {
		long = fmt.Appendf(long, "%x", i*7919*7919)
	}
	tests := []struct {
		name, body string
		want       int
		says       string
	}{
		{"well", packed, 202, ""},
		{"two members", gzipped(t, sample[:20]) + gzipped(t, sample[20:]), 202, ""},
		{"cut off", packed[:len(packed)-4], 400, "damaged"},
		{"flipped", packed[:30] + "\xff" + packed[31:], 400, "damaged"},
		{"more behind", packed + "xxx", 400, "damaged"},
		{"empty", "", 400, "not gzip"},
		{"dense: by ratio", dense, 413, "times its size"},
		{"bomb", gzipped(t, strings.Repeat("\x00", 16<<20)), 413, "inflates"},
		{"long: by size", gzipped(t, `{"a":"`+string(long)+`"}`), 413, "262144"},
		{"gzip in gzip", gzipped(t, packed), 400, "an event is a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.post(t, tt.body, "Content-Encoding", "gzip")
			if a.status != tt.want || !strings.Contains(a.Detail, tt.says) {
				t.Errorf("%d %s, want %d %q", a.status, a.body, tt.want, tt.says)
			}
		})
	}
	if used := r.src.mem.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget are not given back", used)
	}
}

// Bombs of each kind, many at once: the memory that they cost is bounded.
func TestBombsCostLittle(t *testing.T) {
	r := newRig(t, DefaultConfig())
	var keys bytes.Buffer
	keys.WriteByte('{')
	for i := range 100_000 {
		fmt.Fprintf(&keys, `"%x":1,`, i)
	}
	keys.WriteString(`"end":1}`)
	bombs := []struct {
		body    string
		headers []string
	}{
		{strings.Repeat("[", 1<<20), nil},
		{strings.Repeat(`{"a":`, 200_000), nil},
		{keys.String(), nil},
		{"[" + strings.Repeat("{},", 300_000) + "{}]", nil},
		{gzipped(t, strings.Repeat("[", 16<<20)), []string{"Content-Encoding", "gzip"}},
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for range 3 {
		for _, b := range bombs {
			wg.Go(func() {
				if a := r.post(t, b.body, b.headers...); a.status/100 != 4 {
					t.Errorf("%.20q: %d %s", b.body, a.status, a.body)
				}
			})
		}
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if n := r.Log.Emitted(); n != 0 {
		t.Errorf("%d events were handed over", n)
	}
}

// A sender that stops in the middle of its body is cut off, and one that sends
// meanwhile does not notice.
func TestSlowSender(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Timeout = 50 * time.Millisecond
	r := newRig(t, cfg)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"a\":")
	if a := r.post(t, sample); a.status != 202 {
		t.Errorf("another sender: %d", a.status)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
		t.Errorf("status %d, closed %v", resp.StatusCode, resp.Close)
	}
	if used := r.src.mem.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget are not given back", used)
	}
}

// Bodies at hand are bounded: with no room the answer is 429, and room comes
// back.
func TestMemoryBudget(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxBody, cfg.MaxInflated, cfg.MaxMemory = 16<<10, 16<<10, 32<<10
	r := newRig(t, cfg)
	var held []net.Conn
	for range 8 { // each costs 4 KiB, whatever it claims
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n{")
	}
	sourcetest.Wait(t, 5*time.Second, "the budget is used up", func() bool { return r.src.mem.used.Load() == 32<<10 })
	if a := r.post(t, sample); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, c := range held {
		c.Close()
	}
	sourcetest.Wait(t, 5*time.Second, "the room is back", func() bool { return r.src.mem.used.Load() == 0 })
	if a := r.post(t, sample); a.status != 202 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A body without Content-Length is bounded as it comes.
func TestChunked(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxBody = 32 << 10
	r := newRig(t, cfg)
	for size, want := range map[int]int{100: 202, 4090: 202, 4096: 202, 20 << 10: 202, 40 << 10: 413, 1 << 20: 413} {
		body := `{"a":"` + strings.Repeat("x", size-8) + `"}`
		req, _ := http.NewRequest(http.MethodPost, r.url, io.MultiReader(strings.NewReader(body)))
		req.Header.Set("Content-Type", "application/json")
		if a := do(t, req); a.status != want {
			t.Errorf("%d bytes: %d, want %d", size, a.status, want)
		}
	}
	for _, in := range r.Log.Durable() {
		if !bytes.HasSuffix(in.Raw, []byte(`x"}`)) {
			t.Errorf("a body was cut")
		}
	}
}

// Whatever is sent: an answer that is not 2xx means that nothing was handed
// over, or all of it was rejected; and the books balance.
func TestNothingTakenUnlessSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &sourcetest.Fixture{Log: &sourcetest.Log{}, Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
		cfg := DefaultConfig()
		cfg.MaxBody, cfg.MaxEvents = 2000, 4
		cfg.BusyWait = time.Millisecond
		src, err := New(f.Env("x"), cfg)
		if err != nil {
			t.Fatal(err)
		}
		src.emit = f.Log.Emit
		f.Log.Reject(func(in normalize.Input) string {
			if bytes.Contains(in.Raw, []byte("bad")) {
				return "bad: no"
			}
			return ""
		})
		if rapid.Bool().Draw(t, "busy") {
			f.Log.FailNext(1, source.ErrBusy)
		}
		event := rapid.SampledFrom([]string{`{"a":1}`, `{"bad":1}`, `{}`, `7`, `{"a":`, `{"a":1,"a":2}`, `{"specversion":"1.0","id":"1","source":"s","type":"t"}`})
		events := rapid.SliceOfN(event, 0, 6).Draw(t, "events")
		body := strings.Join(events, ",")
		if rapid.Bool().Draw(t, "array") {
			body = "[" + body + "]"
		}
		req := httptest.NewRequest(rapid.SampledFrom([]string{"POST", "GET"}).Draw(t, "method"), "/webhook/x", strings.NewReader(body))
		req.RemoteAddr = rapid.SampledFrom([]string{"127.0.0.1:1", "192.0.2.1:1"}).Draw(t, "from")
		req.Header.Set("Content-Type", rapid.SampledFrom([]string{"", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain"}).Draw(t, "type"))
		req.Header.Set("Content-Encoding", rapid.SampledFrom([]string{"", "gzip", "br"}).Draw(t, "encoding"))
		w := httptest.NewRecorder()
		src.ServeHTTP(w, req)

		durable, bad := f.Log.Durable(), 0
		for _, in := range durable {
			if bytes.Contains(in.Raw, []byte("bad")) {
				bad++
			}
		}
		switch {
		case w.Code == 202 && len(durable) > 0 && bad == len(durable):
			t.Fatalf("202 though all were rejected: %s", w.Body)
		case w.Code != 202 && len(durable) != bad:
			t.Fatalf("%d, and %d events were taken: %s", w.Code, len(durable), w.Body)
		}
		received, refused := f.Counters.Totals()
		if received != f.Log.Emitted()+refused {
			t.Fatalf("received %d, emitted %d, refused %d", received, f.Log.Emitted(), refused)
		}
	})
}

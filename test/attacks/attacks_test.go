// Package attacks does to the real binary what an attacker would, and checks
// that nothing comes of it.
package attacks

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/internal/api"
	"signalbox/test/harness"
)

const limit = 30 * time.Second

// The binary under attack is a process of its own, so the race detector, for
// which -short is, sees nothing of it.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("attacks are left out by -short")
		return
	}
	os.Exit(m.Run())
}

// post sends a request to a path of the server; headers are "Name: value".
func post(t *testing.T, s *harness.Server, path, body string, headers ...string) (int, string) {
	t.Helper()
	return ask(t, s, http.MethodPost, path, strings.NewReader(body), headers...)
}

func ask(t *testing.T, s *harness.Server, method, path string, body io.Reader, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.HTTP+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// token is the API's.
func token(t *testing.T, s *harness.Server) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Data, api.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// resident is the process's memory (VmRSS) in bytes.
func resident(t *testing.T, s *harness.Server) int64 { return status(t, s, "VmRSS") }

// peak is the most that it was since it started, or since resetPeak.
func peak(t *testing.T, s *harness.Server) int64 { return status(t, s, "VmHWM") }

func resetPeak(t *testing.T, s *harness.Server) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.Pid()), []byte("5"), 0o600); err != nil {
		t.Skipf("the peak of memory can't be reset on this machine: %v", err)
	}
}

func status(t *testing.T, s *harness.Server, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Skipf("memory can't be read on this machine: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no %s in the status of the process", field)
	return 0
}

// controls gives the first control byte of text that is none of its lines' ends,
// and where it stands; -1 for none. C1 controls and the bidirectional overrides
// count as well, in UTF-8.
func controls(text string) (at int, what string) {
	for i, r := range text {
		switch {
		case r == '\n':
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return i, fmt.Sprintf("%U in …%q…", r, text[max(0, i-40):min(len(text), i+40)])
		}
	}
	return -1, ""
}

// sendUDP sends datagrams.
func sendUDP(t *testing.T, addr string, messages ...[]byte) {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range messages {
		if _, err := c.Write(m); err != nil {
			t.Fatal(err)
		}
	}
}

// octets frames messages by octet counting (RFC 6587), so that line breaks in
// them stay in them.
func octets(messages ...string) []byte {
	var b bytes.Buffer
	for _, m := range messages {
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	return b.Bytes()
}

// sendTCP sends data from an address of loopback.
func sendTCP(t *testing.T, from, addr string, data []byte) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
}

// logged waits until the log has n events (rejected ones count).
func logged(t *testing.T, s *harness.Server, n int) []api.Entry {
	t.Helper()
	var got []api.Entry
	s.Eventually(fmt.Sprintf("%d events in the log", n), limit, func() bool {
		got = s.Events()
		return len(got) >= n
	})
	return got
}

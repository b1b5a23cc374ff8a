package attacks

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"signalbox/test/harness"
)

// Made-up types, devices, sources and senders do not make series without end.
func TestMetricsAreBounded(t *testing.T) {
	syslog := harness.FreePort(t, "udp")
	s := harness.New(t, map[string]string{"signalbox.yaml": fmt.Sprintf(`
http: {listen: HTTPADDR}
sources:
  w: {kind: webhook, auth: {none: true}}
  s: {kind: syslog, udp: %q}
rules: rules/
dedup: {off: true}
`, syslog), "rules/r.yaml": "rules:\n  - name: any\n    on: evil_1*\n    do:\n      - log: {message: \"${event.device}\", level: debug}\n"})
	s.StartReady()
	const n = 10_000
	for i := 0; i < n; i += 500 {
		var b strings.Builder
		for j := range 500 {
			fmt.Fprintf(&b, `,{"event_type":"evil_%d","device":"d%d","interface":"i%d"}`, i+j, i+j, i+j)
		}
		if code, answer := post(t, s, "/webhook/w", "["+b.String()[1:]+"]"); code != 202 {
			t.Fatalf("%d %.300s", code, answer)
		}
	}
	for i := range 400 {
		post(t, s, fmt.Sprintf("/webhook/made-up-%d", i), down)
		from := fmt.Sprintf("127.0.%d.%d", 1+i/200, 1+i%200)
		c, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}).Dial("udp", syslog)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "\x01 not parsed")
		c.Close()
	}
	l := s.Settled(limit)
	if l.Log.Logged < n+400 {
		t.Errorf("%d logged", l.Log.Logged)
	}
	code, text := ask(t, s, http.MethodGet, "/metrics", nil)
	if code != 200 {
		t.Fatalf("/metrics: %d", code)
	}
	values := map[string]map[string]bool{} // label → its values
	total := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		total++
		_, labels, ok := strings.Cut(line, "{")
		if !ok {
			continue
		}
		labels, _, _ = strings.Cut(labels, "}")
		for label := range strings.SplitSeq(labels, ",") {
			name, value, _ := strings.Cut(label, "=")
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value] = true
		}
	}
	for name, v := range values {
		t.Logf("%s: %d values", name, len(v))
		if len(v) > 300 {
			t.Errorf("%s has %d values", name, len(v))
		}
	}
	t.Logf("%d series, %d bytes", total, len(text))
	if total > 10_000 {
		t.Errorf("%d series", total)
	}
	if len(values["source"]) > 5 {
		t.Errorf("sources that nobody configured are a label: %v", values["source"])
	}
}

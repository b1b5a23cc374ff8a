package attacks

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/test/harness"
)

const webhooks = `
http: {listen: HTTPADDR}
sources:
  open: {kind: webhook, auth: {none: true}}
  git: {kind: webhook, auth: {hmac: {header: X-Hub-Signature-256, prefix: "sha256=", secret: hub-key}}}
  std: {kind: webhook, auth: {standard_webhooks: {secret: whsec_c2lnbmFsYm94LXRlc3Qta2V5LTAwMQ==}}}
  tok: {kind: webhook, auth: {bearer: bearer-key}}
  bas: {kind: webhook, auth: {basic: {user: u, password: basic-key}}}
rules: rules/
dedup: {off: true}
`

const note = `
rules:
  - name: note
    on: interface_down
    do:
      - log: {message: "${event.device}"}
`

const down = `{"event_type":"interface_down","device":"sw1","interface":"Eth1/1"}`

func hub(key, body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return "X-Hub-Signature-256: sha256=" + hex.EncodeToString(m.Sum(nil))
}

// standard signs as standardwebhooks.com has it.
func standard(id string, at time.Time, body string) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte("signalbox-test-key-001"))
	fmt.Fprintf(m, "%s.%s.%s", id, stamp, body)
	return []string{"Webhook-Id: " + id, "Webhook-Timestamp: " + stamp, "Webhook-Signature: v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))}
}

func TestForgedWebhooks(t *testing.T) {
	s := harness.New(t, map[string]string{"signalbox.yaml": webhooks, "rules/r.yaml": note})
	s.StartReady()
	now := time.Now()
	other := strings.Replace(down, "sw1", "sw2", 1)
	std := standard("m1", now, down)
	for _, tt := range []struct {
		name, source, body string
		headers            []string
	}{
		{"no signature", "git", down, nil},
		{"an empty one", "git", down, []string{"X-Hub-Signature-256: "}},
		{"a prefix alone", "git", down, []string{"X-Hub-Signature-256: sha256="}},
		{"another key", "git", down, []string{hub("other", down)}},
		{"an empty key", "git", down, []string{hub("", down)}},
		{"another body", "git", other, []string{hub("hub-key", down)}},
		{"half a signature", "git", down, []string{hub("hub-key", down)[:60]}},
		{"the old algorithm", "git", down, []string{strings.Replace(hub("hub-key", down), "sha256=", "sha1=", 1)}},
		{"a standard one without headers", "std", down, nil},
		{"another id", "std", down, append([]string{"Webhook-Id: m2"}, std[1:]...)},
		{"another time", "std", down, []string{std[0], "Webhook-Timestamp: " + strconv.FormatInt(now.Unix()+1, 10), std[2]}},
		{"another standard body", "std", other, std},
		{"too old", "std", down, standard("m3", now.Add(-6*time.Minute), down)},
		{"too new", "std", down, standard("m4", now.Add(6*time.Minute), down)},
		{"version 0", "std", down, []string{std[0], std[1], strings.Replace(std[2], "v1,", "v0,", 1)}},
		{"no bearer token", "tok", down, nil},
		{"a wrong one", "tok", down, []string{"Authorization: Bearer x"}},
		{"the API's", "tok", down, []string{"Authorization: Bearer " + token(t, s)}},
		{"no password", "bas", down, []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"))}},
		{"another user", "bas", down, []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("v:basic-key"))}},
	} {
		if code, answer := post(t, s, "/webhook/"+tt.source, tt.body, tt.headers...); code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", tt.name, code, answer)
		} else if strings.Contains(answer, "-key") {
			t.Errorf("%s: the answer shows the secret: %s", tt.name, answer)
		}
	}
	// Identity comes from the endpoint, never from the body.
	if code, _ := post(t, s, "/webhook/open", `{"event_type":"interface_down","device":"sw1","source":"git","id":"x","status":"rejected"}`); code != 202 {
		t.Fatalf("the open source: %d", code)
	}
	if got := logged(t, s, 1); len(got) != 1 || got[0].Event.Source != "open" {
		t.Errorf("%+v", got)
	}
	// And who signs well is let in, at each.
	for source, headers := range map[string][]string{"git": {hub("hub-key", down)}, "std": std, "tok": {"Authorization: Bearer bearer-key"},
		"bas": {"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:basic-key"))}} {
		if code, answer := post(t, s, "/webhook/"+source, down, headers...); code != 202 {
			t.Errorf("%s signed well: %d %s", source, code, answer)
		}
	}
	if l := s.Settled(limit); l.Log.Logged != 5 || l.Log.Runs.Started != 5 {
		t.Errorf("%d logged, %d runs", l.Log.Logged, l.Log.Runs.Started)
	}
}

// A signature that was used sets nothing off again: not at once, and not after a
// restart, which has forgotten the signatures but not the log.
func TestReplayedSignature(t *testing.T) {
	s := harness.New(t, map[string]string{"signalbox.yaml": webhooks, "rules/r.yaml": note})
	s.StartReady()
	std := standard("msg-1", time.Now(), down)
	if code, answer := post(t, s, "/webhook/std", down, std...); code != 202 {
		t.Fatalf("the first time: %d %s", code, answer)
	}
	code, answer := post(t, s, "/webhook/std", down, std...)
	if code == 202 {
		t.Logf("again at once: taken: %s", answer)
	}
	s.Settled(limit)
	for _, kill := range []bool{true, false} {
		if kill {
			s.Kill()
		} else if err := s.Stop(limit); err != nil {
			t.Fatal(err)
		}
		s.StartReady()
		code, answer = post(t, s, "/webhook/std", down, std...)
		if code/100 != 2 && code/100 != 4 {
			t.Errorf("after a restart: %d %s", code, answer)
		}
	}
	l := s.Settled(limit)
	if l.Log.Decided != 1 || l.Log.Runs.Started != 1 {
		t.Errorf("decided %d times, %d runs", l.Log.Decided, l.Log.Runs.Started)
	}
	if l.Log.Logged != 1+l.Log.Duplicate {
		t.Errorf("%d logged and %d duplicates: a replay is neither refused nor a duplicate", l.Log.Logged, l.Log.Duplicate)
	}
	first := ""
	for _, e := range s.Events() {
		if e.Status == "decided" {
			first = string(e.Event.ID)
		} else if e.Status != "duplicate" || string(e.Of) != first {
			t.Errorf("a replay is %s of %s, want a duplicate of %s", e.Status, e.Of, first)
		}
	}
}

func zipped(t *testing.T, fill string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = io.WriteString(w, `{"event_type":"x","device":"d","a":"`)
	for range n {
		_, _ = io.WriteString(w, fill)
	}
	_, _ = io.WriteString(w, `"}`)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Bombs are refused, and memory does not grow with them.
func TestBombs(t *testing.T) {
	s := harness.New(t, map[string]string{"signalbox.yaml": webhooks, "rules/r.yaml": note})
	s.StartReady()
	bomb := zipped(t, strings.Repeat("0", 1<<20), 200) // 200 MiB in 200 kB
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	lists := `{"event_type":"x","device":"d","a":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + `}`
	numbers := `{"event_type":"x","device":"d","a":1e99999999,"b":` + strings.Repeat("9", 100_000) + `}`
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, `,"k%d":1`, i)
	}
	keys := `{"event_type":"x","device":"d"` + many.String() + `}`
	bombs := map[string]struct {
		body []byte
		gz   string
	}{"gzip": {bomb, "gzip"}, "depth": {[]byte(deep), ""}, "lists": {[]byte(lists), ""}, "numbers": {[]byte(numbers), ""},
		"keys": {[]byte(keys), ""}, "size": {make([]byte, 20<<20), ""}, "gzip in gzip": {bomb[:len(bomb)/2], "gzip, gzip"}}
	salvo := func(rounds int) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range rounds {
					for name, b := range bombs {
						throw(t, s, name, b.body, b.gz)
					}
				}
			})
		}
		wg.Wait()
	}
	salvo(1) // what a few need is there; many more must not need more
	resetPeak(t, s)
	before := resident(t, s)
	salvo(4)
	grown := peak(t, s) - before
	t.Logf("memory %d MiB after a few bombs, at most %d MiB more after many", before>>20, grown>>20)
	if grown > 64<<20 || peak(t, s) > 256<<20 {
		t.Errorf("memory grew by %d MiB to %d MiB", grown>>20, peak(t, s)>>20)
	}
	if code, answer := post(t, s, "/webhook/open", down); code != 202 {
		t.Errorf("afterwards: %d %s", code, answer)
	}
	s.Settled(limit)
}

// throw sends one bomb, which must be refused.
func throw(t *testing.T, s *harness.Server, name string, body []byte, encoding string) {
	req, err := http.NewRequest("POST", "http://"+s.HTTP+"/webhook/open", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the body was cut off: refused as well
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode == http.StatusAccepted && name != "numbers" { // long numbers are no bomb: they stay text
		t.Errorf("%s: taken", name)
	} else if resp.StatusCode >= 500 {
		t.Errorf("%s: %d", name, resp.StatusCode)
	}
}

// Senders that never end do not keep others out.
func TestSlowSenders(t *testing.T) {
	syslog := harness.FreePort(t, "tcp")
	s := harness.New(t, map[string]string{"signalbox.yaml": webhooks + "\nworkers: {concurrency: 4}\n", "rules/r.yaml": note})
	s.Write("signalbox.yaml", strings.Replace(webhooks, "rules: rules/", "  sys: {kind: syslog, tcp: \""+syslog+"\"}\nrules: rules/", 1))
	s.StartReady()
	before := resident(t, s)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	open := func(addr, text string) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return // refused at a bound: as good
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, text)
	}
	for range 300 {
		open(s.HTTP, "POST /webhook/open HTTP/1.1\r\nHost: x\r\nX-A: ")                                                              // headers that do not end
		open(s.HTTP, "POST /webhook/open HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{") // a body that does not come
		open(syslog, "<189>1 2026-11-24T10:00:00Z half a line")
	}
	begin := time.Now()
	for i := range 50 {
		if code, answer := post(t, s, "/webhook/open", strings.Replace(down, "sw1", fmt.Sprint("sw", i), 1)); code != 202 {
			t.Fatalf("while %d are slow: %d %s", len(conns), code, answer)
		}
	}
	took := time.Since(begin)
	grown := resident(t, s) - before
	t.Logf("%d slow connections: 50 requests took %v, memory grew by %d MiB", len(conns), took, grown>>20)
	if took > 5*time.Second {
		t.Errorf("50 requests took %v", took)
	}
	if grown > 64<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	// Connections are bounded by address: another sender still gets one.
	sendTCP(t, "127.0.0.2", syslog, []byte("<187>45: sw9: %LINK-3-UPDOWN: Interface Gi0/1, changed state to down\n"))
	logged(t, s, 51)
}

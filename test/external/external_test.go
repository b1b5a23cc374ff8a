// Package external runs the main job on a nats-server process of its own in
// place of the embedded one.
package external

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/test/harness"
)

const configuration = `
http: {listen: HTTPADDR}
nats: {url: "nats://NATSADDR"}
sources:
  w: {kind: webhook, auth: {none: true}}
  s: {kind: syslog, tcp: SYSLOGADDR}
rules: rules/
`

const rules = `
rules:
  - name: note
    on: interface_down
    do:
      - log: {message: "${event.device} ${event.interface}", level: debug}
      - emit: {type: device_unreachable, device: "${event.device}-${event.interface}"}
  - name: follow
    on: device_unreachable
    do: [{log: {message: "${event.device}", level: debug}}]
`

// server is a nats-server process on a folder.
type server struct {
	t         testing.TB
	bin, conf string
	addr      string
	cmd       *exec.Cmd
}

func newServer(t testing.TB) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: filepath.Join(dir, "nats-server"), conf: filepath.Join(dir, "nats.conf"), addr: harness.FreePort(t, "tcp")}
	if out, err := exec.Command("go", "build", "-o", s.bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("nats-server does not build: %v\n%s", err, out)
	}
	// What docs/operations.md asks of an external server.
	conf := fmt.Sprintf("listen: %q\nmax_payload: 8MB\njetstream { store_dir: %q, sync_interval: always }\n", s.addr, filepath.Join(dir, "js"))
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "-c", s.conf)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	harness.Eventually(s.t, "nats-server answers", 10*time.Second, func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func TestMainJobOnAnExternalServer(t *testing.T) {
	nats := newServer(t)
	nats.start()
	syslog := harness.FreePort(t, "tcp")
	s := harness.New(t, map[string]string{"rules/rules.yaml": rules})
	s.Write("signalbox.yaml", strings.NewReplacer("NATSADDR", nats.addr, "SYSLOGADDR", syslog).Replace(configuration))
	s.StartReady()

	var mu sync.Mutex
	acked := map[string]bool{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for n := 0; ctx.Err() == nil; n++ {
				status, ids, err := s.Post(client, "w", fmt.Sprintf(`{"event_type":"interface_down","device":"sw%d","interface":"Eth%d/1"}`, i, n))
				if err != nil || status != http.StatusAccepted {
					continue
				}
				mu.Lock()
				for _, id := range ids {
					acked[id] = true
				}
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	harness.Eventually(t, "events are acknowledged", 20*time.Second, func() bool { return count() > 100 })
	// The server dies under load and comes back; then Signalbox does.
	nats.kill()
	nats.start()
	before := count()
	harness.Eventually(t, "they are again after the server's death", 30*time.Second, func() bool { return count() > before+100 })
	s.Kill()
	s.StartReady()
	before = count()
	harness.Eventually(t, "and after our own", 30*time.Second, func() bool { return count() > before+100 })
	stop()
	wg.Wait()

	l := s.Settled(time.Minute)
	inLog := map[string]int{}
	for _, e := range s.Events() {
		inLog[string(e.Event.ID)]++
	}
	for id := range acked {
		if inLog[id] != 1 {
			t.Errorf("event %s was acknowledged and is %d times in the log", id, inLog[id])
		}
	}
	t.Logf("%d acknowledged, %d in the log, %d runs", len(acked), l.Log.Logged, l.Log.Runs.Started)
}

// Two nodes on one server: one is active, the other stands by and takes over
// when the first ends; what the first had not done the second does.
func TestStandbyTakesOver(t *testing.T) {
	nats := newServer(t)
	nats.start()
	node := func() *harness.Server {
		s := harness.New(t, map[string]string{"rules/rules.yaml": rules})
		s.Write("signalbox.yaml", strings.NewReplacer("NATSADDR", nats.addr, "SYSLOGADDR", harness.FreePort(t, "tcp")).Replace(configuration))
		return s
	}
	a, b := node(), node()
	a.StartReady()
	b.Start()
	harness.Eventually(t, "the second node stands by", 20*time.Second, func() bool {
		return strings.Contains(b.Output(), "standing by")
	})
	client := &http.Client{Timeout: 10 * time.Second}
	post := func(s *harness.Server, n int) {
		t.Helper()
		if status, _, err := s.Post(client, "w", fmt.Sprintf(`{"event_type":"interface_down","device":"sw1","interface":"Eth%d/1"}`, n)); err != nil || status != http.StatusAccepted {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	for n := range 50 {
		post(a, n)
	}
	if err := a.Stop(15 * time.Second); err != nil {
		t.Errorf("the end of the first node: %v", err)
	}
	b.AwaitReady()
	for n := range 50 {
		post(b, 100+n)
	}
	l := b.Settled(time.Minute)
	if l.Log.Logged != 200 || l.Log.Runs.Started != 200 { // 100 and what each emits
		t.Errorf("%d events and %d runs, want 200 of each", l.Log.Logged, l.Log.Runs.Started)
	}
}

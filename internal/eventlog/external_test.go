package eventlog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// natsServer builds a nats-server of the version that we embed, from the
// module itself.
func natsServer(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "nats-server")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("cannot build nats-server: %v: %s", err, out)
	}
	return bin
}

// startNATS runs a nats-server process on a port, and waits until it is ready.
func startNATS(t *testing.T, bin, store string, port int) (stop func()) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nmax_payload: 8MB\njetstream {store_dir: %q, sync_interval: always}\n", port, store)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait() // killed: that is the point
		}
	}
	t.Cleanup(stop)
	ready := regexp.MustCompile("Server is ready")
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if ready.MatchString(lines.Text()) {
			go func() {
				for lines.Scan() { // so that the server never waits for us
				}
			}()
			return stop
		}
	}
	t.Fatalf("nats-server did not start: %v", cmd.Wait())
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The same code on a nats-server process of its own: two nodes write, the
// server is killed and comes back, nothing acknowledged is lost, the chains
// hold, and there is one active engine.
func TestExternalServer(t *testing.T) {
	bin, store, port := natsServer(t), t.TempDir(), freePort(t)
	stop := startNATS(t, bin, store, port)
	node := func() eventlog.Config {
		cfg := config(t.TempDir())
		cfg.URL = fmt.Sprintf("nats://127.0.0.1:%d", port)
		cfg.PublishTimeout = 2 * time.Second
		return cfg
	}
	cfgA, cfgB := node(), node()
	a, b := open(t, cfgA), open(t, cfgB)
	for i := range 20 {
		mustAdd(t, a, record.Events, ev(fmt.Sprint("a", i)))
		mustAdd(t, b, record.Events, ev(fmt.Sprint("b", i)))
	}
	if _, err := a.AppendDecisions(t.Context(), decisions(pos(0), pos(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.AppendDecisions(t.Context(), decisions(pos(1), pos(2))); err != nil {
		t.Fatalf("the other engine takes over: %v", err)
	}
	if _, err := a.AppendDecisions(t.Context(), decisions(pos(1), pos(3))); !errors.Is(err, eventlog.ErrConflict) {
		t.Fatalf("the replaced engine: %v, want ErrConflict", err)
	}

	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	journal := make(chan error, 1)
	if err := a.Append(ctx, record.Journal, []record.Record{{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r"}}}, func(_ []record.Position, err error) { journal <- err }); err != nil {
		t.Fatal(err)
	}
	if _, err := add(a, record.Events, ev("refused")); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("an event while the server is away: %v, want ErrUnavailable", err)
	}
	startNATS(t, bin, store, port)
	select {
	case err := <-journal:
		if err != nil {
			t.Errorf("the journal was not kept: %v", err)
		}
	case <-ctx.Done():
		t.Fatal("the journal is not written after the server is back")
	}
	for _, l := range []*eventlog.Log{a, b} {
		eventually(t, 15*time.Second, "events are taken again", func() bool { _, err := add(l, record.Events, ev("back")); return err == nil })
		if err := l.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	ids, _, err := readAll(t, b)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(ids, " ") + " "
	for i := range 20 {
		if !strings.Contains(all, fmt.Sprintf("a%d ", i)) || !strings.Contains(all, fmt.Sprintf("b%d ", i)) {
			t.Errorf("event %d of a node is lost", i)
		}
	}
	closeLog(t, a)
	a = open(t, cfgA)
	mustAdd(t, a, record.Events, ev("after a restart of the node"))
	if err := a.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestExternalStreamGone(t *testing.T) {
	bin, port := natsServer(t), freePort(t)
	stop := startNATS(t, bin, t.TempDir(), port)
	cfg := config(t.TempDir())
	cfg.URL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	l := open(t, cfg)
	mustAdd(t, l, record.Events, ev("1"))
	closeLog(t, l)
	stop()
	startNATS(t, bin, t.TempDir(), port) // another store: as if the disk had been swapped
	_, err := eventlog.Open(t.Context(), cfg, quiet(t))
	if !errors.Is(err, eventlog.ErrCorrupt) || !strings.Contains(err.Error(), "has no stream LOG") {
		t.Errorf("open on an empty server: %v, want ErrCorrupt", err)
	}
}

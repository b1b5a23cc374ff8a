// Package faults breaks the disk under the real binary and checks what its
// senders were told against what the log holds.
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
sources: {w: {kind: webhook, auth: {none: true}}}
rules: rules/
drain: 10s
log: {min_free: MINFREE, publish_timeout: 2s}
`

const rules = `
rules:
  - name: note
    on: interface_down
    do: [{log: {message: "${event.device}", level: debug}}]
`

func newServer(t *testing.T, minFree string) *harness.Server {
	return harness.New(t, map[string]string{
		"signalbox.yaml":   strings.ReplaceAll(configuration, "MINFREE", minFree),
		"rules/rules.yaml": rules,
	})
}

// sender posts events from several goroutines and remembers what it was told.
type sender struct {
	mu      sync.Mutex
	acked   []string
	refused map[int]string // status → bodies
	n       int
}

func (p *sender) post(s *harness.Server, client *http.Client) (int, error) {
	p.mu.Lock()
	p.n++
	n := p.n
	p.mu.Unlock()
	body := fmt.Sprintf(`{"event_type":"interface_down","device":"sw%d","interface":"Eth%d/1","pad":%q}`, n%50, n, strings.Repeat(fmt.Sprint(n), 100))
	resp, err := client.Post("http://"+s.HTTP+"/webhook/w", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if resp.StatusCode == http.StatusAccepted {
		for _, part := range strings.Split(b.String(), `"id":"`)[1:] {
			id, _, _ := strings.Cut(part, `"`)
			p.acked = append(p.acked, id)
		}
	} else {
		if said := b.String(); !strings.Contains(p.refused[resp.StatusCode], said) {
			p.refused[resp.StatusCode] += said
		}
	}
	return resp.StatusCode, nil
}

func newSender() *sender { return &sender{refused: map[int]string{}} }

// load posts from four goroutines until ctx ends.
func (p *sender) load(ctx context.Context, s *harness.Server) (wait func()) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Timeout: 15 * time.Second}
			for ctx.Err() == nil {
				if status, err := p.post(s, client); err != nil || status == http.StatusServiceUnavailable {
					select { // a refused sender waits a moment, as ours would
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			}
		})
	}
	return wg.Wait
}

// check holds every acknowledged id against the log.
func (p *sender) check(t *testing.T, s *harness.Server) {
	t.Helper()
	s.Settled(time.Minute)
	count := map[string]int{}
	for _, e := range s.Events() {
		count[string(e.Event.ID)]++
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.acked {
		if count[id] != 1 {
			t.Errorf("event %s was acknowledged and is %d times in the log", id, count[id])
		}
	}
	if len(p.acked) == 0 {
		t.Error("nothing was acknowledged: the test has tested nothing")
	}
	t.Logf("%d acknowledged, %d in the log, refused %v", len(p.acked), len(count), p.refused)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("left out: it mounts a tmpfs, which needs root")
	}
}

func tmpfs(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("left out: no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// A disk that fills up: new events are refused in words before it is full, and
// taken again when there is room, with nobody's help.
func TestDiskFillsUpAndComesBack(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct{ name, minFree string }{
		{"the guard sees it first", "24MiB"},
		{"without a guard the log hits the end", "1B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.minFree)
			tmpfs(t, s.Data, "96m")
			s.StartReady()
			p := newSender()
			ctx, stop := context.WithCancel(context.Background())
			wait := p.load(ctx, s)
			defer func() { stop(); wait() }()
			ballast := filepath.Join(s.Data, "ballast")
			fill(t, ballast)
			s.Eventually("events are refused with 503", 30*time.Second, func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.refused[http.StatusServiceUnavailable] != ""
			})
			p.mu.Lock()
			said := p.refused[http.StatusServiceUnavailable]
			p.mu.Unlock()
			if !strings.Contains(said, "disk") && !strings.Contains(said, "space") {
				t.Errorf("the refusal does not say that the disk is full: %s", said)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			p.mu.Lock()
			before := len(p.acked)
			p.mu.Unlock()
			s.Eventually("events are taken again", 10*time.Second, func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.acked) > before+20
			})
			stop()
			wait()
			p.check(t, s)
		})
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 256<<10)
	for {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}

// The N-th fsync fails: nobody is told "accepted" for what is not there.
func TestFsyncFails(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("left out: strace is not installed (scripts/install-test-deps.sh)")
	}
	for _, when := range []string{"25", "40", "60..62"} {
		t.Run("fsync "+when, func(t *testing.T) {
			s := newServer(t, "1MiB")
			s.Wrap = []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
				"-e", "inject=fsync,fdatasync:error=EIO:when=" + when}
			s.Start()
			p := newSender()
			ctx, stop := context.WithCancel(context.Background())
			wait := p.load(ctx, s)
			defer func() { stop(); wait() }()
			s.Eventually("an fsync fails, and 300 events are acknowledged", 60*time.Second, func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.acked) >= 300 && strings.Contains(s.Output(), "event log broken")
			})
			stop()
			wait()
			p.check(t, s)
			if err := s.Stop(20 * time.Second); err != nil {
				t.Logf("the end under strace: %v", err)
			}
			s.Wrap = nil
			s.StartReady()
			p.check(t, s)
		})
	}
}

// SIGTERM under load: an orderly end within the limit, and nothing lost.
func TestSIGTERMUnderLoad(t *testing.T) {
	s := newServer(t, "1MiB")
	p := newSender()
	for range 3 {
		s.StartReady()
		ctx, stop := context.WithCancel(context.Background())
		wait := p.load(ctx, s)
		p.mu.Lock()
		before := len(p.acked)
		p.mu.Unlock()
		s.Eventually("load", 20*time.Second, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.acked) > before+100
		})
		if err := s.Stop(12 * time.Second); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
		stop()
		wait()
	}
	s.StartReady()
	p.check(t, s)
}

// Damage of the stopped log is found and named, or mended with nothing lost. It
// is never passed over in silence, and the log never starts empty.
func TestDamageIsFound(t *testing.T) {
	s := newServer(t, "1MiB")
	s.StartReady()
	p := newSender()
	client := &http.Client{Timeout: 10 * time.Second}
	for range 300 {
		if _, err := p.post(s, client); err != nil {
			t.Fatal(err)
		}
	}
	s.Settled(time.Minute)
	if err := s.Stop(12 * time.Second); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(s.Dir, "whole")
	copyDir(t, s.Data, whole)
	stream := "jetstream/$G/streams/LOG"
	block := firstBlock(t, filepath.Join(whole, "jetstream"))
	tests := []struct {
		name   string
		damage func(data string) error
	}{
		{"a flipped bit at the head of the block", flip(block, 200)},
		{"a flipped bit in the middle of the block", flip(block, -2)},
		{"a block cut in half", func(d string) error { return os.Truncate(filepath.Join(d, block), size(d, block)/2) }},
		{"a block emptied", func(d string) error { return os.Truncate(filepath.Join(d, block), 0) }},
		{"a block that is gone", remove(block)},
		{"the index is gone", removeAll("index.db")},
		{"the stream's meta is gone", removeAll("meta.inf")},
		{"the stream is gone", func(d string) error { return os.RemoveAll(filepath.Join(d, "jetstream")) }},
		{"the checkpoint is gone", removeAll("checkpoint.json")},
		{"the snapshots are garbage", garbage("state")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.RemoveAll(s.Data); err != nil {
				t.Fatal(err)
			}
			copyDir(t, whole, s.Data)
			if err := tt.damage(s.Data); err != nil {
				t.Fatalf("%v (the stream is expected at %s)", err, stream)
			}
			before := len(s.Output())
			s.Start()
			defer s.Kill()
			var exit error
			ready, named := false, ""
			harness.Eventually(t, "it starts, or says why not", 30*time.Second, func() bool {
				var ended bool
				if ended, exit = s.Ended(); ended {
					return true
				}
				resp, err := http.Get("http://" + s.HTTP + "/readyz")
				if err != nil {
					return false
				}
				defer resp.Body.Close()
				var body bytes.Buffer
				_, _ = body.ReadFrom(resp.Body)
				if strings.Contains(body.String(), "damaged") {
					named = body.String()
				}
				ready = resp.StatusCode == http.StatusOK
				return ready || named != ""
			})
			said := s.Output()[before:]
			switch {
			case named != "": // what it needs is whole: it runs, and says what is not
				t.Logf("runs, and /readyz says: %s", strings.TrimSpace(named))
				if l := s.Ledger(true); l.Balanced {
					t.Error("the ledger does not see the damage")
				}
				return
			case !ready:
				if exit == nil {
					t.Error("it ended without an error")
				}
				if !strings.Contains(said, "event log damaged") {
					t.Errorf("it did not name the damage: %s", said)
				}
				t.Logf("refused: %s", lastLine(said))
				return
			}
			p.check(t, s)
		})
	}
}

func flip(name string, at int64) func(string) error {
	return func(data string) error {
		path := filepath.Join(data, name)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at < 0 {
			at = int64(len(b)) / -at
		}
		b[at] ^= 0x10
		return os.WriteFile(path, b, 0o600)
	}
}

func remove(name string) func(string) error {
	return func(data string) error { return os.Remove(filepath.Join(data, name)) }
}

// removeAll removes every file of that name; there must be one.
func removeAll(name string) func(string) error {
	return func(data string) error {
		n := 0
		err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && e.Name() == name {
				n++
				return os.Remove(path)
			}
			return err
		})
		if err == nil && n == 0 {
			err = fmt.Errorf("no file is called %s", name)
		}
		return err
	}
}

func garbage(dir string) func(string) error {
	return func(data string) error {
		entries, err := os.ReadDir(filepath.Join(data, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.WriteFile(filepath.Join(data, dir, e.Name()), bytes.Repeat([]byte{0xa5}, 4096), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

func size(data, name string) int64 {
	info, err := os.Stat(filepath.Join(data, name))
	if err != nil {
		return 0
	}
	return info.Size()
}

func firstBlock(t *testing.T, dir string) string {
	t.Helper()
	found := ""
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && found == "" && strings.HasSuffix(path, ".blk") && strings.Contains(path, "LOG") {
			found, _ = filepath.Rel(filepath.Dir(dir), path)
		}
		return nil
	})
	if found == "" {
		t.Fatal("no block file found")
	}
	return found
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

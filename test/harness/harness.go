// Package harness starts the real signalbox binary for tests and asks it the
// way its users do: by its command line and over HTTP.
package harness

import (
	"bytes"
	"encoding/json"
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

	"signalbox/internal/api"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signalbox-test-bin-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "signalbox")
	cmd := exec.Command("go", "build", "-o", bin, "signalbox/cmd/signalbox")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// Binary builds the command once a test process.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Server is a data folder and a configuration, with or without a process that
// runs on them.
type Server struct {
	Dir, Data, Config string
	HTTP              string // host:port
	t                 testing.TB
	cmd               *exec.Cmd
	done              chan struct{}
	exit              error
	out               *lockedBuffer
	Wrap              []string // command in front of the binary, as strace
	Args              []string // more flags of serve
	Env               []string
}

// New writes a configuration and its files ("signalbox.yaml", "rules/x.yaml")
// into a new folder. HTTPADDR in a file becomes a free port of loopback.
func New(t testing.TB, files map[string]string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Dir: dir, Data: filepath.Join(dir, "data"), Config: filepath.Join(dir, "signalbox.yaml"),
		HTTP: FreePort(t, "tcp"), t: t, out: &lockedBuffer{}}
	for name, text := range files {
		s.Write(name, text)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("output of signalbox:\n%s", tail(s.Output(), 8000))
		}
	})
	return s
}

// Write writes one file beside the configuration.
func (s *Server) Write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "HTTPADDR", s.HTTP)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// FreePort finds a free port on loopback and returns host:port.
func FreePort(t testing.TB, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start runs the server and does not wait until it is ready.
func (s *Server) Start() {
	s.t.Helper()
	args := append(append([]string{}, s.Wrap...), Binary(s.t), "serve", "--config", s.Config, "--data", s.Data)
	args = append(args, s.Args...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.Env = append(os.Environ(), s.Env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) {
		s.exit = cmd.Wait()
		close(done)
	}(s.cmd)
}

// StartReady runs the server and waits until it says that it is ready.
func (s *Server) StartReady() {
	s.t.Helper()
	s.Start()
	s.AwaitReady()
}

// AwaitReady waits until a server that was started says that it is ready.
func (s *Server) AwaitReady() {
	s.t.Helper()
	s.Eventually("ready", 30*time.Second, func() bool {
		select {
		case <-s.done:
			s.t.Fatalf("signalbox ended before it was ready: %v\n%s", s.exit, tail(s.Output(), 4000))
		default:
		}
		resp, err := http.Get("http://" + s.HTTP + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// Pid is the process of the server itself, also behind Wrap.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Signal sends sig to the server's process group.
func (s *Server) Signal(sig syscall.Signal) {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, sig)
	}
}

// Kill is kill -9 of the whole group, and waits for the end.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	s.Signal(syscall.SIGKILL)
	<-s.done
	s.cmd = nil
}

// Stop is SIGTERM; it waits for the end within limit and gives the exit error.
func (s *Server) Stop(limit time.Duration) error {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	return s.Wait(limit)
}

// Wait waits for the process to end by itself.
func (s *Server) Wait(limit time.Duration) error {
	s.t.Helper()
	select {
	case <-s.done:
		s.cmd = nil
		return s.exit
	case <-time.After(limit):
		s.t.Fatalf("signalbox did not end within %v", limit)
		return nil
	}
}

// Ended says whether the process has ended, and its exit error.
func (s *Server) Ended() (bool, error) {
	select {
	case <-s.done:
		return true, s.exit
	default:
		return false, nil
	}
}

// Output is all that the process printed.
func (s *Server) Output() string { return s.out.String() }

// CLI runs a command against the server's data folder.
func (s *Server) CLI(args ...string) (stdout string, err error) {
	cmd := exec.Command(Binary(s.t), append(args, "--data", s.Data)...)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("signalbox %s: %w\n%s%s", strings.Join(args, " "), err, tail(errb.String(), 4000), tail(out.String(), 2000))
	}
	return out.String(), err
}

// MustCLI is CLI for commands that have to succeed.
func (s *Server) MustCLI(args ...string) string {
	s.t.Helper()
	out, err := s.CLI(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// Ledger reads the books; verify reads the whole log.
func (s *Server) Ledger(verify bool) api.Ledger {
	s.t.Helper()
	args := []string{"ledger", "--json"}
	if verify {
		args = append(args, "--verify")
	}
	out, err := s.CLI(args...)
	var l api.Ledger
	if jerr := json.Unmarshal([]byte(out), &l); jerr != nil {
		s.t.Fatalf("%v: %v", jerr, err)
	}
	return l
}

// Settled waits until all that is in the log is decided and done, and gives the
// verified books. It fails the test where they do not balance.
func (s *Server) Settled(limit time.Duration) api.Ledger {
	s.t.Helper()
	s.Eventually("all decided and done", limit, func() bool {
		l := s.Ledger(false)
		return l.Pending == 0 && l.Open == 0
	})
	l := s.Ledger(true)
	if !l.Balanced {
		s.t.Errorf("the books do not balance: %v", l.Problems)
	}
	return l
}

// Events lists entries of the log as `signalbox events` gives them.
func (s *Server) Events(args ...string) []api.Entry {
	s.t.Helper()
	out := s.MustCLI(append([]string{"events", "--json", "--limit", "0"}, args...)...)
	var entries []api.Entry
	for line := range strings.Lines(out) {
		var e api.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%v in %s", err, line)
		}
		entries = append(entries, e)
	}
	return entries
}

// Eventually waits for a condition of a running server: its end is a failure.
func (s *Server) Eventually(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	Eventually(s.t, what, limit, func() bool {
		if s.cmd != nil {
			select {
			case <-s.done:
				s.t.Fatalf("signalbox ended (%v) while waited for: %s", s.exit, what)
			default:
			}
		}
		return ok()
	})
}

// Eventually waits for a condition until limit is over.
func Eventually(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}

// Post sends a webhook and gives the ids of its events where it was accepted.
func (s *Server) Post(client *http.Client, source, body string) (status int, ids []string, err error) {
	resp, err := client.Post("http://"+s.HTTP+"/webhook/"+source, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Events []struct {
			ID string `json:"id"`
		} `json:"events"`
	}
	if resp.StatusCode == http.StatusAccepted {
		err = json.NewDecoder(resp.Body).Decode(&answer)
	}
	for _, e := range answer.Events {
		ids = append(ids, e.ID)
	}
	return resp.StatusCode, ids, err
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

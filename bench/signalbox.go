package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"signalbox/internal/api"
)

// server is a running Signalbox with a configuration and a data folder of its
// own.
type server struct {
	process
	b         *bench
	dir, data string
	http      string // host:port
	token     string
}

// start writes the files and runs Signalbox on signalbox.yaml until it is
// ready. HTTPADDR in a file becomes a free address.
func (b *bench) start(ctx context.Context, name string, files map[string]string) (*server, error) {
	s := &server{b: b, dir: filepath.Join(b.dir, name), http: freePort("tcp")}
	s.data = filepath.Join(s.dir, "data")
	for file, text := range files {
		path := filepath.Join(s.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "HTTPADDR", s.http)), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(b.bin, "serve", "--config", filepath.Join(s.dir, "signalbox.yaml"), "--data", s.data)
	if err := s.run(cmd, filepath.Join(s.dir, "output")); err != nil {
		return nil, err
	}
	err := await(ctx, 30*time.Second, "signalbox is ready", func() (bool, error) {
		if s.ended() {
			return false, fmt.Errorf("signalbox ended:\n%s", s.output())
		}
		resp, err := http.Get("http://" + s.http + "/readyz")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		s.kill()
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(s.data, api.TokenFile))
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// close ends the server, and removes what it wrote.
func (s *server) close() {
	s.stop(15 * time.Second)
	_ = os.RemoveAll(s.dir)
}

func (s *server) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	if w, ok := into.(io.Writer); ok {
		_, err = io.Copy(w, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// source is one source's counters.
func (s *server) source(ctx context.Context, name string) (api.SourceStatus, error) {
	var st api.Status
	if err := s.get(ctx, "/api/v1/status", &st); err != nil {
		return api.SourceStatus{}, err
	}
	for _, src := range st.Sources {
		if src.Name == name {
			return src, nil
		}
	}
	return api.SourceStatus{}, fmt.Errorf("no source is named %s", name)
}

// awaitLogged waits until a source has n events in the log.
func (s *server) awaitLogged(ctx context.Context, name string, n uint64, limit time.Duration) error {
	var last api.SourceStatus
	err := await(ctx, limit, "all is logged", func() (done bool, err error) {
		last, err = s.source(ctx, name)
		return last.Logged+last.Rejected >= n, err
	})
	if err != nil {
		err = fmt.Errorf("%w: %d of %d, %d in flight, refused %v, dropped by the kernel %d", err, last.Logged, n, last.InFlight, last.Refused, last.KernelDrops)
	}
	return err
}

// settle waits until all is decided and done.
func (s *server) settle(ctx context.Context, limit time.Duration) (l api.Ledger, err error) {
	err = await(ctx, limit, "all is decided and done", func() (bool, error) {
		var now api.Ledger
		if err := s.get(ctx, "/api/v1/ledger", &now); err != nil {
			return false, err
		}
		l = now
		return l.Pending == 0 && l.Open == 0, nil
	})
	if err != nil {
		err = fmt.Errorf("%w: %d undecided, %d runs open", err, l.Pending, l.Open)
	}
	return l, err
}

// audit settles, reads the whole log and checks the books.
func (s *server) audit(ctx context.Context) (api.Ledger, error) {
	if _, err := s.settle(ctx, 2*time.Minute); err != nil {
		return api.Ledger{}, err
	}
	var l api.Ledger
	if err := s.get(ctx, "/api/v1/ledger?verify=true", &l); err != nil {
		return l, err
	}
	if !l.Balanced {
		return l, fmt.Errorf("the books do not balance: %v", l.Problems)
	}
	return l, nil
}

// mapped says how many of the events have a type of their own.
func (s *server) mapped(ctx context.Context) (mapped, all int, err error) {
	var text strings.Builder
	if err := s.get(ctx, "/metrics", &text); err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text.String()) {
		rest, ok := strings.CutPrefix(line, "signalbox_events_total{event_type=\"")
		if !ok {
			continue
		}
		typ, _, _ := strings.Cut(rest, `"`)
		var n float64
		_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
		all += int(n)
		if typ != "syslog_message" && typ != "snmp_trap" {
			mapped += int(n)
		}
	}
	return mapped, all, nil
}

// profile takes a CPU profile while the load runs, where one is wanted. The
// function that it returns waits for its end.
func (s *server) profile(ctx context.Context, name string, d time.Duration) (wait func()) {
	if s.b.profiles == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.Create(filepath.Join(s.b.profiles, name+".pprof"))
		if err != nil {
			return
		}
		defer f.Close()
		if err := s.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))), io.Writer(f)); err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}()
	return func() { <-done }
}

// await asks until it is so.
func await(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not within %v: %s", limit, what), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// freePort is a free address on loopback.
func freePort(network string) string {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return ""
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a child of the bench, with its output in a file.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	path string
}

func (p *process) run(cmd *exec.Cmd, output string) error {
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	defer f.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.path, p.done = cmd, output, make(chan struct{})
	go func() { _ = cmd.Wait(); close(p.done) }()
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop is SIGTERM, and kill where that is not enough.
func (p *process) stop(limit time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
	}
}

func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

func (p *process) output() string {
	b, _ := os.ReadFile(p.path)
	return string(b[max(0, len(b)-4000):])
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var user, system int64
	_, _ = fmt.Sscan(f[11], &user)
	_, _ = fmt.Sscan(f[12], &system)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick
}

// rss is the resident memory in bytes; of it, what is not mapped from files.
func (p *process) rss() (all, anonymous uint64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		var kb uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			all = kb << 10
		}
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kb); n == 1 {
			anonymous = kb << 10
		}
	}
	return all, anonymous
}

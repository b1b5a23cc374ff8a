package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// site is a configuration and a data folder, and the binary that runs on them.
type site struct {
	dir, bin string
	http     string
	cmd      *exec.Cmd
	ended    chan struct{} // closed when cmd has ended
}

// started says how long a start took.
type started struct{ ready, caughtUp time.Duration }

func (s *site) data() string { return filepath.Join(s.dir, "data") }

func (s *site) write() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.http = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"signalbox.yaml": "http: {listen: " + s.http + "}\nsources:\n  bench: {kind: webhook, auth: {none: true}}\nrules: rules/\ndedup: {off: true}\n",
		"rules/day.yaml": dayRules,
	} {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// start runs the binary until it is ready, and on until n events are decided.
func (s *site) start(ctx context.Context, n int) (started, error) {
	out, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return started{}, err
	}
	defer out.Close()
	s.cmd = exec.Command(s.bin, "serve", "--config", filepath.Join(s.dir, "signalbox.yaml"), "--data", s.data())
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return started{}, err
	}
	s.ended = make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	var st started
	if err := s.until(ctx, 10*time.Minute, func() bool { return s.get(ctx, "/readyz", nil) == nil }); err != nil {
		return st, err
	}
	st.ready = time.Since(begun)
	err = s.until(ctx, 30*time.Minute, func() bool {
		var l api.Ledger
		return s.get(ctx, "/api/v1/ledger", &l) == nil && l.Log != nil && l.Pending == 0 && l.Log.Logged >= uint64(n)
	})
	st.caughtUp = time.Since(begun)
	return st, err
}

// until asks often until it is so.
func (s *site) until(ctx context.Context, limit time.Duration, ok func() bool) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); !ok(); {
		if time.Since(begun) > 20*time.Second {
			tick.Reset(time.Second) // what takes so long is not to be disturbed
		}
		var why error
		select {
		case <-ctx.Done():
			why = ctx.Err()
		case <-deadline.C:
			why = fmt.Errorf("not within %s", limit)
		case <-s.ended:
			why = errors.New("it ended")
		case <-tick.C:
			continue
		}
		s.kill()
		text, _ := os.ReadFile(filepath.Join(s.dir, "output"))
		return fmt.Errorf("signalbox: %w:\n%s", why, text[max(0, len(text)-2000):])
	}
	return nil
}

func (s *site) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+path, nil)
	if err != nil {
		return err
	}
	if token, err := os.ReadFile(filepath.Join(s.data(), api.TokenFile)); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// stop ends it as an operator does.
func (s *site) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(2 * time.Minute):
		s.kill()
		return errors.New("signalbox did not stop within two minutes")
	}
}

func (s *site) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

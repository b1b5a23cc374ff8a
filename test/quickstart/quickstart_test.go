// Package quickstart tries the README as a new user would: in a clean clone,
// each command run and its output compared.
package quickstart

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/test/harness"
)

// step is one command of a console block with what it should print. In the
// expected text … stands for anything.
type step struct {
	command string
	want    string
}

func TestQuickStart(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short")
	}
	clone := cleanClone(t)
	steps := readme(t, filepath.Join(clone, "README.md"))
	if len(steps) < 8 || steps[0].command != "make run" {
		t.Fatalf("the README has %d commands, and the first is not make run", len(steps))
	}
	for _, addr := range []string{"127.0.0.1:8080", "127.0.0.1:5514"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skipf("left out: something listens on %s already", addr)
		}
		l.Close()
	}
	server := start(t, clone)
	harness.Eventually(t, "make run prints what the README says", 3*time.Minute, func() bool {
		return matches(steps[0].want, server.String())
	})
	for _, s := range steps[1:] {
		// What was sent a moment ago may still be on its way through the log.
		last := ""
		ok := func() bool {
			out, err := command(clone, s.command)
			last = out
			return err == nil && matches(s.want, out)
		}
		if sends(s.command) {
			if !ok() {
				t.Errorf("$ %s\nprinted\n%s\nand the README says\n%s", s.command, last, s.want)
			}
			continue
		}
		deadline := time.After(30 * time.Second)
		tick := time.NewTicker(50 * time.Millisecond)
		for !ok() {
			select {
			case <-deadline:
				t.Fatalf("$ %s\nprinted\n%s\nand the README says\n%s", s.command, last, s.want)
			case <-tick.C:
			}
		}
		tick.Stop()
	}
}

// sends says whether a command may be run only once.
func sends(command string) bool {
	return strings.Contains(command, " send ") || strings.HasPrefix(command, "curl ")
}

// cleanClone copies what git tracks, so that nothing left over in the checkout
// helps.
func cleanClone(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skipf("left out: not in a git checkout: %v", err)
	}
	from := strings.TrimSpace(string(root))
	files, err := exec.Command("git", "-C", from, "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range strings.Split(strings.Trim(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			continue // deleted in the working tree
		}
		info, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var block = regexp.MustCompile("(?s)```console\n(.*?)```")

func readme(t *testing.T, path string) []step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(m[1]) {
			if cmd, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSpace(cmd)})
				continue
			}
			steps[len(steps)-1].want += line
		}
	}
	return steps
}

// matches compares line by line; … is anything within a line, and alone on a
// line any lines.
func matches(want, got string) bool {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for line := range strings.Lines(want) {
		line = strings.TrimRight(line, "\n")
		if line == "…" {
			b.WriteString(`.*`)
			continue
		}
		for i, part := range strings.Split(strings.TrimRight(line, " "), "…") {
			if i > 0 {
				b.WriteString(`[^\n]*`)
			}
			b.WriteString(regexp.QuoteMeta(part))
		}
		b.WriteString(` *\n`)
	}
	return regexp.MustCompile(b.String()).MatchString(got)
}

func command(dir, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SIGNALBOX_DATA=")
	out, err := cmd.CombinedOutput()
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return string(out), err
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, dir string) *output {
	t.Helper()
	out := &output{}
	cmd := exec.Command("make", "run")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "SIGNALBOX_DATA=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("make run printed\n%s", out.String())
		}
	})
	return out
}

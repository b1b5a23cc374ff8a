package eventlog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// child is this test binary run again as a process of its own: it appends
// events as fast as it can, and prints the id of each that was acknowledged.
func child() {
	cfg := config(os.Args[1])
	l, err := eventlog.Open(context.Background(), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	round := os.Args[2]
	lines := make(chan string, 1<<16)
	var wg sync.WaitGroup
	for a := range 64 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", round, a, i)
				if _, err := add(l, record.Events, ev(id)); err != nil {
					lines <- "failed " + err.Error()
					<-time.After(10 * time.Millisecond) // a client that waits before it tries again
					continue
				}
				lines <- "acked " + id
			}
		})
	}
	fmt.Println("ready")
	for line := range lines {
		if _, err := fmt.Println(line); err != nil {
			os.Exit(0)
		}
	}
	wg.Wait()
}

// startChild runs child, under the given command where there is one.
func startChild(t *testing.T, dir, round string, under ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	args := append(under, os.Args[0], dir, round)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "EVENTLOG_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what runs it dies with it
	cmd.Stderr = io.Discard
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return cmd, lines
		}
	}
	t.Fatalf("the child did not start: %v", cmd.Wait())
	return nil, nil
}

// kill ends a child and whatever it runs under, with no chance to say goodbye.
func kill(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

func TestKillUnderLoad(t *testing.T) {
	dir := t.TempDir()
	acked := make(map[string]bool)
	for round := range 5 {
		cmd, lines := startChild(t, dir, fmt.Sprint(round))
		time.AfterFunc(50*time.Millisecond+rand.N(250*time.Millisecond), func() { kill(cmd) })
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
				acked[id] = true
			}
		}
		cmd.Wait() // killed: that is the point
		checkAcked(t, dir, acked)
	}
	t.Logf("%d acknowledged events, 0 lost", len(acked))
}

// checkAcked opens the log and compares it with what was acknowledged: all of
// it is there, nothing is there twice.
func checkAcked(t *testing.T, dir string, acked map[string]bool) {
	t.Helper()
	var l *eventlog.Log
	eventually(t, 10*time.Second, "the killed process is gone", func() (ok bool) {
		var err error
		l, err = eventlog.Open(t.Context(), config(dir), quiet(t))
		if err != nil && !errors.Is(err, eventlog.ErrLocked) {
			t.Fatalf("open after a kill: %v", err)
		}
		return err == nil
	})
	defer closeLog(t, l)
	ids, _, err := readAll(t, l)
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, id := range ids {
		if there[id] {
			t.Errorf("%s is there twice", id)
		}
		there[id] = true
	}
	lost := 0
	for id := range acked {
		if !there[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged events are lost", lost, len(acked))
	}
}

// From the first fsync that fails on nothing is acknowledged that is not on
// disk, and the log mends itself.
func TestFsyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: cannot make fsync fail")
	}
	// From the first fsyncs after start to some in the middle of the load, one
	// alone and many in a row.
	for _, when := range []string{"40", "60..62", "201..220"} {
		t.Run(when, func(t *testing.T) { fsyncFails(t, strace, when) })
	}
}

func fsyncFails(t *testing.T, strace, when string) {
	dir := t.TempDir()
	cmd, lines := startChild(t, dir, "0", strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when="+when)
	acked := make(map[string]bool)
	failed, after := "", 0
	deadline := time.AfterFunc(30*time.Second, func() { kill(cmd) })
	defer deadline.Stop()
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
			acked[id] = true
			if failed != "" {
				after++
			}
		} else if why, ok := strings.CutPrefix(lines.Text(), "failed "); ok && failed == "" {
			failed = why
		}
		if after > 200 {
			break
		}
	}
	kill(cmd)
	cmd.Wait()
	if failed == "" || after <= 200 {
		t.Fatalf("refused: %q; %d events taken afterwards, want more than 200", failed, after)
	}
	if !strings.Contains(failed, "fsync failed") {
		t.Errorf("the reason %q does not say that fsync failed", failed)
	}
	t.Logf("refused with: %s", failed)
	checkAcked(t, dir, acked)
}

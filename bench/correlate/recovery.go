package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// Rules with windows of a day: every port and device that speaks has a key, and
// a timer, in some of them.
const dayRules = `rules:
  - name: port-stays-down
    on: interface_down
    unless: {on: interface_up, by: [device, interface], within: 24h}
    do: [{log: {message: "down for a day"}}]
  - name: port-silent
    on: [interface_down, interface_up]
    silent: {by: [device, interface], for: 24h}
    do: [{log: {message: "nothing for a day"}}]
  - name: many-changes
    on: config_change
    count: {at_least: 1000, by: [device], within: 24h}
    do: [{log: {message: "a thousand changes in a day"}}]
  - name: reboot
    on: device_reboot
    dedup: {by: [device], within: 24h}
    do: [{log: {message: "rebooted"}}]
`

// ports is how many ports there are, on ports/20 devices.
const ports = 100_000

// between is how many events may lie between two snapshots in a burst
// (internal/daemon/saver.go).
const between = 250_000

// recovery fills a log, lets the real binary decide all of it, adds as many as a
// snapshot may be behind, kills the writer, and measures starts: with the
// snapshot, and without. What was added is decided for the first time, which
// takes longer than to decide it again.
func recovery(ctx context.Context, args []string) error {
	var n int
	var bin, dir string
	fs := flag.NewFlagSet("recovery", flag.ContinueOnError)
	fs.IntVar(&n, "events", 10_000_000, "in the log")
	fs.StringVar(&bin, "bin", "bin/signalbox", "the binary")
	fs.StringVar(&dir, "dir", "", "where the log is written; empty: $TMPDIR")
	from := fs.Int("append", -1, "number of the first event: only append, and die (the bench calls itself so)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *from >= 0 {
		return appendAndDie(ctx, dir, *from, n)
	}
	dir, err := os.MkdirTemp(dir, "signalbox-recovery-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return recoverIn(ctx, dir, bin, n)
}

func recoverIn(ctx context.Context, dir, bin string, n int) error {
	s := &site{dir: dir, bin: bin}
	if err := s.write(); err != nil {
		return err
	}
	// The first start writes the rule set down.
	if _, err := s.start(ctx, 0); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	begun := time.Now()
	if err := fill(ctx, s.data(), 0, n); err != nil {
		return err
	}
	filled := time.Since(begun)
	first, err := s.start(ctx, n)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil { // leaves a snapshot
		return err
	}
	tail := min(between, n/10)
	if err := s.killedWriter(ctx, n, tail); err != nil {
		return err
	}
	size := bytesIn(s.data())
	with, err := s.start(ctx, n+tail)
	if err != nil {
		return err
	}
	s.kill()
	if err := os.RemoveAll(filepath.Join(s.data(), "state")); err != nil {
		return err
	}
	without, err := s.start(ctx, n+tail)
	if err != nil {
		return err
	}
	s.kill()
	fmt.Printf("### Start after a crash\n\n| | |\n|---|---|\n| events in the log | %d |\n| log | %.2f GB |\n| written at | %.0f events/s |\n", n+tail, float64(size)/1e9, float64(n)/filled.Seconds())
	fmt.Printf("| all decided for the first time | %.1f s, %.0f events/s |\n", first.caughtUp.Seconds(), float64(n)/first.caughtUp.Seconds())
	fmt.Printf("| start after a kill, with a snapshot of %d events before: ready | %.2f s |\n", tail, with.ready.Seconds())
	fmt.Printf("| … all decided | **%.2f s** |\n", with.caughtUp.Seconds())
	fmt.Printf("| start after a kill, no state at all: ready | %.2f s |\n", without.ready.Seconds())
	fmt.Printf("| … the whole log folded again | %.1f s, %.0f events/s |\n", without.caughtUp.Seconds(), float64(n+tail)/without.caughtUp.Seconds())
	return nil
}

// killedWriter appends in a process that is killed in the middle of its work,
// as far as the log can tell: nothing is closed.
func (s *site) killedWriter(ctx context.Context, from, n int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "recovery", "-append", strconv.Itoa(from), "-events", strconv.Itoa(n), "-dir", s.data())
	cmd.Stderr = os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the writer was to die by SIGKILL: %w", err)
}

func appendAndDie(ctx context.Context, data string, from, n int) error {
	if err := fillOpen(ctx, data, from, n); err != nil {
		return err
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// fill appends events to the log and closes it.
func fill(ctx context.Context, data string, from, n int) error {
	l, err := openLog(ctx, data)
	if err != nil {
		return err
	}
	return errors.Join(appendEvents(ctx, l, from, n), l.Close(context.WithoutCancel(ctx)))
}

func fillOpen(ctx context.Context, data string, from, n int) error {
	l, err := openLog(ctx, data)
	if err != nil {
		return err
	}
	return appendEvents(ctx, l, from, n)
}

func openLog(ctx context.Context, data string) (*eventlog.Log, error) {
	cfg := eventlog.DefaultConfig(data)
	cfg.ScrubBytes = 0
	return eventlog.Open(ctx, cfg, slog.New(slog.DiscardHandler))
}

func appendEvents(ctx context.Context, l *eventlog.Log, from, n int) error {
	const part = 256
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for i := 0; i < n; i += part {
		recs := make([]record.Record, 0, part)
		for k := i; k < min(n, i+part); k++ {
			recs = append(recs, record.Record{Kind: record.KindEvent, Event: dayEvent(from + k)})
		}
		wg.Add(1)
		err := l.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
			wg.Done()
		})
		if err != nil {
			return err
		}
	}
	wg.Wait()
	return failed
}

// dayEvent is the n-th event: ports that go up and down in turn, and in every
// hundred a change of a configuration and a reboot.
func dayEvent(n int) *event.Event {
	now := time.Now()
	port := n * 7919 % ports
	ev := &event.Event{ID: event.ID(fmt.Sprintf("01900000-0000-7000-8000-%012x", n)), Source: "bench", Peer: "192.0.2.1:514",
		Device: "sw-" + strconv.Itoa(port/20), Interface: "GigabitEthernet1/0/" + strconv.Itoa(port%20), Time: now, Received: now,
		Mapping: "cisco_ios.link@1", Raw: fmt.Appendf(nil, "<187>%d: %%LINK-3-UPDOWN: Interface GigabitEthernet1/0/%d, changed state", n, port%20)}
	switch {
	case n%100 == 98:
		ev.Type, ev.Interface = "config_change", ""
	case n%100 == 99:
		ev.Type, ev.Interface = "device_reboot", ""
	case (n/ports+port)%2 == 0:
		ev.Type = "interface_down"
	default:
		ev.Type = "interface_up"
	}
	return ev
}

func bytesIn(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Command correlate holds Signalbox's correlation against what people would
// write or use instead: the Python correlator with its buffers and its sweeping
// thread, and ansible-rulebook with its Drools engine. All get the same events
// and the same four rules; what each found is compared with what there was to
// find, worked out by internal/correlate/reference. See
// docs/performance-correlation.md.
//
//	go run ./bench/correlate                      the comparison, below two minutes
//	go run ./bench/correlate -out FILE            writes the tables to a file, too
//	go run ./bench/correlate recovery -events N   how long a start after a crash takes
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := compared
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "recovery" {
		run, args = recovery, args[1:]
	}
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench/correlate:", err)
		os.Exit(1)
	}
}

// settings of the comparison.
type settings struct {
	seed     uint64
	devices  int
	seconds  float64
	rulebook string // path of ansible-rulebook; "" leaves it out
	python   string
	short    bool
	dir      string
}

func compared(ctx context.Context, args []string) error {
	var s settings
	var out, files string
	fs := flag.NewFlagSet("correlate", flag.ContinueOnError)
	fs.Uint64Var(&s.seed, "seed", 1, "of the events")
	fs.IntVar(&s.devices, "devices", 30, "how many devices there are")
	fs.Float64Var(&s.seconds, "seconds", 20, "how long the events last that are given at their time")
	fs.StringVar(&s.rulebook, "rulebook", "", "ansible-rulebook; it is left out if this is empty")
	fs.StringVar(&s.python, "python", "python3", "Python 3")
	fs.BoolVar(&s.short, "short", false, "a smoke run: the figures mean nothing")
	fs.StringVar(&out, "out", "", "a file for the tables, too")
	fs.StringVar(&files, "files", "bench/correlate", "where the rules and scripts are")
	if err := fs.Parse(args); err != nil {
		return errors.Join(err, fmt.Errorf("usage"))
	}
	dir, err := os.MkdirTemp("", "signalbox-correlate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.dir = dir
	if s.short {
		s.devices, s.seconds = 5, 9
	}
	if err := materials(files, &s); err != nil {
		return err
	}
	var buf bytes.Buffer
	w := io.Writer(os.Stdout)
	if out != "" {
		w = io.MultiWriter(os.Stdout, &buf)
	}
	begun := time.Now()
	if err := accuracy(ctx, w, &s); err != nil {
		return err
	}
	if err := speed(ctx, w, &s); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "took %s\n", time.Since(begun).Round(time.Second))
	if out == "" {
		return nil
	}
	return os.WriteFile(out, buf.Bytes(), 0o600)
}

// materials copies what the peers read into the run's own folder, where Python
// may write its caches.
func materials(from string, s *settings) error {
	if err := os.MkdirAll(filepath.Join(s.dir, "sources"), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"correlator.py", "rulebook.yml.tmpl", "rules.yml", "sources/jsonl.py"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return fmt.Errorf("%w; run it in the root of the repository, or say where with -files", err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// result is what a peer found, and how long it was busy.
type result struct {
	found []string // "rule device t…"
	took  time.Duration
	ended bool // it came to the last event
	cpu   time.Duration
	notes []string // what it complained of
}

// peer is one that is compared.
type peer struct {
	name string
	// run gives it a file of events. crash kills it when it has had the last.
	run func(ctx context.Context, s *settings, name string, all []happening, pace string, crash bool) (result, error)
}

func pythonPeer(ctx context.Context, s *settings, name string, all []happening, pace string, crash bool) (result, error) {
	path := filepath.Join(s.dir, name+".jsonl")
	if err := write(path, all); err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, s.python, filepath.Join(s.dir, "correlator.py"), path, pace, linger(pace))
	return watch(cmd, 1, crash)
}

func linger(pace string) string {
	if pace == "full" {
		return "0"
	}
	return "3"
}

func rulebookPeer(ctx context.Context, s *settings, name string, all []happening, pace string, crash bool) (result, error) {
	path := filepath.Join(s.dir, name+".jsonl")
	if err := write(path, all); err != nil {
		return result{}, err
	}
	t, err := template.ParseFiles(filepath.Join(s.dir, "rulebook.yml.tmpl"))
	if err != nil {
		return result{}, err
	}
	book := filepath.Join(s.dir, name+".yml")
	f, err := os.Create(book)
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	wait := linger(pace)
	if pace == "full" {
		wait = "60" // it is killed when the last event was taken
	}
	if err := t.Execute(f, map[string]any{"Path": path, "Pace": pace, "Linger": wait, "Devices": deviceNames(s.devices)}); err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, s.rulebook, "-r", book, "-S", filepath.Join(s.dir, "sources"))
	bin, err := filepath.Abs(filepath.Dir(s.rulebook))
	if err != nil {
		return result{}, err
	}
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+s.dir)
	return watch(cmd, 2, crash || pace == "full") // two rule sets, two sources
}

var foundLine = regexp.MustCompile(`^FOUND (.*)$`)

// watch runs a peer, which has a number of sources, and reads what it prints.
// kill ends it once it has had the last event.
func watch(cmd *exec.Cmd, sources int, kill bool) (result, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return result{}, err
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return result{}, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	w.Close()
	var out result
	begins, ends, begun := 0, 0, time.Now()
	err = out.read(r, func(what string) {
		switch what {
		case "BEGIN":
			if begins++; begins == 1 {
				begun = time.Now()
			}
		case "END":
			if ends++; ends < sources {
				return
			}
			out.took, out.ended = time.Since(begun), true
			if kill {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
		}
	})
	waited := cmd.Wait()
	if st := cmd.ProcessState; st != nil {
		out.cpu = st.UserTime() + st.SystemTime()
	}
	if err != nil {
		return out, err
	}
	if !out.ended {
		return out, fmt.Errorf("%s did not come to the last event: %v\n%s", filepath.Base(cmd.Path), waited, strings.Join(out.notes, "\n"))
	}
	return out, nil
}

func (r *result) read(in io.Reader, mark func(string)) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		switch m := foundLine.FindStringSubmatch(line); {
		case m != nil:
			r.found = append(r.found, m[1])
		case line == "BEGIN" || line == "END":
			mark(line)
		case line == "" || strings.HasPrefix(line, "**"):
		default:
			if len(r.notes) < 20 {
				r.notes = append(r.notes, line)
			}
		}
	}
	slices.Sort(r.found)
	return sc.Err()
}

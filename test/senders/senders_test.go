// Package senders sends to the real binary with the tools that networks send
// with: logger, rsyslog, Net-SNMP, curl, RabbitMQ and its Python clients. A tool
// that is not installed leaves its test out; scripts/install-test-deps.sh
// installs them all.
package senders

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/api"
	"signalbox/test/harness"
)

const limit = 20 * time.Second

// rules: every event that a mapping knows has one run.
const rules = `
rules:
  - name: note
    on: [interface_*, bgp_*, device_*]
    lock: none
    do: [{log: {message: "${event.type} ${event.device} ${event.interface}", level: debug}}]
`

// start runs a server with these sources, the lines below "sources:"; options
// are further lines of the top level.
func start(t *testing.T, sources, options string, pairs ...string) *harness.Server {
	t.Helper()
	s := prepare(t, sources, options, pairs...)
	s.StartReady()
	return s
}

// prepare writes start's files. pairs are of a word and what stands for it.
func prepare(t *testing.T, sources, options string, pairs ...string) *harness.Server {
	t.Helper()
	s := harness.New(t, map[string]string{"rules/rules.yaml": rules})
	if !strings.Contains(options, "http:") {
		options += "http: {listen: HTTPADDR}\n"
	}
	text := options + "rules: rules/\nsources:\n" + sources
	s.Write("signalbox.yaml", strings.NewReplacer(pairs...).Replace(text))
	return s
}

// tool finds a program, also where only root's PATH has it.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed: run scripts/install-test-deps.sh", name)
	return ""
}

// command runs a program to its end and gives its exit status and all that it
// printed.
func command(t *testing.T, stdin, name string, args ...string) (status int, output string) {
	t.Helper()
	dir := t.TempDir() // what Net-SNMP keeps
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MIBS=", "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// send is command for what has to succeed.
func send(t *testing.T, name string, args ...string) {
	t.Helper()
	if status, out := command(t, "", name, args...); status != 0 {
		t.Fatalf("%s %s: exit status %d\n%s", name, strings.Join(args, " "), status, out)
	}
}

// daemon runs a program until the test ends, and gives a way to end it sooner.
func daemon(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
			out.Close()
		}
	}
	t.Cleanup(func() {
		stop()
		if text, err := os.ReadFile(out.Name()); err == nil && t.Failed() && len(text) > 0 {
			t.Logf("output of %s:\n%s", name, text)
		}
	})
	return stop
}

// want is what an event in the log has to be. Raw is a part of what the sender
// put on the wire; exact asks for all of it.
type want struct {
	source, typ, device, iface, mapping string
	id                                  string // a part of the sender's id
	raw                                 string
	exact                               bool
}

func (w want) is(e *api.Entry) bool {
	raw := string(e.Event.Raw)
	return e.Event.Source == w.source && e.Event.Type == w.typ && e.Event.Interface == w.iface &&
		(w.device == "" || e.Event.Device == w.device) &&
		(w.mapping == "" || strings.HasPrefix(e.Event.Mapping, w.mapping)) &&
		strings.Contains(e.Event.SenderID, w.id) &&
		(raw == w.raw || !w.exact && strings.Contains(raw, w.raw))
}

// one finds the one event that w describes, decided, with one run that has
// succeeded.
func one(t *testing.T, s *harness.Server, w want) *api.Entry {
	t.Helper()
	var found []*api.Entry
	harness.Eventually(t, w.source+": "+w.typ+" "+w.device+" "+w.iface+" is in the log and decided", limit, func() bool {
		entries := s.Events()
		found = found[:0]
		for i := range entries {
			if w.is(&entries[i]) {
				found = append(found, &entries[i])
			}
		}
		return len(found) > 0 && found[0].Status != "pending"
	})
	e := found[0]
	if len(found) != 1 || e.Status != "decided" || len(e.Runs) != 1 {
		t.Errorf("%+v is %d times in the log; %s %s, runs %v; want once, decided, one run", w, len(found), e.Status, e.Reason, e.Runs)
		return e
	}
	succeeded(t, s, e.Runs[0])
	return e
}

func succeeded(t *testing.T, s *harness.Server, run string) {
	t.Helper()
	harness.Eventually(t, "run "+run+" has succeeded", limit, func() bool {
		var r struct {
			Status string `json:"status"`
		}
		out := s.MustCLI("runs", run, "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if r.Status == "failed" || r.Status == "in_doubt" {
			t.Fatalf("run %s: %s", run, out)
		}
		return r.Status == "succeeded"
	})
}

// intake is what a source counted.
func intake(t *testing.T, s *harness.Server, source string) api.SourceStatus {
	t.Helper()
	for _, in := range s.Ledger(false).Intake {
		if in.Name == source {
			return in
		}
	}
	t.Fatalf("the ledger has no source %s", source)
	return api.SourceStatus{}
}

// settled ends a test: the books balance, and every run has succeeded. events
// is how many there are in the log.
func settled(t *testing.T, s *harness.Server, events int) {
	t.Helper()
	l := s.Settled(limit)
	if l.Log.Logged != uint64(events) || l.Log.Runs.Succeeded != l.Log.Runs.Started {
		t.Errorf("%d events in the log, want %d; %d runs, of which %d succeeded",
			l.Log.Logged, events, l.Log.Runs.Started, l.Log.Runs.Succeeded)
	}
}

// fromTestdata copies a file of testdata into a new folder; pairs are of a word
// and what stands for it.
func fromTestdata(t *testing.T, name string, pairs ...string) (path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"signalbox/event"
	"signalbox/handler"
	"signalbox/internal/action"
)

// TestMain is also every program that these tests run: the first argument says
// which.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if mode, ok := strings.CutPrefix(os.Args[1], "be:"); ok {
			be(mode, os.Args[2:])
			syscall.Exit(0) // not os.Exit, which takes a second under the race detector
		}
	}
	goleak.VerifyTestMain(m)
}

func be(mode string, args []string) {
	switch mode {
	case "show": // what a program sees of its call
		in, _ := io.ReadAll(os.Stdin)
		dir, _ := os.Getwd()
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"args": args, "env": os.Environ(), "stdin": string(in), "dir": dir})
	case "exit":
		code, _ := strconv.Atoi(args[0])
		fmt.Fprint(os.Stderr, strings.Join(args[1:], " "))
		syscall.Exit(code)
	case "say":
		fmt.Print(args[0])
		fmt.Fprint(os.Stderr, args[1])
	case "bomb":
		b := []byte(strings.Repeat("x", 1<<16))
		for {
			if _, err := os.Stdout.Write(b); err != nil {
				return
			}
		}
	case "stubborn": // ignores SIGTERM, and leaves children that do, too
		signal.Ignore(syscall.SIGTERM)
		depth, _ := strconv.Atoi(args[0])
		if depth > 0 {
			_, _ = os.StartProcess(os.Args[0], []string{os.Args[0], "be:stubborn", strconv.Itoa(depth - 1), args[1]},
				&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		}
		_ = os.WriteFile(filepath.Join(args[1], strconv.Itoa(os.Getpid())), nil, 0o600)
		if len(args) > 2 {
			return // the leader leaves, its children stay
		}
		<-time.After(time.Minute)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "escape": // leaves the group, and keeps stdout open
		_, _ = os.StartProcess(os.Args[0], []string{os.Args[0], "be:stubborn", "0", args[0]},
			&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true}})
		fmt.Print("left")
	case "parent": // a Signalbox that is about to die
		a, err := New(DefaultConfig(), slog.New(slog.DiscardHandler))
		if err == nil {
			_, err = a.Do(context.Background(), call(map[string]any{"command": []any{os.Args[0], "be:stubborn", "0", args[0]}}))
		}
		fmt.Println(err)
	case "handler":
		var mux handler.Mux
		serveTests(&mux, args)
		handler.Main(&mux)
	case "babbler": // a handler that does not know the protocol
		fmt.Println(args[0])
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
}

func self(t *testing.T) string {
	t.Helper()
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newExec(t *testing.T, set ...func(*Config)) *Action {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Dir = t.TempDir()
	cfg.Grace = 50 * time.Millisecond
	for _, f := range set {
		f(&cfg)
	}
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func call(args map[string]any) action.Call {
	return action.Call{
		Run: "run-1", Step: "1", Attempt: 2, Rule: "port-down", Args: args, Key: "run-1.1",
		Event: &event.Event{ID: "e1", Source: "campus", Type: "interface_down", Device: "sw1", Interface: "Gi0/1",
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: json.RawMessage(`{"a":1}`)},
	}
}

func TestProgramSeesItsCall(t *testing.T) {
	t.Setenv("SIGNALBOX_TEST_SECRET", "not for children")
	t.Setenv("TZ", "UTC")
	a := newExec(t)
	res, err := a.Do(t.Context(), call(map[string]any{
		"command": []any{self(t), "be:show", "a b", int64(7), true, ""}, "env": map[string]any{"X": "1", "M": map[string]any{"a": int64(1)}}}))
	if err != nil {
		t.Fatal(err)
	}
	got := res.Output["json"].(map[string]any)
	if diff := cmp.Diff([]any{"a b", "7", "true", ""}, got["args"]); diff != "" {
		t.Error(diff)
	}
	var e event.Event
	if err := json.Unmarshal([]byte(got["stdin"].(string)), &e); err != nil || e.Device != "sw1" || string(e.Data) != `{"a":1}` {
		t.Errorf("stdin %s: %v", got["stdin"], err)
	}
	if want, _ := filepath.EvalSymlinks(a.cfg.Dir); got["dir"] != want {
		t.Errorf("dir %v, want %s", got["dir"], want)
	}
	env := map[string]string{}
	for _, kv := range got["env"].([]any) {
		k, v, _ := strings.Cut(kv.(string), "=")
		env[k] = v
	}
	want := map[string]string{
		"SIGNALBOX_RUN": "run-1", "SIGNALBOX_STEP": "1", "SIGNALBOX_RULE": "port-down", "SIGNALBOX_ATTEMPT": "2", "SIGNALBOX_KEY": "run-1.1",
		"SIGNALBOX_REPLAY": "false", "SIGNALBOX_EVENT_ID": "e1", "SIGNALBOX_EVENT_TYPE": "interface_down", "SIGNALBOX_DEVICE": "sw1",
		"SIGNALBOX_INTERFACE": "Gi0/1", "TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X": "1", "M": `{"a":1}`,
	}
	for _, k := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(k); ok {
			want[k] = v
		}
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Error(diff)
	}
}

// TestEventsOnStdin: a program sees all events that made up what a rule found.
func TestEventsOnStdin(t *testing.T) {
	a := newExec(t)
	c := call(map[string]any{"command": []any{self(t), "be:show"}})
	c.Events = []*event.Event{{ID: "e0", Type: "interface_down", Device: "sw1"}, c.Event}
	res, err := a.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID     event.ID      `json:"id"`
		Events []event.Event `json:"events"`
	}
	in := res.Output["json"].(map[string]any)["stdin"].(string)
	if err := json.Unmarshal([]byte(in), &got); err != nil || got.ID != "e1" || len(got.Events) != 2 || got.Events[0].ID != "e0" || got.Events[1].ID != "e1" {
		t.Errorf("stdin %s: %v", in, err)
	}
}

func TestNothingIsInterpreted(t *testing.T) {
	a := newExec(t)
	for _, payload := range []string{
		"$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "&& touch pwned", "a\ntouch pwned", "> pwned", "$HOME", "${HOME}",
		"*", "~", "'\"", "--help", "-rf", "{{7*7}}", "${event.device}", "%s%n", "\x1b[31m\x07", "\r\n", "a\tb", "日本\u202e", "\xff\xfe",
	} {
		c := call(map[string]any{"command": []any{self(t), "be:show", payload}, "env": map[string]any{"P": payload}, "stdin": payload})
		c.Event.Device, c.Event.Interface, c.Event.Type = payload, payload, payload
		res, err := a.Do(t.Context(), c)
		if err != nil {
			t.Errorf("%q: %v", payload, err)
			continue
		}
		got := res.Output["json"].(map[string]any)
		want := strings.ToValidUTF8(payload, "\uFFFD") // encoding/json's way with broken UTF-8
		if payload == "\xff\xfe" {
			want = "\uFFFD\uFFFD"
		}
		if got["args"].([]any)[0] != want || got["stdin"] != want {
			t.Errorf("%q: %v", payload, got)
		}
		for _, k := range []string{"P", "SIGNALBOX_DEVICE", "SIGNALBOX_INTERFACE", "SIGNALBOX_EVENT_TYPE"} {
			if !slices.Contains(got["env"].([]any), any(k+"="+want)) {
				t.Errorf("%q: %s is not in the environment as it is", payload, k)
			}
		}
		if files, _ := os.ReadDir(a.cfg.Dir); len(files) > 0 {
			t.Fatalf("%q made %s", payload, files[0].Name())
		}
	}
	c := call(map[string]any{"command": []any{self(t), "be:show"}})
	c.Event.Device = "a\x00b"
	res, err := a.Do(t.Context(), c)
	if err != nil || !slices.Contains(res.Output["json"].(map[string]any)["env"].([]any), any("SIGNALBOX_DEVICE=ab")) {
		t.Errorf("NUL: %v, %v", res.Output, err)
	}
}

func TestRefusedArguments(t *testing.T) {
	tests := []struct {
		args map[string]any
		want string
	}{
		{map[string]any{}, "command: is missing"},
		{map[string]any{"command": []any{}}, "command: is missing"},
		{map[string]any{"command": ""}, "command: is missing"},
		{map[string]any{"command": "echo hello"}, "expected a list"},
		{map[string]any{"command": "rm\t-rf"}, "there is no shell"},
		{map[string]any{"command": []any{"true", []any{}}}, "argument 1"},
		{map[string]any{"command": []any{"true", "a\x00b"}}, "NUL"},
		{map[string]any{"command": []any{"no-such-program-anywhere"}}, "not in PATH"},
		{map[string]any{"command": []any{"tr\nue"}}, "control characters"},
		{map[string]any{"command": []any{"./gone"}}, "did not start"},
		{map[string]any{"command": []any{"/"}}, "did not start"},
		{map[string]any{"command": "true", "env": map[string]any{"A=B": "c"}}, "env"},
		{map[string]any{"command": "true", "env": map[string]any{"": "c"}}, "env"},
		{map[string]any{"command": "true", "timeout": "never"}, "timeout"},
		{map[string]any{"command": "true", "expect": []any{int64(256)}}, "expect"},
		{map[string]any{"command": "true", "max_output": int64(1 << 30)}, "max_output"},
		{map[string]any{"command": "true", "dir": "gone"}, "did not start"},
		{map[string]any{"handler": "nobody"}, `there is no handler "nobody"`},
	}
	a := newExec(t)
	for _, tt := range tests {
		_, err := a.Do(t.Context(), call(tt.args))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.args, err, tt.want)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Errorf("%v is recoverable", err)
		}
	}
	if _, err := a.Do(t.Context(), call(map[string]any{"command": "true"})); err != nil {
		t.Errorf("a bare program: %v", err)
	}
}

func TestAllow(t *testing.T) {
	a := newExec(t, func(c *Config) { c.Allow = []string{"true", "scripts/*.sh", "/opt/tools/*"} })
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"true", true}, {"scripts/a.sh", true}, {a.cfg.Dir + "/scripts/a.sh", true}, {"/opt/tools/x", true}, {"scripts/../scripts/a.sh", true},
		{"false", false}, {"/bin/sh", false}, {"scripts/a.py", false}, {"scripts/b/a.sh", false}, {"scripts/../a.sh", false},
		{"/opt/tools/../../bin/sh", false}, {"./true", false}, {"/tmp/true", false},
	} {
		_, err := a.resolve(tt.name)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestEnds(t *testing.T) {
	a := newExec(t)
	tests := []struct {
		name        string
		args        map[string]any
		want        string // of the error, "" for none
		recoverable bool
		code        int
	}{
		{name: "0", args: map[string]any{"command": []any{"be:exit", "0"}}},
		{name: "3", args: map[string]any{"command": []any{"be:exit", "3", "no\x1b[31m luck"}}, want: `exit code 3: no\x1b[31m luck`, code: 3},
		{name: "75", args: map[string]any{"command": []any{"be:exit", "75"}}, want: "exit code 75", recoverable: true, code: 75},
		{name: "3 expected", args: map[string]any{"command": []any{"be:exit", "3"}, "expect": []any{int64(0), int64(3)}}, code: 3},
		{name: "0 unexpected", args: map[string]any{"command": []any{"be:exit", "0"}, "expect": int64(3)}, want: "exit code 0"},
		{name: "3 recoverable", args: map[string]any{"command": []any{"be:exit", "3"}, "recoverable": []any{int64(3)}}, want: "exit code 3", recoverable: true, code: 3},
		{name: "75 not recoverable", args: map[string]any{"command": []any{"be:exit", "75"}, "recoverable": []any{}}, want: "exit code 75", code: 75},
		{name: "signal", args: map[string]any{"command": []any{"be:killed"}}, want: "ended by signal: killed", code: -1},
		{name: "signal, idempotent", args: map[string]any{"command": []any{"be:killed"}, "idempotent": true}, want: "signal", recoverable: true, code: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.args["command"] = append([]any{self(t)}, tt.args["command"].([]any)...)
			res, err := a.Do(t.Context(), call(tt.args))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, again := action.IsRecoverable(err); again != tt.recoverable {
				t.Errorf("recoverable: %v", again)
			}
			if res.Output["exit_code"] != tt.code {
				t.Errorf("output %v", res.Output)
			}
		})
	}
}

// TestGroupIsKilled: programs that ignore SIGTERM and have children that do
// are gone when Do returns.
func TestGroupIsKilled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leaves bool
	}{{"leader stays", false}, {"leader leaves", true}} {
		t.Run(tt.name, func(t *testing.T) {
			a, dir := newExec(t), t.TempDir()
			argv := []any{self(t), "be:stubborn", "2", dir}
			if tt.leaves {
				argv = append(argv, "leave")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := a.Do(ctx, call(map[string]any{"command": argv}))
				done <- err
			}()
			if !tt.leaves {
				eventually(t, "three processes", func() bool { return len(pidsIn(t, dir)) == 3 })
				cancel()
			}
			select {
			case err := <-done:
				if (err == nil) != tt.leaves {
					t.Errorf("error %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Do does not return")
			}
			for _, pid := range pidsIn(t, dir) {
				eventually(t, fmt.Sprintf("%d is gone", pid), func() bool { return gone(pid) })
			}
		})
	}
}

// pidsIn are the processes that say in a folder that they are there.
func pidsIn(t *testing.T, dir string) []int {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, f := range files {
		n, _ := strconv.Atoi(f.Name())
		out = append(out, n)
	}
	return out
}

// TestWhoLeavesTheGroup: a child that makes a session of its own, as daemons
// do, lives on, but nobody waits for it.
func TestWhoLeavesTheGroup(t *testing.T) {
	a, dir := newExec(t), t.TempDir()
	began := time.Now()
	res, err := a.Do(t.Context(), call(map[string]any{"command": []any{self(t), "be:escape", dir}}))
	if err != nil || res.Output["stdout"] != "left" {
		t.Errorf("%v, %v", res.Output, err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
	eventually(t, "the child", func() bool { return len(pidsIn(t, dir)) == 1 })
	_ = syscall.Kill(pidsIn(t, dir)[0], syscall.SIGKILL)
}

// TestCommandsDieWithSignalbox: kill -9 of Signalbox leaves no command behind.
func TestCommandsDieWithSignalbox(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	dir := t.TempDir()
	parent := &exec.Cmd{Path: self(t), Args: []string{self(t), "be:parent", dir}}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command", func() bool { return len(pidsIn(t, dir)) == 1 })
	if pid := pidsIn(t, dir)[0]; gone(pid) {
		t.Error("the command is gone before its parent")
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	eventually(t, "its end", func() bool { return gone(pidsIn(t, dir)[0]) })
}

// gone says whether a process is dead, if perhaps not buried: orphans are for
// init, which is slow in some containers.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestTimeout(t *testing.T) {
	a := newExec(t)
	for _, idempotent := range []bool{false, true} {
		began := time.Now()
		_, err := a.Do(t.Context(), call(map[string]any{"command": []any{"sleep", "60"}, "timeout": "100ms", "idempotent": idempotent}))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "longer than its timeout (100ms)") {
			t.Errorf("error %v", err)
		}
		if _, again := action.IsRecoverable(err); again != idempotent {
			t.Errorf("recoverable: %v", again)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	a := newExec(t)
	res, err := a.Do(t.Context(), call(map[string]any{"command": []any{self(t), "be:bomb"}}))
	if !errors.Is(err, errBabble) {
		t.Errorf("error %v", err)
	}
	if n := len(res.Output["stdout"].(string)); n != 64<<10 || res.Output["truncated"] != true {
		t.Errorf("%d bytes, truncated %v", n, res.Output["truncated"])
	}
	res, err = a.Do(t.Context(), call(map[string]any{"command": []any{self(t), "be:say", `{"a":1}`, "öö"}, "max_output": int64(3)}))
	want := map[string]any{"exit_code": 0, "stdout": `{"a`, "stderr": "ö\uFFFD", "json": nil, "truncated": true}
	delete(res.Output, "took_ms")
	if diff := cmp.Diff(want, res.Output); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestOutputAsJSON(t *testing.T) {
	a := newExec(t)
	for in, want := range map[string]any{
		` {"a": [1, 2.5, "x"]}` + "\n": map[string]any{"a": []any{int64(1), 2.5, "x"}}, "[]": []any{},
		"plain": nil, "{broken": nil, "{} {}": nil, "7": nil, "": nil,
	} {
		res, err := a.Do(t.Context(), call(map[string]any{"command": []any{self(t), "be:say", in, ""}}))
		if diff := cmp.Diff(want, res.Output["json"]); diff != "" || err != nil || res.Output["stdout"] != in {
			t.Error(in, diff, err)
		}
	}
}

func TestDryRun(t *testing.T) {
	a := newExec(t)
	c := call(map[string]any{"command": []any{"touch", "x y", "S3CRET"}})
	c.DryRun, c.Secrets = true, []string{"S3CRET"}
	res, err := a.Do(t.Context(), c)
	if err != nil || !strings.HasSuffix(res.Output["would"].(string), `/touch "x y" "[redacted]"`) {
		t.Errorf("%v, %v", res.Output, err)
	}
	if files, _ := os.ReadDir(a.cfg.Dir); len(files) > 0 {
		t.Error("a dry run ran")
	}
}

func TestCanary(t *testing.T) {
	const canary = "CANARY-\"\n+x"
	a := newExec(t)
	for _, argv := range [][]any{
		{self(t), "be:say", canary, canary}, {self(t), "be:exit", "3", canary}, {self(t), "be:say", `{"a":"CANARY-\"\n+x"}`, ""},
		{"/gone/" + canary}, {"gone-" + canary}, {self(t), "be:say", strings.Repeat("x", 64<<10-4) + canary, ""}, {self(t), "be:show"},
	} {
		for _, dry := range []bool{false, true} {
			c := call(map[string]any{"command": argv, "env": map[string]any{"K": canary}, "stdin": canary})
			c.Secrets, c.DryRun = []string{canary}, dry
			res, err := a.Do(t.Context(), c)
			out, _ := json.Marshal(res.Output)
			if text := string(out) + fmt.Sprint(err); strings.Contains(text, "CANA") {
				t.Errorf("%.100q: %.300s", argv, text)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	h := DefaultHandlerConfig()
	h.Command = []string{"true"}
	if err := h.Validate(); err != nil {
		t.Error(err)
	}
	cfg := Config{Allow: []string{"[", ""}, Handlers: map[string]HandlerConfig{"x": {Workers: 999, MaxBackoff: -1}}}
	err := cfg.Validate()
	for _, want := range []string{`allow: "["`, `allow: ""`, "timeout:", "grace:", "max_output:", "handlers: x:", "command:", "workers: 999", "max_backoff:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	bad := DefaultConfig()
	h.Command = []string{"no-such-program-anywhere"}
	bad.Handlers = map[string]HandlerConfig{"x": h}
	if _, err := New(bad, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "handlers: x: command: program") {
		t.Errorf("unknown program: %v", err)
	}
}

package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/handler"
	"signalbox/internal/action"
	"signalbox/internal/secret"
)

// serveTests is the handler that the tests talk to, in a process of its own.
func serveTests(mux *handler.Mux, args []string) {
	mux.Handle("who", func(context.Context, event.Event) (any, error) {
		return map[string]any{"pid": os.Getpid(), "env": os.Environ(), "args": args}, nil
	})
	mux.Handle("echo", func(ctx context.Context, e event.Event) (any, error) {
		r, _ := handler.RequestOf(ctx)
		return map[string]any{"device": e.Device, "request": r}, nil
	})
	mux.Handle("list", func(context.Context, event.Event) (any, error) { return []int{1, 2}, nil })
	mux.Handle("fail", func(context.Context, event.Event) (any, error) { return nil, errors.New("no\x1b[31m") })
	mux.Handle("later", func(context.Context, event.Event) (any, error) {
		return nil, handler.Recoverable(errors.New("busy"), 90*time.Second)
	})
	mux.Handle("die", func(context.Context, event.Event) (any, error) { syscall.Exit(3); return nil, nil })
	mux.Handle("hang", func(context.Context, event.Event) (any, error) { select {} })
	mux.Handle("slow", func(_ context.Context, e event.Event) (any, error) {
		_ = os.WriteFile(e.Device, nil, 0o600)
		<-time.After(300 * time.Millisecond)
		return "done", nil
	})
	mux.Handle("garbage", func(context.Context, event.Event) (any, error) {
		_, err := os.NewFile(1, "stdout").WriteString("Traceback \x1b[31m\n")
		return nil, err
	})
	mux.Handle("bomb", func(context.Context, event.Event) (any, error) { return strings.Repeat("x", 1<<20), nil })
	mux.Handle("log", func(_ context.Context, e event.Event) (any, error) {
		for i := range 500 {
			fmt.Printf("line %d %s \x1b[31m\n", i, e.Device)
		}
		return nil, nil
	})
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// runPool runs an action with one pool until the test ends.
func runPool(t *testing.T, set func(*HandlerConfig)) (*Action, *logBuffer) {
	t.Helper()
	h := DefaultHandlerConfig()
	h.Command = []string{self(t), "be:handler", "x"}
	h.Workers, h.Grace, h.Backoff = 1, 500*time.Millisecond, 10*time.Millisecond
	if set != nil {
		set(&h)
	}
	cfg := DefaultConfig()
	cfg.Dir, cfg.Handlers = t.TempDir(), map[string]HandlerConfig{"test": h}
	log := &logBuffer{}
	a, err := New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	return a, log
}

func askFor(kind string, args map[string]any) action.Call {
	c := call(map[string]any{"handler": "test"})
	for k, v := range args {
		c.Args[k] = v
	}
	c.Event.Type = kind
	return c
}

func pid(t *testing.T, a *Action) int64 {
	t.Helper()
	res, err := a.Do(t.Context(), askFor("who", nil))
	if err != nil {
		t.Fatal(err)
	}
	return got(res)["pid"].(int64)
}

// got is what a handler returned.
func got(r action.Result) map[string]any {
	m, _ := r.Output["json"].(map[string]any)
	return m
}

func TestHandler(t *testing.T) {
	a, _ := runPool(t, nil)
	c := askFor("echo", map[string]any{"args": map[string]any{"vlan": int64(7)}})
	c.Device = map[string]any{"role": "core"}
	res, err := a.Do(t.Context(), c)
	want := map[string]any{"device": "sw1", "request": map[string]any{
		"Run": "run-1", "Rule": "port-down", "Step": "1", "Attempt": int64(2), "Key": "run-1.1", "Replay": false,
		"Device": map[string]any{"role": "core"}, "Args": map[string]any{"vlan": int64(7)}, "Events": nil}}
	if diff := cmp.Diff(want, got(res)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	c.Events = []*event.Event{{ID: "e0", Type: "interface_down"}, c.Event}
	if res, err = a.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if seen, _ := got(res)["request"].(map[string]any)["Events"].([]any); len(seen) != 2 || seen[0].(map[string]any)["id"] != "e0" {
		t.Errorf("the handler saw %v", seen)
	}
	if res, err := a.Do(t.Context(), askFor("list", nil)); err != nil || !cmp.Equal(res.Output["json"], any([]any{int64(1), int64(2)})) {
		t.Error(res, err)
	}
	if _, err := a.Do(t.Context(), askFor("fail", nil)); err == nil || err.Error() != `exec: handler test: no\x1b[31m` {
		t.Error(err)
	}
	if _, err := a.Do(t.Context(), askFor("unheard_of", nil)); err == nil || !strings.Contains(err.Error(), "no handler for event type") {
		t.Error(err)
	}
	_, err = a.Do(t.Context(), askFor("later", nil))
	if after, again := action.IsRecoverable(err); !again || after != 90*time.Second {
		t.Error(err, after, again)
	}
	if first := pid(t, a); first != pid(t, a) {
		t.Error("the process does not stay")
	}
}

// TestHandlerBreaks: whatever a process does, its request fails with a reason,
// is repeated only where that is allowed, and the next one finds a new process.
func TestHandlerBreaks(t *testing.T) {
	a, _ := runPool(t, func(h *HandlerConfig) { h.MaxOutput = 64 << 10 })
	for kind, want := range map[string]string{
		"die":     "the process ended before it answered (exit status 3)",
		"hang":    "did not answer within 300ms and was killed",
		"garbage": `expected one JSON object a line on stdout, got "Traceback \\x1b[31m"`,
		"bomb":    "wrote a line of more than 65536 bytes",
	} {
		for _, idempotent := range []bool{false, true} {
			before := pid(t, a)
			_, err := a.Do(t.Context(), askFor(kind, map[string]any{"timeout": "300ms", "idempotent": idempotent}))
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "exec: handler test: ") {
				t.Errorf("%s: error %v, want %q", kind, err, want)
			}
			if _, again := action.IsRecoverable(err); again != idempotent {
				t.Errorf("%s: recoverable %v", kind, again)
			}
			if !gone(int(before)) {
				t.Errorf("%s: the process is alive after its failure", kind)
			}
			if pid(t, a) == before {
				t.Errorf("%s: the same process goes on", kind)
			}
		}
	}
}

func TestHandlerThatCannotStart(t *testing.T) {
	a, log := runPool(t, func(h *HandlerConfig) {
		h.Command = []string{self(t), "be:exit", "9", "missing module \x1b[31m"}
		h.Backoff, h.MaxBackoff = 20*time.Millisecond, time.Hour
	})
	eventually(t, "backoff", func() bool { return strings.Count(log.String(), "handler process ended") >= 4 })
	eventually(t, "all down", func() bool {
		_, err := a.Do(t.Context(), askFor("who", map[string]any{"timeout": "10ms"}))
		_, again := action.IsRecoverable(err)
		return again && strings.Contains(err.Error(), "no process is running: the process ended (exit status 9)")
	})
	if s := log.String(); !strings.Contains(s, `missing module \\x1b[31m`) || strings.Contains(s, "\x1b") {
		t.Errorf("log: %s", s)
	}
}

func TestBabbler(t *testing.T) {
	_, log := runPool(t, func(h *HandlerConfig) { h.Command = []string{self(t), "be:babbler", "hello \x1b[31m"} })
	eventually(t, "a complaint", func() bool {
		return strings.Contains(log.String(), `to stdout without being asked`) && strings.Contains(log.String(), "hello")
	})
	if strings.Contains(log.String(), "\x1b") {
		t.Error("an escape is in the log")
	}
}

func TestHandlersWorkAtOnce(t *testing.T) {
	a, _ := runPool(t, func(h *HandlerConfig) { h.Workers = 3 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 60 {
		wg.Go(func() {
			c := askFor("echo", nil)
			c.Event.Device = fmt.Sprint("sw", i)
			res, err := a.Do(t.Context(), c)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got(res)["device"] != c.Event.Device {
				t.Errorf("%s: %v, %v", c.Event.Device, res.Output, err)
			}
		})
	}
	wg.Wait()
}

func TestNoProcessIsFree(t *testing.T) {
	a, _ := runPool(t, nil)
	dir := t.TempDir()
	slow := askFor("slow", nil)
	slow.Event.Device = filepath.Join(dir, "began")
	done := make(chan error, 1)
	go func() { _, err := a.Do(t.Context(), slow); done <- err }()
	eventually(t, "the slow one", func() bool { _, err := os.Stat(slow.Event.Device); return err == nil })
	_, err := a.Do(t.Context(), askFor("who", map[string]any{"timeout": "20ms"}))
	if _, again := action.IsRecoverable(err); !again || !strings.Contains(err.Error(), "no process was free") {
		t.Errorf("error %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStopLetsTheLastRequestEnd(t *testing.T) {
	h := DefaultHandlerConfig()
	h.Command, h.Workers, h.Grace = []string{self(t), "be:handler"}, 1, 5*time.Second
	cfg := DefaultConfig()
	cfg.Dir, cfg.Handlers = t.TempDir(), map[string]HandlerConfig{"test": h}
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	slow := askFor("slow", nil)
	slow.Event.Device = filepath.Join(cfg.Dir, "began")
	type result struct {
		res action.Result
		err error
	}
	done := make(chan result, 1)
	go func() { r, err := a.Do(t.Context(), slow); done <- result{r, err} }()
	eventually(t, "the slow one", func() bool { _, err := os.Stat(slow.Event.Device); return err == nil })
	cancel()
	if r := <-done; r.err != nil || r.res.Output["json"] != "done" {
		t.Errorf("%v, %v", r.res.Output, r.err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	_, err = a.Do(t.Context(), askFor("who", nil))
	if _, again := action.IsRecoverable(err); !again || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("after the end: %v", err)
	}
}

func TestHandlerLogAndSecrets(t *testing.T) {
	const canary, fromEnv = "CANARY-args", "CANARY-env-token"
	t.Setenv("SIGNALBOX_TEST_TOKEN", fromEnv)
	t.Setenv("OTHER", "not for handlers")
	a, log := runPool(t, func(h *HandlerConfig) {
		h.Env = map[string]secret.Ref{"TOKEN": secret.New("${env.SIGNALBOX_TEST_TOKEN}"), "DEBUG": secret.New("1")}
	})
	c := askFor("log", nil)
	c.Event.Device, c.Secrets = canary+" "+fromEnv, []string{canary}
	if _, err := a.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log", func() bool {
		return strings.Contains(log.String(), `line=`) || strings.Contains(log.String(), "line 1")
	})
	s := log.String()
	if strings.Contains(s, "CANARY") || strings.Contains(s, "\x1b") {
		t.Errorf("log: %.500s", s)
	}
	if n := strings.Count(s, "handler says"); n > 60 {
		t.Errorf("%d lines of stderr are logged", n)
	}
	c = askFor("who", nil)
	c.Secrets = []string{canary}
	res, err := a.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(res.Output)
	for _, bad := range []string{"CANARY", "not for handlers", "SIGNALBOX_TEST_TOKEN"} {
		if strings.Contains(string(b), bad) {
			t.Errorf("%s is in %s", bad, b)
		}
	}
	for _, want := range []string{`"TOKEN=[redacted]"`, `"DEBUG=1"`, `"SIGNALBOX_HANDLER=test"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}

func TestHandlerIdempotent(t *testing.T) {
	a, _ := runPool(t, func(h *HandlerConfig) { h.Idempotent = true })
	for _, tt := range []struct {
		args map[string]any
		want bool
	}{
		{map[string]any{"handler": "test"}, true}, {map[string]any{"handler": "test", "idempotent": false}, false},
		{map[string]any{"handler": "gone"}, false}, {map[string]any{"command": "true"}, false}, {map[string]any{"command": "true", "idempotent": true}, true},
	} {
		if got := a.Idempotent(tt.args); got != tt.want {
			t.Errorf("%v: %v", tt.args, got)
		}
	}
	c := askFor("die", nil)
	c.DryRun = true
	if res, err := a.Do(t.Context(), c); err != nil || res.Output["would"] != "ask handler test" {
		t.Error(res, err)
	}
}

func TestPythonExample(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	dir, err := filepath.Abs("../../../examples/handlers")
	if err != nil {
		t.Fatal(err)
	}
	a, log := runPool(t, func(h *HandlerConfig) {
		h.Command, h.Dir, h.Workers = []string{"python3", "-B", "handlers.py"}, dir, 2
	})
	do := func(kind string, attempt int, args map[string]any, data string) (map[string]any, error) {
		c := askFor(kind, map[string]any{"args": args})
		c.Attempt, c.Event.Data = attempt, json.RawMessage(data)
		res, err := a.Do(t.Context(), c)
		return got(res), err
	}
	if out, err := do("interface_down", 1, nil, `{}`); err != nil || out["summary"] != "sw1 Gi0/1 is down" {
		t.Error(out, err)
	}
	if out, err := do("hardware_fault", 1, nil, `{}`); err != nil || out["summary"] != "hardware of sw1" {
		t.Error(out, err)
	}
	if out, err := do("bgp_neighbor_down", 1, nil, `{"neighbor":"192.0.2.1"}`); err != nil || out["summary"] != "BGP neighbor 192.0.2.1 of sw1 is down" {
		t.Error(out, err)
	}
	if _, err := do("bgp_neighbor_down", 1, nil, `{}`); err == nil || !strings.Contains(err.Error(), "KeyError: 'neighbor'") {
		t.Error(err)
	}
	if _, err := do("ospf_neighbor_down", 1, nil, `{}`); err == nil || !strings.Contains(err.Error(), "no handler for event type") {
		t.Error(err)
	}
	_, err = do("config_change", 1, map[string]any{"busy_at_first": true}, `{}`)
	if after, again := action.IsRecoverable(err); !again || after != time.Second {
		t.Error(err, after, again)
	}
	if out, err := do("config_change", 2, map[string]any{"busy_at_first": true}, `{}`); err != nil || out["key"] != "run-1.1" {
		t.Error(out, err)
	}
	eventually(t, "print in the log", func() bool { return strings.Contains(log.String(), "interface down on sw1") })
}

package logaction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/action"
)

func setUp(t *testing.T) (a *Action, log *bytes.Buffer, dir string) {
	t.Helper()
	log, dir = new(bytes.Buffer), t.TempDir()
	cfg := DefaultConfig()
	cfg.Dir = dir
	a, err := New(cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	return a, log, dir
}

func call(args map[string]any) action.Call {
	return action.Call{Run: "r1", Rule: "port-down", Args: args, Key: "k", Event: &event.Event{ID: "e1", Type: "interface_down", Device: "sw1"}}
}

func TestLog(t *testing.T) {
	a, log, dir := setUp(t)
	args := map[string]any{"message": "down \x1b[31m\nlevel=ERROR msg=forged", "level": "warn",
		"fields": map[string]any{"site": "a\nb", "n": int64(3), "m": map[string]any{"k": "v"}, "x\ny": nil}, "file": "out.jsonl"}
	res, err := a.Do(t.Context(), call(args))
	if err != nil {
		t.Fatal(err)
	}
	message := `down \x1b[31m\nlevel=ERROR msg=forged`
	if diff := cmp.Diff(map[string]any{"message": message}, res.Output); diff != "" {
		t.Error(diff)
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "device=sw1") {
		t.Errorf("log: %q", text)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"time": "2026-01-02T03:04:05Z", "level": "warn", "message": message, "rule": "port-down", "run": "r1",
		"event": "e1", "type": "interface_down", "device": "sw1",
		"fields": map[string]any{"site": `a\nb`, "n": 3.0, "m": `{"k":"v"}`, `x\ny`: nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "out.jsonl")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestFilesStayInside(t *testing.T) {
	a, _, dir := setUp(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "filelink")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../x", "/etc/x", "a/../../x", "link/x", "filelink", "", ".", "a\x00b", "gone/x", "pipe", "link"} {
		_, err := a.Do(t.Context(), call(map[string]any{"message": "m", "file": file}))
		if err == nil {
			t.Errorf("%q was written", file)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Errorf("%q: %v is recoverable", file, err)
		}
	}
	if files, _ := os.ReadDir(outside); len(files) > 0 {
		t.Errorf("%s is outside", files[0].Name())
	}
}

func TestManyAtOnce(t *testing.T) {
	a, _, dir := setUp(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := a.Do(t.Context(), call(map[string]any{"message": strings.Repeat("x", 5000) + fmt.Sprint(i), "file": "f"})); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 50 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("torn: %.100s", l)
		}
	}
}

func TestRefusedArguments(t *testing.T) {
	a, log, _ := setUp(t)
	many := map[string]any{}
	for i := range 65 {
		many[fmt.Sprint(i)] = i
	}
	for want, args := range map[string]map[string]any{
		"message: is missing": {}, "level: \"loud\"": {"message": "m", "level": "loud"}, "fields: expected a map": {"message": "m", "fields": []any{}},
		"fields: 65": {"message": "m", "fields": many}, "message: expected text": {"message": []any{}},
	} {
		if _, err := a.Do(t.Context(), call(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if log.Len() > 0 {
		t.Error("something was logged")
	}
}

func TestDryRunAndSecrets(t *testing.T) {
	a, log, dir := setUp(t)
	c := call(map[string]any{"message": "token CANARY", "fields": map[string]any{"CANARY": "x", "l": []any{"CANARY"}}, "file": "f"})
	c.Secrets = []string{"CANARY"}
	c.DryRun = true
	res, err := a.Do(t.Context(), c)
	if err != nil || res.Output["would"] != "log at level info: token [redacted]" {
		t.Error(res, err)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 || log.Len() > 0 {
		t.Error("a dry run wrote")
	}
	c.DryRun = false
	if res, err = a.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "f"))
	if text := fmt.Sprint(res, log.String(), string(b)); strings.Contains(text, "CANARY") {
		t.Error(text)
	}
	c.Args["file"] = "gone/CANARY/f"
	if _, err := a.Do(t.Context(), c); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Error(err)
	}
}

func TestLongMessageIsCut(t *testing.T) {
	a, _, _ := setUp(t)
	res, err := a.Do(t.Context(), call(map[string]any{"message": strings.Repeat("é", 1<<20)}))
	if err != nil || len(res.Output["message"].(string)) > 8<<10+10 {
		t.Error(len(res.Output["message"].(string)), err)
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("the zero value is valid")
	}
}

func BenchmarkLog(b *testing.B) {
	a, err := New(DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	c := call(map[string]any{"message": "sw1 Gi0/1 is down", "fields": map[string]any{"site": "a"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Do(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

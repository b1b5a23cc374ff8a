package emit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/action/emit"
)

// intake keeps what it is given.
type intake struct {
	got []event.Event
	err error
}

func (i *intake) Emit(_ context.Context, e event.Event) (event.ID, error) {
	if i.err != nil {
		return "", i.err
	}
	i.got = append(i.got, e)
	return event.ID(fmt.Sprint("new-", len(i.got))), nil
}

func call(args map[string]any) action.Call {
	return action.Call{Run: "r2", Rule: "b", Args: args, Key: "r2.1", Event: &event.Event{
		ID: "e2", Type: "interface_down", Device: "sw1", Interface: "Gi0/1", TraceParent: "00-aa-bb-01",
		Cause: &event.Cause{Run: "r1", Rule: "a", Event: "e1", Rules: []string{"a"}}}}
}

func TestEmit(t *testing.T) {
	var to intake
	a := emit.New(&to)
	res, err := a.Do(t.Context(), call(map[string]any{"type": "device_unreachable", "data": map[string]any{"n": int64(1)}, "time": "2026-01-02T03:04:05Z"}))
	if err != nil {
		t.Fatal(err)
	}
	want := event.Event{SenderID: "r2.1", Source: "signalbox", Type: "device_unreachable", Device: "sw1",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), TraceParent: "00-aa-bb-01", Data: json.RawMessage(`{"n":1}`),
		Cause: &event.Cause{Run: "r2", Rule: "b", Event: "e2", Rules: []string{"a", "b"}}}
	if diff := cmp.Diff([]event.Event{want}, to.got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"id": "new-1", "type": "device_unreachable"}, res.Output); diff != "" {
		t.Error(diff)
	}
	first := call(map[string]any{"type": "x", "device": "", "interface": "e1"})
	first.Event.Cause, first.Replay = nil, true
	if _, err := a.Do(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	got := to.got[1]
	if got.Device != "" || got.Interface != "e1" || !got.Time.IsZero() || got.Data != nil ||
		!cmp.Equal(got.Cause, &event.Cause{Run: "r2", Rule: "b", Event: "e2", Rules: []string{"b"}, Replay: true}) {
		t.Errorf("%+v", got)
	}
	// The cause of the event that set it off stays as it is.
	c := call(map[string]any{"type": "x"})
	c.Event.Cause.Rules = append(make([]string, 0, 8), "a")
	if _, err := a.Do(t.Context(), c); err != nil || c.Event.Cause.Rules[:2][1] != "" {
		t.Errorf("the event was changed: %v", err)
	}
}

// TestChainOfManyEvents: no rule that led to any of the events is forgotten.
func TestChainOfManyEvents(t *testing.T) {
	var to intake
	c := call(map[string]any{"type": "site_outage"})
	c.Events = []*event.Event{
		{ID: "e0", Cause: &event.Cause{Rules: []string{"probe", "a"}, Replay: true}}, {ID: "e1"}, c.Event}
	if _, err := emit.New(&to).Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := &event.Cause{Run: "r2", Rule: "b", Event: "e2", Rules: []string{"a", "probe", "b"}, Replay: true}
	if diff := cmp.Diff(want, to.got[0].Cause); diff != "" {
		t.Error(diff)
	}
}

func TestChainsEnd(t *testing.T) {
	var to intake
	a := emit.New(&to)
	c := call(map[string]any{"type": "x"})
	c.Event.Cause = nil
	for i := range emit.MaxChain + 1 {
		_, err := a.Do(t.Context(), c)
		if i < emit.MaxChain {
			if err != nil {
				t.Fatal(i, err)
			}
			c.Event = &to.got[i]
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "17 rules follow from one another") {
			t.Errorf("error %v", err)
		}
		if _, again := action.IsRecoverable(err); again {
			t.Error("a chain is not cured by another attempt")
		}
	}
}

func TestRefusedArguments(t *testing.T) {
	var to intake
	for want, args := range map[string]map[string]any{
		`type: "" is not`: {}, `type: "Interface Down"`: {"type": "Interface Down"}, `type: "a\nb"`: {"type": "a\nb"},
		`type: "1a"`: {"type": "1a"}, "time:": {"type": "x", "time": "today"}, "data: expected a map": {"type": "x", "data": []any{}},
		"device: 257": {"type": "x", "device": strings.Repeat("d", 257)}, "data: 300012": {"type": "x", "data": map[string]any{"long": strings.Repeat("d", 300_001)}},
		"data: json": {"type": "x", "data": map[string]any{"f": func() {}}}, "type: \"aaaaa": {"type": strings.Repeat("a", 129)},
	} {
		_, err := emit.New(&to).Do(t.Context(), call(args))
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `\\n`, `\n`), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if len(to.got) > 0 {
		t.Error("something was emitted")
	}
}

func TestErrors(t *testing.T) {
	a := emit.New(&intake{err: errors.New("event log unavailable")})
	_, err := a.Do(t.Context(), call(map[string]any{"type": "x"}))
	if _, again := action.IsRecoverable(err); !again {
		t.Errorf("%v should be recoverable", err)
	}
	a = emit.New(&intake{err: fmt.Errorf("intake: %w", &emit.RejectedError{ID: "e9", Reason: "data.n: expected a number"})})
	_, err = a.Do(t.Context(), call(map[string]any{"type": "x"}))
	if _, again := action.IsRecoverable(err); again || err == nil || !strings.Contains(err.Error(), "event e9 was rejected: data.n") {
		t.Errorf("error %v", err)
	}
}

func TestDryRunAndSecrets(t *testing.T) {
	var to intake
	a := emit.New(&to)
	c := call(map[string]any{"type": "x", "device": "CANARY", "data": map[string]any{"CANARY": "CANARY"}})
	c.Secrets, c.DryRun = []string{"CANARY"}, true
	res, err := a.Do(t.Context(), c)
	if err != nil || res.Output["would"] != `emit x of "[redacted]"` || len(to.got) > 0 {
		t.Error(res, err, to.got)
	}
	c.DryRun = false
	if _, err := a.Do(t.Context(), c); err != nil || strings.Contains(fmt.Sprintf("%+v %s", to.got[0], to.got[0].Data), "CANARY") {
		t.Error(err, to.got)
	}
	if !a.Idempotent(nil) || a.Spec().Name != "emit" {
		t.Error("spec")
	}
}

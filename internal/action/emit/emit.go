// Package emit is the action emit: it puts a new event into Signalbox, with its
// cause, so that other rules can react to what a run found or did.
//
// An emitted event says which run it follows from and which rules led there.
// The engine stops chains that reach themselves; here too no chain grows
// beyond MaxChain. An event that is emitted again, since a run was resumed
// after a crash, has the same sender id and is decided once.
package emit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/rule"
)

// MaxChain is how many rules may follow from one another by emitted events.
const MaxChain = 16

// Source is the source of events that rules emit.
const Source = "signalbox"

const (
	maxType = 128       // bytes of a type
	maxName = 256       // bytes of a device or interface
	maxData = 256 << 10 // bytes of data
)

// Emitter takes events into Signalbox: the intake. Emit returns when the event
// is in the log. A *RejectedError says that it failed its schema; any other
// error, that the log could not be written.
type Emitter interface {
	Emit(ctx context.Context, e event.Event) (event.ID, error)
}

// RejectedError says that an event is in the log as rejected, and why.
type RejectedError struct {
	ID     event.ID
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("event %s was rejected: %s", e.ID, e.Reason)
}

// Action is the action emit. It is safe for many goroutines.
type Action struct{ to Emitter }

// New makes the action.
func New(to Emitter) *Action { return &Action{to: to} }

// Spec describes the action.
func (*Action) Spec() rule.ActionSpec {
	return rule.ActionSpec{
		Name: "emit",
		Doc: "Puts a new event into Signalbox, for other rules to react to. It keeps its cause: the run, the rule and the event that it follows from. " +
			"A chain of runs that cause each other is stopped after 8 rules. Emitted again after a crash, it is decided once.",
		Args: []rule.Arg{
			{Name: "type", Type: "string", Required: true, Doc: "event type in snake_case"},
			{Name: "device", Type: "string", Doc: `device that it is about; default the event's, "" for none`},
			{Name: "interface", Type: "string", Doc: "interface that it is about; default none"},
			{Name: "data", Type: "map", Doc: "the event's data, as the type's schema has it"},
			{Name: "time", Type: "string", Doc: "when it happened (RFC 3339); default the time it is taken in"},
		},
		Output: []rule.Arg{
			{Name: "id", Type: "string", Doc: "the new event's id"},
			{Name: "type", Type: "string", Doc: "its type"},
		},
		Idempotent: true,
		Example: `- emit:
    type: device_unreachable
    data: {reason: "no answer to ${ping.sent} pings"}`,
	}
}

// Idempotent is true: the same sender id is decided once.
func (*Action) Idempotent(map[string]any) bool { return true }

// Do emits the event. A dry run emits nothing.
func (a *Action) Do(ctx context.Context, call action.Call) (action.Result, error) {
	redact := action.NewRedactor(call.Secrets...)
	e, err := build(call, redact)
	if err != nil {
		return action.Result{}, redact.Error(fmt.Errorf("emit: %w", err))
	}
	out := map[string]any{"type": e.Type, "id": ""}
	if call.DryRun {
		out["dry_run"], out["would"] = true, fmt.Sprintf("emit %s of %q", e.Type, action.Escape(e.Device, maxName))
		return action.Result{Output: out}, nil
	}
	id, err := a.to.Emit(ctx, e)
	if err != nil {
		err = fmt.Errorf("emit: %s: %w", e.Type, err)
		var rejected *RejectedError
		if errors.As(err, &rejected) {
			return action.Result{}, redact.Error(err)
		}
		return action.Result{}, redact.Error(action.Recoverable(err, 0))
	}
	out["id"] = string(id)
	return action.Result{Output: out}, nil
}

// Event is the event that a call would put in, without its id and the time at
// which it is received: what Do hands to the Emitter.
func Event(call action.Call) (event.Event, error) {
	redact := action.NewRedactor(call.Secrets...)
	e, err := build(call, redact)
	if err != nil {
		return event.Event{}, redact.Error(fmt.Errorf("emit: %w", err))
	}
	return e, nil
}

func build(call action.Call, redact *action.Redactor) (event.Event, error) {
	args := action.ReadArgs(call.Args)
	e := event.Event{
		SenderID: call.Key, Source: Source,
		Type:      args.String("type", ""),
		Interface: args.String("interface", ""),
		Cause:     &event.Cause{Run: call.Run, Rule: call.Rule, Replay: call.Replay},
	}
	if !isType(e.Type) {
		args.Fail("type", "%q is not an event type: expected snake_case such as interface_down, at most %d bytes", action.Escape(e.Type, 100), maxType)
	}
	device := ""
	if by := call.Event; by != nil {
		device = by.Device
		e.TraceParent, e.Cause.Event = by.TraceParent, by.ID
		if by.Cause != nil {
			e.Cause.Rules = slices.Clone(by.Cause.Rules)
			e.Cause.Replay = e.Cause.Replay || by.Cause.Replay
		}
	}
	for _, by := range call.Events {
		chain(e.Cause, by)
	}
	e.Cause.Rules = append(e.Cause.Rules, call.Rule)
	e.Device = args.String("device", device)
	for name, s := range map[string]string{"device": e.Device, "interface": e.Interface} {
		if len(s) > maxName {
			args.Fail(name, "%d bytes are more than %d", len(s), maxName)
		}
	}
	if n := len(e.Cause.Rules); n > MaxChain {
		args.Fail("type", "%d rules follow from one another by emitted events (%s): more than %d, so probably for ever",
			n, action.Escape(strings.Join(e.Cause.Rules, " → "), 500), MaxChain)
	}
	e.Time = readTime(args)
	if data := args.Map("data"); data != nil {
		// An event is in the log for ever; a secret must not be.
		b, err := json.Marshal(redact.Output(data))
		if err != nil {
			args.Fail("data", "%w", err)
		}
		if len(b) > maxData {
			args.Fail("data", "%d bytes are more than %d", len(b), maxData)
		}
		e.Data = b
	}
	e.Device, e.Interface = redact.Text(e.Device), redact.Text(e.Interface)
	return e, args.Err()
}

// chain adds the rules that led to an event. Where a run has many events none
// of their rules may be forgotten, or a chain through one of them would go round
// for ever; so a chain may look longer than it is, and never shorter.
func chain(c *event.Cause, by *event.Event) {
	if by.Cause == nil {
		return
	}
	for _, r := range by.Cause.Rules {
		if !slices.Contains(c.Rules, r) {
			c.Rules = append(c.Rules, r)
		}
	}
	c.Replay = c.Replay || by.Cause.Replay
}

func readTime(args *action.Args) time.Time {
	if t, ok := args.Any("time").(time.Time); ok {
		return t
	}
	s := args.String("time", "")
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		args.Fail("time", "%q is not a time as in 2026-01-02T03:04:05Z (RFC 3339)", action.Escape(s, 60))
	}
	return t
}

// isType says whether s is snake_case.
func isType(s string) bool {
	if s == "" || len(s) > maxType || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

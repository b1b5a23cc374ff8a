// Package handler is for writing handlers in Go: functions of an event, served
// as a process that Signalbox keeps running and hands one event at a time.
//
//	func main() {
//		var mux handler.Mux
//		mux.Handle("interface_down", interfaceDown)
//		mux.Handle("bgp_*", anyBGP)
//		handler.Main(&mux)
//	}
//
// The configuration names the program, and rules name the handler:
//
//	handlers:
//	  campus: {command: [bin/campus-handlers], workers: 4}
//
//	do:
//	  - exec: {handler: campus}
//
// The package uses the standard library and package event only.
package handler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"signalbox/event"
)

// Func handles one event. What it returns, made JSON, is the field json of what
// the step registers in its rule. An error fails the step for good, unless it is
// Recoverable. ctx ends when
// Signalbox ends; a Func that takes longer than its timeout is killed with its
// process.
type Func func(ctx context.Context, e event.Event) (any, error)

// Request is what Signalbox says beside the event.
type Request struct {
	Run     string // the run's id
	Rule    string // the rule's name
	Step    string // the step's path in its rule
	Attempt int    // from 1
	// Key is the same for every attempt of this step of this run, and for no
	// other: pass it on to systems that take an idempotency key.
	Key    string
	Replay bool           // the run is part of a replay
	Device map[string]any // the inventory's record of the device, nil for none
	Args   map[string]any // args of the step
	// Events are those that made up what the rule found, oldest first, where it
	// asks for more than one; the event that the Func gets is the one that set
	// the run off. Empty where there is only that one.
	Events []event.Event
}

type requestKey struct{}

// RequestOf gives the request that a Func was called for.
func RequestOf(ctx context.Context) (Request, bool) {
	r, ok := ctx.Value(requestKey{}).(Request)
	return r, ok
}

// recoverable marks errors that another attempt may cure.
type recoverable struct {
	err   error
	after time.Duration
}

func (e *recoverable) Error() string { return e.err.Error() }
func (e *recoverable) Unwrap() error { return e.err }

// Recoverable marks err as one that another attempt may cure, not before after
// has gone by (0: the rule's backoff alone counts). A nil err stays nil.
func Recoverable(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &recoverable{err: err, after: after}
}

// IsRecoverable says whether err was marked by Recoverable, and with what wait.
func IsRecoverable(err error) (after time.Duration, ok bool) {
	var r *recoverable
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}

// Mux finds the Func for an event by its type. The zero Mux is empty and ready
// for use; it is safe for many goroutines.
type Mux struct {
	mu       sync.RWMutex
	exact    map[string]Func
	prefixes map[string]Func
}

// Handle registers f for a type ("interface_down"), all types with a prefix
// ("bgp_*"), or all ("*"). The most specific one counts: the type itself, then
// the longest prefix. It panics on an empty or malformed pattern, a nil Func
// and a pattern that is taken, since these are mistakes in the program.
func (m *Mux) Handle(pattern string, f Func) {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix, isPrefix := strings.CutSuffix(pattern, "*")
	if pattern == "" || strings.Contains(prefix, "*") {
		panic(fmt.Sprintf("handler: %q is not an event type or a prefix as in bgp_*", pattern))
	}
	if f == nil {
		panic("handler: nil Func for " + pattern)
	}
	in := &m.exact
	if isPrefix {
		in = &m.prefixes
	}
	if _, taken := (*in)[prefix]; taken {
		panic("handler: " + pattern + " registered twice")
	}
	if *in == nil {
		*in = map[string]Func{}
	}
	(*in)[prefix] = f
}

// Find gives the Func for an event type, or nil.
func (m *Mux) Find(eventType string) Func {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if f, ok := m.exact[eventType]; ok {
		return f
	}
	for n := len(eventType); n >= 0; n-- {
		if f, ok := m.prefixes[eventType[:n]]; ok {
			return f
		}
	}
	return nil
}

// Call handles one event: it calls the Func for its type. A panic of the Func
// becomes an error, so that one bad event does not end the process.
func (m *Mux) Call(ctx context.Context, e event.Event) (out any, err error) {
	f := m.Find(e.Type)
	if f == nil {
		return nil, fmt.Errorf("no handler for event type %q", e.Type)
	}
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("panic in the handler of %s: %v", e.Type, p)
		}
	}()
	return f(ctx, e)
}

// Package action is the contract between runs and what they do: an action gets
// its evaluated arguments and the event, does one thing, and says what came of
// it and whether another try could help.
package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/rule"
)

// Action does one kind of thing. All methods are safe for many goroutines.
type Action interface {
	// Spec describes it to the type checker and to people.
	Spec() rule.ActionSpec
	// Do makes one attempt. It obeys ctx, which carries the step's timeout.
	// The result's Output must marshal to JSON. An error is permanent unless
	// it is Recoverable; classify once, here at the edge, and keep the cause.
	Do(ctx context.Context, call Call) (Result, error)
	// Idempotent says whether an attempt with these arguments may be repeated
	// when nobody knows whether the last one took place.
	Idempotent(args map[string]any) bool
}

// Call is one attempt of one step.
type Call struct {
	Run     string
	Step    string
	Attempt int
	Rule    string
	Event   *event.Event   // what set the run off: the last, where there are many
	Events  []*event.Event // those that made up what the rule found, oldest first; empty where it is the one event
	Device  map[string]any
	Args    map[string]any // evaluated; types as the Spec says
	DryRun  bool           // say what would be done, do nothing
	Replay  bool
	// Key is the same for every attempt of this step of this run, and for no
	// other: an idempotency key.
	Key string
	Log *slog.Logger
	// Secrets are the values that secret() gave while Args were evaluated.
	// None of them may appear in an error, a log line or an output: NewRedactor.
	Secrets []string
}

// Result is what a step gives to later ones by register.
type Result struct {
	Output map[string]any
}

// recoverable marks errors that another attempt may cure.
type recoverable struct {
	err   error
	after time.Duration
}

func (e *recoverable) Error() string { return e.err.Error() }
func (e *recoverable) Unwrap() error { return e.err }

// Recoverable marks err as one that another attempt may cure. after is the
// least wait that the peer asked for (Retry-After), 0 for none.
func Recoverable(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &recoverable{err: err, after: after}
}

// IsRecoverable says whether another attempt may cure err, and the least wait
// that the peer asked for.
func IsRecoverable(err error) (after time.Duration, ok bool) {
	var r *recoverable
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}

// Registry holds the actions of this binary by name. It is a value.
type Registry struct{ actions map[string]Action }

// NewRegistry returns a registry of the given actions. Two of one name are a
// mistake of ours, so it panics.
func NewRegistry(actions ...Action) *Registry {
	r := &Registry{actions: map[string]Action{}}
	for _, a := range actions {
		name := a.Spec().Name
		if _, dup := r.actions[name]; dup {
			panic(fmt.Sprintf("action: %s registered twice", name))
		}
		r.actions[name] = a
	}
	return r
}

// Get finds an action.
func (r *Registry) Get(name string) (Action, bool) { a, ok := r.actions[name]; return a, ok }

// Specs describes all actions, by name.
func (r *Registry) Specs() []rule.ActionSpec {
	out := make([]rule.ActionSpec, 0, len(r.actions))
	for _, a := range r.actions {
		out = append(out, a.Spec())
	}
	slices.SortFunc(out, func(a, b rule.ActionSpec) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

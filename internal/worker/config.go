package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Journal appends records to the log. Append blocks while the log is at one of
// its bounds; records of one caller keep their order. done is called once, from
// any goroutine, when the records are durable (with their positions) or will
// never be.
type Journal interface {
	Append(ctx context.Context, subject record.Subject, recs []record.Record, done func([]record.Position, error)) error
}

// Rules finds a compiled rule. It keeps rules of older sets while Versions
// says that runs need them.
type Rules interface {
	Rule(name, version string) (*rule.Rule, bool)
}

// Evaluator evaluates what a rule's author wrote. Nil in Config means the
// methods of package rule.
type Evaluator interface {
	Bool(*rule.Expr, *rule.Scope) (bool, error)
	Value(*rule.Value, *rule.Scope) (any, error)
}

// Archive reads again from the log what memory does not hold. An error that
// wraps ErrUnknownRun, or nothing with no error, says that the log does not have
// it and never will; any other is for now.
type Archive interface {
	// Batch reads one batch.
	Batch(ctx context.Context, seq uint64) (*record.Batch, error)
	// Run reads one run: its decision and its journal, in order. decided is the
	// position of the decision, zero where only the id is known.
	Run(ctx context.Context, id string, decided record.Position) (*History, error)
}

// History is all that the log has of one run.
type History struct {
	Decided  record.Position
	Decision *record.Decision
	Journal  []Entry
}

// Entry is one record of log.journal.
type Entry struct {
	At     record.Position
	Time   time.Time
	Record record.Record
}

// Metrics is told what happens. Its methods are called often, from many
// goroutines, and must not block.
type Metrics interface {
	// RunEnded: sinceReceived is from the event's receipt to the run's end.
	RunEnded(rule string, outcome record.Outcome, sinceReceived time.Duration)
	// EventDone: the last run that an event started has ended.
	EventDone(eventType string, sinceReceived time.Duration)
	StepEnded(action string, ok bool, took time.Duration)
	StepRetried(rule, action string)
	DeadLetter(rule string)
}

// Config sets up a worker. Start from DefaultConfig; Journal, Rules and Actions
// must be set.
type Config struct {
	Journal Journal
	Rules   Rules
	Actions *action.Registry
	// Scope is what expressions see of an event: the event, its device,
	// interface and site. Nil: the event alone.
	Scope     func(*event.Event) *rule.Scope
	Secrets   func(name string) (string, error) // nil: there are none
	Eval      Evaluator                         // nil: package rule's own
	Archive   Archive                           // nil: what memory does not hold cannot be shown or put back
	Metrics   Metrics                           // nil: nobody is told
	Log       *slog.Logger                      // nil: slog.Default
	Now       func() time.Time                  // nil: time.Now
	KindLimit map[string]int                    // attempts under way at once, by action; others: PerKind

	Pending     int           // open runs in memory; Apply blocks above
	Slow        time.Duration // what queues on one device for longer gives way when memory is full: only its name is kept
	Far         int           // runs in memory by name only, less than 300 bytes each; Apply blocks above
	Near        int           // most of them that are read again at once for one device
	Concurrent  int           // attempts under way at once, of all actions
	PerKind     int           // and of one action, where KindLimit says nothing
	Recent      int           // ended runs kept for listing
	DeadDetails int           // dead letters and runs in doubt kept whole
	DeadIndex   int           // and kept by id and reason; older ones are found by id only
	OutputBytes int           // largest output of a step that is journalled
	LoopItems   int           // most elements of one loop
	Interrupted int           // attempts in a row that a crash may cut off before the step has failed
	AlwaysTime  time.Duration // for "always" steps once the rule's time is up
}

// DefaultConfig has the bounds that suit one machine.
func DefaultConfig() Config {
	return Config{
		Pending: 10_000, Slow: 10 * time.Second, Far: 1_000_000, Near: 64, Concurrent: 1024, PerKind: 1024, Recent: 1000,
		DeadDetails: 1000, DeadIndex: 100_000,
		OutputBytes: 256 << 10, LoopItems: 1000, Interrupted: 5,
		AlwaysTime: time.Minute,
	}
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	if c.Journal == nil || c.Rules == nil || c.Actions == nil {
		errs = append(errs, errors.New("worker: journal, rules and actions must be set"))
	}
	for _, b := range []struct {
		name string
		n    int
	}{
		{"pending", c.Pending}, {"near", c.Near}, {"far", c.Far}, {"concurrent", c.Concurrent}, {"per_kind", c.PerKind},
		{"recent", c.Recent}, {"dead_details", c.DeadDetails}, {"dead_index", c.DeadIndex},
		{"output_bytes", c.OutputBytes}, {"loop_items", c.LoopItems}, {"interrupted", c.Interrupted},
	} {
		if b.n < 1 {
			errs = append(errs, fmt.Errorf("worker: %s is %d, it must be at least 1", b.name, b.n))
		}
	}
	for name, n := range c.KindLimit {
		if n < 1 {
			errs = append(errs, fmt.Errorf("worker: limit of action %s is %d, it must be at least 1", name, n))
		}
	}
	return errors.Join(errs...)
}

type noMetrics struct{}

func (noMetrics) RunEnded(string, record.Outcome, time.Duration) {}
func (noMetrics) EventDone(string, time.Duration)                {}
func (noMetrics) StepEnded(string, bool, time.Duration)          {}
func (noMetrics) StepRetried(string, string)                     {}
func (noMetrics) DeadLetter(string)                              {}

// compiled evaluates with the methods of package rule.
type compiled struct{}

func (compiled) Bool(e *rule.Expr, s *rule.Scope) (bool, error) {
	b, ok := any(e).(interface {
		Bool(*rule.Scope) (bool, error)
	})
	if !ok {
		return false, errors.New("worker: conditions cannot be evaluated in this binary")
	}
	return b.Bool(s)
}

func (compiled) Value(v *rule.Value, s *rule.Scope) (any, error) {
	e, ok := any(v).(interface {
		Eval(*rule.Scope) (any, error)
	})
	if !ok {
		return nil, errors.New("worker: values cannot be evaluated in this binary")
	}
	return e.Eval(s)
}

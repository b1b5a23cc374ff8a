// Package ruletest runs the tests that rules carry: events at made-up times go
// through the same engine that decides live, and what it decides is compared
// with what the test expects.
//
// It is pure. Time is what a test says, nothing is done (the steps of a run are
// walked with the outputs that the test gives), and the same test gives the
// same verdict on every machine, in microseconds.
package ruletest

import (
	"time"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/rule"
)

// DefaultStart is when tests begin that do not say: a Thursday, midnight UTC.
var DefaultStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Bounds of one test.
const (
	maxEvents = 100_000 // with their repetitions
	maxTimes  = 100_000 // of one expectation
)

// Test is one test as its author wrote it.
type Test struct {
	Name string
	Pos  rule.Pos
	Rule string // the rule that it stands in; "" for a file's

	// Rules are the rules under test beside those that Expect and Never name:
	// a run of one of them that was not expected fails the test. Exact puts all
	// rules under test.
	Rules []Name
	Exact bool

	Start     time.Time      // log time of offset 0
	Until     *time.Duration // nil: to the end of all windows
	Events    []Event
	Outputs   Outputs
	Expect    []Expectation
	Never     []Name
	Unmatched *Number // events that no rule takes
}

// Name is the name of a rule, and where it stands.
type Name struct {
	Pos  rule.Pos
	Text string
}

// Number is a number that a test expects.
type Number struct {
	Pos rule.Pos
	N   int
}

// Event is one thing that happens in a test, or a series of it.
type Event struct {
	Pos   rule.Pos
	At    time.Duration // since Start
	Times int           // 1: once
	Every time.Duration
	// Clock is the device's own time of a typed event, since Start; nil where
	// the event has none, or an absolute one.
	Clock *time.Duration

	// Exactly one of these is set.
	Typed   *event.Event
	Message *normalize.Input
	Command *Command
}

// Command is what a person says about a situation.
type Command struct {
	Verb string // "acknowledge", "resolve"
	Rule string
	Key  string // "": the one situation of the rule
	By   string
}

// Outputs are what the steps of a run give back: by register, step path, step
// name or action. Of several, the last is given again and again.
type Outputs map[string][]Output

// Output is what one attempt of a step gives back.
type Output struct {
	Fields map[string]any
	Error  string // the step fails with this
}

// Expectation is one thing that a test wants to see.
type Expectation struct {
	Pos   rule.Pos
	Kind  string // "run", "situation", "event", or the outcome of a note
	Rule  string
	Times int

	// Of the happening; nil where the test does not say.
	At        *time.Duration
	Device    *string
	Interface *string
	Key       *string
	Events    *int
	Branch    *string
	Situation *string // the change: "opened", "updated", "acknowledged", "resolved"
	Verdict   string  // Kind "event"

	// Of a run's steps.
	Steps    []StepWant
	HasSteps bool
	Ends     *string // "succeeded", "failed"
	Outputs  Outputs
}

// StepWant is one step that a run must do: its action, name or path, and
// arguments that it must have among others.
type StepWant struct {
	Pos  rule.Pos
	What string
	Args map[string]any
}

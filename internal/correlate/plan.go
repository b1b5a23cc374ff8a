// Package correlate makes one finding out of many events.
//
// It holds the state machines of rules that ask for more than one event:
// count, flap, sequence, all, any, unless, silent and threshold, and what
// stands before and after them in a rule's pipe: dampening, what is suppressed
// behind a device that is down, held events, groups and situations. It is
// pure: no clock, no I/O, no goroutine, no randomness, and nothing depends on
// the order of a map. Time is what the caller says; timers fire when the caller
// comes to them.
//
// # How it fits together
//
// The engine walks the pipe of a rule; this package is what stands in it:
//
//	on, when, dedup ─ Gate (dampen, upstream) ─ Buffer (event time) ─ Machine (the form) ─ Group ─ Situations ─ run
//
// All of them keep their state by key in a table (table.go: bounded, in order of
// use, with a time at which a key means nothing any more), keep events as Kept
// (kept.go: small, shared), set timers in the one queue of their lane
// (timers.go) and write themselves into snapshots (state.go).
//
// # How a machine is added
//
//  1. A file of its own, named after the form, with a type that embeds
//     table[yourState]: that gives it Keys and Expire. count.go is the shortest
//     example, unless.go the one with a timer.
//  2. Take is called with the inputs of one key. Use t.use(env, &ins[0]) to find or
//     make the key's slot; !ok is Full. Set slot.until to the time at which its
//     state means nothing (the table drops it then: no timer is needed only to
//     forget). Keep the event by it.Keep(). Answer Joined, Found (after
//     env.Found), Absorbed, Full or Passed; see Env.Free for rules that hold others.
//  3. Time is env.Now, in ns; windows are half open: an event at t is in a window
//     that began at s only while t-s < Within. Plan fields are read from env.Plan
//     on every call and never stored: a rule may change in what is not its
//     meaning.
//  4. A timer is slot.arm(env, n, due); Fire gets the slot's number back, with
//     env.Now = due. It is not set any more then. Dropping a slot drops its timer.
//  5. env.Found hands a finding on, with the keys of what comes after the form:
//     those of the input where it is complete with one (finding(env, in)), or the
//     ones that the slot remembers (slot.ends) in Fire.
//  6. Save and Load write and read all of it: t.save and t.load with a function
//     for the state.
//  7. A line in NewMachine.
package correlate

import "time"

// Form is how a rule's events make one finding.
type Form uint8

// The forms, by the key that a rule writes.
const (
	Single    Form = iota // each event for itself
	Count                 // AtLeast events, or distinct values, within Within
	Flap                  // Changes changes of state of one key within Within
	Sequence              // Parts in their order within Within
	All                   // Parts in any order within Within
	Any                   // one of Parts
	Unless                // part 0, and no part 1 within Within after it
	Silent                // no event of a key for Within after the last
	Threshold             // a number over its limit for Within
)

// Plan is what a rule does with its events between its condition and its steps.
// It is made when rules are loaded and never changes.
type Plan struct {
	Form     Form
	Tumbling bool // windows stand side by side, in log time since 1970; otherwise they slide
	Distinct bool // Count: of values (Input.Value), not of events
	// EventTime says that the form goes by the events' own time, Lateness
	// behind the log's: an event is taken at its own time once the log is that
	// far; one that is later than that is not taken, and a note says so.
	EventTime bool
	// MaxKeys bounds the keys of each of the stages; Refuse says what happens
	// to one more: it is not taken (a note says so); otherwise the key that
	// was idle longest is forgotten.
	Refuse  bool
	MaxKeys int
	Within  time.Duration // of Threshold: for how long; 0 is at once

	Holds []string // rules whose runs wait until it is clear that their event is no part of a finding
	Group *Group
	// Situation gives what was found an id and a state.
	Situation *Situation
	Dampen    *Dampen
	Upstream  *Upstream

	AtLeast   int    // Count
	Changes   int    // Flap
	Parts     []Part // Sequence, All, Any, Unless
	Limit     Limit  // Threshold
	Lateness  time.Duration
	Signature string // names the meaning of the form's state: while it stays the same, the state is kept
}

func (p *Plan) maxKeys() int {
	if p.MaxKeys > 0 {
		return p.MaxKeys
	}
	return DefaultMaxKeys
}

// DefaultMaxKeys is Plan.MaxKeys where a rule does not say.
const DefaultMaxKeys = 100_000

// MaxKept bounds the events that one finding carries: the oldest and the newest
// half of it are kept, and how many there were is counted.
const MaxKept = 100

// Part is one event of Sequence, All, Any and Unless.
type Part struct {
	As string // the name that steps know it by; "" for none
	// Bound says that its condition reads other parts: it is asked again
	// with them (Asker.Binds).
	Bound bool
}

// Limit is what Threshold compares a number with. Exactly one of Above and
// Below is set. Once a key is over it, it stays so until its number passes
// Clear; then the next time is a finding again.
type Limit struct {
	Above, Below *float64
	Clear        *float64 // nil: the limit itself
	// Rate takes the change per second since the event before instead of the
	// number. Counter says that the number is a counter that only grows, so a
	// smaller one is a wrap at 32 or 64 bits, or a reset: a step of more than
	// half of its range is one, and gives no rate.
	Rate    bool
	Counter bool
}

// Dampen is RFC 2439: every event adds Penalty; above Suppress the key is
// suppressed until its penalty, which halves in HalfLife, has fallen below
// Reuse, or for Max at most.
type Dampen struct {
	HalfLife, Max   time.Duration
	Penalty         int // what one event adds; 1000 by default
	Suppress, Reuse int
	Signature       string
}

// Upstream suppresses an event of what can be reached only through a device or
// link that is known to be down. Wait is how long an event waits for such news,
// which may come after it.
type Upstream struct {
	Wait      time.Duration
	Signature string
}

// Group makes one run of many findings: the first waits for Wait, what comes
// after a run waits for Interval, and what is still there and not cleared is
// told again after Repeat (0: never).
type Group struct {
	Wait, Interval, Repeat time.Duration
	Clears                 bool // there are events that clear its members (PartClear)
	Signature              string
}

// Situation keeps what was found under a key until it is resolved: by an event
// (a part of its own, ResolvedPart), or by a person.
type Situation struct {
	Updated, Resolved bool // whether there are steps for these changes
	Signature         string
}

// Roles that an event can have beside being a part (a number from 0).
const (
	// PartResolve is an event that resolves a situation.
	PartResolve = -1
	// PartClear is an event that clears an earlier one of a group or of a
	// held or suppressed state (x-clears of its type).
	PartClear = -2
)

// Input is what one event is to one plan. A rule may give several for one
// event, for as many parts as it can be.
type Input struct {
	Part   int
	Key    string  // the values of by, written so that two different ones differ; also shown (see KeyText)
	Value  string  // Count: the distinct value; Flap: the state
	Number float64 // Threshold

	DampenKey    string
	GroupKey     string
	SituationKey string
}

package engine

import (
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// Rules is what the engine asks of a rule set. It must be pure.
type Rules interface {
	// Version names the set: the bundle's hash.
	Version() string
	// Match gives the rules that ev sets off, in the order of the files. The
	// engine is done with the slice before it asks again, and may change it. A
	// rule to which ev would only end what waits does not come where waits says
	// that nothing does; nil says that anything may wait.
	Match(ev *event.Event, waits Waits) []Match
	// GlobalKey is the key of ev in the global dedup window, as if its type
	// were eventType; ok is false where there is no such window.
	GlobalKey(ev *event.Event, eventType string) (key Key, ok bool)
	// Clears are the types whose window an event of the given type ends.
	Clears(eventType string) []string
	Windows() Windows
	// Keeps says whether a window of a rule's own still has an owner of the
	// same meaning.
	Keeps(rule, signature string) bool

	// Limits are what bounds the runs of a rule, and with "" those of all rules
	// together. The list must not be changed.
	Limits(rule string) []correlate.RunLimit
	// LimitKey is the key under which the n-th of them counts a run for ev, and
	// how many there may be. The error is for a key that has no value: the run
	// is not started then.
	LimitKey(rule string, n int, ev *event.Event) (key string, most int, err error)

	// Planned lists the rules that have a plan, in the order of the files.
	Planned() []string
	// About is what Match says of a rule whatever the event: Rule, Index,
	// Version, Shadow, Lock and Plan. ok is false where there is no such rule, or it is
	// off.
	About(rule string) (m Match, ok bool)
	// Plan gives the plan of a rule, nil where it has none.
	Plan(rule string) *correlate.Plan
	// Binds says whether ev can be the given part of a finding in which the
	// other parts are taken by bound (nil where a part is free). It is asked
	// for parts that are Bound only. The error is for a condition without an
	// answer; ev is not taken then.
	Binds(rule string, part int, ev *event.Event, bound []*event.Event) (bool, error)
	// InventoryVersion names the inventory: where two sets give the same text,
	// they have the same. "" is for one that nobody can name.
	InventoryVersion() string
	// Topology is how the devices are joined; nil where nobody says.
	Topology() *correlate.Topology
	// Effect is what an event of a type says about the topology, "" for
	// nothing.
	Effect(eventType string) correlate.Effect
}

// Waits says what is waited for.
type Waits interface {
	// Waits says whether an event that is a part of the rule (by Match.Index)
	// can have any effect now. It is asked of the parts that only end what began
	// before: correlate.PartResolve, PartClear, and part 1 of Unless.
	Waits(rule, part int) bool
	// Wide lists the rules, by Match.Index and in that order, that wait since
	// before the inventory changed: what they wait for may not be told any more
	// from what it says of the event.
	Wide() []int
}

// Windows are the lengths of the windows that no rule owns.
type Windows struct {
	Global     time.Duration
	Redelivery time.Duration
}

// Match is one rule that an event set off.
type Match struct {
	Rule    string
	Index   int    // the rule's place in the set
	Version string // of the rule
	Shadow  bool   // decide and record, start nothing
	Lock    bool   // the run waits for its device's turn
	Err     string // the condition could not be evaluated; the rule is passed over

	// The rule's own window; Within 0 for none. Signature names the meaning of
	// the window: while it stays the same, so does what the window remembers.
	Key       Key
	Within    time.Duration
	Signature string

	// Of rules that ask for more than one event, or that hold, group, dampen
	// or suppress: the plan, and what the event is to it.
	Plan   *correlate.Plan
	Inputs []correlate.Input
}

// Stretch is what was decided about a stretch of log.events: all events after
// From up to and including Through. Where From and Through are the same it is
// the beginning of what was decided about what follows, which was too much for
// one: many timers may fire at one record.
type Stretch struct {
	From, Through record.Position
	RulesVersion  string
	Events        uint64
	Unmatched     uint64
	Records       []record.Record
	// Size is about how many bytes Records take in the log.
	Size int
	// Resets tells, for people, what was forgotten because rules that came
	// into force in this stretch mean another thing than before.
	Resets []string
}

// RuleKeys counts the keys that a rule keeps for more than one event, those
// that were forgotten early because there were too many, and those that were
// not taken.
type RuleKeys struct {
	Rule             string
	Held             int
	Evicted, Refused uint64
}

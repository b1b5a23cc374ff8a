// Package record defines what is written in the log: the kinds of records, the
// batches that carry them, and their coding as bytes. It is pure: bytes in,
// values out.
//
// The coding is Protocol Buffers, published in record.proto; a golden file of
// every version stays readable for ever.
package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
)

// Position is a place in the log: the stream sequence of a batch and the
// record's index in it. Positions are ordered; the zero Position is before
// everything.
type Position struct {
	Seq   uint64
	Index uint32
}

// Less says whether p comes before q.
func (p Position) Less(q Position) bool {
	return p.Seq < q.Seq || p.Seq == q.Seq && p.Index < q.Index
}

// IsZero says whether p is the place before everything.
func (p Position) IsZero() bool { return p == Position{} }

// String writes a position as seq/index, the form that the CLI takes.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Seq, p.Index) }

// ParsePosition reads what String writes.
func ParsePosition(s string) (Position, error) {
	seq, index, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(seq, 10, 64)
	i, err2 := strconv.ParseUint(index, 10, 32)
	if !ok || err != nil || err2 != nil {
		return Position{}, fmt.Errorf("%q is no position; one looks like 42/0", s)
	}
	return Position{Seq: n, Index: uint32(i)}, nil
}

// Subject is the part of the log that a batch belongs to.
type Subject string

const (
	Events    Subject = "log.events"    // what came in and what was commanded
	Decisions Subject = "log.decisions" // what was decided
	Journal   Subject = "log.journal"   // what was done
)

// Kind says which field of a Record is set. The numbers are on disk: never
// change one, never use one again.
type Kind uint8

const (
	KindEvent     Kind = 1 // log.events: an event that passed its schema
	KindRejected  Kind = 2 // log.events: one that did not, with the reason
	KindTick      Kind = 3 // log.events: time has come, says the active engine
	KindRules     Kind = 4 // log.events: part of a rule set; it holds from its last part on
	KindCommand   Kind = 5 // log.events: what a person or the API asked for
	KindRetention Kind = 6 // log.events: what left the log

	KindDecision Kind = 16 // log.decisions: what was decided about one event or command

	KindStepBegin Kind = 32 // log.journal: an attempt of a step is about to be made
	KindStepEnd   Kind = 33 // log.journal: what came of it
	KindRunEnd    Kind = 34 // log.journal: the run is over, or stopped for a person
)

// Subject is the part of the log that records of a kind belong to.
func (k Kind) Subject() Subject {
	switch {
	case k < KindDecision:
		return Events
	case k < KindStepBegin:
		return Decisions
	}
	return Journal
}

// Record is one entry of the log: Kind, and the field of that kind.
type Record struct {
	Kind      Kind
	Event     *event.Event // KindEvent
	Rejected  *Rejected
	Rules     *Rules
	Command   *Command
	Retention *Retention
	Decision  *Decision
	Begin     *StepBegin
	End       *StepEnd
	RunEnd    *RunEnd
}

// RunID names the run that a record of the journal is about; "" for others.
func (r *Record) RunID() string {
	switch {
	case r.Begin != nil:
		return r.Begin.Run
	case r.End != nil:
		return r.End.Run
	case r.RunEnd != nil:
		return r.RunEnd.Run
	}
	return ""
}

// Rejected is an event that failed its schema or could not be understood.
type Rejected struct {
	Event  event.Event // as far as it was understood; Raw is whole
	Reason string      // names the field and what was expected
}

// Rules carries a part of a bundle: rules, inventory, dedup settings and event
// types, all that decisions depend on. The bundle is the concatenation of Data
// of all its parts (zstd of a deterministic archive, see package rule). It
// holds from the record of its last part on.
type Rules struct {
	Version string // hex of the bundle's SHA-256, 16 digits
	Part    uint32 // from 0
	Parts   uint32
	Data    []byte
}

// Command is what a person asked for through the API.
type Command struct {
	ID   string // UUIDv7
	Verb string // "requeue", "discard", "replay", "acknowledge", "resolve"
	Run  string // requeue, discard: the run; acknowledge, resolve: the situation
	By   string // who asked
	Note string // why

	// replay: the event to decide again, its position, and whether runs may
	// have effects.
	Event    *event.Event
	Original Position
	DryRun   bool
	// End closes a replay: it comes last, without an event. What is due by then
	// comes of the replay, and what would be later does not.
	End time.Time
}

// Retention tells what left the log by age or size.
type Retention struct {
	FirstSeq, LastSeq uint64
	Records           uint64 // 0 where it cannot be known any more
	FirstTime         time.Time
	LastTime          time.Time
	Reason            string // "age", "size"
}

// Verdict is the one outcome that every logged event has.
type Verdict uint8

const (
	Decided    Verdict = 1 // at least one rule took it
	Duplicate  Verdict = 2 // repeats Decision.Of, within a dedup window
	Suppressed Verdict = 3 // a rule matched and held it back; Decision.Reason says why
	Unmatched  Verdict = 4 // no rule matched; written only where there is something to say
)

// Decision is what the engine decided about one record of log.events. Events
// that matched no rule have none: they are the rest of the stretch.
type Decision struct {
	At      Position // what it decides about
	Verdict Verdict
	Event   *event.Event // copied where there are Runs, so that a worker needs nothing else
	Of      event.ID     // Duplicate: the event that it repeats
	Reason  string       // for people
	Runs    []RunStart
	// Notes are decisions that start nothing: a rule's own dedup, shadow
	// rules, chains that were stopped.
	Notes   []RuleNote
	Command *Command // a command passed on to the workers, in order
	Replay  bool     // the runs belong to a replay
	DryRun  bool     // the runs must have no effect

	// Due is set where time made the decision and not the event at At, which
	// only came after it: a window that ended, an absence, a group. It is no
	// event's outcome.
	Due time.Time
	// Situations are what became of situations.
	Situations []SituationChange
}

// RunStart orders one run of one rule.
type RunStart struct {
	Run         string // derived from rule, rule version and trigger: the same for ever
	Rule        string
	RuleVersion string
	Device      string // whose turn it waits for; "" for none
	Partition   uint32

	// Of rules that ask for more than one event: the events that made up what
	// was found, oldest first (without their raw bytes; at most
	// correlate.MaxKept), with the name that steps know each by ("" for none),
	// how many there were in all, and the key that they share, for people.
	// Otherwise all are empty, and Decision.Event is the one event.
	Events []*event.Event
	As     []string
	Total  uint32
	Key    string

	// Branch says which steps of the rule run: "" is do, "updated" and
	// "resolved" are those of its situation.
	Branch    string
	Situation string // id of the situation that the run belongs to
}

// SituationChange is one step in the life of a situation.
type SituationChange struct {
	ID     string // derived from rule, key and what opened it: the same for ever
	Rule   string
	Key    string // for people
	Change string // "opened", "updated", "acknowledged", "resolved"
	State  string // after it: "open", "acknowledged", "resolved"
	Event  event.ID
	Run    string // what it started; "" for nothing
	By     string // acknowledged, resolved by a person: who
	Note   string
	// Count is how many events belong to the situation so far.
	Count uint32
}

// RuleNote says what a rule did other than start a run.
type RuleNote struct {
	Rule string
	// Outcome is "duplicate", "shadow", "loop" or "error"; of rules that ask
	// for more than one event "joined" (it counts towards a finding), "held",
	// "released", "absorbed" (held until it was part of a finding), "dampened",
	// "upstream", "grouped", "late", "limited" or "full".
	Outcome string
	Detail  string
	Of      event.ID
	Key     string // of rules that ask for more than one event, for people
}

// StepBegin is in the log before the attempt is made. The first of a run may be
// in the batch that orders the run, behind its decisions.
type StepBegin struct {
	Run     string
	Step    string // path of the step in its rule: "1", "2.parallel.0"
	Attempt uint32 // from 1
	Action  string
	// Idempotent says that the attempt may be repeated when its end is not
	// known.
	Idempotent bool
}

// StepEnd is in the log after the attempt.
type StepEnd struct {
	Run         string
	Step        string
	Attempt     uint32
	OK          bool
	Skipped     bool   // its condition was false; there is no StepBegin
	Output      []byte // JSON, what register gives to later steps
	Error       string
	Recoverable bool
	Took        time.Duration
	// RetryAt is when the next attempt is due; zero for none.
	RetryAt time.Time
}

// Outcome of a run.
type Outcome uint8

const (
	Succeeded Outcome = 1
	Failed    Outcome = 2 // dead letter: listed until requeued or discarded
	InDoubt   Outcome = 3 // a step was under way and may not be repeated: a person must say
	Discarded Outcome = 4 // a person gave it up
	Refused   Outcome = 5 // safety said no
	Requeued  Outcome = 6 // open again by a command
)

// RunEnd closes a run, or leaves it to a person.
type RunEnd struct {
	Run     string
	Outcome Outcome
	Error   string
	By      string // Discarded, Requeued: who
}

// Batch is what one message of the log holds. While it is being written Seq and
// Time are zero.
type Batch struct {
	Seq  uint64    // JetStream's stream sequence
	Time time.Time // log time: stamped by JetStream, one clock whoever sent it
	// Subject is the JetStream subject of the message. What waits is written
	// together, so a batch may carry records of other subjects too: of its
	// subjects this is log.decisions before log.journal before log.events. See
	// Holds, and Kind.Subject for one record.
	Subject Subject

	// The chain: batches of one writer are numbered from 1, and each carries
	// the hash of the one before.
	Writer string
	Number uint64
	Prev   [32]byte // SHA-256 of the batch before, zero for number 1

	// Decisions only: the stretch of log.events that this batch decides is
	// everything after From up to and including Through.
	From, Through Position
	RulesVersion  string
	// Of the stretch: how many events it had and how many of them no rule
	// matched.
	EventCount, UnmatchedCount uint64

	Records []Record
}

// Holds says whether the batch has something of a subject in it: for
// log.decisions a stretch that was decided, even where it has no records.
func (b *Batch) Holds(s Subject) bool {
	if b.Subject == s {
		return true
	}
	if s == Decisions {
		return false // whatever has decisions is of their subject
	}
	for i := range b.Records {
		if b.Records[i].Kind.Subject() == s {
			return true
		}
	}
	return false
}

// At is the position of the i-th record.
func (b *Batch) At(i int) Position { return Position{Seq: b.Seq, Index: uint32(i)} }

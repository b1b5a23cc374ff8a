package correlate

import (
	"bytes"
	"math"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
)

// Outcome is what a machine made of an input.
type Outcome uint8

// The outcomes of an input.
const (
	Passed   Outcome = iota // nothing: the input is none that it waits for
	Joined                  // it counts towards a finding
	Found                   // with it there is a finding (Env.Found)
	Absorbed                // it belongs to what was found before and goes on
	Full                    // it is not taken: there are too many keys
)

// Machine is the state of the form of one rule. It serves one goroutine.
type Machine interface {
	// Take gives it an event as the rule's inputs of one key, at least one, all
	// with Part >= 0: one for each part that it can be.
	Take(env *Env, ins []Input, it *Item) Outcome
	Stage
}

// Stage is what all that keeps state has in common.
type Stage interface {
	// Fire is called when a timer of the stage is due, with the arg that it
	// was set with.
	Fire(env *Env, arg uint32)
	// Expire forgets a few keys whose time is over.
	Expire(env *Env)
	Keys() Keys
	Save(w *StateWriter)
	// Load reads what Save wrote, into a new one.
	Load(r *StateReader)
}

// Keys counts the keys of a stage.
type Keys struct {
	Held             int
	Evicted, Refused uint64
}

// NewMachine makes the machine of a form. It is nil for Single.
func NewMachine(f Form) Machine {
	switch f {
	case Count:
		return newCount()
	case Flap:
		return newFlap()
	case Unless:
		return newUnless()
	case Silent:
		return newSilent()
	case Sequence:
		return newSequence()
	case All:
		return newAll()
	case Any:
		return newAny()
	case Threshold:
		return newThreshold()
	}
	return nil
}

// Asker is what machines ask of the rules: engine.Rules.
type Asker interface {
	Binds(rule string, part int, ev *event.Event, bound []*event.Event) (bool, error)
	Plan(rule string) *Plan
	Effect(eventType string) Effect
}

// Env is what is around a stage while it is called. It is good for that call
// only.
type Env struct {
	Now    int64 // the stage's time, ns since 1970: of the log, or of the events where the plan says so
	Rule   string
	Plan   *Plan
	Rules  Asker
	Timers *Timers

	// Owner is whose timers are set, Shift how much later than the stage's own
	// time they fire.
	Owner uint32
	Shift int64

	// At is the record that brought the time, Due when a timer that fires now
	// was due (zero in the course of a record's own event): what a run or a
	// situation is named by.
	At  record.Position
	Due time.Time

	Network    Network    // nil: no topology
	Situations Situations // nil: none

	// Free is for machines of rules that hold others (Plan.Holds): when time
	// makes it clear that an event that Take answers with Joined is no part of
	// a finding. The engine sets it to Now+Within before Take; Never says that
	// the machine will tell, by a finding or by Release.
	Free     int64
	Released []uint64

	// What the stage hands on, for the engine to take.
	Findings []Finding
	Resumed  []Passage
	Notes    []Note
	Stories  []Story
}

// Never is a time that does not come.
const Never = math.MaxInt64

// Release tells that an event that was taken can be no part of a finding any
// more, before Free. It may be told of events that nobody holds.
func (e *Env) Release(number uint64) { e.Released = append(e.Released, number) }

// Note is what a stage says about an event beside the outcome.
type Note struct {
	Outcome, Detail string
	Of              event.ID
	Key             string
}

// Note says something: see record.RuleNote for the outcomes.
func (e *Env) Note(n Note) { e.Notes = append(e.Notes, n) }

// SetTimer sets a timer of the stage, a new one where *t is 0, to a time of
// the stage's own.
func (e *Env) SetTimer(t *Timer, arg uint32, due int64) {
	e.Timers.set(t, e.Owner, arg, due+e.Shift, e.Timers.next())
}

// SetTimerLast is SetTimer for what must come after all else of its time: an
// event that waits for its own time comes after the timers of that time, as the
// events of the log do.
func (e *Env) SetTimerLast(t *Timer, arg uint32, due int64) {
	e.Timers.set(t, e.Owner, arg, due+e.Shift, e.Timers.next()|afterTimers)
}

// Binds asks whether the event may be a part beside others. Where the condition
// has no answer a note says so.
func (e *Env) Binds(part int, ev *event.Event, bound []*event.Event) bool {
	ok, err := e.Rules.Binds(e.Rule, part, ev, bound)
	if err != nil {
		e.Note(Note{Outcome: "error", Detail: err.Error()})
		return false
	}
	return ok
}

// Found hands a finding on.
func (e *Env) Found(f Finding) { e.Findings = append(e.Findings, f) }

// Finding is what a form found, or a group of such.
type Finding struct {
	Key   string // as in Input; KeyText for people
	Event Kept   // the one that steps know as event
	// Events are what it is made of, oldest first, at most MaxKept, and As the
	// names that steps know each by: nil, or one for each. Total is how many
	// events there were.
	Events []Kept
	As     []string
	Total  int
	// Numbers are events that it uses up beside Events, for rules that hold
	// others (Plan.Holds).
	Numbers []uint64
	Ends    Ends
}

// finding is a finding that is complete with this input.
func finding(in *Input, it *Item) Finding {
	return Finding{Key: in.Key, Event: it.Keep(), Ends: Ends{in.GroupKey, in.SituationKey}}
}

// ends gives the keys that the slot remembers.
func endsOf(e *Ends) Ends {
	if e == nil {
		return Ends{}
	}
	return *e
}

// Passage is an event on its way through the pipe of one rule. One that is kept
// beyond a call needs Item.Keep and OwnInputs.
type Passage struct {
	Item   Item
	Inputs []Input
}

// OwnInputs is a copy of inputs that may be kept.
func OwnInputs(list []Input) []Input {
	out := make([]Input, len(list))
	for i, in := range list {
		in.Key, in.Value, in.DampenKey = strings.Clone(in.Key), strings.Clone(in.Value), strings.Clone(in.DampenKey)
		in.GroupKey, in.SituationKey = strings.Clone(in.GroupKey), strings.Clone(in.SituationKey)
		out[i] = in
	}
	return out
}

// Tell hands on what became of a situation, from a stage other than
// Situations, or from its Fire.
func (e *Env) Tell(s Story) { e.Stories = append(e.Stories, s) }

// Resume lets an event go on that a gate has held: it goes to what comes after
// the gate.
func (e *Env) Resume(p Passage) { e.Resumed = append(e.Resumed, p) }

// KeyText is a key as people read it: its values with spaces between.
func KeyText(key string) string {
	if strings.IndexByte(key, '\x1f') < 0 && strings.IndexByte(key, '\\') < 0 {
		return key
	}
	return string(AppendKeyText(make([]byte, 0, len(key)), key))
}

// AppendKeyText appends what KeyText gives, which is not longer than key.
func AppendKeyText(b []byte, key string) []byte {
	if strings.IndexByte(key, '\\') < 0 {
		from := len(b)
		b = append(b, key...)
		for rest := b[from:]; ; {
			i := bytes.IndexByte(rest, '\x1f')
			if i < 0 {
				return b
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '\\' && i+1 < len(key):
			i++
			b = append(b, key[i])
		case c == '\x1f':
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return b
}

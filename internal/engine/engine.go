// Package engine decides what should happen.
//
// It is a pure state machine. Batches of the log go in through Step, decisions
// come out, and nothing else happens: no goroutine, no file, no clock. The time
// is the log time of the batch. This makes replay exact: the same log gives the
// same decisions, byte for byte, so an old decision can be explained by giving
// a new Engine the old records.
package engine

import (
	"fmt"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
	"signalbox/internal/run"
)

// MaxDepth is how long a chain of runs that cause each other may become before
// it is stopped.
const MaxDepth = 8

// MaxKeys bounds what one window remembers. It is a constant because it is a
// part of what is decided.
const MaxKeys = 1_000_000

// Rules is what the engine asks of a rule set. It must be pure.
type Rules interface {
	// Version names the set: the bundle's hash.
	Version() string
	// Match gives the rules that ev sets off, in the order of the files.
	Match(ev *event.Event) []Match
	// GlobalKey is the key of ev in the global dedup window, as if its type
	// were eventType; ok is false where there is no such window.
	GlobalKey(ev *event.Event, eventType string) (key Key, ok bool)
	// Clears are the types whose window an event of the given type ends.
	Clears(eventType string) []string
	Windows() Windows
	// Keeps says whether a window of a rule's own still has an owner of the
	// same meaning.
	Keeps(rule, signature string) bool

	// Plan gives the plan of a rule, nil where it has none.
	Plan(rule string) *correlate.Plan
	// Binds says whether ev can be the given part of a finding in which the
	// other parts are taken by bound (nil where a part is free). It is asked
	// for parts that are Bound only. The error is for a condition without an
	// answer; ev is not taken then.
	Binds(rule string, part int, ev *event.Event, bound []*event.Event) (bool, error)
	// Topology is how the devices are joined; nil where nobody says.
	Topology() *correlate.Topology
	// Effect is what an event of a type says about the topology, "" for
	// nothing.
	Effect(eventType string) correlate.Effect
}

// Windows are the lengths of the windows that no rule owns.
type Windows struct {
	Global     time.Duration
	Redelivery time.Duration
}

// Match is one rule that an event set off.
type Match struct {
	Rule    string
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
// From up to and including Through.
type Stretch struct {
	From, Through record.Position
	RulesVersion  string
	Events        uint64
	Unmatched     uint64
	Records       []record.Record
}

// Engine holds the state. Not safe for many goroutines at once.
type Engine struct {
	rules   Rules
	load    func(bundle []byte) (Rules, error)
	bundle  []byte // of rules
	parts   []byte // of a rule set whose last part has not come
	next    uint32 // part awaited
	through record.Position
	now     time.Time // log time; never goes back

	redelivery *window
	global     *window
	own        map[string]*window // by rule and signature

	replay  replayState
	scratch record.Decision // most events match nothing and need no decision of their own
	err     error
}

// replayState is the windows of the replay under way: a replay must not mistake
// an event for a repetition of itself.
type replayState struct {
	id     string
	global *window
	own    map[string]*window
}

// New returns an engine with no rules. load compiles a bundle that the log
// carries; it must be pure.
func New(load func(bundle []byte) (Rules, error)) *Engine {
	return &Engine{load: load, now: unixNano(0), own: map[string]*window{}}
}

// Through is the position of the last record decided.
func (e *Engine) Through() record.Position { return e.through }

// RulesVersion names the rule set in force, "" for none.
func (e *Engine) RulesVersion() string {
	if e.rules == nil {
		return ""
	}
	return e.rules.Version()
}

// Keys is how many keys all windows hold, and how many were forgotten early
// because a window was full.
func (e *Engine) Keys() (held int, evicted uint64) {
	for _, w := range e.windows() {
		held += w.len()
		evicted += w.evicted
	}
	return held, evicted
}

// Step decides about the records of a batch of log.events. It returns one
// stretch, and one more for each rule set that comes into force within the
// batch: every stretch is decided by one set. A batch at or before Through is
// passed over. The error is for a rule set that the log carries and that does
// not load: nothing can be decided after it.
func (e *Engine) Step(b *record.Batch) ([]Stretch, error) {
	if e.err != nil {
		return nil, e.err
	}
	if b.Seq <= e.through.Seq {
		return nil, nil
	}
	if b.Time.After(e.now) {
		e.now = b.Time
	}
	var out []Stretch
	cur := Stretch{From: e.through, RulesVersion: e.RulesVersion()}
	for i := range b.Records {
		at := b.At(i)
		r := &b.Records[i]
		if r.Kind == record.KindRules {
			switched, err := e.rulesPart(r.Rules)
			if err != nil {
				e.err = fmt.Errorf("rule set %s at %s: %w", r.Rules.Version, at, err)
				return nil, e.err
			}
			if switched && i > 0 {
				cur.Through = record.Position{Seq: b.Seq, Index: uint32(i - 1)}
				out = append(out, cur)
				cur = Stretch{From: cur.Through}
			}
			cur.RulesVersion = e.RulesVersion()
			continue
		}
		e.record(&cur, at, r)
	}
	cur.Through = b.At(max(len(b.Records)-1, 0))
	e.through = cur.Through
	return append(out, cur), nil
}

func (e *Engine) record(s *Stretch, at record.Position, r *record.Record) {
	switch r.Kind {
	case record.KindEvent:
		s.Events++
		d := e.event(at, r.Event)
		if d.Verdict == record.Unmatched {
			s.Unmatched++
			if len(d.Notes) == 0 {
				return
			}
		}
		own := *d
		s.Records = append(s.Records, record.Record{Kind: record.KindDecision, Decision: &own})
	case record.KindCommand:
		s.Records = append(s.Records, record.Record{Kind: record.KindDecision, Decision: e.command(at, r.Command)})
	}
}

// event walks the pipe: redelivery, global window, rules. The decision holds
// until the next call.
func (e *Engine) event(at record.Position, ev *event.Event) *record.Decision {
	d := &e.scratch
	*d = record.Decision{At: at}
	if e.rules == nil {
		d.Verdict = record.Unmatched
		return d
	}
	if ev.SenderID != "" {
		key := redeliveryKey(ev.Source, ev.SenderID)
		if of, dup := e.redelivery.check(key, ev.ID, e.now); dup {
			d.Verdict, d.Of = record.Duplicate, of
			d.Reason = "redelivery: the same source and sender's id"
			return d
		}
	}
	for _, t := range e.rules.Clears(ev.Type) {
		if key, ok := e.rules.GlobalKey(ev, t); ok {
			e.global.forget(key)
		}
	}
	if key, ok := e.rules.GlobalKey(ev, ev.Type); ok {
		if of, dup := e.global.check(key, ev.ID, e.now); dup {
			d.Verdict, d.Of = record.Duplicate, of
			d.Reason = "the same key within " + e.rules.Windows().Global.String()
			return d
		}
	}
	e.match(d, at, ev, e.own, e.now)
	return d
}

// match asks the rules about ev and writes what each of them says into d.
func (e *Engine) match(d *record.Decision, at record.Position, ev *event.Event, own map[string]*window, now time.Time) {
	taken, held := 0, 0
	for _, m := range e.rules.Match(ev) {
		note := e.consider(&m, ev, own, now)
		if note == nil {
			d.Runs = append(d.Runs, start(&m, at, ev))
			taken++
			continue
		}
		d.Notes = append(d.Notes, *note)
		switch note.Outcome {
		case "shadow":
			taken++
		case "duplicate", "loop":
			held++
			if d.Reason == "" {
				d.Reason = "rule " + note.Rule + ": " + note.Detail
			}
		}
	}
	switch {
	case taken > 0:
		d.Verdict, d.Reason = record.Decided, ""
	case held > 0:
		d.Verdict = record.Suppressed
	default:
		d.Verdict = record.Unmatched
	}
	if len(d.Runs) > 0 {
		d.Event = ev
	}
}

// consider says why a rule that matched starts no run; nil where it does.
func (e *Engine) consider(m *Match, ev *event.Event, own map[string]*window, now time.Time) *record.RuleNote {
	if m.Err != "" {
		return &record.RuleNote{Rule: m.Rule, Outcome: "error", Detail: m.Err}
	}
	if c := ev.Cause; c != nil {
		if slices.Contains(c.Rules, m.Rule) {
			return &record.RuleNote{Rule: m.Rule, Outcome: "loop", Detail: "the event follows from a run of this rule"}
		}
		if len(c.Rules) >= MaxDepth {
			return &record.RuleNote{Rule: m.Rule, Outcome: "loop", Detail: fmt.Sprintf("the chain of runs is %d long", len(c.Rules))}
		}
	}
	if m.Within > 0 {
		name := m.Rule + "\x00" + m.Signature
		w := own[name]
		if w == nil {
			w = newWindow(m.Within, MaxKeys)
			own[name] = w
		}
		if of, dup := w.check(m.Key, ev.ID, now); dup {
			return &record.RuleNote{Rule: m.Rule, Outcome: "duplicate", Detail: "the same key within " + m.Within.String(), Of: of}
		}
	}
	if m.Shadow {
		return &record.RuleNote{Rule: m.Rule, Outcome: "shadow", Detail: "would have started a run"}
	}
	return nil
}

func start(m *Match, at record.Position, ev *event.Event) record.RunStart {
	rs := record.RunStart{Run: run.ID(m.Rule, m.Version, at), Rule: m.Rule, RuleVersion: m.Version}
	if m.Lock {
		rs.Device = ev.Device
	}
	rs.Partition = run.Partition(rs.Device)
	return rs
}

// command passes a person's word on to the workers, in order with all else.
func (e *Engine) command(at record.Position, c *record.Command) *record.Decision {
	d := &record.Decision{At: at, Verdict: record.Decided, Command: c}
	if c.Verb != "replay" || c.Event == nil {
		return d
	}
	d.Command, d.Replay, d.DryRun = nil, true, c.DryRun
	if e.rules == nil {
		d.Verdict = record.Unmatched
		return d
	}
	// The replay's own windows run by the time that the event came in.
	w := e.rules.Windows()
	if e.replay.id != c.ID {
		e.replay = replayState{id: c.ID, global: newWindow(w.Global, MaxKeys), own: map[string]*window{}}
	}
	now := c.Event.Received
	for _, t := range e.rules.Clears(c.Event.Type) {
		if key, ok := e.rules.GlobalKey(c.Event, t); ok {
			e.replay.global.forget(key)
		}
	}
	if key, ok := e.rules.GlobalKey(c.Event, c.Event.Type); ok {
		if of, dup := e.replay.global.check(key, c.Event.ID, now); dup {
			d.Verdict, d.Of, d.Reason = record.Duplicate, of, "the same key within "+w.Global.String()
			return d
		}
	}
	e.match(d, at, c.Event, e.replay.own, now)
	return d
}

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
	"math"
	"slices"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// MaxDepth is how long a chain of runs that cause each other may become before
// it is stopped.
const MaxDepth = 8

// MaxKeys bounds what one window remembers. It is a constant because it is a
// part of what is decided.
const MaxKeys = 1_000_000

// Engine holds the state. Not safe for many goroutines at once.
type Engine struct {
	rules   Rules
	load    func(bundle []byte) (Rules, error)
	bundle  []byte // of rules
	parts   []byte // of a rule set whose last part has not come
	next    uint32 // part awaited
	through record.Position
	passed  uint64    // up to this batch the log has nothing more to decide
	now     time.Time // log time; never goes back

	redelivery *window
	live       *lane
	// The replay under way has a lane of its own: it must not mistake an event
	// for a repetition of itself.
	replay   *lane
	replayID string

	resets  []string // of the rule set that came into force last
	scratch record.Decision
	room    int // for the decisions of a batch
	// captured is how many bytes the last snapshot took.
	captured int
	err      error
}

// New returns an engine with no rules. load compiles a bundle that the log
// carries; it must be pure.
func New(load func(bundle []byte) (Rules, error)) *Engine {
	return &Engine{load: load, now: unixNano(0), live: newLane()}
}

// Through is the position of the last record decided.
func (e *Engine) Through() record.Position { return e.through }

// Passed notes that whoever feeds the engine has read the log up to and
// including batch seq, and gave it all that there was to decide. A snapshot
// keeps it. It must not be more than is known to be on disk: another batch
// could come to have the number.
func (e *Engine) Passed(seq uint64) { e.passed = seq }

// ReadFrom is the position after which the log has something that was not
// decided: Through, or further on where only other batches followed. They may
// be many: the decisions of a long backlog come after all of it.
func (e *Engine) ReadFrom() record.Position {
	if e.passed <= e.through.Seq {
		return e.through
	}
	return record.Position{Seq: e.passed, Index: math.MaxUint32}
}

// RulesVersion names the rule set in force, "" for none.
func (e *Engine) RulesVersion() string {
	if e.rules == nil {
		return ""
	}
	return e.rules.Version()
}

// Keys is how many keys all dedup windows hold, and how many were forgotten
// early because a window was full.
func (e *Engine) Keys() (held int, evicted uint64) {
	for _, w := range e.windows() {
		held += w.len()
		evicted += w.evicted
	}
	return held, evicted
}

// RuleKeys counts the keys of the rules that ask for more than one event, in
// the order of their names. Those of a replay are not in it.
func (e *Engine) RuleKeys() []RuleKeys { return e.live.keys() }

// NextTimer is when time makes something happen if no record comes before; ok
// is false where nothing waits. A record in log.events whose log time has
// reached it (KindTick, if nothing else comes) fires it. What waits in a
// replay goes by the replayed events only.
func (e *Engine) NextTimer() (at time.Time, ok bool) {
	due, ok := e.live.timers.Next()
	return unixNano(due), ok
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
		fired := e.fire(at)
		out = e.collect(e.live, out, &cur, at)
		if r.Kind == record.KindCommand && r.Command.Verb == "replay" {
			if l := e.fireReplay(at, r.Command); l != nil {
				out = e.collect(l, out, &cur, at)
			}
		}
		if r.Kind != record.KindRules {
			e.record(&cur, at, r)
			if cur.Size > maxStretch && i+1 < len(b.Records) {
				cur.Through = at
				out = append(out, cur)
				cur = Stretch{From: at, RulesVersion: cur.RulesVersion}
			}
			continue
		}
		switched, err := e.rulesPart(r.Rules)
		if err != nil {
			e.err = fmt.Errorf("rule set %s at %s: %w", r.Rules.Version, at, err)
			return nil, e.err
		}
		if !switched {
			continue
		}
		out = e.switchRules(out, &cur, at, fired)
	}
	e.through = b.At(max(len(b.Records)-1, 0))
	e.room = min(len(cur.Records), 512)
	if cur.From == e.through && len(out) > 0 { // the set came last, and after what time did
		out[len(out)-1].Resets = append(out[len(out)-1].Resets, cur.Resets...)
		return out, nil
	}
	cur.Through = e.through
	return append(out, cur), nil
}

// switchRules begins the stretch that the rules decide which came into force
// with the record at a position. fired says that time decided something before
// it.
func (e *Engine) switchRules(out []Stretch, cur *Stretch, at record.Position, fired bool) []Stretch {
	e.live.size = 0
	// What time did before this record was decided by the rules before it:
	// then this record is the last of their stretch.
	if fired || at.Index > 0 {
		cur.Through = at
		if fired {
			e.live.tellEnded(maxStretch)
			e.live.collect(cur)
		} else {
			cur.Through = record.Position{Seq: at.Seq, Index: at.Index - 1}
		}
		out = append(out, *cur)
		*cur = Stretch{From: cur.Through}
	}
	cur.RulesVersion = e.RulesVersion()
	if !fired {
		e.live.tellEnded(math.MaxInt)
		out = e.collect(e.live, out, cur, at)
	}
	cur.Resets = e.resets
	return out
}

// maxStretch is how many bytes of decisions make a stretch long enough.
const maxStretch = 1 << 20

// collect takes what time has decided before a record.
func (e *Engine) collect(l *lane, out []Stretch, cur *Stretch, at record.Position) []Stretch {
	for l.size > maxStretch {
		out = e.cut(l, out, cur, at)
	}
	l.collect(cur)
	return out
}

// cut ends the stretch before a record at which time decides more than one can
// hold, and puts a part of that into one of its own.
func (e *Engine) cut(l *lane, out []Stretch, cur *Stretch, at record.Position) []Stretch {
	before := e.through
	if at.Index > 0 {
		before = record.Position{Seq: at.Seq, Index: at.Index - 1}
	}
	if cur.From.Less(before) {
		cur.Through = before
		out = append(out, *cur)
		*cur = Stretch{From: before, RulesVersion: cur.RulesVersion}
	}
	part := Stretch{From: before, Through: before, RulesVersion: cur.RulesVersion}
	n := 0
	for n < len(l.extra) && part.Size <= maxStretch {
		part.Size += sizeOf(l.extra[n].Decision)
		n++
	}
	part.Records = slices.Clone(l.extra[:n])
	l.size -= part.Size
	l.extra = append(l.extra[:0], l.extra[n:]...)
	return append(out, part)
}

// fire lets the timers act that are due by the time of a record, and says
// whether they decided anything.
func (e *Engine) fire(at record.Position) bool {
	e.live.fireAt(at, e.now.UnixNano())
	return len(e.live.extra) > 0
}

// fireReplay does so for a replay, whose own windows and timers run by the time
// that its events came in. nil is for none.
func (e *Engine) fireReplay(at record.Position, c *record.Command) *lane {
	switch {
	case e.rules == nil:
		return nil
	case c.Event != nil:
		l := e.replayLane(c)
		l.fireAt(at, max(l.now, receivedNano(c.Event.Received)))
		return l
	case c.End.IsZero() || e.replay == nil || e.replayID != c.ID:
		return nil
	}
	l := e.replay
	l.logged = e.now.UnixNano()
	l.fireAt(at, max(l.now, receivedNano(c.End)))
	e.replay, e.replayID = nil, ""
	return l
}

func (l *lane) fireAt(at record.Position, to int64) {
	l.at, l.size = at, 0
	l.fire(to)
	for i := range l.extra {
		l.size += sizeOf(l.extra[i].Decision)
	}
}

// sizeOf is about how many bytes a decision takes in the log.
func sizeOf(d *record.Decision) int {
	n := 128 + 96*len(d.Notes) + 128*len(d.Situations)
	if d.Event != nil {
		n += sizeOfEvent(d.Event)
	}
	for i := range d.Runs {
		n += 128
		for _, ev := range d.Runs[i].Events {
			n += sizeOfEvent(ev)
		}
	}
	return n
}

func sizeOfEvent(ev *event.Event) int { return 256 + len(ev.Data) + len(ev.Raw) }

// collect moves what time decided into the stretch.
func (l *lane) collect(s *Stretch) {
	if len(l.extra) == 0 {
		return
	}
	for i := range l.extra {
		s.Size += sizeOf(l.extra[i].Decision)
	}
	s.Records = append(s.Records, l.extra...)
	clear(l.extra)
	l.extra = l.extra[:0]
}

func (e *Engine) record(s *Stretch, at record.Position, r *record.Record) {
	switch r.Kind {
	case record.KindEvent:
		s.Events++
		d := &e.scratch
		*d = record.Decision{At: at}
		e.event(d, r.Event)
		if d.Verdict == record.Unmatched {
			s.Unmatched++
			if len(d.Notes) == 0 {
				e.live.collect(s)
				return
			}
		}
		own := e.live.newDecision()
		*own = *d
		if s.Records == nil { // about as many as the batch before had
			s.Records = make([]record.Record, 0, e.room)
		}
		s.Records = append(s.Records, record.Record{Kind: record.KindDecision, Decision: own})
		s.Size += sizeOf(own)
		e.live.collect(s)
	case record.KindCommand:
		e.command(s, at, r.Command)
	}
}

// event walks the pipe: redelivery, then what the lane does.
func (e *Engine) event(d *record.Decision, ev *event.Event) {
	if e.rules == nil {
		d.Verdict = record.Unmatched
		return
	}
	if ev.SenderID != "" {
		key := redeliveryKey(ev.Source, ev.SenderID)
		if of, dup := e.redelivery.check(key, correlate.UUIDOf(ev.ID), e.now.UnixNano()); dup {
			d.Verdict, d.Of = record.Duplicate, of.id()
			d.Reason = "redelivery: the same source and sender's id"
			return
		}
	}
	e.live.extraOf = closed
	e.live.event(d, ev)
}

// command passes a person's word on to the workers, in order with all else.
func (e *Engine) command(s *Stretch, at record.Position, c *record.Command) {
	d := &record.Decision{At: at, Verdict: record.Decided, Command: c}
	own := record.Record{Kind: record.KindDecision, Decision: d}
	s.Size += sizeOf(d)
	switch {
	case c.Verb == "replay" && c.Event != nil:
		d.Command, d.Replay, d.DryRun = nil, true, c.DryRun
		if e.rules == nil {
			d.Verdict = record.Unmatched
			break
		}
		l := e.replayLane(c)
		l.extraOf = closed
		l.event(d, c.Event)
		s.Records = append(s.Records, own)
		l.collect(s)
		return
	case c.Verb == "replay": // its end, see fireReplay
		d.Replay, d.DryRun = true, c.DryRun
	case c.Verb == "acknowledge" || c.Verb == "resolve":
		e.live.command(d, c)
	}
	s.Records = append(s.Records, own)
	e.live.collect(s)
}

// receivedNano is a time in ns since 1970; the future that a number of ns
// cannot hold is no time.
func receivedNano(t time.Time) int64 {
	if t.Before(unixNano(0)) || t.Year() > 2200 {
		return 0
	}
	return t.UnixNano()
}

// replayLane is the lane of the replay that a command belongs to.
func (e *Engine) replayLane(c *record.Command) *lane {
	if e.replay == nil || e.replayID != c.ID {
		e.replay, e.replayID = newLane(), strings.Clone(c.ID)
		e.replay.replay, e.replay.dryRun = true, c.DryRun
		if !c.DryRun {
			e.replay.limits = e.live.limits
		}
		e.replay.global = newWindow(e.rules.Windows().Global, MaxKeys)
		e.replay.use(e.rules)
	}
	e.replay.logged = e.now.UnixNano()
	return e.replay
}

// command is a person's word about a situation.
func (l *lane) command(d *record.Decision, c *record.Command) {
	l.main, l.mainNumber, l.extraOf = d, closed, closed
	env := l.bareEnv()
	st := l.situations.Command(env, c.Verb, c.Run, c.By, c.Note)
	l.done(nil, 0, env)
	if st.Change.ID == "" {
		d.Reason = st.Change.Note
		return
	}
	p := l.names[st.Change.Rule]
	if p == nil {
		return
	}
	if st.Run {
		it := correlate.ItemOf(st.Finding.Event)
		st.Change.Run, _ = l.start(&p.Match, &it, &st.Finding, st.Branch, st.Change.ID)
	}
	d.Situations = append(d.Situations, st.Change)
	l.settle()
}

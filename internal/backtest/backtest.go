// Package backtest runs rules over a log that has been, with no effect, and
// reports what they would have run: how often, for which devices, when most,
// and what is different from another rule set.
//
// It is pure: batches of the log go in, a report comes out. It asks the same
// engine that decides live, so the answer is the one that the live engine would
// have given; time is the log's. The same batches and rules give the same
// report, byte for byte.
package backtest

import (
	"errors"
	"sync"
	"time"

	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// Candidate is a rule set that is tried. Its Rules serve one Backtest only.
type Candidate struct {
	Name  string // for people: its folder, or "active"
	Rules *decide.Rules
}

// Options say what is tried. Rules must be set.
type Options struct {
	Rules   Candidate
	Against *Candidate // what Rules is compared with; nil for nothing

	// What was decided from Since on and up to Until is counted; zero times
	// are the beginning and the end of what is taken. What comes before Since
	// only warms the windows up, see Reach.
	Since, Until time.Time

	// Top is how many devices and examples are listed where there may be many;
	// 0 is 10. All of them are counted.
	Top int
}

// DefaultTop is Options.Top where nobody says.
const DefaultTop = 10

// Backtest is one trial under way. It serves one goroutine.
type Backtest struct {
	o       Options
	sides   []*side // the candidate, and what it is compared with
	diff    *differ // nil without a comparison
	line    *timeline
	events  series
	counted LogCounts

	lastSeq  uint64
	lastTime time.Time // of what was taken
	shifted  uint64    // sequence of the batch into which the rules were put; 0 for none
	started  bool
	ended    bool
}

// New starts a trial.
func New(o Options) *Backtest {
	if o.Top <= 0 {
		o.Top = DefaultTop
	}
	t := &Backtest{o: o, line: newTimeline()}
	t.sides = append(t.sides, newSide(t, o.Rules))
	if o.Against != nil {
		t.sides = append(t.sides, newSide(t, *o.Against))
		t.diff = newDiffer(t)
	}
	t.line.join(&t.events)
	return t
}

// Reach is how long before Since a rule set's windows can begin: what was
// logged in that time is to be taken too, so that they are as they would have
// been.
func (c Candidate) Reach() time.Duration {
	set := c.Rules.Set
	longest, limits := time.Duration(0), time.Duration(0)
	for _, l := range set.GlobalLimits() {
		limits = max(limits, l.Within)
	}
	for _, r := range set.Rules {
		var sum, own time.Duration
		for _, l := range r.Limits() {
			own = max(own, l.Within)
		}
		if r.Dedup != nil {
			sum += r.Dedup.Within
		}
		if p := r.Plan; p != nil {
			sum += p.Within + p.Lateness
			if p.Dampen != nil {
				sum += p.Dampen.Max
			}
			if p.Upstream != nil {
				sum += p.Upstream.Wait
			}
			if g := p.Group; g != nil {
				sum += g.Wait + max(g.Interval, g.Repeat)
			}
		}
		longest = max(longest, sum+max(own, limits))
	}
	return max(set.GlobalWithin()+longest, set.Redelivery)
}

// ErrEnded means that a batch came after the report was made.
var ErrEnded = errors.New("backtest: it has ended")

// Take lets the rules decide about a batch that holds log.events, in the order of
// the log; others are passed over, as is what is later than Until. What the
// log says of rule sets and of replays is passed over too: here the given rules
// decide, from the beginning. The batch is not changed, and may be kept.
func (t *Backtest) Take(b *record.Batch) error {
	if t.ended {
		return ErrEnded
	}
	if b.Subject != "" && !b.Holds(record.Events) || len(b.Records) == 0 ||
		!t.o.Until.IsZero() && b.Time.After(t.o.Until) || b.Seq <= t.lastSeq {
		return nil
	}
	b = ours(b)
	if !t.started {
		var err error
		if b, err = t.start(b); err != nil {
			return err
		}
	}
	t.lastSeq = b.Seq
	if b.Time.After(t.lastTime) {
		t.lastTime = b.Time
	}
	t.count(b)
	return t.step(b)
}

// besides is how many records make it worth to let the sides decide at once.
const besides = 16

func (t *Backtest) step(b *record.Batch) error {
	// The engines know nothing of each other; what they decided is counted in
	// order.
	if len(t.sides) == 2 && len(b.Records) >= besides {
		var other sync.WaitGroup
		other.Go(func() { t.sides[1].decide(b) })
		t.sides[0].decide(b)
		other.Wait()
	} else {
		for _, s := range t.sides {
			s.decide(b)
		}
	}
	for _, s := range t.sides {
		if s.err != nil {
			return s.err
		}
		s.take(b, s.decided)
	}
	if t.diff != nil {
		t.diff.compare(t.sides[0].runs, t.sides[1].runs)
	}
	return nil
}

// ours is b with what is not to be decided replaced by ticks, which do nothing;
// positions stay as they are.
func ours(b *record.Batch) *record.Batch {
	keep := func(r *record.Record) bool {
		switch r.Kind {
		case record.KindEvent, record.KindRejected, record.KindTick, record.KindRetention:
			return true
		case record.KindCommand: // a person's word about a situation
			return r.Command.Verb == "acknowledge" || r.Command.Verb == "resolve"
		}
		return false
	}
	for i := range b.Records {
		if keep(&b.Records[i]) {
			continue
		}
		c := *b
		c.Records = make([]record.Record, len(b.Records))
		for j := range b.Records {
			if c.Records[j].Kind = record.KindTick; keep(&b.Records[j]) {
				c.Records[j] = b.Records[j]
			}
		}
		return &c
	}
	return b
}

// start puts the rules in force before the first record: in a batch before it,
// or where that is the first batch of all, in it.
func (t *Backtest) start(b *record.Batch) (*record.Batch, error) {
	t.started = true
	rules := record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: t.o.Rules.Rules.Version(), Parts: 1, Data: []byte("candidate")}}
	if b.Seq > 1 {
		first := &record.Batch{Seq: b.Seq - 1, Time: b.Time, Subject: record.Events, Records: []record.Record{rules}}
		for _, s := range t.sides {
			if _, err := s.engine.Step(first); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	c := *b
	c.Records = append([]record.Record{rules}, b.Records...)
	if b.Records[0].Kind == record.KindTick { // the log's own rules, mostly
		c.Records = c.Records[1:]
		c.Records[0] = rules
	} else {
		t.shifted = b.Seq
	}
	return &c, nil
}

// position is where a record is in the log.
func (t *Backtest) position(p record.Position) record.Position {
	if p.Seq == t.shifted && p.Index > 0 {
		p.Index--
	}
	return p
}

func (t *Backtest) in(at time.Time) bool { return !at.Before(t.o.Since) }

// count counts what the log has in a batch, whatever the rules say.
func (t *Backtest) count(b *record.Batch) {
	var events, rejected uint64
	for i := range b.Records {
		switch b.Records[i].Kind {
		case record.KindEvent:
			events++
		case record.KindRejected:
			rejected++
		}
	}
	c := &t.counted
	if !t.in(b.Time) {
		c.WarmUp += events
		if events > 0 && c.WarmFrom.IsZero() {
			c.WarmFrom = b.Time.UTC()
		}
		return
	}
	c.Events += events
	c.Rejected += rejected
	if events > 0 {
		if c.First.IsZero() {
			c.First = b.Time.UTC()
		}
		c.Last = b.Time.UTC()
		t.line.add(&t.events, b.Time, uint32(events))
	}
}

// Taken is how many events were taken so far, and the log time that was
// reached: for who shows the progress.
func (t *Backtest) Taken() (events uint64, at time.Time) {
	return t.counted.WarmUp + t.counted.Events, t.lastTime
}

// end lets the time run out: what is due before the end of the stretch happens.
func (t *Backtest) end() error {
	if t.ended {
		return nil
	}
	t.ended = true
	at := t.o.Until
	if at.IsZero() {
		at = t.lastTime
	}
	if !t.started {
		return nil
	}
	return t.step(&record.Batch{Seq: t.lastSeq + 1, Time: at, Subject: record.Events, Records: []record.Record{{Kind: record.KindTick}}})
}

func newEngine(c Candidate) *engine.Engine {
	return engine.New(func([]byte) (engine.Rules, error) { return c.Rules, nil })
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/correlate"
	"signalbox/internal/engine"
	"signalbox/internal/eventlog"
	"signalbox/internal/metrics"
	"signalbox/internal/record"
)

const (
	// decideRecords bounds the decisions of one batch, decideEvents the events
	// of a stretch that has none.
	decideRecords = 512
	decideEvents  = 20_000
	// quiet is how long a stretch without decisions waits for more before it
	// is written.
	quiet = time.Second
	// decideBytes is how large a batch of decisions may become by gathering.
	decideBytes = 4 << 20
	// keysEvery is how often the keys of rules are counted.
	keysEvery = 5 * time.Second
)

// decider feeds the log to the engine and writes down what it decides. There
// are two halves: one reads and decides, one writes; while a batch is being
// written the decisions that follow gather.
type decider struct {
	log     *eventlog.Log
	books   *bookkeeper // counts the same batches: they are decoded once for both
	engine  *engine.Engine
	state   stateDir
	metrics *metrics.Set
	logger  *slog.Logger

	// form says what a rule looks for; nil: nobody asks.
	form func(rule, version string) correlate.Form

	logged record.Position // the last decision in the log at start
	// ahead are the decisions that the log has already about what follows
	// logged: time decided too much for one batch, and the stop came in between.
	ahead int
	// end is the last batch of decisions that is known to be on disk, and seen
	// the last batch that was read.
	end    atomic.Uint64
	seen   uint64 // of the reader
	ticker ticker
	// caughtUp is closed when the engine has come to where it was before the
	// start: from then on the rule sets of all that was decided are loaded.
	caughtUp chan struct{}
	decided  atomic.Pointer[record.Position]
	relay    *relay // to the worker
	// first gives what begins with decisions: of the worker, once there is one.
	first   atomic.Pointer[func(*record.Batch) []record.Record]
	backlog atomic.Int64
	rules   atomic.Pointer[string]
	change  atomic.Pointer[ruleChange] // the last
	counted time.Time                  // when the keys of rules were told last; of the reader
	saver   *saver
}

// verdict is either a stretch that was decided or a snapshot of the engine, to be
// finished, that holds once all before it is written.
type verdict struct {
	stretch  engine.Stretch
	snapshot func() []byte
}

func newDecider(l *eventlog.Log, books *bookkeeper, load func([]byte) (engine.Rules, error), state stateDir, m *metrics.Set, logger *slog.Logger) (*decider, error) {
	return resumeDecider(l, books, restoreEngine(state, load), state, m, logger)
}

func resumeDecider(l *eventlog.Log, books *bookkeeper, early *restoring, state stateDir, m *metrics.Set, logger *slog.Logger) (*decider, error) {
	load := early.load
	d := &decider{log: l, books: books, engine: engine.New(load), state: state, metrics: m, logger: logger, caughtUp: make(chan struct{}), ticker: newTicker(), relay: newRelay(), saver: newSaver()}
	last, err := l.Last(context.Background(), record.Decisions)
	if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
		return nil, fmt.Errorf("the last decision: %w", err)
	}
	if err == nil {
		d.logged = last.Through
		d.end.Store(last.Seq)
		if d.ahead, err = countAhead(l, last); err != nil {
			return nil, err
		}
	}
	e, problems := early.engineFor(d.logged)
	if e != nil {
		d.engine = e
	}
	if d.engine.ReadFrom().Seq > d.end.Load() {
		d.engine.Passed(0) // the log was put back to what it was before
	}
	if problems != nil {
		logger.Warn("an engine snapshot cannot be used; an older one, or the log, is read instead", "err", problems)
	}
	through := d.logged
	d.decided.Store(&through)
	d.catchUp()
	return d, nil
}

// Decided is the position up to which all decisions are in the log.
func (d *decider) Decided() record.Position { return *d.decided.Load() }

// catchUp closes caughtUp when it is time.
func (d *decider) catchUp() {
	if d.engine.Through().Less(d.logged) {
		return
	}
	select {
	case <-d.caughtUp:
	default:
		close(d.caughtUp)
	}
}

// Run decides until ctx ends.
func (d *decider) Run(ctx context.Context) error {
	verdicts := make(chan verdict, 64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(verdicts)
		return d.read(ctx, verdicts)
	})
	g.Go(func() error { return d.write(ctx, verdicts) })
	g.Go(func() error { return d.ticker.run(ctx, d.tick) })
	err := g.Wait()
	d.saver.wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil && d.Decided() == d.engine.Through() && d.ahead == 0 {
		d.notePassed()
		err = d.state.save("engine", d.engine.Snapshot())
	}
	return err
}

func (d *decider) read(ctx context.Context, out chan<- verdict) error {
	since := 0 // records after the last snapshot
	defer d.books.save()
	from := d.engine.ReadFrom()
	if counted := d.books.from(); counted.Less(from) {
		from = counted
	}
	d.ticker.next(d.engine.NextTimer())
	return d.log.ReadFast(ctx, from, nil, func(b *record.Batch) error {
		d.books.count(b)
		d.seen = b.Seq
		if !b.Holds(record.Events) {
			return nil
		}
		stretches, err := d.engine.Step(b)
		if err != nil {
			return err
		}
		d.catchUp()
		v := d.engine.RulesVersion()
		d.switched(v, stretches)
		d.rules.Store(&v)
		d.ticker.came(b)
		d.ticker.next(d.engine.NextTimer())
		d.countKeys()
		d.passed(b, stretches)
		for _, s := range stretches {
			if !d.news(&s) {
				continue // decided before the last stop; read again for the state
			}
			d.backlog.Add(1)
			if err := send(ctx, out, verdict{stretch: s}); err != nil {
				return err
			}
		}
		d.count(b, stretches)
		if since += len(b.Records); d.saver.due(since) {
			since = 0
			d.notePassed()
			return send(ctx, out, verdict{snapshot: d.engine.Capture()})
		}
		return nil
	})
}

// notePassed tells the engine how far the log was read, for its next snapshot.
func (d *decider) notePassed() { d.engine.Passed(min(d.seen, d.end.Load())) }

// news says whether a stretch is not in the log yet, and takes off what is.
func (d *decider) news(s *engine.Stretch) bool {
	if s.Through.Less(d.logged) || s.Through == d.logged && s.From != s.Through {
		return false
	}
	n := min(d.ahead, len(s.Records))
	d.ahead -= n
	s.Records = s.Records[n:]
	return s.From != s.Through || len(s.Records) > 0
}

// countAhead counts the decisions of the batches at the end of the log whose
// stretch is empty: they are the beginning of what is decided next.
func countAhead(l *eventlog.Log, last *record.Batch) (n int, err error) {
	if last.From != last.Through {
		return 0, nil
	}
	err = l.ReadBackwards(context.Background(), 0, []record.Subject{record.Decisions}, func(b *record.Batch) error {
		if b.From != b.Through {
			return eventlog.ErrStop
		}
		for i := range b.Records {
			if b.Records[i].Decision != nil {
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("the last decisions: %w", err)
	}
	return n, nil
}

// tick writes into the log that time has come.
func (d *decider) tick(ctx context.Context) (record.Position, error) {
	type answer struct {
		at  record.Position
		err error
	}
	done := make(chan answer, 1)
	err := d.log.Append(ctx, record.Events, []record.Record{{Kind: record.KindTick}}, func(at []record.Position, err error) {
		if err != nil || len(at) == 0 {
			done <- answer{err: errors.Join(err, errNoPosition)}
			return
		}
		done <- answer{at: at[0]}
	})
	if err != nil {
		return record.Position{}, err
	}
	select {
	case a := <-done:
		return a.at, a.err
	case <-ctx.Done():
		return record.Position{}, ctx.Err()
	}
}

var errNoPosition = errors.New("the log gave no position")

// passed tells the log where a batch brings no decision: then it need not wait
// for one.
func (d *decider) passed(b *record.Batch, stretches []engine.Stretch) {
	for i := range stretches {
		if len(stretches[i].Records) > 0 {
			return
		}
	}
	d.log.Passed(b.Seq)
}

func send[T any](ctx context.Context, c chan<- T, v T) error {
	select {
	case c <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write merges what has gathered and appends it, one batch after the other.
func (d *decider) write(ctx context.Context, in <-chan verdict) error {
	var held *verdict // did not fit into the batch before
	for {
		var first verdict
		if held != nil {
			first, held = *held, nil
		} else {
			v, ok := <-in
			if !ok {
				return nil
			}
			first = v
		}
		if first.snapshot != nil {
			d.saver.start(func() { d.save(first.snapshot()) })
			continue
		}
		s := first.stretch
		n := int64(1)
		held = d.gather(ctx, in, &s, &n)
		if err := d.append(ctx, &s); err != nil {
			return err
		}
		d.backlog.Add(-n)
	}
}

// save writes a snapshot of the engine, and the books: what a start reads again
// of the log begins where the older of them ends.
func (d *decider) save(snapshot []byte) {
	if err := d.state.save("engine", snapshot); err != nil {
		d.logger.Warn("the engine's snapshot could not be written", "err", err)
	}
	d.books.save()
}

// gather adds to s what is waiting. A stretch without decisions waits a moment
// for more: an idle network need not cost a write for every event that matches
// nothing.
func (d *decider) gather(ctx context.Context, in <-chan verdict, s *engine.Stretch, n *int64) (held *verdict) {
	var patience <-chan time.Time
	for len(s.Records) < decideRecords && s.Events < decideEvents {
		if len(s.Records) > 0 {
			select {
			case v, ok := <-in:
				if !ok {
					return nil
				}
				if !merge(s, &v) {
					return &v
				}
				*n++
				continue
			default:
				return nil
			}
		}
		if patience == nil {
			patience = time.After(quiet)
		}
		select {
		case v, ok := <-in:
			if !ok {
				return nil
			}
			if !merge(s, &v) {
				return &v
			}
			*n++
		case <-patience:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// merge lengthens s by v where one batch can hold both: the same rule set
// decided them, and the decisions are neither too many nor too large.
func merge(s *engine.Stretch, v *verdict) bool {
	if v.snapshot != nil || v.stretch.RulesVersion != s.RulesVersion || v.stretch.From != s.Through ||
		len(s.Records)+len(v.stretch.Records) > 2*decideRecords || s.Size+v.stretch.Size > decideBytes {
		return false
	}
	// One without a length is the beginning of what is decided next, alone.
	if s.From == s.Through || v.stretch.From == v.stretch.Through {
		return false
	}
	s.Size += v.stretch.Size
	s.Through = v.stretch.Through
	s.Events += v.stretch.Events
	s.Unmatched += v.stretch.Unmatched
	s.Records = append(s.Records, v.stretch.Records...)
	return true
}

// append writes the stretch.
func (d *decider) append(ctx context.Context, s *engine.Stretch) error {
	// A stop lets what was decided be written: the context is its own.
	ctx = context.WithoutCancel(ctx)
	b := &record.Batch{Subject: record.Decisions, From: s.From, Through: s.Through, RulesVersion: s.RulesVersion,
		EventCount: s.Events, UnmatchedCount: s.Unmatched, Records: s.Records}
	if first := d.first.Load(); first != nil {
		b.Records = append(b.Records, (*first)(b)...)
	}
	if _, err := d.log.AppendDecisions(ctx, b); err != nil {
		if errors.Is(err, eventlog.ErrConflict) {
			return fmt.Errorf("another engine decides on this log; only one may be active: %w", err)
		}
		return fmt.Errorf("decisions %s to %s: %w", s.From, s.Through, err)
	}
	d.end.Store(b.Seq)
	d.decided.Store(&s.Through)
	d.relay.hand(b)
	return nil
}

// count tells the metrics what became of the events of a batch. What was
// counted before a restart is not counted again.
func (d *decider) count(b *record.Batch, stretches []engine.Stretch) {
	if last := len(b.Records) - 1; last < 0 || !d.logged.Less(b.At(last)) {
		return
	}
	verdicts := map[record.Position]*record.Decision{}
	for _, s := range stretches {
		for _, r := range s.Records {
			if r.Decision.OfEvent() {
				verdicts[r.Decision.At] = r.Decision
			}
			if d.logged.Less(s.Through) {
				d.countDecision(b, r.Decision)
			}
		}
	}
	now := time.Now()
	t := tally{metrics: d.metrics}
	defer t.tell()
	for i := range b.Records {
		if !d.logged.Less(b.At(i)) {
			continue
		}
		if b.Records[i].Kind == record.KindTick {
			d.metrics.Tick()
		}
		if b.Records[i].Kind != record.KindEvent {
			continue
		}
		ev := b.Records[i].Event
		dec := verdicts[b.At(i)]
		of := t.of(ev.Type)
		of.became[statusOf(dec)]++
		if dec == nil || len(dec.Runs) == 0 {
			of.processed(now.Sub(ev.Received))
		}
	}
}

// tally counts the events of a batch by type, of which it has few: so metrics
// are looked up once for each, and not for each event.
type tally struct {
	metrics *metrics.Set
	types   map[string]*ofType
}

type ofType struct {
	became    map[string]int // by status
	processed func(time.Duration)
}

func (t *tally) of(eventType string) *ofType {
	of := t.types[eventType]
	if of == nil {
		if t.types == nil {
			t.types = map[string]*ofType{}
		}
		of = &ofType{became: map[string]int{}, processed: t.metrics.ProcessedOf(eventType)}
		t.types[eventType] = of
	}
	return of
}

func (t *tally) tell() {
	for typ, of := range t.types {
		for status, n := range of.became {
			t.metrics.Events(typ, status, n)
		}
	}
}

func statusOf(d *record.Decision) string {
	if d == nil {
		return "unmatched"
	}
	switch d.Verdict {
	case record.Decided:
		return "decided"
	case record.Duplicate:
		return "duplicate"
	case record.Suppressed:
		return "suppressed"
	}
	return "unmatched"
}

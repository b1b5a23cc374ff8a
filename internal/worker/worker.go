// Package worker executes runs: it takes what the engine decided, does the
// steps of each run, and journals each attempt before it is made and after.
//
// Its promises:
//   - what a step is about to do is durable in log.journal before it is done
//     (some first steps with the decision itself, see First);
//   - a step that is known to be done is never done again, whatever crashes;
//   - a step that was under way is repeated only if it is idempotent; otherwise
//     the run stops as in doubt and asks a person;
//   - runs of one device happen in the order in which they were decided, one at
//     a time;
//   - every decided run exists exactly once, however often its decision is read;
//   - a device that does not answer keeps no other waiting: when memory
//     is full, of the runs that queue on it only the names are kept, and what
//     they are about is read from the log when it is their turn;
//   - memory is bounded: when too many runs are open, Apply blocks, and the
//     backlog stays in the log.
//
// Its life: New, Restore (a snapshot, if there is one), Recover for each batch
// of log.decisions and log.journal from there to the end of the log, Resume,
// then Apply for each batch of log.decisions for ever, and Drain.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/run"
)

// ErrStopped is what Apply returns once Drain was called.
var ErrStopped = errors.New("worker: stopped")

// Worker executes runs. All methods are safe for many goroutines, except that
// Restore, Recover, Resume and Apply are called one after another.
type Worker struct {
	cfg Config
	log *slog.Logger

	room    chan struct{}            // one for each open run in memory
	farRoom chan struct{}            // one for each run of far
	slots   chan struct{}            // one for each attempt under way
	kinds   map[string]chan struct{} // the same by action
	// repeatable are the actions that may be repeated whatever their arguments.
	repeatable map[string]bool

	stop chan struct{} // closed by Drain: nothing new begins
	// base is the parent of every attempt; Drain cancels it at its limit. It
	// lives here because runs outlive the call that brought them.
	base   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	watch watchers
	names ruleNames

	mu       sync.Mutex
	live     bool            // Resume was called
	frontier record.Position // all batches of log.decisions up to here were taken
	through  record.Position // of log.events: what they decide
	open     map[string]*item
	lanes    map[string]*lane
	far      farRuns
	dead     deadLetters
	recent   ring

	recovery recovery // between Restore and the end of the backlog

	waiting, running atomic.Int64
}

// New makes a worker. It starts nothing.
func New(cfg Config) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Eval == nil {
		cfg.Eval = compiled{}
	}
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	w := &Worker{
		cfg: cfg, log: cfg.Log,
		room:    make(chan struct{}, cfg.Pending),
		farRoom: make(chan struct{}, cfg.Far),
		slots:   make(chan struct{}, cfg.Concurrent),
		kinds:   map[string]chan struct{}{},
		stop:    make(chan struct{}),
		open:    map[string]*item{}, lanes: map[string]*lane{}, repeatable: map[string]bool{},
	}
	for _, spec := range cfg.Actions.Specs() {
		n := cfg.PerKind
		if l, ok := cfg.KindLimit[spec.Name]; ok {
			n = l
		}
		w.kinds[spec.Name] = make(chan struct{}, n)
		w.repeatable[spec.Name] = spec.Idempotent
	}
	w.dead = newDeadLetters(cfg.DeadDetails, cfg.DeadIndex)
	w.recent.limit = cfg.Recent
	w.recovery.backlog = map[run.Key]*waitingRun{}
	w.base, w.cancel = context.WithCancel(context.Background())
	return w, nil
}

// Apply takes one batch of the log, in order, from the position that Resume
// named. Batches of other subjects than log.decisions, and those taken before,
// change nothing. It blocks while the bound of open runs is reached, and
// returns ErrStopped once Drain was called.
func (w *Worker) Apply(b *record.Batch) error {
	if b.Subject != record.Decisions {
		return nil
	}
	w.mu.Lock()
	seen := b.Seq <= w.frontier.Seq || !w.isNew(b)
	live := w.live
	w.mu.Unlock()
	if !live {
		return errors.New("worker: Apply before Resume")
	}
	if seen {
		return nil
	}
	first := begun(b)
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil {
			if err := w.decision(b.At(i), d, first); err != nil {
				return err
			}
		}
	}
	w.mu.Lock()
	w.frontier = record.Position{Seq: b.Seq}
	if w.through.Less(b.Through) {
		w.through = b.Through
	}
	left := len(w.recovery.backlog)
	if left > 0 && w.frontier.Seq >= w.recovery.through.Seq {
		clear(w.recovery.backlog)
		w.mu.Unlock()
		return fmt.Errorf("worker: %d runs that were decided are not in the log when it is read again", left)
	}
	w.mu.Unlock()
	return nil
}

// isNew says whether a batch decides what none before it did. One whose stretch
// is empty is the beginning of what is decided about what follows.
func (w *Worker) isNew(b *record.Batch) bool {
	return b.Through.IsZero() || w.through.Less(b.Through) || b.From == b.Through
}

// decision takes one decision; first are the steps that began with it.
func (w *Worker) decision(at record.Position, d *record.Decision, first map[string]*record.Record) error {
	old := !w.recovery.through.Less(at)
	if len(d.Runs) > 0 || d.Command != nil {
		d = record.CloneDecision(d) // runs outlive the batch by far
	}
	g := &group{}
	g.open.Store(int32(len(d.Runs)))
	for i := range d.Runs {
		it := &item{start: &d.Runs[i], dec: d, at: at, order: at, nth: i, group: g, st: &run.State{}}
		if old && !w.fromBacklog(it) {
			g.open.Add(-1)
			continue
		}
		if b := first[it.start.Run]; b != nil && !old {
			it.begin(b, w.cfg.Now())
		}
		if err := w.admit(it); err != nil {
			return err
		}
	}
	if d.Command != nil && !old {
		return w.command(at, d.Command)
	}
	return nil
}

// admit takes a run that was decided, once, and gives it its place behind its device's others.
func (w *Worker) admit(it *item) error {
	w.mu.Lock()
	_, twice := w.open[it.start.Run]
	twice = twice || w.far.has(it.start.Run) || w.dead.get(it.start.Run) != nil || w.recent.has(it.start.Run)
	w.mu.Unlock()
	if twice {
		it.group.open.Add(-1)
		return nil
	}
	select {
	case <-w.stop: // first: a stopped worker takes nothing, room or not
		return ErrStopped
	default:
	}
	return w.place(it)
}

// ruleOf finds a run's rule, nil where it is not loaded any more.
func (w *Worker) ruleOf(it *item) *rule.Rule {
	if r, ok := w.cfg.Rules.Rule(it.start.Rule, it.start.RuleVersion); ok {
		return r
	}
	return nil
}

// place gives a run its place behind its device's others, in memory or by name.
// It waits until there is room.
func (w *Worker) place(it *item) error {
	it.rule = w.ruleOf(it)
	if it.group == nil {
		it.group = &group{}
		it.group.open.Store(1)
	}
	key := it.start.Device
	if key == "" || it.rule != nil && it.rule.Lock == "none" {
		// A name that no device has: such a run waits for nobody.
		key = "\x00" + it.start.Run
	}
	for {
		if done, err := w.placeFar(key, it); done || err != nil {
			return err
		}
		if err := w.takeRoom(); err != nil {
			return err
		}
		if w.enqueue(key, it) {
			return nil
		}
		<-w.room
	}
}

// enqueue puts a run that has room in its lane, and starts the lane if it is
// new. It says no where others of the lane have given way meanwhile: the run
// comes after them.
func (w *Worker) enqueue(key string, it *item) bool {
	it.acked, it.queued = make(chan struct{}), w.cfg.Now()
	w.mu.Lock()
	l := w.lanes[key]
	if l != nil && len(l.far) > 0 && it.canBeFar() {
		w.mu.Unlock()
		return false
	}
	w.dead.remove(it.start.Run)
	w.open[it.start.Run] = it
	if l != nil {
		l.queue = append(l.queue, it)
		w.mu.Unlock()
	} else {
		l = &lane{key: key, queue: []*item{it}}
		w.lanes[key] = l
		w.spawn(func() { w.serve(l) })
		w.mu.Unlock()
	}
	w.changed(it)
	return true
}

// spawn starts a goroutine that Drain waits for, unless the worker has stopped.
// It is called with mu held, so that none is added while Drain waits.
func (w *Worker) spawn(f func()) {
	if !w.stopping() {
		w.wg.Go(f)
	}
}

// Drain stops the worker: no step begins any more, those under way may end
// until ctx does, and are cut off then. What is not done stays in the journal
// for the next start. It returns ctx's error when attempts had to be cut off or
// would not end.
func (w *Worker) Drain(ctx context.Context) error {
	w.mu.Lock()
	if !w.stopping() {
		close(w.stop)
	}
	w.mu.Unlock()
	done := make(chan struct{})
	go func() { w.wg.Wait(); close(done) }()
	select {
	case <-done:
		w.cancel()
		return nil
	case <-ctx.Done():
	}
	w.cancel()
	// An action that obeys its context ends now; one that does not must not
	// keep the process.
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		w.log.Warn("actions do not end", "attempts", w.running.Load())
	}
	return fmt.Errorf("worker: attempts cut off by the drain limit: %w", ctx.Err())
}

// Depths says how many runs are where.
type Depths struct {
	Open     int // all that are neither ended nor left to a person
	Running  int // attempts under way
	Waiting  int // runs that wait for their next attempt
	Dead     int // dead letters, in memory or not
	InDoubt  int
	Room     int // how many open runs fit at all
	Unlisted int // dead letters and runs in doubt that only the log holds
	Far      int // open runs that are in memory by name only
	FarRoom  int // how many of these fit at all
}

// Depths counts. It is cheap enough for every scrape.
func (w *Worker) Depths() Depths {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Depths{
		Open: len(w.open) + len(w.far.at), Running: int(w.running.Load()), Waiting: int(w.waiting.Load()),
		Dead: w.dead.failed, InDoubt: w.dead.doubt, Room: cap(w.room), Unlisted: w.dead.unlisted,
		Far: len(w.far.at), FarRoom: cap(w.farRoom),
	}
}

// RuleVersion names one compiled rule.
type RuleVersion struct{ Rule, Version string }

// Versions says which compiled rules open runs still need, and for how many.
func (w *Worker) Versions() map[RuleVersion]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[RuleVersion]int{}
	for _, it := range w.open {
		out[RuleVersion{it.start.Rule, it.start.RuleVersion}]++
	}
	for v, kind := range w.far.kinds {
		out[v] += kind.n
	}
	for _, d := range w.dead.byID {
		out[RuleVersion{d.start.Rule, d.start.RuleVersion}]++
	}
	return out
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLog is the log in memory: one append is one batch. It is the journal, the
// archive, and what a restart reads.
type fakeLog struct {
	mu      sync.Mutex
	batches []record.Batch

	left   int  // appends until the crash; < 0: never
	answer bool // the last append before the crash is answered
	dead   bool
	deaths chan struct{}
	fails  int   // so many appends get an error
	gone   bool  // the archive has nothing any more
	broken error // or cannot be read
	now    func() time.Time
}

func newLog() *fakeLog {
	return &fakeLog{left: -1, deaths: make(chan struct{}), now: time.Now}
}

func (l *fakeLog) Append(ctx context.Context, s record.Subject, recs []record.Record, done func([]record.Position, error)) error {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return nil // a dead process gets no answer
	}
	if l.fails > 0 {
		l.fails--
		l.mu.Unlock()
		done(nil, errors.New("no space left"))
		return nil
	}
	at := l.add(s, recs)
	silent := false
	if l.left > 0 {
		if l.left--; l.left == 0 {
			l.dead = true
			silent = !l.answer
			close(l.deaths)
		}
	}
	l.mu.Unlock()
	if !silent {
		done(at, nil)
	}
	return nil
}

func (l *fakeLog) add(s record.Subject, recs []record.Record) []record.Position {
	b := record.Batch{Seq: uint64(len(l.batches) + 1), Time: l.now(), Subject: s, Records: recs}
	l.batches = append(l.batches, b)
	at := make([]record.Position, len(recs))
	for i := range at {
		at[i] = b.At(i)
	}
	return at
}

// decide writes one batch of decisions.
func (l *fakeLog) decide(ds ...*record.Decision) record.Position {
	recs := make([]record.Record, len(ds))
	for i, d := range ds {
		recs[i] = record.Record{Kind: record.KindDecision, Decision: d}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(record.Decisions, recs)[0]
}

// decideFirst is decide with what begins with the decisions, as a worker at
// leisure says.
func (r *rig) decideFirst(ds ...*record.Decision) *record.Batch {
	r.t.Helper()
	b := &record.Batch{Subject: record.Decisions}
	for _, d := range ds {
		b.Records = append(b.Records, record.Record{Kind: record.KindDecision, Decision: d})
	}
	w := r.w
	if w == nil {
		idle := &rig{t: r.t, log: newLog(), eval: r.eval, rules: r.rules, eff: r.eff, acts: r.acts, cfg: r.cfg}
		idle.start(record.Position{}, nil)
		defer idle.stop()
		w = idle.w
	}
	b.Records = append(b.Records, w.First(b)...)
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.add(record.Decisions, b.Records)
	return b
}

// revive is the restart of the process.
func (l *fakeLog) revive(left int, answer bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead, l.left, l.answer, l.deaths = false, left, answer, make(chan struct{})
}

func (l *fakeLog) read() []record.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches[:len(l.batches):len(l.batches)]
}

// journal is all records of the journal about one run, or all for "".
func (l *fakeLog) journal(id string) []Entry {
	var out []Entry
	for _, b := range l.read() {
		for i, r := range b.Records {
			if run := r.RunID(); run != "" && (id == "" || run == id) {
				out = append(out, Entry{b.At(i), b.Time, r})
			}
		}
	}
	return out
}

func (l *fakeLog) Batch(_ context.Context, seq uint64) (*record.Batch, error) {
	bs := l.read()
	if l.gone || seq == 0 || seq > uint64(len(bs)) {
		return nil, nil
	}
	return &bs[seq-1], nil
}

func (l *fakeLog) Run(_ context.Context, id string, _ record.Position) (*History, error) {
	if l.gone {
		return nil, l.broken
	}
	for _, b := range l.read() {
		for i, r := range b.Records {
			if r.Decision == nil {
				continue
			}
			for _, s := range r.Decision.Runs {
				if s.Run == id {
					return &History{Decided: b.At(i), Decision: r.Decision, Journal: l.journal(id)}, nil
				}
			}
		}
	}
	return nil, nil
}

// ends counts the records that end each run.
func (l *fakeLog) ends() map[string][]record.Outcome {
	out := map[string][]record.Outcome{}
	for _, e := range l.journal("") {
		if re := e.Record.RunEnd; re != nil {
			out[re.Run] = append(out[re.Run], re.Outcome)
		}
	}
	return out
}

// fakeEval evaluates functions in place of CEL.
type fakeEval struct {
	bools  map[*rule.Expr]func(*rule.Scope) (bool, error)
	values map[*rule.Value]func(*rule.Scope) (any, error)
}

func (e *fakeEval) Bool(x *rule.Expr, s *rule.Scope) (bool, error)  { return e.bools[x](s) }
func (e *fakeEval) Value(x *rule.Value, s *rule.Scope) (any, error) { return e.values[x](s) }

func (e *fakeEval) expr(f func(*rule.Scope) (bool, error)) *rule.Expr {
	x := &rule.Expr{}
	e.bools[x] = f
	return x
}

func (e *fakeEval) value(f func(*rule.Scope) (any, error)) *rule.Value {
	x := &rule.Value{}
	e.values[x] = f
	return x
}

// fakeAction does what a test says.
type fakeAction struct {
	name   string
	idem   bool
	output []rule.Arg
	do     func(context.Context, action.Call) (action.Result, error)
}

func (a *fakeAction) Spec() rule.ActionSpec {
	return rule.ActionSpec{Name: a.name, Output: a.output, Idempotent: a.idem}
}
func (a *fakeAction) Idempotent(map[string]any) bool { return a.idem }
func (a *fakeAction) Do(ctx context.Context, c action.Call) (action.Result, error) {
	return a.do(ctx, c)
}

// effects counts what actions did, by run/step.
type effects struct {
	mu   sync.Mutex
	n    map[string]int
	list []string
}

func (e *effects) add(c action.Call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n == nil {
		e.n = map[string]int{}
	}
	e.n[c.Key]++
	e.list = append(e.list, c.Key)
}

func (e *effects) count(key string) int { e.mu.Lock(); defer e.mu.Unlock(); return e.n[key] }

func (e *effects) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.list...)
}

// rig is a log with what outlives a crash, and the rules and actions of a test.
type rig struct {
	t     testing.TB
	log   *fakeLog
	eval  *fakeEval
	rules map[string]*rule.Rule
	eff   *effects
	acts  []action.Action
	cfg   Config
	seq   uint64

	w    *Worker
	read uint64 // batches that w has seen
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, log: newLog(), eff: &effects{}, rules: map[string]*rule.Rule{},
		eval: &fakeEval{map[*rule.Expr]func(*rule.Scope) (bool, error){}, map[*rule.Value]func(*rule.Scope) (any, error){}}}
	ok := func(_ context.Context, c action.Call) (action.Result, error) {
		r.eff.add(c)
		return action.Result{Output: map[string]any{"n": 5, "step": c.Step}}, nil
	}
	r.acts = []action.Action{
		&fakeAction{name: "do", idem: true, do: ok},
		&fakeAction{name: "once", do: ok},
		&fakeAction{name: "bad", idem: true, do: func(_ context.Context, c action.Call) (action.Result, error) {
			r.eff.add(c)
			return action.Result{}, errors.New("refused")
		}},
		&fakeAction{name: "flaky", idem: true, do: func(_ context.Context, c action.Call) (action.Result, error) {
			r.eff.add(c)
			if c.Attempt < 3 {
				return action.Result{}, action.Recoverable(errors.New("busy"), 0)
			}
			return action.Result{Output: map[string]any{"attempt": c.Attempt}}, nil
		}},
	}
	r.cfg = DefaultConfig()
	r.cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	return r
}

func (r *rig) Rule(name, version string) (*rule.Rule, bool) {
	x, ok := r.rules[name]
	return x, ok && x.Version == version
}

// rule adds a rule and gives its steps their paths.
func (r *rig) rule(name string, steps ...*rule.Step) *rule.Rule {
	paths("", 1, steps)
	x := &rule.Rule{Name: name, Version: "v1", Lock: "device", Retry: rule.Retry{Attempts: 4}, Do: steps}
	r.rules[name] = x
	return x
}

func paths(prefix string, from int, steps []*rule.Step) {
	for i, s := range steps {
		s.Path = fmt.Sprintf("%s%d", prefix, i+from)
		paths(s.Path+".parallel.", 0, s.Parallel)
		paths(s.Path+".block.", 0, s.Block)
		paths(s.Path+".rescue.", 0, s.Rescue)
		paths(s.Path+".always.", 0, s.Always)
	}
}

// decision is one decision that starts a run of each rule on a device.
func (r *rig) decision(device string, rules ...string) *record.Decision {
	r.seq++
	d := &record.Decision{At: record.Position{Seq: r.seq}, Verdict: record.Decided,
		Event: &event.Event{ID: event.ID(fmt.Sprintf("e%d", r.seq)), Type: "interface_down", Device: device}}
	for _, name := range rules {
		d.Runs = append(d.Runs, record.RunStart{Run: fmt.Sprintf("r%d-%s", r.seq, name), Rule: name, RuleVersion: "v1", Device: device})
	}
	return d
}

// start makes a worker and brings it up to date, as a process start does.
func (r *rig) start(pos record.Position, snap []byte) {
	r.t.Helper()
	cfg := r.cfg
	cfg.Journal, cfg.Rules, cfg.Eval, cfg.Archive = r.log, r, r.eval, r.log
	cfg.Actions = action.NewRegistry(r.acts...)
	w, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.w = w
	if snap != nil {
		if err := w.Restore(pos, snap); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, b := range r.log.read()[pos.Seq:] {
		if err := w.Recover(&b); err != nil {
			r.t.Fatal(err)
		}
	}
	from, err := w.Resume()
	if err != nil && !errors.Is(err, ErrStopped) {
		r.t.Fatal(err)
	}
	r.read = from.Seq
}

// feed applies what is new in the log.
func (r *rig) feed() {
	r.t.Helper()
	for _, b := range r.log.read()[r.read:] {
		r.read = b.Seq
		switch err := r.w.Apply(&b); {
		case errors.Is(err, ErrStopped):
			return
		case err != nil:
			r.t.Fatal(err)
		}
	}
}

// settle waits until no run is open.
func (r *rig) settle() {
	r.t.Helper()
	r.until("no run is open", func() bool { return r.w.Depths().Open == 0 })
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			r.t.Fatalf("it never came to this: %s; %+v", what, r.w.Depths())
		}
		<-time.After(50 * time.Microsecond)
	}
}

// crash ends the worker as kill -9 would: nothing more reaches the log.
func (r *rig) crash() {
	r.log.mu.Lock()
	r.log.dead = true
	r.log.mu.Unlock()
	r.stop()
}

func (r *rig) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.w.Drain(ctx)
}

// one runs a rule once and gives the outcome.
func (r *rig) one(rules ...string) map[string][]record.Outcome {
	r.t.Helper()
	r.log.decide(r.decision("sw1", rules...))
	r.start(record.Position{}, nil)
	r.feed()
	r.settle()
	r.stop()
	return r.log.ends()
}

func do(name string) *rule.Step { return &rule.Step{Action: name} }

func with(s *rule.Step, fs ...func(*rule.Step)) *rule.Step {
	for _, f := range fs {
		f(s)
	}
	return s
}

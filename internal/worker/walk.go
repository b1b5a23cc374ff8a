package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/run"
)

// end is how a step or a list of steps ended. Of several, the greatest counts.
type end uint8

const (
	fine    end = iota
	failed      // its run fails, unless somebody rescues it
	doubt       // nobody knows what an attempt did
	stopped     // by Drain: it goes on after the next start
)

// execution is one run under way.
type execution struct {
	w    *Worker
	it   *item
	gen  uint32
	rule *rule.Rule
	// event is what set the run off: the last, where there are many.
	event *event.Event
	base  rule.Scope // what is the same for all steps
}

// thread is one strand of an execution: the run itself, or a branch of
// "parallel".
type thread struct {
	x *execution
	// buf are ends that the next begin takes along to the journal.
	buf []record.Record
	// registers are what the steps before it gave: replaced, never changed. A
	// branch sees what was there when it began, and not what its neighbours
	// do meanwhile, so that it does the same however fast they are.
	registers map[string]any
	set       []string // names that it gave itself
	// about is what expressions see of the run in attempt number attempt0.
	about    map[string]any
	attempt0 uint32
}

// place is where a step stands.
type place struct {
	ctx     context.Context //nolint:containedctx // a place is an argument, not an object
	static  string          // path of the step around it, as compiled
	dynamic string          // and as journalled, with loop indices
	item    any
	hasItem bool
	handled bool // a failure here is rescued or ignored further out
}

// path is the journal's name of a step: its compiled path, with the index of
// each loop around it ("3#1.block.0").
func (p *place) path(s *rule.Step) string {
	if p.static == p.dynamic {
		return s.Path
	}
	if rest, ok := strings.CutPrefix(s.Path, p.static); ok {
		return p.dynamic + rest
	}
	return p.dynamic + "." + s.Path
}

// execute does one run to its end and says whether it came to one.
func (w *Worker) execute(it *item) bool {
	select {
	case <-w.stop:
		return false
	default:
	}
	if it.dec == nil {
		err := w.warm(it)
		if err != nil {
			return !errors.Is(err, errStopped) && w.lost(it, err)
		}
		if it.requeue == nil && !it.st.Open() {
			w.dropped(it)
			return true
		}
	}
	x := &execution{w: w, it: it}
	t := &thread{x: x}
	it.mu.Lock()
	it.started = true
	it.mu.Unlock()
	w.changed(it)
	if it.requeue != nil && t.putBack() != nil {
		return false
	}
	x.gen = it.st.Gen
	e, err := x.walk(t)
	out := &record.RunEnd{Run: it.start.Run}
	switch e {
	case stopped:
		// What is known goes to the journal; what is not done stays open.
		_ = t.flush()
		return false
	case doubt:
		out.Outcome, out.Error = record.InDoubt, err.Error()
	case failed:
		out.Outcome, out.Error = record.Failed, err.Error()
	default:
		out.Outcome = record.Succeeded
	}
	out.Error = shorten(out.Error)
	w.appendEnd(it, append(t.buf, record.Record{Kind: record.KindRunEnd, RunEnd: out}))
	return true
}

// putBack journals that a person has put the run back.
func (t *thread) putBack() error {
	it := t.x.it
	put := record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{
		Run: it.start.Run, Outcome: record.Requeued, By: it.requeue.By}}
	if err := t.flush(put); err != nil {
		return err
	}
	it.mu.Lock()
	it.requeue = nil
	it.mu.Unlock()
	return nil
}

// lost leaves a run to a person that the log does not have any more.
func (w *Worker) lost(it *item, why error) bool {
	t := &thread{x: &execution{w: w, it: it}}
	if it.requeue != nil && t.putBack() != nil {
		return false
	}
	w.appendEnd(it, []record.Record{{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{
		Run: it.start.Run, Outcome: record.Failed, Error: shorten(why.Error())}}})
	return true
}

// walk does the rule's steps.
func (x *execution) walk(t *thread) (end, error) {
	x.rule = x.it.rule
	if x.rule == nil {
		return failed, fmt.Errorf("rule %s, version %s, is not loaded any more; requeue the run when it is, or discard it",
			x.it.start.Rule, x.it.start.RuleVersion)
	}
	ctx, cancel := x.w.base, context.CancelFunc(func() {})
	if x.rule.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, x.rule.Timeout,
			&timeUp{what: "the rule's time of ", limit: x.rule.Timeout})
	}
	defer cancel()
	x.scope()
	steps := x.rule.Steps(x.it.start.Branch)
	if b := x.it.start.Branch; b != "" && len(steps) == 0 {
		return failed, fmt.Errorf("rule %s, version %s, has no steps %q", x.rule.Name, x.rule.Version, b)
	}
	return t.steps(steps, place{ctx: ctx})
}

// scope sets up what every expression of the run sees.
func (x *execution) scope() {
	x.event = x.it.event()
	if f := x.w.cfg.Scope; f != nil && x.event != nil {
		x.base = *f(x.event)
	} else {
		x.base = rule.Scope{Event: x.event}
	}
	run.Found(&x.base, x.it.dec, x.it.start)
	x.base.Rule = x.w.names.of(x.rule)
}

// at makes the scope of one evaluation.
func (t *thread) at(p *place, attempt uint32) *rule.Scope {
	x := t.x
	s := x.base
	if t.about == nil || t.attempt0 != attempt {
		t.attempt0 = attempt
		t.about = map[string]any{"id": x.it.start.Run, "attempt": int64(attempt),
			"replay": x.it.dec.Replay, "dry_run": x.it.dec.DryRun}
	}
	s.Run = t.about
	s.Registers = t.registers
	s.Item, s.HasItem = p.item, p.hasItem
	return &s
}

// register gives a step's result to later steps.
func (t *thread) register(s *rule.Step, v any) {
	if s.Register != "" {
		t.put(s.Register, v)
	}
}

func (t *thread) put(name string, v any) {
	next := make(map[string]any, len(t.registers)+1)
	maps.Copy(next, t.registers)
	next[name] = v
	t.registers = next
	t.set = append(t.set, name)
}

// known copies what the journal says of a step, with run.None for nothing.
func (x *execution) known(path string) run.Step {
	x.it.mu.Lock()
	defer x.it.mu.Unlock()
	if st := x.it.st.Step(path); st != nil {
		return *st
	}
	return run.Step{Path: path, Gen: x.gen}
}

func (x *execution) within(path string) bool {
	x.it.mu.Lock()
	defer x.it.mu.Unlock()
	return x.it.st.Within(path)
}

// flush makes what is buffered and recs durable, and waits for it and for the
// run's turn.
func (t *thread) flush(recs ...record.Record) error {
	if t.buf = append(t.buf, recs...); len(t.buf) == 0 {
		return nil
	}
	w, it := t.x.w, t.x.it
	out := t.buf
	t.buf = nil
	at, err := w.append(out)
	if err != nil {
		return err
	}
	it.apply(at, w.cfg.Now(), out)
	return t.turn()
}

// turn waits for the end of the run before on this device: an attempt may only be
// made when that is durable.
func (t *thread) turn() error {
	w, it := t.x.w, t.x.it
	if it.after != nil {
		select {
		case <-it.after:
		case <-w.base.Done():
			return errStopped
		}
	}
	w.changed(it)
	return nil
}

// steps does a list in order, up to the first that fails.
func (t *thread) steps(list []*rule.Step, p place) (end, error) {
	for _, s := range list {
		if e, err := t.step(s, p); e != fine {
			return e, err
		}
	}
	return fine, nil
}

// step does one step, with its loop and ignore_errors.
func (t *thread) step(s *rule.Step, p place) (end, error) {
	inner := p
	inner.handled = p.handled || s.IgnoreErrors
	path := p.path(s)
	var e end
	var err error
	switch {
	case s.Loop != nil:
		e, err = t.loop(s, inner, path)
	default:
		e, err = t.once(s, inner, path)
	}
	if e == failed && s.IgnoreErrors {
		return fine, nil
	}
	return e, err
}

// once does one step, or one element of its loop.
func (t *thread) once(s *rule.Step, p place, path string) (end, error) {
	if len(s.Parallel) == 0 && len(s.Block) == 0 {
		return t.leaf(s, p, path)
	}
	if e, err, done := t.enter(s, &p, path); done {
		return e, err
	}
	if s.Timeout > 0 {
		ctx, cancel := context.WithTimeoutCause(p.ctx, s.Timeout,
			&timeUp{what: "the time of step " + path + ", ", limit: s.Timeout})
		defer cancel()
		p.ctx = ctx
	}
	p.static, p.dynamic = s.Path, path
	var e end
	var err error
	if len(s.Parallel) > 0 {
		e, err = t.parallel(s, p)
	} else {
		e, err = t.block(s, p)
	}
	if e == fine || e == failed {
		t.register(s, result(nil, e == fine, false, text(err)))
	}
	return e, err
}

// enter decides whether a block or parallel is done at all.
func (t *thread) enter(s *rule.Step, p *place, path string) (end, error, bool) {
	st := t.x.known(path)
	switch {
	case st.Status == run.Skipped:
		t.register(s, result(nil, true, true, ""))
		return fine, nil, true
	case st.Status == run.StepFail && (st.Gen == t.x.gen || p.handled):
		t.register(s, result(nil, false, false, st.Error))
		return failed, errors.New(st.Error), true
	case s.When == nil || t.x.within(path):
		return fine, nil, false
	}
	ok, err := t.x.w.holds(s.When, t.at(p, 0))
	if err != nil {
		e, err := t.fail(s, path, st.Number+1, fmt.Errorf("when: %w", err))
		return e, err, true
	}
	if !ok {
		t.skip(s, path)
		return fine, nil, true
	}
	return fine, nil, false
}

// holds evaluates a condition. One that reads what is not there is false.
func (w *Worker) holds(e *rule.Expr, s *rule.Scope) (bool, error) {
	ok, err := w.cfg.Eval.Bool(e, s)
	if err != nil && rule.Absent(err) {
		return false, nil
	}
	return ok, err
}

// skip notes that a step's condition was false.
func (t *thread) skip(s *rule.Step, path string) {
	t.buf = append(t.buf, record.Record{Kind: record.KindStepEnd,
		End: &record.StepEnd{Run: t.x.it.start.Run, Step: path, OK: true, Skipped: true}})
	t.register(s, result(nil, true, true, ""))
}

// fail notes that a step failed for good without an attempt.
func (t *thread) fail(s *rule.Step, path string, number uint32, err error) (end, error) {
	msg := shorten(err.Error())
	t.buf = append(t.buf, record.Record{Kind: record.KindStepEnd,
		End: &record.StepEnd{Run: t.x.it.start.Run, Step: path, Attempt: number, Error: msg}})
	t.register(s, result(nil, false, false, msg))
	return failed, stepError(s, path, msg)
}

// block does a block, its rescue when it failed, and its always in any case.
func (t *thread) block(s *rule.Step, p place) (end, error) {
	body := p
	body.handled = p.handled || len(s.Rescue) > 0
	e, err := t.steps(s.Block, body)
	if e == failed && len(s.Rescue) > 0 && p.ctx.Err() == nil {
		e, err = t.steps(s.Rescue, p)
	}
	if e == doubt || e == stopped || len(s.Always) == 0 {
		return e, err
	}
	last := p
	if p.ctx.Err() != nil {
		// Cleaning up has its own time: it is needed most when time ran out.
		ctx, cancel := context.WithTimeoutCause(t.x.w.base, t.x.w.cfg.AlwaysTime,
			&timeUp{what: "the time for always steps, ", limit: t.x.w.cfg.AlwaysTime})
		defer cancel()
		last.ctx = ctx
	}
	if e2, err2 := t.steps(s.Always, last); e2 > e || e2 == failed {
		return e2, errors.Join(err, err2)
	}
	return e, err
}

// parallel does its steps at once and waits for all of them.
func (t *thread) parallel(s *rule.Step, p place) (end, error) {
	if t.flush() != nil {
		return stopped, nil
	}
	ends := make([]end, len(s.Parallel))
	errs := make([]error, len(s.Parallel))
	threads := make([]thread, len(s.Parallel))
	var wg sync.WaitGroup
	for i, sub := range s.Parallel {
		threads[i].x, threads[i].registers = t.x, t.registers
		wg.Go(func() { ends[i], errs[i] = threads[i].step(sub, p) })
	}
	wg.Wait()
	e := fine
	for i := range threads {
		t.buf = append(t.buf, threads[i].buf...)
		for _, name := range threads[i].set {
			t.put(name, threads[i].registers[name])
		}
		e = max(e, ends[i])
	}
	return e, errors.Join(errs...)
}

// loop does a step once for each element of a list, all of them even if some
// fail, as Ansible does. The list is journalled: a run that goes on after a
// crash sees the same elements at the same places.
func (t *thread) loop(s *rule.Step, p place, path string) (end, error) {
	list, e, err, done := t.elements(s, &p, path)
	if done {
		return e, err
	}
	var results []any
	var errs []error
	e = fine
	for i, v := range list {
		one := p
		one.item, one.hasItem = v, true
		ei, err := t.once(s, one, path+"#"+strconv.Itoa(i))
		if ei >= doubt {
			return ei, err
		}
		e = max(e, ei)
		errs = append(errs, err)
		if s.Register != "" {
			results = append(results, t.registers[s.Register])
		}
	}
	err = errors.Join(errs...)
	t.register(s, result(map[string]any{"results": results}, e == fine, len(list) == 0, text(err)))
	return e, err
}

// elements evaluates a loop's list, or takes it from the journal.
func (t *thread) elements(s *rule.Step, p *place, path string) ([]any, end, error, bool) {
	st := t.x.known(path)
	if st.Status == run.Done {
		list, _ := decode(st.Output, nil)["items"].([]any)
		return list, fine, nil, false
	}
	if st.Status == run.StepFail && (st.Gen == t.x.gen || p.handled) {
		t.register(s, result(nil, false, false, st.Error))
		return nil, failed, errors.New(st.Error), true
	}
	bad := func(err error) ([]any, end, error, bool) {
		e, err := t.fail(s, path, st.Number+1, fmt.Errorf("loop: %w", err))
		return nil, e, err, true
	}
	v, err := t.x.w.cfg.Eval.Value(s.Loop, t.at(p, 0))
	if err != nil {
		return bad(err)
	}
	list, err := toList(v)
	if err != nil {
		return bad(err)
	}
	if len(list) > t.x.w.cfg.LoopItems {
		return bad(fmt.Errorf("%d elements; at most %d are allowed", len(list), t.x.w.cfg.LoopItems))
	}
	out, err := encode(map[string]any{"items": list}, t.x.w.cfg.OutputBytes, nil)
	if err != nil {
		return bad(err)
	}
	t.buf = append(t.buf, record.Record{Kind: record.KindStepEnd, End: &record.StepEnd{
		Run: t.x.it.start.Run, Step: path, Attempt: st.Number + 1, OK: true, Output: out}})
	// What the first walk sees is what a later one would read.
	list, _ = decode(out, nil)["items"].([]any)
	return list, fine, nil, false
}

// stepError names the step that failed.
func stepError(s *rule.Step, path, msg string) error {
	name := s.Name
	if name == "" {
		name = s.Action
	}
	if name == "" {
		return fmt.Errorf("step %s: %s", path, msg)
	}
	return fmt.Errorf("step %s (%s): %s", path, name, msg)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return shorten(err.Error())
}

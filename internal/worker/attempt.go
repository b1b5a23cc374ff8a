package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"signalbox/internal/action"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/run"
)

// leaf does one action, with its retries and its until.
func (t *thread) leaf(s *rule.Step, p place, path string) (end, error) {
	for {
		st := t.x.known(path)
		begin := t.taken(path)
		if begin == nil {
			if e, err, done := t.resume(s, &p, &st); done {
				return e, err
			}
		}
		e, err, again := t.attempt(s, &p, &st, begin)
		if !again {
			return e, err
		}
		// The attempt's end and the time of the next go to the journal before
		// the wait: a restart honours it, and counts it.
		if t.flush() != nil {
			return stopped, nil
		}
	}
}

// resume looks at what is known of a step and says whether that is its end. It
// waits for the time of the next attempt.
func (t *thread) resume(s *rule.Step, p *place, st *run.Step) (end, error, bool) {
	earlier := st.Gen != t.x.gen // of before the run was put back
	switch st.Status {
	case run.Skipped:
		t.register(s, result(nil, true, true, ""))
		return fine, nil, true
	case run.Done:
		t.register(s, t.x.w.output(s, st.Output, true, ""))
		return fine, nil, true
	case run.StepFail:
		// A failure that was rescued or ignored stays what it was; the one
		// that ended the run is what was put back.
		if earlier && !p.handled {
			break
		}
		t.register(s, t.x.w.output(s, st.Output, false, st.Error))
		return failed, stepError(s, st.Path, st.Error), true
	case run.Begun:
		if earlier {
			break // a person said: do it again
		}
		if !st.Idempotent {
			return doubt, stepError(s, st.Path, fmt.Sprintf(
				"attempt %d was under way when Signalbox stopped, and may not be repeated unasked: look at the device, then requeue or discard the run", st.Number)), true
		}
		if st.Interrupted+1 >= t.x.w.cfg.Interrupted {
			e, err := t.fail(s, st.Path, st.Number+1, fmt.Errorf(
				"%d attempts in a row were under way when Signalbox stopped; it may be what stops it", st.Interrupted+1))
			return e, err, true
		}
	case run.Waiting:
		if !t.x.w.sleep(p.ctx, st.RetryAt) {
			return t.cut(s, p, st.Path, st.Number+1)
		}
	}
	if s.When == nil || st.Action != "" {
		return fine, nil, false // it had begun once: its condition was true
	}
	ok, err := t.x.w.holds(s.When, t.at(p, st.Number+1))
	if err != nil {
		e, err := t.fail(s, st.Path, st.Number+1, fmt.Errorf("when: %w", err))
		return e, err, true
	}
	if !ok {
		t.skip(s, st.Path)
		return fine, nil, true
	}
	return fine, nil, false
}

// cut ends a step whose context ended before its attempt could begin: by Drain,
// or because the time of the rule or of a block is up.
func (t *thread) cut(s *rule.Step, p *place, path string, number uint32) (end, error, bool) {
	if t.x.w.stopping() {
		return stopped, nil, true
	}
	e, err := t.fail(s, path, number, context.Cause(p.ctx))
	return e, err, true
}

// attempt makes one attempt; begin is its record where that is in the log already.
// The third result says that another is due.
func (t *thread) attempt(s *rule.Step, p *place, st *run.Step, begin *record.StepBegin) (end, error, bool) {
	w, number := t.x.w, st.Number+1
	if begin != nil {
		number = begin.Attempt
	}
	act, ok := w.cfg.Actions.Get(s.Action)
	if !ok {
		e, err := t.fail(s, st.Path, number, fmt.Errorf("there is no action %q in this binary", s.Action))
		return e, err, false
	}
	hide := &redactor{}
	args, err := t.args(s, p, number, hide)
	if err != nil {
		e, err := t.fail(s, st.Path, number, errors.New(hide.text(err.Error())))
		return e, err, false
	}
	if p.ctx.Err() != nil || w.stopping() || !t.acquire(p.ctx, s.Action) {
		e, err, _ := t.cut(s, p, st.Path, number)
		return e, err, false
	}
	if begin == nil {
		begin = &record.StepBegin{Run: t.x.it.start.Run, Step: st.Path, Attempt: number, Action: s.Action,
			Idempotent: t.x.idempotent(s, act, args)}
		err = t.flush(record.Record{Kind: record.KindStepBegin, Begin: begin})
	} else {
		err = t.turn()
	}
	if err != nil {
		w.release(s.Action)
		return stopped, nil, false
	}
	out := &record.StepEnd{Run: begin.Run, Step: begin.Step, Attempt: number}
	started := w.cfg.Now()
	res, err := t.call(act, s, p, begin, args, hide)
	out.Took = max(w.cfg.Now().Sub(started), 0)
	w.release(s.Action)
	if err != nil && w.base.Err() != nil {
		// Drain cut it off. Its end is not known, and must not be made up: the
		// next start repeats it, or asks.
		return stopped, nil, false
	}
	return t.judge(s, p, act, out, res, err, hide)
}

// idempotent says whether the attempt may be repeated when its end is unknown:
// the rule's author knows best, then the action. A dry run does nothing.
func (x *execution) idempotent(s *rule.Step, act action.Action, args map[string]any) bool {
	switch {
	case x.it.dec.DryRun:
		return true
	case s.Idempotent != nil:
		return *s.Idempotent
	default:
		return safely(func() bool { return act.Idempotent(args) })
	}
}

// safely is f, or false where it panics.
func safely(f func() bool) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return f()
}

// args evaluates a step's arguments. Secrets can be seen only here, and each
// that is used is hidden from all that is written about the attempt.
func (t *thread) args(s *rule.Step, p *place, number uint32, hide *redactor) (map[string]any, error) {
	if s.Args == nil {
		return map[string]any{}, nil
	}
	scope := t.at(p, number)
	scope.Secret = func(name string) (string, error) {
		if t.x.w.cfg.Secrets == nil {
			return "", fmt.Errorf("secret %q: no secrets are configured", name)
		}
		v, err := t.x.w.cfg.Secrets(name)
		if err == nil {
			hide.add(v)
		}
		return v, err
	}
	v, err := t.x.w.cfg.Eval.Value(s.Args, scope)
	if err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	args, ok := v.(map[string]any)
	if !ok && v != nil {
		return nil, fmt.Errorf("arguments: an object was expected, this is a %T", v)
	}
	if args == nil {
		args = map[string]any{}
	}
	return args, nil
}

// call calls the action. A panic in it is a permanent error: its stack goes to
// our log, and all other runs go on.
func (t *thread) call(act action.Action, s *rule.Step, p *place, b *record.StepBegin, args map[string]any, hide *redactor) (res action.Result, err error) {
	w, it := t.x.w, t.x.it
	ctx := p.ctx
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, &timeUp{what: "the step's time of ", limit: s.Timeout})
		defer cancel()
	}
	log := loggerFor(w.log, it, b, hide)
	w.running.Add(1)
	defer w.running.Add(-1)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("action %s panicked: %v", b.Action, r)
			log.Error("action panicked", "err", err, "stack", string(debug.Stack()))
		}
	}()
	res, err = act.Do(ctx, action.Call{
		Run: b.Run, Step: b.Step, Attempt: int(b.Attempt), Rule: it.start.Rule,
		Event: t.x.event, Events: it.start.Events, Device: t.x.base.Device, Args: args,
		DryRun: it.dec.DryRun, Replay: it.dec.Replay,
		Key: b.Run + "/" + b.Step, Log: log, Secrets: hide.values,
	})
	if err != nil && ctx.Err() != nil && w.base.Err() == nil {
		cause := fmt.Errorf("%w: %w", context.Cause(ctx), err)
		after, ok := action.IsRecoverable(err)
		// Nobody knows what an attempt did that ran out of time; it is tried
		// again only if that does no harm, or the action says so itself.
		if ok || b.Idempotent && errors.Is(err, ctx.Err()) {
			return res, action.Recoverable(cause, after)
		}
		return res, cause
	}
	return res, err
}

// judge says what comes of an attempt's result: done, another attempt, or
// failed. The end goes to the buffer.
func (t *thread) judge(s *rule.Step, p *place, act action.Action, out *record.StepEnd, res action.Result, err error, hide *redactor) (end, error, bool) {
	w := t.x.w
	data, encErr := encode(res.Output, w.cfg.OutputBytes, hide)
	if encErr != nil {
		// What was done was done; only its output is lost, and that is said.
		data, _ = encode(map[string]any{"omitted": encErr.Error()}, w.cfg.OutputBytes, hide)
	}
	out.Output, out.OK = data, err == nil
	st := t.x.known(out.Step)
	var after time.Duration
	if err != nil {
		out.Error = shorten(hide.text(err.Error()))
		after, out.Recoverable = action.IsRecoverable(err)
		out.RetryAt = t.retryAt(s, p, &st, out, after)
	} else if s.Until != nil {
		t.until(s, p, &st, out)
	}
	t.register(s, w.output(s, out.Output, out.OK && out.RetryAt.IsZero(), out.Error))
	w.cfg.Metrics.StepEnded(s.Action, out.OK, out.Took)
	t.buf = append(t.buf, record.Record{Kind: record.KindStepEnd, End: out})
	switch {
	case !out.RetryAt.IsZero():
		w.cfg.Metrics.StepRetried(t.x.it.start.Rule, s.Action)
		return fine, nil, true
	case out.OK:
		return fine, nil, false
	default:
		return failed, stepError(s, out.Step, out.Error), false
	}
}

// retryAt says when a failed attempt is tried again, zero for never.
func (t *thread) retryAt(s *rule.Step, p *place, st *run.Step, out *record.StepEnd, after time.Duration) time.Time {
	policy := t.x.rule.Retry
	if s.Retry != nil {
		policy = *s.Retry
	}
	at, ok := st.Next(policy, out.Run, out.Recoverable, after, t.x.w.cfg.Now())
	if !ok {
		return time.Time{}
	}
	if limit, has := p.ctx.Deadline(); has && limit.Before(at) {
		out.Error = shorten(fmt.Sprintf("%s (no time for another attempt in %s)", out.Error, at.Sub(t.x.w.cfg.Now()).Round(time.Millisecond)))
		return time.Time{}
	}
	return at
}

// until judges an attempt that went well by the step's until.
func (t *thread) until(s *rule.Step, p *place, st *run.Step, out *record.StepEnd) {
	w := t.x.w
	t.register(s, w.output(s, out.Output, true, ""))
	ok, err := w.holds(s.Until, t.at(p, out.Attempt))
	switch {
	case err != nil:
		out.OK, out.Error = false, shorten("until: "+err.Error())
	case ok:
	case st.Untils >= s.Retries:
		out.OK, out.Error = false, fmt.Sprintf("until is still false after %d attempts", st.Untils+1)
	default:
		out.RetryAt = w.cfg.Now().Add(s.Delay)
		if limit, has := p.ctx.Deadline(); has && limit.Before(out.RetryAt) {
			out.RetryAt = time.Time{}
			out.OK, out.Error = false, "until is still false, and there is no time for another attempt"
		}
	}
}

// acquire takes the right to make an attempt: of its kind first, so that a kind
// at its bound keeps no other waiting. What is buffered becomes durable before
// it waits.
func (t *thread) acquire(ctx context.Context, kind string) bool {
	w := t.x.w
	for i, c := range []chan struct{}{w.kinds[kind], w.slots} {
		select {
		case c <- struct{}{}:
			continue
		default:
		}
		err := t.flush()
		if err == nil {
			select {
			case c <- struct{}{}:
				continue
			case <-w.stop:
			case <-ctx.Done():
			}
		}
		if i == 1 {
			<-w.kinds[kind]
		}
		return false
	}
	return true
}

func (w *Worker) release(kind string) {
	<-w.slots
	<-w.kinds[kind]
}

// sleep waits until a time, and says false when it was woken before.
func (w *Worker) sleep(ctx context.Context, until time.Time) bool {
	d := until.Sub(w.cfg.Now())
	if d <= 0 {
		return ctx.Err() == nil && !w.stopping()
	}
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-w.stop:
		return false
	}
}

func (w *Worker) stopping() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

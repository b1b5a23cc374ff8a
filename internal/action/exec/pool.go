package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"signalbox/internal/action"
)

// pool is a number of processes of one handler. Requests wait in a channel
// without room, so that whoever is free takes the next.
type pool struct {
	name string
	cfg  HandlerConfig
	path string
	dir  string
	log  *slog.Logger

	requests chan *request
	ended    chan struct{} // closed when run has ended
	serial   atomic.Uint64
	quiet    *rate.Limiter // of the lines of stderr that are logged
	unlogged atomic.Int64

	mu      sync.Mutex
	down    int   // workers that wait after a start that came to nothing
	last    error // why the last one died
	secrets []string
	redact  *action.Redactor
}

// request is one call on its way through a pool.
type request struct {
	ctx     context.Context
	id      string
	line    []byte
	timeout time.Duration
	reply   chan reply // has room for the one reply
}

// reply is what came of a request: an answer, or an error that leaves open
// whether the handler did its work.
type reply struct {
	answer answer
	err    error
}

func (a *Action) newPool(name string, cfg HandlerConfig, log *slog.Logger) (*pool, error) {
	unbound := *a
	unbound.cfg.Allow = nil // that list is for rules; a handler is configured
	path, err := unbound.resolve(cfg.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return &pool{
		name: name, cfg: cfg, path: path, dir: a.path(cfg.Dir), log: log.With("handler", name),
		requests: make(chan *request), ended: make(chan struct{}),
		quiet: rate.NewLimiter(10, 50),
	}, nil
}

// run keeps the workers alive until ctx ends.
func (p *pool) run(ctx context.Context) {
	defer close(p.ended)
	var wg sync.WaitGroup
	for i := range p.cfg.Workers {
		wg.Go(func() { p.supervise(ctx, i) })
	}
	wg.Wait()
}

// supervise starts one process again and again, with a wait that doubles while
// it keeps dying and is short again after it has answered.
func (p *pool) supervise(ctx context.Context, i int) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = p.cfg.Backoff, p.cfg.MaxBackoff, 2
	b.Reset()
	for ctx.Err() == nil {
		w := &worker{pool: p}
		err := w.live(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.answered {
			b.Reset()
		}
		wait := min(b.NextBackOff(), p.cfg.MaxBackoff)
		p.log.WarnContext(ctx, "handler process ended", "process", i, "err", p.clean(err.Error(), 1<<10), "restart_in", wait)
		if w.asked {
			p.setDown(0, err)
		} else {
			p.setDown(1, err)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		if !w.asked {
			p.setDown(-1, nil)
		}
	}
}

func (p *pool) setDown(by int, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down += by
	if why != nil {
		p.last = why
	}
}

// allDown says why no process comes up, or nil. Then a request need not wait.
func (p *pool) allDown() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down < p.cfg.Workers {
		return nil
	}
	return p.last
}

const maxSecrets = 256

// remember makes sure that a secret that was handed to a handler is not logged
// when the handler says it on stderr.
func (p *pool) remember(secrets []string) {
	if len(secrets) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]bool{}
	for _, s := range p.secrets {
		known[s] = true
	}
	grown := false
	for _, s := range secrets {
		if s != "" && !known[s] {
			known[s], grown = true, true
			p.secrets = append(p.secrets, s)
		}
	}
	if !grown {
		return
	}
	if n := len(p.secrets); n > maxSecrets {
		p.secrets = append([]string(nil), p.secrets[n-maxSecrets:]...)
	}
	p.redact = action.NewRedactor(p.secrets...)
}

// redactor takes out the secrets that the handler knows.
func (p *pool) redactor() *action.Redactor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.redact
}

// clean makes text from a handler safe to show, at most limit bytes of it.
func (p *pool) clean(s string, limit int) string {
	return action.Escape(p.redactor().Text(s), limit)
}

// env is the environment of the processes. The secrets in it are read anew at
// every start, so that a changed one needs no restart of Signalbox.
func (p *pool) env() ([]string, error) {
	env := append(inherited(), "SIGNALBOX_HANDLER="+p.name)
	var secrets []string
	for _, name := range sortedKeys(p.cfg.Env) {
		ref := p.cfg.Env[name]
		if ref.IsZero() {
			env = append(env, name+"=")
			continue
		}
		v, err := ref.Value()
		if err != nil {
			return nil, fmt.Errorf("env: %s: %w", name, err)
		}
		if strings.ContainsRune(v, 0) {
			return nil, fmt.Errorf("env: %s: holds a NUL byte", name)
		}
		if len(v) >= 6 { // "1", "debug": settings rather than secrets
			secrets = append(secrets, v)
		}
		env = append(env, name+"="+v)
	}
	p.remember(secrets)
	return env, nil
}

// doHandler hands one call to a pool and waits for what comes of it.
func (a *Action) doHandler(ctx context.Context, call action.Call) (action.Result, error) {
	args := action.ReadArgs(call.Args)
	name := args.String("handler", "")
	p, known := a.pools[name]
	if !known {
		args.Fail("handler", "there is no handler %q; the configuration has %q", action.Escape(name, 100), sortedKeys(a.pools))
		p = &pool{}
	}
	if args.Has("command") {
		args.Fail("command", "there is a handler as well; give one of them")
	}
	redact := action.NewRedactor(call.Secrets...)
	req := &request{ctx: ctx, timeout: args.Duration("timeout", p.cfg.Timeout), reply: make(chan reply, 1)}
	again := args.Bool("idempotent", p.cfg.Idempotent)
	given := args.Map("args")
	if err := args.Err(); err != nil {
		return action.Result{}, redact.Error(fmt.Errorf("exec: %w", err))
	}
	if call.DryRun {
		return action.Result{Output: output("dry_run", true, "would", "ask handler "+name)}, nil
	}
	if err := p.encode(req, call, given); err != nil {
		return action.Result{}, redact.Error(fmt.Errorf("exec: handler %s: %w", name, err))
	}
	p.remember(call.Secrets)
	if err := p.hand(req); err != nil {
		return action.Result{}, redact.Error(err)
	}
	began := time.Now()
	said, err := p.judge(<-req.reply, again)
	said = p.redactor().Value(redact.Value(said))
	out := output("json", said, "took_ms", time.Since(began).Milliseconds())
	return action.Result{Output: out}, p.redactor().Error(redact.Error(err))
}

func (p *pool) encode(req *request, call action.Call, args map[string]any) error {
	if args == nil {
		args = map[string]any{}
	}
	req.id = fmt.Sprint(p.serial.Add(1))
	q := ask{ID: req.id, Run: call.Run, Rule: call.Rule, Step: call.Step, Attempt: call.Attempt,
		Key: call.Key, Replay: call.Replay, Device: call.Device, Args: args}
	if call.Event != nil {
		b, err := call.Event.AppendJSON(nil)
		if err != nil {
			return err
		}
		q.Event = b
	}
	if len(call.Events) > 1 {
		for _, e := range call.Events {
			b, err := e.AppendJSON(nil)
			if err != nil {
				return err
			}
			q.Events = append(q.Events, b)
		}
	}
	line, err := json.Marshal(q)
	if err != nil {
		return err
	}
	req.line = append(line, '\n')
	return nil
}

// hand waits until a process takes the request. Its errors are recoverable:
// nothing was begun.
func (p *pool) hand(req *request) error {
	fail := func(format string, v ...any) error {
		return action.Recoverable(fmt.Errorf("exec: handler "+p.name+": "+format, v...), 0)
	}
	if why := p.allDown(); why != nil {
		return fail("no process is running: %s", p.clean(why.Error(), 1<<10))
	}
	t := time.NewTimer(req.timeout)
	defer t.Stop()
	select {
	case p.requests <- req:
		return nil
	case <-p.ended:
		return fail("the pool is stopped")
	case <-req.ctx.Done():
		return fail("no process was free: %w", req.ctx.Err())
	case <-t.C:
		if why := p.allDown(); why != nil {
			return fail("no process is running: %s", p.clean(why.Error(), 1<<10))
		}
		return fail("no process was free within %s", req.timeout)
	}
}

// judge makes a result of a reply.
func (p *pool) judge(r reply, again bool) (any, error) {
	if r.err != nil {
		err := fmt.Errorf("exec: handler %s: %w; what it had done by then is not known", p.name, r.err)
		if again {
			return nil, action.Recoverable(err, 0)
		}
		return nil, err
	}
	out, err := r.answer.output()
	if err != nil {
		return nil, fmt.Errorf("exec: handler %s: %w", p.name, err)
	}
	if *r.answer.OK {
		return out, nil
	}
	said := r.answer.Error
	if said == "" {
		said = "failed and does not say why"
	}
	err = errors.New("exec: handler " + p.name + ": " + p.clean(said, 1<<10))
	if r.answer.Recoverable {
		return out, action.Recoverable(err, r.answer.wait())
	}
	return out, err
}

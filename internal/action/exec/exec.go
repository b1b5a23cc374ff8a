// Package exec is the action exec: it runs a program with the event, or hands
// the event to a long-lived handler process.
//
// No shell is involved, ever: a program gets its arguments one by one, the
// event as JSON on stdin and its main fields in the environment. It runs in a
// process group of its own; when its time is over the whole group is killed,
// and so is what it left running when it ended. Time and output are bounded.
//
// A handler is a program that stays: it reads one request a line from stdin
// and answers each with one line on stdout, both JSON. A pool keeps a number
// of them running, gives each one request at a time, and starts those that
// died again. Package handler at the top of this module is the other side, in
// Go; examples/handlers has it in Python.
package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/action"
	"signalbox/internal/rule"
)

// Action is the action exec. It is safe for many goroutines.
type Action struct {
	cfg   Config
	pools map[string]*pool
}

// New makes the action. It starts nothing: handlers live while Run does.
func New(cfg Config, log *slog.Logger) (*Action, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	a := &Action{cfg: cfg, pools: map[string]*pool{}}
	for name, h := range cfg.Handlers {
		p, err := a.newPool(name, h, log)
		if err != nil {
			return nil, fmt.Errorf("handlers: %s: %w", name, err)
		}
		a.pools[name] = p
	}
	return a, nil
}

// Run keeps the handler processes running until ctx ends; then it lets each
// finish the request it has, within its grace, and ends them. It returns nil.
// Call it once.
func (a *Action) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, p := range a.pools {
		g.Go(func() error { p.run(ctx); return nil })
	}
	return g.Wait()
}

// Spec describes the action.
func (a *Action) Spec() rule.ActionSpec {
	return rule.ActionSpec{
		Name: "exec",
		Doc: "Runs a program, or asks a handler process. There is no shell: arguments go to the program one by one, whatever is in them. " +
			"Write the program's name as plain text in the rule, never from an event; actions.exec.allow bounds which ones may run. " +
			"The event is on stdin as CloudEvents JSON (where a rule found something in many events, with all of them as the list events), and in SIGNALBOX_EVENT_TYPE, SIGNALBOX_EVENT_ID, SIGNALBOX_DEVICE, SIGNALBOX_INTERFACE, " +
			"SIGNALBOX_RUN, SIGNALBOX_RULE, SIGNALBOX_STEP, SIGNALBOX_ATTEMPT, SIGNALBOX_KEY, SIGNALBOX_REPLAY and TRACEPARENT. " +
			"Of Signalbox's own environment only PATH, HOME, LANG and TZ are passed on. " +
			"Arguments can be seen by every user of the machine: pass secrets by env or stdin.",
		Args: []rule.Arg{
			{Name: "command", Type: "list", Doc: "program and arguments; the program is a name in PATH, an absolute path or a path from the configuration's folder"},
			{Name: "handler", Type: "string", Doc: "instead of command: the handler pool (handlers in the configuration) that gets the event"},
			{Name: "args", Type: "map", Doc: "with handler: passed on as args of the request"},
			{Name: "stdin", Type: "any", Doc: "text as it is, a map or list as JSON; default the event"},
			{Name: "env", Type: "map", Doc: "added to the environment"},
			{Name: "dir", Type: "string", Doc: "working folder; default the configuration's"},
			{Name: "timeout", Type: "duration", Doc: "after which the process group gets SIGTERM, then SIGKILL; default 1m, of a handler its own"},
			{Name: "max_output", Type: "int", Doc: "bytes kept of stdout, and of stderr; default 65536"},
			{Name: "expect", Type: "list", Doc: "exit codes that are success; default [0]"},
			{Name: "recoverable", Type: "list", Doc: "exit codes that another attempt may cure; default [75] (EX_TEMPFAIL)"},
			{Name: "idempotent", Type: "bool", Doc: "the program may be run again when nobody knows whether it did its work; " +
				"then a timeout or a death by signal is recoverable as well. Default false, of a handler its own"},
		},
		Output: []rule.Arg{
			{Name: "exit_code", Type: "int", Doc: "exit code; -1 when killed by a signal"},
			{Name: "stdout", Type: "string", Doc: "what the program wrote, the first max_output bytes"},
			{Name: "stderr", Type: "string", Doc: "the same of stderr"},
			{Name: "json", Type: "any", Doc: "stdout parsed, where it is a JSON object or list; else null. Of a handler: what it returned"},
			{Name: "truncated", Type: "bool", Doc: "there was more than max_output"},
			{Name: "took_ms", Type: "int", Doc: "milliseconds from start to end"},
		},
		Example: `- exec:
    command: [scripts/open-ticket.sh, "${event.device}", "${event.interface}"]
    timeout: 20s
  register: ticket`,
	}
}

// Idempotent goes by the argument, or by the handler's configuration.
func (a *Action) Idempotent(args map[string]any) bool {
	if b, ok := args["idempotent"].(bool); ok {
		return b
	}
	name, _ := args["handler"].(string)
	p, ok := a.pools[name]
	return ok && p.cfg.Idempotent
}

// Do runs the program, or asks the handler. Where the exit code is not the
// expected one it returns both an error and the output.
func (a *Action) Do(ctx context.Context, call action.Call) (action.Result, error) {
	if call.Args["handler"] != nil {
		return a.doHandler(ctx, call)
	}
	c, err := a.readCommand(call)
	if err != nil {
		return action.Result{}, err
	}
	if call.DryRun {
		return action.Result{Output: c.would()}, nil
	}
	out, err := c.run(ctx, a.cfg.Grace)
	return action.Result{Output: out}, c.redact.Error(err)
}

// would tells what a dry run would have run, each argument quoted, so that they
// can be told apart. Secrets go before quoting changes them.
func (c *command) would() map[string]any {
	text := "run " + c.redact.Text(c.path)
	for _, s := range c.argv[1:] {
		text += fmt.Sprintf(" %q", c.redact.Text(s))
	}
	return output("dry_run", true, "would", text)
}

// output is an output with all fields of the Spec, so that a later step may ask
// for any of them; pairs are those that say something.
func output(pairs ...any) map[string]any {
	out := map[string]any{"exit_code": 0, "stdout": "", "stderr": "", "json": nil, "truncated": false, "took_ms": int64(0)}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

func (c *command) run(ctx context.Context, grace time.Duration) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	babble, tooMuch := context.WithCancelCause(ctx)
	defer tooMuch(nil)
	newCapture := func() *capture {
		return &capture{keep: c.maxOutput + margin, babble: func() { tooMuch(errBabble) }}
	}
	stdout, stderr := newCapture(), newCapture()
	cmd := &exec.Cmd{Path: c.path, Args: c.argv, Env: c.env, Dir: c.dir, Stdout: stdout, Stderr: stderr}
	if c.stdin != nil {
		cmd.Stdin = strings.NewReader(string(c.stdin))
	}
	began := time.Now()
	p, err := start(cmd)
	if err != nil {
		return nil, c.notStarted(err)
	}
	var killed error
	select {
	case <-p.done:
	case <-babble.Done():
		killed = context.Cause(babble)
		if errors.Is(killed, errBabble) {
			grace = 0
		}
		p.stop(grace)
	}
	out := output("exit_code", cmd.ProcessState.ExitCode(), "stdout", c.text(stdout), "stderr", c.text(stderr),
		"truncated", stdout.written > c.maxOutput || stderr.written > c.maxOutput,
		"took_ms", time.Since(began).Milliseconds())
	if b := strings.TrimSpace(stdout.buf.String()); stdout.written <= c.maxOutput && b != "" && (b[0] == '{' || b[0] == '[') {
		if v, err := action.DecodeJSON([]byte(b)); err == nil {
			out["json"] = c.redact.Value(v)
		}
	}
	return out, c.judge(cmd, killed, out)
}

func (c *command) text(from *capture) string {
	return strings.ToValidUTF8(c.redact.Head(from.buf.String(), c.maxOutput), "\uFFFD")
}

// notStarted says why the program is not running: only a lack of resources is
// worth another attempt.
func (c *command) notStarted(err error) error {
	short := slices.ContainsFunc([]error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY},
		func(e error) bool { return errors.Is(err, e) })
	err = fmt.Errorf("exec: %s did not start: %w", c.path, err)
	if short {
		return action.Recoverable(err, 0)
	}
	return err
}

// judge makes an error of an end that is not the expected one. An end by force
// leaves open what was done, so it may be repeated only by the user's word.
func (c *command) judge(cmd *exec.Cmd, killed error, out map[string]any) error {
	code := cmd.ProcessState.ExitCode()
	var err error
	again := c.idempotent
	switch {
	case errors.Is(killed, context.DeadlineExceeded):
		err = fmt.Errorf("exec: %s took longer than its timeout (%s) and was killed; what it had done by then is not known: %w", c.path, c.timeout, killed)
	case errors.Is(killed, errBabble):
		err, again = fmt.Errorf("exec: %s was killed: %w", c.path, killed), false
	case killed != nil:
		err = fmt.Errorf("exec: %s was killed: %w", c.path, killed)
	case code < 0:
		err = fmt.Errorf("exec: %s ended by %s; what it had done by then is not known", c.path, cmd.ProcessState)
	case slices.Contains(c.expect, code):
		return nil
	default:
		text := fmt.Sprintf("exec: %s: exit code %d", c.path, code)
		said, _ := out["stderr"].(string)
		if strings.TrimSpace(said) == "" {
			said, _ = out["stdout"].(string)
		}
		if said = strings.TrimSpace(said); said != "" {
			text += ": " + action.Escape(said, 300)
		}
		err, again = errors.New(text), slices.Contains(c.recoverable, code)
	}
	if again {
		return action.Recoverable(err, 0)
	}
	return err
}

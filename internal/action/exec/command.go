package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/action"
)

// exTempFail is EX_TEMPFAIL of sysexits.h: "try again later".
const exTempFail = 75

// command is one call's arguments, checked: all that is needed to run it.
type command struct {
	path        string
	argv        []string
	env         []string
	dir         string
	stdin       []byte
	timeout     time.Duration
	maxOutput   int
	expect      []int
	recoverable []int
	idempotent  bool
	redact      *action.Redactor
}

func (a *Action) readCommand(call action.Call) (*command, error) {
	args := action.ReadArgs(call.Args)
	c := &command{
		argv:        readArgv(args),
		dir:         a.path(args.String("dir", ".")),
		timeout:     args.Duration("timeout", a.cfg.Timeout),
		maxOutput:   args.Int("max_output", a.cfg.MaxOutput, 1, a.cfg.MaxOutput),
		expect:      args.Ints("expect", []int{0}, 0, 255),
		recoverable: args.Ints("recoverable", []int{exTempFail}, 0, 255),
		idempotent:  args.Bool("idempotent", false),
		redact:      action.NewRedactor(call.Secrets...),
	}
	if strings.ContainsRune(c.dir, 0) {
		args.Fail("dir", "holds a NUL byte")
	}
	if len(c.argv) > 0 {
		path, err := a.resolve(c.argv[0])
		if err != nil {
			args.Fail("command", "%w", err)
		}
		c.path = path
	}
	own, err := userEnv(args.Map("env"))
	if err != nil {
		args.Fail("env", "%w", err)
	}
	c.env = slices.Concat(inherited(), eventEnv(call), own)
	if c.stdin, err = stdin(args, call); err != nil {
		args.Fail("stdin", "%w", err)
	}
	if err := args.Err(); err != nil {
		return nil, c.redact.Error(fmt.Errorf("exec: %w", err))
	}
	return c, nil
}

// readArgv reads the program and its arguments. There is no shell, so that a
// line of text would have to be split by guess: it is refused.
func readArgv(args *action.Args) []string {
	if s, ok := args.Any("command").(string); ok && strings.ContainsAny(s, " \t\r\n") {
		args.Fail("command", `expected a list, one argument each, as in ["logger", "-t", "signalbox", "${event.type}"]: there is no shell to split text`)
		return nil
	}
	var argv []string
	for i, v := range args.List("command") {
		s, ok := action.Text(v)
		if !ok {
			args.Fail("command", "argument %d is neither text nor a number", i)
			return nil
		}
		if strings.ContainsRune(s, 0) {
			args.Fail("command", "argument %d holds a NUL byte", i)
			return nil
		}
		argv = append(argv, s)
	}
	if len(argv) == 0 || argv[0] == "" {
		args.Fail("command", `is missing; expected a list such as ["logger", "-t", "signalbox", "${event.type}"]`)
		return nil
	}
	return argv
}

// resolve finds the program: a name in PATH, an absolute path, or a path from
// the configuration's folder; never one from the working folder.
func (a *Action) resolve(name string) (string, error) {
	if shown := action.Escape(name, 0); shown != name {
		return "", fmt.Errorf("the program's name %q holds control characters", action.Escape(name, 100))
	}
	path := name
	if strings.ContainsRune(name, filepath.Separator) {
		path = a.path(name)
	} else {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("program %q is not in PATH", action.Escape(name, 100))
		}
		path = found
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("program %q is found by a relative entry of PATH, which is not used", action.Escape(name, 100))
	}
	if len(a.cfg.Allow) > 0 && !slices.ContainsFunc(a.cfg.Allow, func(p string) bool { return a.matches(p, name, path) }) {
		return "", fmt.Errorf("program %q is not allowed by actions.exec.allow", action.Escape(name, 200))
	}
	return path, nil
}

// matches says whether pattern allows the program that a rule calls name and
// that is at path.
func (a *Action) matches(pattern, name, path string) bool {
	if !strings.ContainsRune(pattern, filepath.Separator) {
		ok, err := filepath.Match(pattern, name)
		return ok && err == nil
	}
	ok, err := filepath.Match(a.path(pattern), path)
	return ok && err == nil
}

// path makes a path from the configuration's folder absolute.
func (a *Action) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(a.cfg.Dir, p)
}

// inherited is all that commands get of our own environment, which may hold
// secrets.
func inherited() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// eventEnv tells the command about the event and the run. NUL, which cannot
// stand in an environment, is left out; all else is as it came.
func eventEnv(call action.Call) []string {
	env := []string{
		"SIGNALBOX_RUN=" + call.Run, "SIGNALBOX_STEP=" + call.Step, "SIGNALBOX_RULE=" + call.Rule,
		"SIGNALBOX_ATTEMPT=" + strconv.Itoa(call.Attempt), "SIGNALBOX_KEY=" + call.Key,
		"SIGNALBOX_REPLAY=" + strconv.FormatBool(call.Replay),
	}
	if e := call.Event; e != nil {
		env = append(env, "SIGNALBOX_EVENT_ID="+string(e.ID), "SIGNALBOX_EVENT_TYPE="+e.Type,
			"SIGNALBOX_DEVICE="+e.Device, "SIGNALBOX_INTERFACE="+e.Interface, "TRACEPARENT="+e.TraceParent)
	}
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "\x00", "")
	}
	return env
}

func userEnv(m map[string]any) ([]string, error) {
	var env []string
	for _, name := range sortedKeys(m) {
		if err := checkEnvName(name); err != nil {
			return nil, err
		}
		if m[name] == nil {
			continue
		}
		s, ok := action.Text(m[name])
		if !ok {
			b, err := json.Marshal(m[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			s = string(b)
		}
		env = append(env, name+"="+strings.ReplaceAll(s, "\x00", ""))
	}
	return env, nil
}

// stdin is the event as CloudEvents JSON, or what the argument says. Where more
// than one event made up what the rule found, the object has them all beside it,
// as the list "events", oldest first.
func stdin(args *action.Args, call action.Call) ([]byte, error) {
	switch v := args.Any("stdin").(type) {
	case string:
		return []byte(v), nil
	case nil:
		if call.Event == nil {
			return nil, nil
		}
		b, err := call.Event.AppendJSON(nil)
		if err == nil && len(call.Events) > 1 {
			b, err = appendEvents(b, call.Events)
		}
		return append(b, '\n'), err
	default:
		b, err := json.Marshal(v)
		return append(b, '\n'), err
	}
}

// appendEvents adds the member "events" to the JSON object b.
func appendEvents(b []byte, events []*event.Event) ([]byte, error) {
	b = append(bytes.TrimSuffix(b, []byte("}")), `,"events":[`...)
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = e.AppendJSON(b); err != nil {
			return b, err
		}
	}
	return append(b, "]}"...), nil
}

// maxWritten is where a command that does not stop writing is killed: what is
// beyond its output bound is read and thrown away until then.
const maxWritten = 64 << 20

var errBabble = errors.New("wrote more than 64 MiB")

// capture keeps the first bytes of a stream. It is written by one goroutine
// and read when that has ended.
type capture struct {
	buf     bytes.Buffer
	keep    int
	written int
	babble  func()
}

func (c *capture) Write(b []byte) (int, error) {
	c.written += len(b)
	if room := c.keep - c.buf.Len(); room > 0 {
		c.buf.Write(b[:min(room, len(b))])
	}
	if c.written > maxWritten {
		c.babble()
	}
	return len(b), nil
}

// margin is read beyond an output bound, so that a secret across the bound is
// seen whole and taken out before the cut.
const margin = 4 << 10

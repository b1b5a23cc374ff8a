// Package logaction is the action log: it writes a message to Signalbox's log,
// and to a file of JSON lines where the rule names one.
//
// What comes from events is made safe to read: control characters are escaped,
// secrets taken out, and lengths bounded. Files are opened inside one folder
// only, so that no file name made of event data leads out of it.
package logaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"signalbox/internal/action"
	"signalbox/internal/rule"
)

// Config sets up the log action. Start from DefaultConfig.
type Config struct {
	// Folder is where the files of the argument file are; default the
	// configuration's own.
	Folder string `yaml:"folder"`
	// MaxMessage bounds a message, in bytes; what is longer is cut.
	MaxMessage int `yaml:"max_message"`

	// Dir is the folder of the configuration file: relative paths start there.
	Dir string `yaml:"-"`
}

// DefaultConfig is what holds where the configuration says nothing.
func DefaultConfig() Config { return Config{MaxMessage: 8 << 10} }

// Validate reports every problem.
func (c Config) Validate() error {
	if c.MaxMessage < 1 || c.MaxMessage > 1<<20 {
		return fmt.Errorf("max_message: %d is not between 1 and 1048576 bytes", c.MaxMessage)
	}
	return nil
}

func (c Config) folder() string {
	if filepath.IsAbs(c.Folder) {
		return c.Folder
	}
	return filepath.Join(c.Dir, c.Folder)
}

// Action is the action log. It is safe for many goroutines.
type Action struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	files *files
}

// New makes the action; log is used where a call brings none.
func New(cfg Config, log *slog.Logger) (*Action, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Action{cfg: cfg, log: log, now: time.Now, files: newFiles(cfg.folder())}, nil
}

// Spec describes the action.
func (a *Action) Spec() rule.ActionSpec {
	return rule.ActionSpec{
		Name: "log",
		Doc: "Writes a message to Signalbox's log, and with file also one line of JSON to a file. " +
			"Control characters are escaped and secrets taken out.",
		Args: []rule.Arg{
			{Name: "message", Type: "string", Required: true, Doc: "what to say"},
			{Name: "level", Type: "string", Enum: []string{"debug", "info", "warn", "error"}, Doc: "default info"},
			{Name: "fields", Type: "map", Doc: "more to say, by name"},
			{Name: "file", Type: "string", Doc: "file that a line of JSON is added to, inside the configuration's folder (or actions.log.folder); mode 0600"},
		},
		Output:     []rule.Arg{{Name: "message", Type: "string", Doc: "what was written"}},
		Idempotent: true,
		Example: `- log:
    message: "${device.name}: ${event.interface} is down"
    level: warn
    fields: {site: "${device.site}"}`,
	}
}

// Idempotent is true: a line twice does no harm.
func (*Action) Idempotent(map[string]any) bool { return true }

// maxFields bounds how many fields are written.
const maxFields = 64

// Do writes the message. A dry run writes nothing.
func (a *Action) Do(ctx context.Context, call action.Call) (action.Result, error) {
	args := action.ReadArgs(call.Args)
	message := args.String("message", "")
	if !args.Has("message") {
		args.Fail("message", "is missing")
	}
	level := args.OneOf("level", "info", "debug", "info", "warn", "error")
	fields := args.Map("fields")
	if len(fields) > maxFields {
		args.Fail("fields", "%d are more than %d", len(fields), maxFields)
	}
	file := args.String("file", "")
	if args.Has("file") && !filepath.IsLocal(file) {
		args.Fail("file", "%q is not a path inside the folder for log files", action.Escape(file, 200))
	}
	redact := action.NewRedactor(call.Secrets...)
	if err := args.Err(); err != nil {
		return action.Result{}, redact.Error(fmt.Errorf("log: %w", err))
	}
	message = action.Escape(redact.Text(message), a.cfg.MaxMessage)
	fields = a.safe(redact.Output(fields))
	out := map[string]any{"message": message}
	if call.DryRun {
		out["dry_run"], out["would"] = true, "log at level "+level+": "+message
		return action.Result{Output: out}, nil
	}
	if file != "" {
		if err := a.append(file, call, level, message, fields); err != nil {
			return action.Result{}, redact.Error(classify(err))
		}
	}
	attrs := make([]any, 0, 2*len(fields)+8)
	log := call.Log // says already which run speaks
	if log == nil {
		log = a.log
		attrs = append(attrs, "rule", call.Rule, "run", call.Run)
		if e := call.Event; e != nil {
			attrs = append(attrs, "event", string(e.ID), "device", action.Escape(e.Device, 256))
		}
	}
	for k, v := range fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	log.Log(ctx, levels[level], message, attrs...)
	return action.Result{Output: out}, nil
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// safe makes fields fit for a log: scalars as escaped text or numbers, all else
// as JSON, which escapes by itself.
func (a *Action) safe(fields map[string]any) map[string]any {
	out := make(map[string]any, len(fields))
	for k, v := range fields {
		k = action.Escape(k, 100)
		switch t := v.(type) {
		case nil, bool, int, int64, uint64, float64:
			out[k] = v
		default:
			s, ok := action.Text(t)
			if !ok {
				b, err := json.Marshal(t)
				if err != nil {
					b = []byte("(not JSON)")
				}
				s = string(b)
			}
			out[k] = action.Escape(s, a.cfg.MaxMessage)
		}
	}
	return out
}

// line is what a file gets.
type line struct {
	Time    time.Time      `json:"time"`
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Rule    string         `json:"rule"`
	Run     string         `json:"run"`
	Event   string         `json:"event,omitempty"`
	Type    string         `json:"type,omitempty"`
	Device  string         `json:"device,omitempty"`
	Fields  map[string]any `json:"fields,omitempty"`
}

func (a *Action) append(file string, call action.Call, level, message string, fields map[string]any) error {
	l := line{Time: a.now().UTC(), Level: level, Message: message, Rule: call.Rule, Run: call.Run, Fields: fields}
	if e := call.Event; e != nil {
		l.Event, l.Type, l.Device = string(e.ID), e.Type, action.Escape(e.Device, 256)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return a.files.add(file, append(b, '\n'))
}

// classify: a full disk may have room later, a wrong path stays wrong.
func classify(err error) error {
	again := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO) ||
		errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	err = fmt.Errorf("log: file: %w", err)
	if again {
		return action.Recoverable(err, 0)
	}
	return err
}

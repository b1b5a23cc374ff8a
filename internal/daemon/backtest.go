package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"signalbox/internal/api"
	"signalbox/internal/backtest"
	"signalbox/internal/config"
	"signalbox/internal/decide"
	"signalbox/internal/eventlog"
	"signalbox/internal/plugins"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

var _ api.LogBackend = backend{}

var events = []record.Subject{record.Events}

// Batches gives the batches of log.events as they are in the log.
func (b backend) Batches(ctx context.Context, since, until time.Time, yield func(api.LogBatch) error) error {
	st, err := b.d.log.State(ctx)
	if err != nil || st.Last < st.First {
		return err
	}
	return b.d.log.RangeRaw(ctx, since, record.Position{Seq: st.Last}, events, func(r eventlog.Raw) error {
		if !until.IsZero() && r.Time.After(until) {
			return eventlog.ErrStop
		}
		return yield(api.LogBatch(r))
	})
}

// Bundle is the rule set in force.
func (b backend) Bundle(context.Context) ([]byte, error) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return b.d.loaded.Bundle.Encode(), nil
}

// Trial is a configuration loaded so that rules can be tried: nothing listens,
// connects or writes.
type Trial struct {
	Config  *config.Config
	Actions []rule.ActionSpec
}

// NewTrial reads the configuration at path; "" is signalbox.yaml here, if there
// is one, and otherwise what holds where nothing is configured.
func NewTrial(path string, exists func(string) bool) (*Trial, error) {
	cfg := config.Default()
	cfg.Dir = "."
	if path == "" && exists("signalbox.yaml") {
		path = "signalbox.yaml"
	}
	if path != "" {
		var err error
		if cfg, err = config.Load(path); err != nil {
			return nil, err
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	actions, err := plugins.NewActions(&cfg, plugins.Env{Log: quiet, Emitter: noEmitter{}})
	if err != nil {
		return nil, err
	}
	return &Trial{Config: &cfg, Actions: actions.Registry.Specs()}, nil
}

// Load reads the rules of dir, which starts where the command was called, with
// the inventory and types of the configuration; "" is the configuration's own
// rules.
func (t *Trial) Load(dir string) (*Loaded, error) {
	cfg := *t.Config
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		cfg.Rules = config.Paths{abs}
	}
	return Load(&cfg, t.Actions)
}

// Bundle loads a rule set as the log carries it.
func (t *Trial) Bundle(data []byte) (*decide.Rules, error) { return decide.Load(data, t.Actions) }

// Sources says how the configured sources read their messages.
func (t *Trial) Sources() map[string]backtest.Source {
	out := map[string]backtest.Source{}
	for name, s := range t.Config.Sources {
		if head, form, ok := headOf(s); ok {
			out[name] = backtest.Source{Form: form, Mapping: head.Mapping}
		}
	}
	return out
}

// OpenReader opens the log of a data folder on which no server runs. The error
// wraps eventlog.ErrLocked where one does.
func (t *Trial) OpenReader(ctx context.Context, data string, log *slog.Logger) (*eventlog.Reader, error) {
	lc, err := logConfig(t.Config, data)
	if err != nil {
		return nil, err
	}
	return eventlog.OpenReader(ctx, lc, log)
}

// ActiveBundle is the rule set that decided last in the log of a data folder.
func ActiveBundle(ctx context.Context, r *eventlog.Reader, data string) ([]byte, error) {
	last, err := r.Last(ctx, record.Decisions)
	if errors.Is(err, eventlog.ErrNotFound) || err == nil && last.RulesVersion == "" {
		return nil, errors.New("no rule set has decided in this log yet")
	}
	if err != nil {
		return nil, err
	}
	var bundle []byte
	found, _, problems := stateDir(filepath.Join(data, "state")).find("rules-"+last.RulesVersion, func(b []byte) error {
		bundle = b
		return nil
	})
	if !found {
		return nil, fmt.Errorf("the rule set %s, which decided last, is not in %s any more%s", last.RulesVersion, data, because(problems))
	}
	return bundle, nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
}

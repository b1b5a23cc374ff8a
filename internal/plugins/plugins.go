// Package plugins holds every source and action that is in this binary. To add
// one, add a line.
package plugins

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/action"
	"signalbox/internal/action/emit"
	"signalbox/internal/action/exec"
	httpaction "signalbox/internal/action/http"
	"signalbox/internal/action/logaction"
	"signalbox/internal/config"
	"signalbox/internal/source"
	"signalbox/internal/source/rabbitmq"
	"signalbox/internal/source/snmp"
	"signalbox/internal/source/syslog"
	"signalbox/internal/source/webhook"
)

// Sources holds every kind of source. data is the data folder, for sources that
// must remember something.
func Sources(data string) *source.Registry {
	r := source.NewRegistry()
	source.Register(r, "webhook", webhook.DefaultConfig, as(webhook.New))
	source.Register(r, "syslog", syslog.DefaultConfig, as(syslog.New))
	source.Register(r, "snmp", func() snmp.Config {
		c := snmp.DefaultConfig()
		if data != "" {
			c.StateDir = filepath.Join(data, "snmp")
		}
		return c
	}, as(snmp.New))
	source.Register(r, "rabbitmq", rabbitmq.DefaultConfig, as(rabbitmq.New))
	return r
}

// as lets a constructor return its own type.
func as[C any, S source.Source](build func(source.Env, C) (S, error)) func(source.Env, C) (source.Source, error) {
	return func(env source.Env, c C) (source.Source, error) {
		s, err := build(env, c)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// UnconfiguredWebhooks is the source of webhooks whose name no configuration
// has.
func UnconfiguredWebhooks(env source.Env) source.Source { return webhook.Default(env) }

// Env is what actions get from Signalbox.
type Env struct {
	Log     *slog.Logger
	Emitter emit.Emitter
}

// Actions is every action, ready for use, and what must run with them.
type Actions struct {
	Registry *action.Registry
	runners  []func(context.Context) error
}

// NewActions makes every action as the configuration says. The error lists
// every mistake in its sections.
func NewActions(cfg *config.Config, env Env) (*Actions, error) {
	var problems config.Problems
	section := func(name string, into any) {
		if n := cfg.Actions[name].Node; n != nil {
			problems = append(problems, config.Decode(cfg.Path, n, into)...)
		}
	}
	hc, ec, lc := httpaction.DefaultConfig(), exec.DefaultConfig(), logaction.DefaultConfig()
	hc.Dir, ec.Dir, lc.Dir = cfg.Dir, cfg.Dir, cfg.Dir
	section("http", &hc)
	section("exec", &ec)
	section("log", &lc)
	known := []string{"exec", "http", "log"}
	for _, name := range slices.Sorted(maps.Keys(cfg.Actions)) {
		if !slices.Contains(known, name) {
			n := cfg.Actions[name].Node
			problems = append(problems, config.Problem{File: cfg.Path, Line: n.Line, Col: n.Column,
				Message: fmt.Sprintf("actions: nothing can be set for %q%s", name, config.Likely(name, known))})
		}
	}
	handlers, more := handlerConfigs(cfg)
	problems = append(problems, more...)
	ec.Handlers = handlers
	if len(problems) > 0 {
		return nil, problems
	}
	h, err := httpaction.New(hc)
	if err != nil {
		return nil, fmt.Errorf("%s: actions.http: %w", cfg.Path, err)
	}
	e, err := exec.New(ec, env.Log)
	if err != nil {
		return nil, fmt.Errorf("%s: actions.exec: %w", cfg.Path, err)
	}
	l, err := logaction.New(lc, env.Log)
	if err != nil {
		return nil, fmt.Errorf("%s: actions.log: %w", cfg.Path, err)
	}
	return &Actions{
		Registry: action.NewRegistry(h, e, l, emit.New(env.Emitter)),
		runners:  []func(context.Context) error{e.Run},
	}, nil
}

// Run runs what must live beside the actions (handler processes) until ctx
// ends.
func (a *Actions) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range a.runners {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

func handlerConfigs(cfg *config.Config) (map[string]exec.HandlerConfig, config.Problems) {
	out := map[string]exec.HandlerConfig{}
	var problems config.Problems
	n := cfg.Handlers.Node
	if n == nil {
		return out, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		h := exec.DefaultHandlerConfig()
		problems = append(problems, config.Decode(cfg.Path, n.Content[i+1], &h)...)
		out[n.Content[i].Value] = h
	}
	return out, problems
}

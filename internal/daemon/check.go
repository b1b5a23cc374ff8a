package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"signalbox/event"
	"signalbox/internal/config"
	"signalbox/internal/metrics"
	"signalbox/internal/plugins"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
	"signalbox/internal/source"
)

// Report is what Check found in files that are all well.
type Report struct {
	Rules    int      `json:"rules"`
	Devices  int      `json:"devices"`
	Sources  int      `json:"sources"`
	Mappings int      `json:"mappings"`
	Examples int      `json:"examples"`
	Warnings []string `json:"warnings"`
}

// Check checks a configuration and all that it names, or one file of rules,
// mappings or devices, without listening or connecting anywhere. All mistakes
// are in the error, as Mistakes.
func Check(path string) (*Report, error) {
	cfg, alone, err := checked(path)
	if err != nil && !isProblems(err) {
		return nil, err
	}
	var all Mistakes
	add := func(err error) {
		var m Mistakes
		var p config.Problems
		switch {
		case err == nil:
		case errors.As(err, &m):
			all = append(all, m...)
		case errors.As(err, &p):
			for _, problem := range p {
				all = append(all, problem.String())
			}
		default:
			all = append(all, err.Error())
		}
	}
	add(err)
	if err != nil {
		cfg.DropMissing()
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	actions, err := plugins.NewActions(cfg, plugins.Env{Log: quiet, Emitter: noEmitter{}})
	add(err)
	if actions == nil {
		return nil, all
	}
	loaded, err := Load(cfg, actions.Registry.Specs())
	add(err)
	if !alone {
		add(newFeeds(metrics.New(), quiet).build(cfg, plugins.Sources(""), source.Env{Dir: cfg.Dir,
			Secret: func(string) (string, error) { return "x", nil }}, func(string, http.Handler) {}))
	}
	if loaded == nil {
		return nil, all
	}
	if t := cfg.HTTP.TLS; t.Cert != "" {
		if _, err := serverTLS(cfg.Resolve(t.Cert), cfg.Resolve(t.Key), cfg.Resolve(t.ClientCA)); err != nil {
			// A warning: files are often checked where the keys are not.
			loaded.Warnings = append(loaded.Warnings, cfg.Path+": warning: http.tls: "+err.Error())
		}
	}
	add(loaded.CheckExamples())
	_, diags := ruletest.Read(loaded.Set.Tests)
	for _, d := range diags {
		all = append(all, d.String())
	}
	r := &Report{Rules: len(loaded.Set.Rules), Devices: loaded.Inventory.Len(), Sources: len(cfg.Sources), Warnings: loaded.Warnings}
	r.Mappings, r.Examples = loaded.Normalizer.Counts()
	if len(all) > 0 {
		return r, all
	}
	return r, nil
}

func isProblems(err error) bool {
	var p config.Problems
	return errors.As(err, &p)
}

// checked is the configuration that path stands for. A file of another kind
// is put into an empty configuration, alone.
func checked(path string) (cfg *config.Config, alone bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	none := config.Default()
	none.Path, none.Dir = path, "."
	if info.IsDir() {
		none.Rules = config.Paths{path}
		return &none, true, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, err
	}
	var top map[string]yaml.Node
	if yaml.Unmarshal(data, &top) == nil {
		_, devices := top["devices"]
		_, mappings := top["mappings"]
		rules, isRules := top["rules"]
		switch {
		case devices:
			none.Inventory = []string{path}
			return &none, true, nil
		case mappings && top["mappings"].Kind != yaml.ScalarNode:
			none.Mappings = config.Paths{filepath.Dir(path)}
			return &none, true, nil
		case isRules && rules.Kind == yaml.SequenceNode && rules.Content != nil && rules.Content[0].Kind == yaml.MappingNode:
			none.Rules = config.Paths{path}
			return &none, true, nil
		}
	}
	c, err := config.Load(path)
	return &c, false, err
}

// noEmitter is for checks: nothing is emitted.
type noEmitter struct{}

func (noEmitter) Emit(context.Context, event.Event) (event.ID, error) {
	return "", errors.New("nothing is emitted while files are checked")
}

// ActionSpecs describes the actions of this binary.
func ActionSpecs() ([]rule.ActionSpec, error) {
	cfg := config.Default()
	a, err := plugins.NewActions(&cfg, plugins.Env{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Emitter: noEmitter{}})
	if err != nil {
		return nil, err
	}
	return a.Registry.Specs(), nil
}

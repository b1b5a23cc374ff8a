package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/action/emit"
	"signalbox/internal/config"
	"signalbox/internal/daemon"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
)

// gatherer finds tests and loads the rules that they are about, each set once.
type gatherer struct {
	config string // --config
	specs  []rule.ActionSpec
	plans  []*testPlan
	byKey  map[string]*testPlan
	errs   []error
	seen   map[string]bool // files of tests, by absolute path
}

func newGatherer(configPath string) (*gatherer, error) {
	specs, err := daemon.ActionSpecs()
	if err != nil {
		return nil, err
	}
	return &gatherer{config: configPath, specs: specs, byKey: map[string]*testPlan{}, seen: map[string]bool{}}, nil
}

// gatherTests finds all tests below the paths. The error lists every mistake.
func gatherTests(paths []string, configPath string) ([]*testPlan, error) {
	g, err := newGatherer(configPath)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		if err := g.path(p); err != nil {
			return nil, err
		}
	}
	if err := g.mistakes(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(g.plans, func(p *testPlan) bool { return len(p.tests) == 0 }), nil
}

// mistakes is all that is wrong with the files that were read, each once.
func (g *gatherer) mistakes() error {
	var all daemon.Mistakes
	for _, err := range g.errs {
		if m, ok := err.(daemon.Mistakes); ok {
			all = append(all, m...)
		} else {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func isTestFile(path string) bool {
	return strings.HasSuffix(path, ".test.yaml") || strings.HasSuffix(path, ".test.yml")
}

// path takes one PATH of the command.
func (g *gatherer) path(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	cfgPath, err := g.configOf(path)
	if err != nil {
		return err
	}
	switch {
	case isTestFile(path):
		g.testFile(path, cfgPath)
		return nil
	case !info.IsDir() && abs(path) == abs(cfgPath):
		path = filepath.Dir(path)
		info, err = os.Stat(path)
		if err != nil {
			return err
		}
	}
	if cfgPath == "" || !g.below(path, cfgPath) {
		g.rules(path, cfgPath, nil)
	} else {
		g.rules("", cfgPath, func(file string) bool { return within(file, path) })
	}
	if !info.IsDir() {
		return nil
	}
	return filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && p != path && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !e.IsDir() && isTestFile(p):
			own, err := g.configOf(p)
			if err != nil {
				return err
			}
			g.testFile(p, own)
		}
		return nil
	})
}

// configOf is --config, or the nearest signalbox.yaml upward of path, or "".
func (g *gatherer) configOf(path string) (string, error) {
	if g.config != "" {
		if info, err := os.Stat(g.config); err == nil && info.IsDir() {
			return filepath.Join(g.config, "signalbox.yaml"), nil
		}
		return g.config, nil
	}
	at, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if filepath.Base(at) == "signalbox.yaml" {
		return path, nil
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		if file := filepath.Join(dir, "signalbox.yaml"); exists(file) {
			return file, nil
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
	}
}

func abs(path string) string {
	a, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return a
}

// within says whether file is path, or below it.
func within(file, path string) bool {
	rel, err := filepath.Rel(abs(path), abs(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// below says whether the path and the rules of the configuration have
// something in common: then the rules are those of the configuration.
func (g *gatherer) below(path, cfgPath string) bool {
	cfg, err := config.Load(cfgPath)
	if err != nil {
		return true // and the mistake is reported when the rules are loaded
	}
	for _, p := range cfg.Rules {
		root := cfg.Resolve(p)
		if within(path, root) || within(root, path) {
			return true
		}
	}
	return false
}

// plan loads rules, once: those of a configuration, or of other paths with its
// inventory, mappings and types. It is nil where they have mistakes.
func (g *gatherer) plan(cfgPath string, rules []string) *testPlan {
	key := cfgPath + "\x00" + strings.Join(rules, "\x00")
	if p, ok := g.byKey[key]; ok {
		return p
	}
	g.byKey[key] = nil
	cfg := config.Default()
	if cfgPath != "" {
		var err error
		if cfg, err = config.Load(cfgPath); err != nil {
			g.mistake(err)
			return nil
		}
	}
	if rules != nil {
		cfg.Rules = nil
		for _, r := range rules {
			cfg.Rules = append(cfg.Rules, abs(r))
		}
	}
	l, err := daemon.Load(&cfg, g.specs)
	if err != nil {
		g.mistake(err)
		return nil
	}
	p := &testPlan{loaded: l, env: ruletest.Env{Set: l.Set, Inventory: l.Inventory, Catalogue: l.Catalogue,
		Normalizer: l.Normalizer, Names: l.Names, Mapping: mappingOf(&cfg), Emit: emitted}}
	g.byKey[key] = p
	g.plans = append(g.plans, p)
	return p
}

// emitted makes the event of an emit step, as the action does.
func emitted(e ruletest.Emission) (event.Event, error) {
	return emit.Event(action.Call{Run: e.Run, Step: e.Step, Attempt: 1, Rule: e.Rule, Event: e.Event, Events: e.Events,
		Args: e.Args, Key: e.Run + "/" + e.Step})
}

func (g *gatherer) mistake(err error) {
	if ps, ok := err.(config.Problems); ok {
		for _, p := range ps {
			g.errs = append(g.errs, fmt.Errorf("%s", p.String()))
		}
		return
	}
	g.errs = append(g.errs, err)
}

// rules takes the tests that stand in rule files. of says which files count;
// nil: all of them.
func (g *gatherer) rules(path, cfgPath string, of func(file string) bool) {
	var rules []string
	if path != "" {
		rules = []string{path}
	}
	p := g.plan(cfgPath, rules)
	if p == nil {
		return
	}
	var own []*rule.Test
	for _, t := range p.loaded.Set.Tests {
		if (of == nil || of(t.Pos.File)) && !g.seen[t.Pos.File+fmt.Sprint(t.Pos.Line)] {
			g.seen[t.Pos.File+fmt.Sprint(t.Pos.Line)] = true
			own = append(own, t)
		}
	}
	tests, diags := ruletest.Read(own)
	if err := mistakesOf(diags); err != nil {
		g.errs = append(g.errs, err)
	}
	p.tests = append(p.tests, tests...)
}

// testFile takes a file of tests.
func (g *gatherer) testFile(path, cfgPath string) {
	if g.seen[abs(path)] {
		return
	}
	g.seen[abs(path)] = true
	data, err := os.ReadFile(path)
	if err != nil {
		g.errs = append(g.errs, err)
		return
	}
	f, diags := ruletest.ReadFile(path, data)
	if err := mistakesOf(diags); err != nil {
		g.errs = append(g.errs, err)
		return
	}
	var rules []string
	for _, r := range f.Rules {
		at := r.Text
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(path), at)
		}
		if !exists(at) {
			g.errs = append(g.errs, fmt.Errorf("%s:%d:%d: rules: there is no %s", r.Pos.File, r.Pos.Line, r.Pos.Col, at))
			return
		}
		rules = append(rules, at)
	}
	if len(rules) > 0 {
		// What the rules need (inventory, types, mappings) stands beside them.
		if own, err := g.configOf(rules[0]); err == nil && own != "" {
			cfgPath = own
		}
	}
	if rules == nil && cfgPath == "" {
		g.errs = append(g.errs, fmt.Errorf("%s:1:1: the tests of which rules? write rules: [FILE], relative to this file, or put a signalbox.yaml beside or above it", path))
		return
	}
	if p := g.plan(cfgPath, rules); p != nil {
		p.tests = append(p.tests, f.Tests...)
	}
}

// mappingOf says which mapping a configuration gives to a source.
func mappingOf(cfg *config.Config) func(string) string {
	return func(source string) string {
		n := cfg.Sources[source].Node
		if n == nil {
			return ""
		}
		var s struct {
			Mapping yaml.Node `yaml:"mapping"`
		}
		if n.Decode(&s) != nil || s.Mapping.Kind != yaml.ScalarNode {
			return ""
		}
		return s.Mapping.Value
	}
}

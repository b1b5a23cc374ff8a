package daemon

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"signalbox/internal/config"
	"signalbox/internal/inventory"
	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// Loaded is everything that the configuration names, read and checked: event
// types, mappings, inventory and rules.
type Loaded struct {
	Catalogue  *schema.Catalogue
	Normalizer *normalize.Normalizer
	Inventory  *inventory.Inventory
	Set        *rule.Set
	Bundle     rule.Bundle
	Names      *trap.Names // of SNMP objects
	Warnings   []string
}

// Mistakes is what is wrong with users' files, all of it, each one ready to be
// printed: file:line:column, what is wrong, and an excerpt.
type Mistakes []string

// Error prints one mistake after the other.
func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// Load reads what cfg names. actions are those that rules may use. Mistakes of
// all files are reported at once, as Mistakes.
func Load(cfg *config.Config, actions []rule.ActionSpec) (*Loaded, error) {
	l := &loading{cfg: cfg, sources: map[string][]byte{}}
	out := l.edge(l.files(cfg.Inventory, "inventory"))
	out.Bundle.Rules = l.files(cfg.Rules, "rules")
	out.Bundle.Global = rule.Global{Off: cfg.Dedup.Off, By: cfg.Dedup.By, Within: time.Duration(cfg.Dedup.Within)}
	for _, x := range cfg.Limits {
		at := rule.Pos{File: cfg.Path, Line: x.Line, Col: x.Col}
		out.Bundle.Global.Limits = append(out.Bundle.Global.Limits, rule.GlobalLimit{Runs: x.Runs, Devices: x.Devices, By: x.By, Pos: at})
	}
	out.Bundle.Redelivery = time.Duration(cfg.Dedup.Redelivery)
	secrets := slices.Sorted(maps.Keys(cfg.Secrets))
	set, inv, diags := rule.Load(out.Bundle, rule.Options{Catalogue: out.Catalogue, Actions: actions, Secrets: secrets,
		Produced: produced(cfg, out.Normalizer)})
	out.Set, out.Inventory = set, inv
	for _, d := range diags {
		text := strings.TrimRight(d.Format(l.sources[d.Pos.File]), "\n")
		if d.Severity == rule.Error {
			l.mistakes = append(l.mistakes, text)
		} else {
			out.Warnings = append(out.Warnings, text)
		}
	}
	if len(l.mistakes) > 0 {
		return nil, l.mistakes
	}
	return out, nil
}

// LoadEdge reads what messages pass on their way in, and no rules: event types,
// mappings and the inventory.
func LoadEdge(cfg *config.Config) (*Loaded, error) {
	l := &loading{cfg: cfg, sources: map[string][]byte{}}
	files := l.files(cfg.Inventory, "inventory")
	out := l.edge(files)
	_, problems := inventory.Parse(files)
	for _, p := range problems {
		if !p.Warning {
			l.mistake(p)
		}
	}
	if len(l.mistakes) > 0 {
		return nil, l.mistakes
	}
	return out, nil
}

// edge fills in all but the rules. The mistakes of the inventory are reported by
// who loads the rules with it.
func (l *loading) edge(devices []rule.File) *Loaded {
	out := &Loaded{}
	var err error
	if out.Catalogue, err = schema.Load(l.folders(l.cfg.Types, "types")...); err != nil {
		l.mistake(err)
		out.Catalogue, _ = schema.Load()
	}
	out.Inventory, _ = inventory.Parse(devices)
	out.Bundle = rule.Bundle{Inventory: devices, Types: typeFiles(out.Catalogue), Catalogue: out.Catalogue.Version}
	out.Names = trap.Builtin()
	if l.cfg.MIBs != "" {
		names, warnings, err := trap.LoadMIBs(os.DirFS(l.cfg.Resolve(l.cfg.MIBs)))
		if err != nil {
			l.mistake(fmt.Errorf("mibs: %w", err))
		} else {
			out.Names = names
		}
		out.Warnings = append(out.Warnings, warnings...)
	}
	out.Normalizer, err = normalize.New(normalize.Options{User: l.folders(l.cfg.Mappings, "mappings"), UserDirs: l.displayed(l.cfg.Mappings),
		Catalogue: out.Catalogue, Devices: deviceNamer{out.Inventory}, Names: out.Names})
	if err != nil {
		l.mistake(err)
	}
	return out
}

type loading struct {
	cfg      *config.Config
	sources  map[string][]byte
	mistakes Mistakes
}

// mistake takes a joined error apart, one mistake each.
func (l *loading) mistake(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			l.mistake(e)
		}
		return
	}
	l.mistakes = append(l.mistakes, err.Error())
}

// deviceNamer gives the inventory's names to the normaliser.
type deviceNamer struct{ inv *inventory.Inventory }

func (d deviceNamer) Device(hostname, addr string) string {
	name, _ := d.inv.Known(hostname, addr)
	return name
}

// files reads the YAML files that paths name: files as they are, folders with
// all that is in them, sorted.
func (l *loading) files(paths []string, what string) []rule.File {
	var out []rule.File
	for _, p := range paths {
		root := l.cfg.Resolve(p)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() {
				if path != root && strings.HasPrefix(e.Name(), ".") {
					return fs.SkipDir
				}
				return nil
			}
			if path != root && (!isYAML(path) || isTests(path)) {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := l.display(path)
			l.sources[name] = data
			out = append(out, rule.File{Name: name, Data: data})
			return nil
		})
		if err != nil {
			l.mistake(fmt.Errorf("%s: %w", what, err))
		}
	}
	return out
}

// display is a path as the user would write it: relative to where he is, if it
// is below.
func (l *loading) display(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, abs); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// isTests says that a file holds tests of rules and nothing else (see package
// ruletest).
func isTests(path string) bool {
	return strings.HasSuffix(path, ".test.yaml") || strings.HasSuffix(path, ".test.yml")
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

func (l *loading) folders(paths []string, what string) []fs.FS {
	var out []fs.FS
	for _, p := range paths {
		dir := l.cfg.Resolve(p)
		info, err := os.Stat(dir)
		switch {
		case err != nil:
			l.mistake(fmt.Errorf("%s: %w", what, err))
		case !info.IsDir():
			l.mistake(fmt.Errorf("%s: %s is no folder", what, dir))
		default:
			out = append(out, os.DirFS(dir))
		}
	}
	return out
}

func (l *loading) displayed(paths []string) []string {
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		out = append(out, l.display(l.cfg.Resolve(p)))
	}
	return out
}

func typeFiles(c *schema.Catalogue) []rule.File {
	var out []rule.File
	for _, t := range c.Types() {
		out = append(out, rule.File{Name: t.Name, Data: t.Source})
	}
	return out
}

// CheckExamples runs the examples that the mappings carry.
func (l *Loaded) CheckExamples() error {
	errs := l.Normalizer.CheckExamples()
	if len(errs) == 0 {
		return nil
	}
	var m Mistakes
	for _, e := range errs {
		m = append(m, e.Error())
	}
	return m
}

// Package config reads signalbox.yaml: what Signalbox listens on, where its
// rules, inventory and mappings are, and its limits. Each source and action
// owns the shape of its own section; this package knows none of them and hands
// their YAML on.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/secret"
	"signalbox/internal/source"
)

// Config is the whole file. Start from Default: the zero value is not usable.
type Config struct {
	Path string `yaml:"-"` // of the file
	Dir  string `yaml:"-"` // relative paths start here

	HTTP      HTTP                  `yaml:"http"`
	NATS      NATS                  `yaml:"nats"`
	Log       Log                   `yaml:"log"`
	Sources   map[string]Section    `yaml:"sources"`
	Inventory []string              `yaml:"inventory"`
	Rules     Paths                 `yaml:"rules"`
	Mappings  Paths                 `yaml:"mappings"`
	Types     Paths                 `yaml:"types"`
	MIBs      string                `yaml:"mibs"`
	Dedup     Dedup                 `yaml:"dedup"`
	Limits    []Limit               `yaml:"limits"` // of all rules together
	Secrets   map[string]secret.Ref `yaml:"secrets"`
	Actions   map[string]Section    `yaml:"actions"`
	Handlers  Section               `yaml:"handlers"`
	Workers   Workers               `yaml:"workers"`
	Drain     Duration              `yaml:"drain"` // how long a stop may take

	UnconfiguredWebhooks string `yaml:"unconfigured_webhooks"` // "loopback" or "refuse"
}

// HTTP is the one listener for webhooks, the API, health and metrics.
type HTTP struct {
	Listen string `yaml:"listen"`
	TLS    TLS    `yaml:"tls"`
}

// TLS names certificate files. ClientCA asks senders for certificates.
type TLS struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"`
}

// NATS replaces the embedded server by an external one.
type NATS struct {
	URL      secret.Ref `yaml:"url"` // may carry a password
	Creds    string     `yaml:"creds"`
	CA       string     `yaml:"ca"`
	Cert     string     `yaml:"cert"`
	Key      string     `yaml:"key"`
	Replicas int        `yaml:"replicas"`
}

// Log bounds the event log.
type Log struct {
	MaxAge         Duration `yaml:"max_age"`
	MaxBytes       Size     `yaml:"max_bytes"`
	MinFree        Size     `yaml:"min_free"`
	BatchRecords   int      `yaml:"batch_records"`
	QueueRecords   int      `yaml:"queue_records"`
	QueueBytes     Size     `yaml:"queue_bytes"`
	PublishTimeout Duration `yaml:"publish_timeout"`
	// AcceptDamage are stretches whose loss a person has accepted.
	AcceptDamage []Stretch `yaml:"accept_damage"`
}

// Stretch is a stretch of the log's sequences, both ends included.
type Stretch struct {
	From uint64 `yaml:"from"`
	To   uint64 `yaml:"to"`
}

// Dedup is the global window; rules may have their own. By nil means device,
// type and interface (and the key fields of the type).
type Dedup struct {
	Off        bool     `yaml:"off"`
	By         []string `yaml:"by"`
	Within     Duration `yaml:"within"`
	Redelivery Duration `yaml:"redelivery"` // how long a sender's id is remembered
}

// Workers bounds what runs at once.
type Workers struct {
	Concurrency int            `yaml:"concurrency"`
	PerAction   map[string]int `yaml:"per_action"`
	Pending     int            `yaml:"pending"` // runs held in memory; the rest waits in the log
}

// Default is what holds where the file says nothing.
func Default() Config {
	return Config{
		HTTP: HTTP{Listen: "127.0.0.1:8080"},
		Log: Log{
			MaxAge:         Duration(30 * 24 * time.Hour),
			MaxBytes:       8 << 30,
			MinFree:        256 << 20,
			BatchRecords:   1024,
			QueueRecords:   16384,
			QueueBytes:     64 << 20,
			PublishTimeout: Duration(10 * time.Second),
		},
		Dedup:                Dedup{Within: Duration(time.Minute), Redelivery: Duration(24 * time.Hour)},
		Workers:              Workers{Concurrency: 256, Pending: 8_000},
		Drain:                Duration(10 * time.Second),
		UnconfiguredWebhooks: "loopback",
	}
}

// Load reads and checks the file. The error is Problems, all of them at once.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	cfg, root, problems := parse(path, data)
	if problems == nil {
		problems = cfg.missing(root)
	}
	if len(problems) > 0 {
		return cfg, problems
	}
	return cfg, nil
}

// Parse reads a configuration from bytes; path is for messages and for relative
// paths.
func Parse(path string, data []byte) (Config, error) {
	cfg, _, problems := parse(path, data)
	if len(problems) > 0 {
		return cfg, problems
	}
	return cfg, nil
}

func parse(path string, data []byte) (Config, *yaml.Node, Problems) {
	cfg := Default()
	cfg.Path = path
	cfg.Dir = filepath.Dir(path)
	root, problems := parseYAML(path, data)
	if root != nil {
		limits := limitsOf(root)
		problems = append(problems, Decode(path, root, &cfg)...)
		cfg.placeLimits(limits)
	}
	problems = append(problems, cfg.check(root)...)
	return cfg, root, problems
}

// missing tells of what is named and not there, or not named.
func (c *Config) missing(root *yaml.Node) Problems {
	var ps Problems
	if c.HTTP.Listen == "" {
		ps = append(ps, c.problem(root, "http.listen", "http.listen: is empty, which would be a port by chance on all addresses"))
	}
	for key, paths := range map[string][]string{"inventory": c.Inventory, "rules": c.Rules, "mappings": c.Mappings, "types": c.Types, "mibs": {c.MIBs}} {
		for _, path := range paths {
			if path == "" {
				continue
			}
			if _, err := os.Stat(c.Resolve(path)); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					err = fmt.Errorf("there is no file or folder %s", c.Resolve(path))
				}
				ps = append(ps, c.problem(root, key, "%s: %w", key, err))
			}
		}
	}
	slices.SortFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return ps
}

// DropMissing leaves out the files and folders that are not there, for who has
// told of them and checks the others.
func (c *Config) DropMissing() {
	for _, paths := range []*[]string{&c.Inventory, (*[]string)(&c.Rules), (*[]string)(&c.Mappings), (*[]string)(&c.Types)} {
		*paths = slices.DeleteFunc(*paths, func(path string) bool {
			_, err := os.Stat(c.Resolve(path))
			return err != nil
		})
	}
	if _, err := os.Stat(c.Resolve(c.MIBs)); err != nil {
		c.MIBs = ""
	}
}

// problem places a message at a key, a.b.c.
func (c *Config) problem(root *yaml.Node, key, format string, args ...any) Problem {
	p := Problem{File: c.Path, Message: fmt.Errorf(format, args...).Error()}
	if n := find(root, strings.Split(key, ".")...); n != nil {
		p.Line, p.Col = n.Line, n.Column
	}
	return p
}

// check checks what was read. root says where in the file each key is.
func (c *Config) check(root *yaml.Node) Problems {
	var ps Problems
	add := func(format string, args ...any) {
		key, _, _ := strings.Cut(format, ":")
		ps = append(ps, c.problem(root, key, format, args...))
	}
	if err := source.CheckListen(c.HTTP.Listen); c.HTTP.Listen != "" && err != nil {
		add("http.listen: %w", err)
	}
	if c.Log.BatchRecords < 1 || c.Log.BatchRecords > 65536 {
		add("log.batch_records: %d is not between 1 and 65536", c.Log.BatchRecords)
	}
	if c.Log.MaxBytes < 16<<20 {
		add("log.max_bytes: %d is below 16MiB, which two blocks of the log fill", c.Log.MaxBytes)
	}
	if c.Log.PublishTimeout <= 0 {
		add("log.publish_timeout: must be more than 0")
	}
	if c.Workers.Concurrency < 1 {
		add("workers.concurrency: must be at least 1")
	}
	if !c.Dedup.Off && c.Dedup.Within <= 0 {
		add("dedup.within: must be more than 0; to have no window write off: true")
	}
	if !slices.Contains([]string{"loopback", "refuse"}, c.UnconfiguredWebhooks) {
		add("unconfigured_webhooks: %q is neither loopback nor refuse", c.UnconfiguredWebhooks)
	}
	if (c.HTTP.TLS.Cert == "") != (c.HTTP.TLS.Key == "") {
		add("http.tls: cert and key go together")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		if validName(name) {
			continue
		}
		p := Problem{File: c.Path, Message: fmt.Sprintf("sources: %q is no name: use up to 64 of a-z, 0-9, - and _", name)}
		if n := find(root, "sources", name); n != nil {
			p.Line, p.Col = n.Line, n.Column
		}
		ps = append(ps, p)
	}
	return ps
}

// find gives the last key of path in nested mappings, or nil.
func find(n *yaml.Node, path ...string) *yaml.Node {
	var key *yaml.Node
	for _, name := range path {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		value := (*yaml.Node)(nil)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				key, value = n.Content[i], n.Content[i+1]
			}
		}
		if value == nil {
			return nil
		}
		n = value
	}
	return key
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}

// Resolve makes a path of the file absolute: relative ones start at the folder
// of the file.
func (c *Config) Resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

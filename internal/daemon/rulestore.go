package daemon

import (
	"log/slog"
	"sync"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/rule"
	"signalbox/internal/worker"
)

// ruleStore keeps the compiled rules that runs need, of this and of older rule
// sets, and the sets' bundles as files, so that a run that was decided by an
// older set can go on after a restart. Safe for many goroutines.
type ruleStore struct {
	actions []rule.ActionSpec
	files   stateDir
	log     *slog.Logger

	mu     sync.RWMutex
	rules  map[worker.RuleVersion]*rule.Rule
	active *decide.Rules
	loaded *Loaded         // what the files say: it need not be compiled again when the log says it
	tried  map[string]bool // bundle files that were read
}

func newRuleStore(actions []rule.ActionSpec, files stateDir, log *slog.Logger) *ruleStore {
	return &ruleStore{actions: actions, files: files, log: log,
		rules: map[worker.RuleVersion]*rule.Rule{}, tried: map[string]bool{}}
}

// offer gives what was read from the files, and compiled.
func (s *ruleStore) offer(l *Loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = l
}

// compiled gives the rules of a bundle of the log. Most were compiled a moment ago,
// from the files that the bundle was made of: thousands of rules take seconds.
func (s *ruleStore) compiled(data []byte) (*decide.Rules, error) {
	b, err := rule.DecodeBundle(data)
	if err != nil {
		return nil, err
	}
	version := b.Version()
	s.mu.RLock()
	active, loaded := s.active, s.loaded
	s.mu.RUnlock()
	switch {
	case loaded != nil && loaded.Set.Version == version:
		return decide.Of(b, loaded.Set, loaded.Inventory), nil
	case active != nil && active.Set.Version == version:
		return decide.Of(b, active.Set, active.Inventory), nil
	}
	return decide.Load(data, s.actions)
}

// load gives the engine the rules of a bundle of the log.
func (s *ruleStore) load(data []byte) (engine.Rules, error) {
	rs, err := s.compiled(data)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = rs
	s.keep(rs.Set)
	return rs, nil
}

// keep must be called with mu held.
func (s *ruleStore) keep(set *rule.Set) {
	for _, r := range set.Rules {
		s.rules[worker.RuleVersion{Rule: r.Name, Version: r.Version}] = r
	}
}

// save keeps a bundle that goes into the log as a file.
func (s *ruleStore) save(version string, bundle []byte) error {
	return s.files.save("rules-"+version, bundle)
}

// Rule finds a rule by name and version, in older sets too.
func (s *ruleStore) Rule(name, version string) (*rule.Rule, bool) {
	key := worker.RuleVersion{Rule: name, Version: version}
	s.mu.RLock()
	r, ok := s.rules[key]
	s.mu.RUnlock()
	if ok {
		return r, true
	}
	s.readOlder()
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok = s.rules[key]
	return r, ok
}

// readOlder loads the bundle files that were not read yet.
func (s *ruleStore) readOlder() {
	names, err := s.files.list("rules-")
	if err != nil {
		s.log.Warn("older rule sets cannot be read", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if s.tried[name] {
			continue
		}
		s.tried[name] = true
		_, problems := s.files.load(name, func(data []byte) error {
			rs, err := decide.Load(data, s.actions)
			if err == nil {
				s.keep(rs.Set)
			}
			return err
		})
		if problems != nil {
			s.log.Warn("an older rule set cannot be used", "err", problems)
		}
	}
}

// Scope is what expressions of a run see of an event: with the inventory that
// is in force.
func (s *ruleStore) Scope(ev *event.Event) *rule.Scope {
	s.mu.RLock()
	rs := s.active
	s.mu.RUnlock()
	if rs == nil {
		return rule.NewScope(ev, nil)
	}
	return rule.NewScope(ev, rs.Inventory)
}

package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"signalbox/event"
	"signalbox/internal/engine"
	"signalbox/internal/inventory"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
	"signalbox/internal/worker"
)

// ruleset is a rule set with the inventory that it was loaded with: what the
// engine decides by. The engine is one goroutine, and asks several things about
// one event; what was decoded for the first serves the others.
type ruleset struct {
	set   *rule.Set
	inv   *inventory.Inventory
	about *event.Event
	ask   rule.Deciding
}

var _ engine.Rules = (*ruleset)(nil)

func (r *ruleset) asking(ev *event.Event) *rule.Deciding {
	if r.about != ev {
		r.about, r.ask = ev, r.set.Decide(ev, r.inv, r.ask)
	}
	return &r.ask
}

func (r *ruleset) Version() string { return r.set.Version }

func (r *ruleset) Windows() engine.Windows {
	return engine.Windows{Global: r.set.GlobalWithin(), Redelivery: r.set.Redelivery}
}

func (r *ruleset) Clears(eventType string) []string { return r.set.Clears(eventType) }

func (r *ruleset) GlobalKey(ev *event.Event, eventType string) (engine.Key, bool) {
	key, ok := r.asking(ev).GlobalKey(eventType)
	return engine.Key(key), ok
}

func (r *ruleset) Match(ev *event.Event) []engine.Match {
	ask := r.asking(ev)
	var out []engine.Match
	for _, m := range ask.Match() {
		em := engine.Match{Rule: m.Rule.Name, Version: m.Rule.Version, Shadow: m.Rule.Mode == "shadow", Lock: m.Rule.Lock != "none"}
		if m.Err != nil {
			// Also where an attribute is absent: a rule that never matches for
			// that reason must not do so in silence.
			em.Err = m.Err.Error()
			out = append(out, em)
			continue
		}
		key, within, ok, err := ask.Dedup(m.Rule)
		if ok && err == nil {
			em.Key, em.Within, em.Signature = engine.Key(key), within, m.Rule.Dedup.Signature
		}
		out = append(out, em)
	}
	return out
}

func (r *ruleset) Keeps(name, sig string) bool {
	for _, x := range r.set.Rules {
		if x.Name == name {
			return x.Dedup != nil && x.Dedup.Signature == sig
		}
	}
	return false
}

// ruleStore keeps the compiled rules that runs need, of this and of older rule
// sets, and the sets' bundles as files, so that a run that was decided by an
// older set can go on after a restart. Safe for many goroutines.
type ruleStore struct {
	actions []rule.ActionSpec
	files   stateDir
	log     *slog.Logger

	mu     sync.RWMutex
	rules  map[worker.RuleVersion]*rule.Rule
	active *ruleset
	tried  map[string]bool // bundle files that were read
}

func newRuleStore(actions []rule.ActionSpec, files stateDir, log *slog.Logger) *ruleStore {
	return &ruleStore{actions: actions, files: files, log: log,
		rules: map[worker.RuleVersion]*rule.Rule{}, tried: map[string]bool{}}
}

// load compiles a bundle of the log for the engine.
func (s *ruleStore) load(data []byte) (engine.Rules, error) {
	rs, err := s.compile(data)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = rs
	s.keep(rs.set)
	return rs, nil
}

func (s *ruleStore) compile(data []byte) (*ruleset, error) {
	b, err := rule.DecodeBundle(data)
	if err != nil {
		return nil, err
	}
	types := map[string][]byte{}
	for _, f := range b.Types {
		types[f.Name] = f.Data
	}
	cat, err := schema.FromSource(types)
	if err != nil {
		return nil, err
	}
	set, inv, diags := rule.Load(b, rule.Options{Catalogue: cat, Actions: s.actions})
	if set == nil {
		var errs []error
		for _, d := range diags {
			if d.Severity == rule.Error {
				errs = append(errs, errors.New(d.String()))
			}
		}
		return nil, fmt.Errorf("the rules that the log carries do not load with this version of Signalbox; start the version that logged them and change them there: %w", errors.Join(errs...))
	}
	return &ruleset{set: set, inv: inv}, nil
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
			rs, err := s.compile(data)
			if err == nil {
				s.keep(rs.set)
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
	return rule.NewScope(ev, rs.inv)
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/eventlog"
	"signalbox/internal/explain"
	"signalbox/internal/record"
	"signalbox/internal/run"
	"signalbox/internal/worker"
)

// rebuildFor is for how long the log is read to find out what the windows held;
// what comes out without it is still worth having.
const rebuildFor = 20 * time.Second

// explainers bounds what is explained at once.
const explainers = 2

// explainRuns bounds the runs that are shown with their steps.
const explainRuns = 20

// Explain says why an event did what it did, or what led to a run.
func (b backend) Explain(ctx context.Context, id string) (any, error) {
	select { // each may read much of the log
	case b.d.explaining <- struct{}{}:
		defer func() { <-b.d.explaining }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if _, _, err := run.ParseID(id); err == nil {
		return b.explainRun(ctx, id)
	}
	if s, err := b.d.books.situation(id); err == nil {
		return nil, fmt.Errorf("%w: %s is the id of a situation of rule %s; see 'signalbox situations %s', and explain one of its events or runs",
			api.ErrInvalid, id, s.Rule, id)
	}
	if u, err := uuid.Parse(id); err != nil || u.Version() != 7 {
		return nil, fmt.Errorf("%w: %q is the id of neither an event nor a run; 'signalbox events' and 'signalbox runs' list them", api.ErrInvalid, id)
	}
	return b.explainEvent(ctx, event.ID(id), "")
}

func (b backend) explainRun(ctx context.Context, id string) (any, error) {
	v, err := b.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.EventID == "" {
		return nil, fmt.Errorf("run %s: %w: its decision has left the log", id, api.ErrNotFound)
	}
	x, err := b.explainEvent(ctx, v.EventID, v.Rule)
	if errors.Is(err, api.ErrNotFound) && v.Event != nil {
		// The event has left the log; the decision has a copy.
		x, err = explain.Explain(explain.Question{Event: v.Event, Status: "decided", Rule: v.Rule}), nil
	}
	if err != nil {
		return nil, err
	}
	x.Later = slices.DeleteFunc(x.Later, func(l explain.Later) bool { return l.Run != id })
	x.Runs = []explain.Run{runOf(&v)}
	return x, nil
}

// explainEvent explains an event to one rule, or to all.
func (b backend) explainEvent(ctx context.Context, id event.ID, name string) (*explain.Explanation, error) {
	e, err := b.Event(ctx, id)
	if err != nil {
		return nil, err
	}
	q := explain.Question{Event: &e.Event, Position: e.Position, LogTime: e.LogTime, Status: e.Status, Reason: e.Reason, Rule: name}
	if e.Status == "rejected" {
		return explain.Explain(q), nil
	}
	at, err := record.ParsePosition(e.Position)
	if err != nil {
		return nil, err
	}
	if e.Status != "pending" {
		if q.Decision, q.RuleSet, err = (history{b.d.log}).decisionOn(ctx, at); err != nil {
			return nil, err
		}
		q.Reason = ""
	} else {
		q.RuleSet = b.d.rules.version()
	}
	rules, err := b.d.ruleSet(ctx, q.RuleSet, at)
	if err != nil {
		return nil, err
	}
	if rules != nil {
		q.Set, q.Inventory = rules.Set, rules.Inventory
		q.State, q.StateRemark = b.d.windowsBefore(ctx, at, e, rules)
	}
	ids := slices.Clone(e.Runs)
	for _, l := range e.Later {
		q.Later = append(q.Later, explain.Later{Time: l.LogTime, Due: l.Due, Rule: l.Rule, Outcome: l.Outcome,
			Detail: l.Detail, Run: l.Run, Situation: l.Situation})
		if l.Run != "" && !slices.Contains(ids, l.Run) {
			ids = append(ids, l.Run)
		}
	}
	for _, id := range ids[:min(len(ids), explainRuns)] {
		if v, err := b.d.worker.Find(ctx, id); err == nil && name == "" {
			q.Runs = append(q.Runs, runOf(&v))
		}
	}
	return explain.Explain(q), nil
}

func runOf(v *worker.RunView) explain.Run {
	r := explain.Run{ID: v.ID, Rule: v.Rule, Status: v.Status, Error: v.Error, Key: v.Key, Due: v.Due,
		Branch: v.Branch, Situation: v.Situation, Total: v.Total}
	for _, e := range v.Events {
		r.Events = append(r.Events, explain.Part{ID: e.ID, As: e.As, Type: e.Type, Device: e.Device, Time: e.Received})
	}
	for _, s := range v.Steps {
		r.Steps = append(r.Steps, explain.Step{Step: s.Step, Action: s.Action, Status: s.Status, Output: string(s.Output),
			Error: s.Error, Attempts: len(s.Attempts)})
	}
	return r
}

// decisionOn finds the decision about the record at a position, nil where no
// rule matched, and the rule set that made it.
func (h history) decisionOn(ctx context.Context, at record.Position) (*record.Decision, string, error) {
	st, err := h.log.State(ctx)
	if err != nil {
		return nil, "", err
	}
	var found *record.Decision
	version := ""
	err = h.log.Range(ctx, at, record.Position{Seq: st.Last}, []record.Subject{record.Decisions}, func(b *record.Batch) error {
		if b.Through.Less(at) {
			return nil
		}
		version = b.RulesVersion
		for i := range b.Records {
			if d := b.Records[i].Decision; d != nil && d.At == at && d.OfEvent() {
				found = d
			}
		}
		return eventlog.ErrStop
	})
	if errors.Is(err, eventlog.ErrStop) {
		err = nil
	}
	return found, version, err
}

// version names the rule set in force.
func (s *ruleStore) version() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.active == nil {
		return ""
	}
	return s.active.Set.Version
}

// set finds a rule set among those that are kept as files; nil for none.
func (s *ruleStore) set(version string) *decide.Rules {
	s.mu.RLock()
	active := s.active
	s.mu.RUnlock()
	if active != nil && active.Set.Version == version {
		// A copy: the engine's serves one goroutine.
		return decide.New(active.Set, active.Inventory)
	}
	var found *decide.Rules
	_, problems := s.files.load("rules-"+version, func(data []byte) error {
		rs, err := decide.Load(data, s.actions)
		if err == nil {
			found = rs
		}
		return err
	})
	if problems != nil {
		s.log.Warn("an older rule set cannot be used", "rule_set", version, "err", problems)
	}
	return found
}

// ruleSet finds a rule set: of the files, or else of the log before a position.
// It is nil where neither has it.
func (d *daemon) ruleSet(ctx context.Context, version string, before record.Position) (*decide.Rules, error) {
	if version == "" {
		return nil, nil
	}
	if rs := d.rules.set(version); rs != nil {
		return rs, nil
	}
	parts := map[uint32][]byte{}
	var whole []byte
	err := d.log.ReadBackwards(ctx, before.Seq+1, events, func(b *record.Batch) error {
		for i := range b.Records {
			r := b.Records[i].Rules
			if r == nil || r.Version != version {
				continue
			}
			parts[r.Part] = slices.Clone(r.Data)
			if len(parts) == int(r.Parts) {
				for n := range r.Parts {
					whole = append(whole, parts[n]...)
				}
				return eventlog.ErrStop
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, eventlog.ErrStop) {
		return nil, err
	}
	if whole == nil {
		return nil, nil
	}
	rs, err := decide.Load(whole, d.rules.actions)
	if err != nil {
		d.logger.Warn("an older rule set cannot be used", "rule_set", version, "err", err)
		return nil, nil
	}
	return rs, nil
}

// windowsBefore says what the windows of the rules that take an event held before
// it came, by rule, or why that is not known. An engine of its own is brought to
// just before the event: from the newest snapshot that is old enough, or from
// the log's beginning.
func (d *daemon) windowsBefore(ctx context.Context, at record.Position, e *api.Entry, rules *decide.Rules) (map[string][]string, string) {
	matches := slices.DeleteFunc(rules.Match(&e.Event, nil), func(m engine.Match) bool { return m.Plan == nil || len(m.Inputs) == 0 })
	if len(matches) == 0 {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, rebuildFor)
	defer cancel()
	eng, err := d.engineBefore(ctx, at)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("the log before it could not be read in %s", rebuildFor)
		}
		return nil, "what the windows held is not known: " + err.Error()
	}
	out := map[string][]string{}
	for i := range matches {
		if lines := eng.Look(matches[i].Rule, matches[i].Inputs, e.LogTime); len(lines) > 0 {
			out[matches[i].Rule] = lines
		}
	}
	return out, ""
}

// engineBefore gives an engine that has decided all before a position, and what
// time brings with the record there.
func (d *daemon) engineBefore(ctx context.Context, at record.Position) (*engine.Engine, error) {
	load := func(bundle []byte) (engine.Rules, error) { return decide.Load(bundle, d.rules.actions) }
	eng := engine.New(load)
	_, _, _ = d.decider.state.find("engine", func(data []byte) error { // without one the log is read
		e := engine.New(load)
		if err := e.Restore(data); err != nil {
			return err
		}
		if !e.Through().Less(at) {
			return errors.New("it is of later")
		}
		eng = e
		return nil
	})
	err := d.log.Range(ctx, eng.Through(), at, events, func(b *record.Batch) error {
		if b.Seq == at.Seq {
			before := *b
			// The tick fires what is due by the time of the batch.
			before.Records = append(slices.Clone(b.Records[:min(int(at.Index), len(b.Records))]), record.Record{Kind: record.KindTick})
			b = &before
		}
		_, err := eng.Step(b)
		return err
	})
	return eng, err
}

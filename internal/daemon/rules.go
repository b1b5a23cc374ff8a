package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"signalbox/internal/api"
	"signalbox/internal/correlate"
	"signalbox/internal/eventlog"
	"signalbox/internal/explain"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// compareSince is how far back rules are compared where nobody says.
const compareSince = 24 * time.Hour

// Rules lists the rules in force, in the order of the files.
func (b backend) Rules(context.Context) ([]api.RuleInfo, error) {
	b.d.mu.Lock()
	set := b.d.loaded.Set
	b.d.mu.Unlock()
	with := map[string]string{}
	for _, p := range explain.Pairs(set) {
		with[p.Shadow] = p.Active
	}
	var out []api.RuleInfo
	for _, r := range set.Rules {
		i := api.RuleInfo{Name: r.Name, Version: r.Version, Description: r.Description, Mode: r.Mode, On: r.On,
			With: with[r.Name], Place: fmt.Sprintf("%s:%d", r.Pos.File, r.Pos.Line)}
		for _, l := range r.Limits() {
			i.Limits = append(i.Limits, l.Text)
		}
		if r.Plan != nil {
			i.Holds = r.Plan.Holds
			if r.Plan.Form != correlate.Single {
				i.Form = explain.FormName(r.Plan.Form)
			}
		}
		out = append(out, i)
	}
	return out, nil
}

// CompareRules says what shadow rules would have done beside what active ones
// did, by the log.
func (b backend) CompareRules(ctx context.Context, q api.CompareQuery) (any, error) {
	b.d.mu.Lock()
	set := b.d.loaded.Set
	b.d.mu.Unlock()
	pairs, err := pairsOf(set, q)
	if err != nil {
		return nil, err
	}
	if q.Since.IsZero() {
		q.Since = time.Now().Add(-compareSince)
	}
	st, err := b.d.log.State(ctx)
	if err != nil {
		return nil, err
	}
	c := explain.NewComparison(pairs)
	err = b.d.log.RangeSince(ctx, q.Since, record.Position{Seq: st.Last}, both, func(batch *record.Batch) error {
		if !q.Until.IsZero() && batch.Time.After(q.Until) {
			return eventlog.ErrStop
		}
		c.Apply(batch)
		return nil
	})
	if err != nil && !errors.Is(err, eventlog.ErrStop) {
		return nil, err
	}
	return c.Result(), nil
}

func pairsOf(set *rule.Set, q api.CompareQuery) ([]explain.Pair, error) {
	pairs := explain.Pairs(set)
	if q.Rule == "" {
		if q.With != "" {
			return nil, fmt.Errorf("%w: with: say which shadow rule is compared with %q", api.ErrInvalid, q.With)
		}
		if len(pairs) == 0 {
			return nil, fmt.Errorf("%w: no rule is in shadow mode; one with 'mode: shadow' decides and does nothing", api.ErrInvalid)
		}
		return pairs, nil
	}
	if q.With != "" && set.Rule(q.With) == nil {
		return nil, fmt.Errorf("%w: no rule is named %q", api.ErrInvalid, q.With)
	}
	for _, p := range pairs {
		if p.Shadow == q.Rule {
			if q.With != "" {
				p.Active = q.With
			}
			return []explain.Pair{p}, nil
		}
	}
	return nil, fmt.Errorf("%w: no rule in shadow mode is named %q", api.ErrInvalid, q.Rule)
}

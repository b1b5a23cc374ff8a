package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"signalbox/internal/engine"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// limitTally is what one limit refused.
type limitTally struct {
	LimitResult
	text string // as notes have it
	keys map[string]uint64
}

// limit lists the limits of a rule, with "" those of all rules.
func (s *side) limit(name string) {
	for _, l := range s.c.Rules.Limits(name) {
		s.limits = append(s.limits, &limitTally{LimitResult: LimitResult{Rule: name, Limit: strings.TrimPrefix(l.Text, rule.AllRules)}, text: l.Text, keys: map[string]uint64{}})
	}
}

// refused counts a run that a limit had no room for.
func (s *side) refused(x *ruleTally, n *record.RuleNote, d *record.Decision, at time.Time) {
	x.Refused++
	if !x.grouped && !x.story {
		x.Findings++
	}
	i := slices.IndexFunc(s.limits, func(l *limitTally) bool {
		return (l.Rule == n.Rule || l.Rule == "") && strings.HasPrefix(n.Detail, l.text+engine.LimitSeparator)
	})
	if i < 0 { // the engine names a limit of the set that decides
		return
	}
	l := s.limits[i]
	why := n.Detail[len(l.text)+len(engine.LimitSeparator):]
	if l.Refused == 0 {
		l.First = &Refusal{Time: at.UTC(), Position: s.t.position(d.At).String(), Rule: strings.Clone(n.Rule), Key: strings.Clone(n.Key), Detail: strings.Clone(why)}
	}
	l.Refused++
	if _, seen := l.keys[n.Key]; !seen {
		if s.pairs == MaxPairs {
			l.Uncounted++
			return
		}
		s.pairs++
		l.keys[strings.Clone(n.Key)] = 0
	}
	l.keys[n.Key]++
}

// limitResults sums up what the limits refused, those that refused most first.
func (s *side) limitResults(top int) (out []LimitResult, refused uint64) {
	for _, l := range s.limits {
		r := l.LimitResult
		r.Keys = len(l.keys)
		for _, key := range slices.Sorted(maps.Keys(l.keys)) {
			r.Top = append(r.Top, KeyCount{key, l.keys[key]})
		}
		slices.SortStableFunc(r.Top, func(a, b KeyCount) int { return cmp.Compare(b.Refused, a.Refused) })
		r.Top = r.Top[:min(len(r.Top), top)]
		refused += r.Refused
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b LimitResult) int { return cmp.Compare(b.Refused, a.Refused) })
	return out, refused
}

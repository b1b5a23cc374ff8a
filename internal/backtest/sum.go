package backtest

import (
	"cmp"
	"maps"
	"slices"
)

// Report ends the trial: what is due before the end of the stretch happens, and
// all is summed up. Made is left to the caller.
func (t *Backtest) Report() (*Report, error) {
	if err := t.end(); err != nil {
		return nil, err
	}
	r := &Report{Since: t.o.Since.UTC(), Until: t.o.Until.UTC(), Log: t.counted, Rules: t.sides[0].result()}
	if t.o.Since.IsZero() {
		r.Since = r.Log.First
	}
	if t.o.Until.IsZero() {
		r.Until = t.lastTime.UTC()
	}
	r.Timeline = Timeline{Start: t.line.start, Width: Span(t.line.width), Events: t.events.counts}
	r.Made.WarmUp = Span(t.o.Rules.Reach())
	if t.diff != nil {
		other := t.sides[1].result()
		r.Against, r.Diff = &other, t.diff.report()
		r.Made.WarmUp = max(r.Made.WarmUp, Span(t.o.Against.Reach()))
	}
	return r, nil
}

func (s *side) result() Result {
	r := Result{Name: s.c.Name, Version: s.c.Rules.Version(), Runs: s.total, Devices: len(s.devices), Busiest: s.busiest.result(),
		Decided: s.verdicts[1], Duplicate: s.verdicts[2], Suppressed: s.verdicts[3], Unmatched: s.verdicts[4],
		TopDevices: top(s.devices, s.t.o.Top), Types: []TypeCount{}, PerRule: []RuleResult{}, Situations: s.situations, Uncounted: s.uncounted}
	r.Limits, r.Refused = s.limitResults(s.t.o.Top)
	for _, name := range slices.Sorted(maps.Keys(s.types)) {
		r.Types = append(r.Types, s.types[name].TypeCount)
	}
	slices.SortStableFunc(r.Types, func(a, b TypeCount) int {
		return cmp.Or(cmp.Compare(b.Unmatched, a.Unmatched), cmp.Compare(b.Events, a.Events))
	})
	for _, name := range slices.Sorted(maps.Keys(s.rules)) {
		x := s.rules[name]
		one := x.RuleResult
		one.Devices, one.Top, one.Busiest, one.Timeline = len(x.devices), top(x.devices, s.t.o.Top), x.busiest.result(), x.line.counts
		r.PerRule = append(r.PerRule, one)
	}
	slices.SortStableFunc(r.PerRule, func(a, b RuleResult) int { return cmp.Compare(b.Runs, a.Runs) })
	return r
}

// top gives the n devices with the most runs.
func top(devices map[string]*tally, n int) []DeviceCount {
	out := make([]DeviceCount, 0, len(devices))
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		out = append(out, DeviceCount{Device: name, Runs: devices[name].runs})
	}
	slices.SortStableFunc(out, func(a, b DeviceCount) int { return cmp.Compare(b.Runs, a.Runs) })
	return slices.Clip(out[:min(n, len(out))])
}

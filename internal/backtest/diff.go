package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// maxSamples bounds the first runs that are kept of a difference, about 1 kB
// each; what is beyond is counted.
const maxSamples = 20_000

// differ compares two sides, batch by batch.
type differ struct {
	t     *Backtest
	same  uint64
	rules map[string]*ruleDiffer

	left, right []started // sorted copies
	pairs       int
	samples     int
	uncounted   uint64
}

type ruleDiffer struct {
	same        uint64
	more, fewer direction
}

// direction is the runs of one rule that one side alone has.
type direction struct {
	runs    uint64
	first   *Sample
	devices map[string]*deviceRuns
}

type deviceRuns struct {
	runs  uint64
	first *Sample
}

func newDiffer(t *Backtest) *differ { return &differ{t: t, rules: map[string]*ruleDiffer{}} }

// order puts runs so that the same ones stand at the same place in both.
func order(a, b *started) int {
	if c := cmp.Compare(a.d.At.Seq, b.d.At.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(a.d.At.Index, b.d.At.Index); c != 0 {
		return c
	}
	if c := a.d.Due.Compare(b.d.Due); c != 0 {
		return c
	}
	if c := cmp.Compare(a.run.Rule, b.run.Rule); c != 0 {
		return c
	}
	if c := cmp.Compare(a.run.Branch, b.run.Branch); c != 0 {
		return c
	}
	return cmp.Compare(a.run.Key, b.run.Key)
}

// compare tells apart what both sides would have started about one batch.
func (f *differ) compare(candidate, other []started) {
	if len(candidate) == 0 && len(other) == 0 {
		return
	}
	byOrder := func(a, b started) int { return order(&a, &b) }
	f.left, f.right = append(f.left[:0], candidate...), append(f.right[:0], other...)
	slices.SortStableFunc(f.left, byOrder)
	slices.SortStableFunc(f.right, byOrder)
	l, r := f.left, f.right
	for len(l) > 0 || len(r) > 0 {
		c := 0
		switch {
		case len(l) == 0:
			c = 1
		case len(r) == 0:
			c = -1
		default:
			c = order(&l[0], &r[0])
		}
		switch {
		case c < 0:
			f.only(&l[0], false)
			l = l[1:]
		case c > 0:
			f.only(&r[0], true)
			r = r[1:]
		default:
			f.same++
			f.rule(l[0].run.Rule).same++
			l, r = l[1:], r[1:]
		}
	}
}

func (f *differ) rule(name string) *ruleDiffer {
	x := f.rules[name]
	if x == nil {
		x = &ruleDiffer{}
		f.rules[strings.Clone(name)] = x
	}
	return x
}

// only counts a run that one side alone has.
func (f *differ) only(st *started, fewer bool) {
	x := f.rule(st.run.Rule)
	d := &x.more
	if fewer {
		d = &x.fewer
	}
	if d.devices == nil {
		d.devices = map[string]*deviceRuns{}
		d.first = f.t.sample(st)
	}
	d.runs++
	devices(st, func(name string) {
		x := d.devices[name]
		if x == nil {
			if f.pairs == MaxPairs {
				f.uncounted++
				return
			}
			f.pairs++
			x = &deviceRuns{}
			if f.samples < maxSamples {
				f.samples++
				x.first = f.t.sampleOf(st, name)
			}
			d.devices[strings.Clone(name)] = x
		}
		x.runs++
	})
}

// report sums up. Every rule of both sets is in it.
func (f *differ) report() *Diff {
	out := &Diff{Same: f.same, Uncounted: f.uncounted, PerRule: []RuleDiff{}, PerDevice: []DeviceDiff{}}
	after, before := f.t.sides[0], f.t.sides[1]
	names := map[string]bool{}
	for _, s := range f.t.sides {
		for name := range s.rules {
			names[name] = true
		}
	}
	devices := map[string]*DeviceDiff{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x := f.rules[name]
		if x == nil {
			x = &ruleDiffer{}
		}
		d := RuleDiff{Rule: name, Change: change(before.rules[name], after.rules[name]), Same: x.same}
		if s := before.rules[name]; s != nil {
			d.Before = s.Runs
		}
		if s := after.rules[name]; s != nil {
			d.After = s.Runs
		}
		d.More, d.Fewer = f.direction(&x.more), f.direction(&x.fewer)
		out.More += x.more.runs
		out.Fewer += x.fewer.runs
		out.PerRule = append(out.PerRule, d)
		perDevice(devices, name, x)
	}
	slices.SortStableFunc(out.PerRule, func(a, b RuleDiff) int {
		return cmp.Or(cmp.Compare(b.size(), a.size()), cmp.Compare(a.Rule, b.Rule))
	})
	out.Devices = len(devices)
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		out.PerDevice = append(out.PerDevice, *devices[name])
	}
	slices.SortStableFunc(out.PerDevice, func(a, b DeviceDiff) int { return cmp.Compare(b.More+b.Fewer, a.More+a.Fewer) })
	out.PerDevice = out.PerDevice[:min(len(out.PerDevice), 10*f.t.o.Top)]
	return out
}

func (d *RuleDiff) size() (n uint64) {
	if d.More != nil {
		n += d.More.Runs
	}
	if d.Fewer != nil {
		n += d.Fewer.Runs
	}
	return n
}

func change(before, after *ruleTally) string {
	switch {
	case before == nil:
		return "added"
	case after == nil:
		return "removed"
	case before.Version != after.Version:
		return "changed"
	}
	return "same"
}

func (f *differ) direction(d *direction) *Direction {
	if d.runs == 0 {
		return nil
	}
	out := &Direction{Runs: d.runs, Total: len(d.devices), First: d.first}
	for _, name := range slices.Sorted(maps.Keys(d.devices)) {
		x := d.devices[name]
		out.Devices = append(out.Devices, DeviceSample{Device: name, Runs: x.runs, First: x.first})
	}
	slices.SortStableFunc(out.Devices, func(a, b DeviceSample) int { return cmp.Compare(b.Runs, a.Runs) })
	out.Devices = out.Devices[:min(len(out.Devices), 10*f.t.o.Top)]
	return out
}

// perDevice adds a rule's difference to that of its devices. The first run of
// a device over all rules is the one with the lowest position; of two at the
// same record that of the rule whose name comes first.
func perDevice(all map[string]*DeviceDiff, rule string, x *ruleDiffer) {
	of := func(name string) *DeviceDiff {
		d := all[name]
		if d == nil {
			d = &DeviceDiff{Device: name}
			all[name] = d
		}
		return d
	}
	for name, r := range x.more.devices {
		d := of(name)
		d.More += r.runs
		if earlier(r.first, d.FirstMore) {
			d.FirstMore, d.MoreRule = r.first, rule
		}
	}
	for name, r := range x.fewer.devices {
		d := of(name)
		d.Fewer += r.runs
		if earlier(r.first, d.FirstFewer) {
			d.FirstFewer, d.FewerRule = r.first, rule
		}
	}
}

// earlier compares by log time: samples of one side are made in its order.
func earlier(a, b *Sample) bool {
	return a != nil && (b == nil || a.Time.Before(b.Time))
}

package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// limits count the runs that were started, by rule and signature; those of all
// rules together have no rule.
//
// What replays of events start counts beside what the log's own events do:
// devices do not know why they are touched. A dry run has limits of its own.
type limits map[string]*correlate.Limiter

// bound is what one limit counts of the run in hand under one key.
type bound struct {
	limit   *correlate.RunLimit
	counts  *correlate.Limiter
	key     string
	most    int
	devices []string // where devices are counted
}

// allows says whether a run may be started for events, of which ev is the one
// that it is about, by the limits of its rule and then by those of all rules,
// and counts it where all of them have room. A rule in shadow starts nothing,
// so it has its own limits only.
func (l *lane) allows(m *Match, ev *event.Event, f *correlate.Finding) (no *record.RuleNote) {
	now := l.clock()
	l.bounds = l.bounds[:0]
	var events []*event.Event // decoded where a limit asks for them
	for _, rule := range []string{m.Rule, ""} {
		if rule == "" && m.Shadow {
			break
		}
		list := l.rules.Limits(rule)
		for i := range list {
			about := []*event.Event{ev}
			if list[i].Devices && f != nil && len(f.Events) > 1 {
				if events == nil {
					events, _ = eventsOf(f)
				}
				about = events
			}
			if n := l.bound(m, rule, i, &list[i], about, now); n != nil {
				return n
			}
		}
	}
	for _, b := range l.bounds {
		b.counts.Count(b.limit, b.key, b.devices, now)
	}
	return nil
}

// bound asks one limit: of runs under the key of the event, of devices under
// the keys of all events.
func (l *lane) bound(m *Match, rule string, i int, limit *correlate.RunLimit, events []*event.Event, now int64) *record.RuleNote {
	name := rule + "\x00" + limit.Signature
	counts := l.limits[name]
	if counts == nil {
		counts = correlate.NewLimiter()
		l.limits[name] = counts
	}
	n := &record.RuleNote{Rule: m.Rule, Outcome: "limited", Detail: limit.Text + LimitSeparator}
	from := len(l.bounds)
	for _, ev := range events {
		if limit.Devices && ev.Device == "" {
			continue
		}
		key, most, err := l.rules.LimitKey(rule, i, ev)
		if err != nil { // what cannot be counted is not started
			n.Detail += "it cannot be counted: " + err.Error()
			return n
		}
		at := slices.IndexFunc(l.bounds[from:], func(b bound) bool { return b.key == key })
		if at < 0 {
			at = len(l.bounds) - from
			l.bounds = append(l.bounds, bound{limit: limit, counts: counts, key: key, most: most})
		}
		if b := &l.bounds[from+at]; limit.Devices && !slices.Contains(b.devices, ev.Device) {
			b.devices = append(b.devices, ev.Device)
		}
	}
	for _, b := range l.bounds[from:] {
		ok, until, full := counts.Room(limit, b.key, b.devices, b.most, now)
		switch {
		case ok:
			continue
		case full:
			n.Detail += "as many keys are counted as may be"
		case until == 0:
			n.Detail += fmt.Sprintf("the run is for %d devices", len(b.devices))
		default:
			whole := unixNano(until + int64(time.Second) - 1).Truncate(time.Second)
			n.Detail += "room again from " + whole.Format(time.RFC3339)
		}
		n.Key = l.keyText(b.key)
		return n
	}
	return nil
}

// LimitSeparator stands in the detail of a note "limited" between the limit
// (correlate.RunLimit.Text) and what else there is to say.
const LimitSeparator = "; "

// clock is the time that limits go by: the log's, also where a replay has a time
// of its own, unless it does nothing.
func (l *lane) clock() int64 {
	if l.replay && !l.dryRun {
		return l.logged
	}
	return l.now
}

// useLimits forgets what was counted for limits that are no more, and tells.
func (l *lane) useLimits(rules Rules) (resets []string) {
	for _, name := range slices.Sorted(maps.Keys(l.limits)) {
		rule, signature, _ := strings.Cut(name, "\x00")
		if slices.ContainsFunc(rules.Limits(rule), func(x correlate.RunLimit) bool { return x.Signature == signature }) {
			continue
		}
		whose := "rule " + rule + ": its limits"
		if rule == "" {
			whose = "the limits of all rules"
		}
		if held := l.limits[name].Keys().Held; held > 0 {
			resets = append(resets, fmt.Sprintf("%s changed; %s reset", whose, keysWere(held)))
		}
		delete(l.limits, name)
	}
	return resets
}

// expire lets each forget some keys; in any order, since they know nothing of
// each other.
func (c limits) expire(now int64) {
	for _, x := range c {
		x.Expire(now)
	}
}

func (c limits) save(w *correlate.StateWriter) {
	w.Uint(uint64(len(c)))
	for _, name := range slices.Sorted(maps.Keys(c)) {
		w.String(name)
		c[name].Save(w)
	}
}

func (c limits) load(r *correlate.StateReader) {
	for n := r.Uint(); n > 0 && r.Err() == nil; n-- {
		name := r.String()
		c[name] = correlate.NewLimiter()
		c[name].Load(r)
	}
}

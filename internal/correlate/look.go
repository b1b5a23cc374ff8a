package correlate

import (
	"fmt"
	"time"

	"signalbox/internal/places"
)

// Look says for people what a stage holds under the keys of an input, a line for
// each thing, at a time of the stage's own. It changes nothing. What has left
// the window by then is not told.
func Look(s Stage, p *Plan, in *Input, now int64) []string {
	l := looker{plan: p, now: now}
	switch m := s.(type) {
	case *count:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.count(&st.state)
		}
	case *flap:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.flap(&st.state)
		}
	case *sequence:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.sequence(st.state)
		}
	case *all:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.all(&st.state)
		}
	case *unless:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.say("it waits for the end of %s since:", p.Within)
			l.kept(st.state.first, "")
			l.kept(st.state.late, "")
		}
	case *silent:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.say("the last that came:")
			l.kept([]Kept{st.state}, "")
		}
	case *threshold:
		if st := peek(&m.table, in.Key, now); st != nil {
			l.threshold(&st.state)
		}
	case *dampener:
		if st := peek(&m.table, in.DampenKey, now); st != nil {
			l.dampen(&st.state)
		}
	case *grouper:
		if st := peek(&m.table, in.GroupKey, now); st != nil {
			l.group(&st.state)
		}
	}
	return l.lines
}

// LookSituation says for people which situation of a rule is not resolved under
// the key of an input.
func LookSituation(s Situations, rule string, in *Input, now int64) []string {
	m, ok := s.(*situations)
	if !ok || m.rules[rule] == nil {
		return nil
	}
	st := peek(&m.rules[rule].table, in.SituationKey, now)
	if st == nil {
		return nil
	}
	state := stateOpen
	if st.state.acknowledged {
		state = stateAcknowledged
	}
	return []string{fmt.Sprintf("before: situation %s was %s", st.state.id, state)}
}

// peek finds the slot of a key without changing anything; nil for none.
func peek[S any](t *table[S], key string, now int64) *slot[S] {
	n := t.places.Find(places.HashOf(key), key, t.keyOf)
	if n == 0 {
		return nil
	}
	if s := t.at(n); s.until == 0 || s.until > now {
		return s
	}
	return nil
}

// looker gathers what is told.
type looker struct {
	plan  *Plan
	now   int64
	lines []string
}

// ago is how long before something was.
func (l *looker) ago(at int64) time.Duration {
	return time.Duration(l.now - at).Round(time.Millisecond)
}

// maxLooked bounds the events that are told of one thing.
const maxLooked = 20

func (l *looker) say(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *looker) kept(list []Kept, as string) {
	for i, k := range list {
		if i == maxLooked {
			l.say("  … %d more", len(list)-maxLooked)
			return
		}
		l.event(k, as, 0)
	}
}

// event tells one event. at is when it was taken, 0 where that is not kept.
func (l *looker) event(k Kept, as string, at int64) {
	ev := k.Event()
	if ev == nil {
		return
	}
	line := fmt.Sprintf("  %s %s %s", ev.ID, ev.Type, ev.Device)
	if ev.Interface != "" {
		line += " " + ev.Interface
	}
	if as != "" {
		line += " as " + as
	}
	if at != 0 {
		line += fmt.Sprintf(", %s before", l.ago(at))
	}
	l.say("%s", line)
}

// inWindow tells those that have not left.
func (l *looker) inWindow(list []keptAt) (live []keptAt) {
	begins := l.now - int64(l.plan.Within)
	if l.plan.Tumbling {
		begins = windowStart(l.now, l.plan.Within) - 1
	}
	for _, e := range list {
		if e.at > begins {
			live = append(live, e)
		}
	}
	return live
}

func (l *looker) ats(list []keptAt) {
	for i, e := range list {
		if i == maxLooked {
			l.say("  … %d more", len(list)-maxLooked)
			return
		}
		l.event(e.kept, "", e.at)
	}
}

func (l *looker) count(st *countState) {
	live := l.inWindow(st.entries)
	what, n := "events", len(live)
	if l.plan.Distinct {
		what, n = "values", 0
		begins := l.now - int64(l.plan.Within)
		for _, v := range st.values {
			if v.at > begins {
				n++
			}
		}
	}
	if n == 0 {
		return
	}
	l.say("before: %d of %d %s within %s", n, l.plan.AtLeast, what, l.plan.Within)
	l.ats(live)
}

func (l *looker) flap(st *flapState) {
	if st.going && st.last > l.now-int64(l.plan.Within) {
		l.say("before: it flaps, the last change came %s before", l.ago(st.last))
		return
	}
	live := l.inWindow(st.changes)
	if len(live) == 0 {
		return
	}
	l.say("before: %d of %d changes within %s", len(live), l.plan.Changes, l.plan.Within)
	l.ats(live)
}

func (l *looker) part(n int) string {
	if n < 0 || n >= len(l.plan.Parts) {
		return ""
	}
	if as := l.plan.Parts[n].As; as != "" {
		return as
	}
	return fmt.Sprintf("part %d", n+1)
}

func (l *looker) sequence(list partials[Kept]) {
	for _, x := range list {
		if l.now-x.first >= int64(l.plan.Within) {
			continue
		}
		l.say("before: %d of %d parts, begun %s before", len(x.slots), len(l.plan.Parts), l.ago(x.first))
		for i, k := range x.slots {
			l.event(k, l.part(i), 0)
		}
	}
}

func (l *looker) all(g *gathering[Kept]) {
	filled := map[int8]bool{}
	var live []gathered[Kept]
	for _, x := range g.events {
		if l.now-x.at < int64(l.plan.Within) {
			live = append(live, x)
			if x.part >= 0 {
				filled[x.part] = true
			}
		}
	}
	if len(live) == 0 {
		return
	}
	l.say("before: %d of %d parts, %d events within %s", len(filled), len(l.plan.Parts), len(live), l.plan.Within)
	for i, x := range live {
		if i == maxLooked {
			l.say("  … %d more", len(live)-maxLooked)
			return
		}
		l.event(x.e, l.part(int(x.part)), x.at)
	}
}

func (l *looker) threshold(st *thresholdState) {
	switch {
	case st.found:
		l.say("before: over the limit, and found; it must pass its clear limit first")
	case len(st.over) > 0:
		l.say("before: over the limit for %s of %s, %d samples", l.ago(st.since), l.plan.Within, st.total)
	default:
		l.say("before: not over the limit")
	}
}

func (l *looker) dampen(st *dampState) {
	d := l.plan.Dampen
	if d == nil {
		return
	}
	state := "let through"
	if st.suppressed {
		state = "suppressed"
	}
	l.say("before: penalty %d, %s", st.now(l.now, d)>>pointBits, state)
}

func (l *looker) group(st *groupState) {
	told := "no run yet"
	if st.ran {
		told = fmt.Sprintf("the last run %s before", l.ago(st.last))
	}
	l.say("before: a group of %d, %d of them not told yet, %s", len(st.members), st.fresh, told)
}

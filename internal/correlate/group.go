package correlate

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// grouper makes one run of what was found under one group key, as Prometheus's
// Alertmanager does.
type grouper struct{ table[groupState] }

// groupState is one group. Members have no order; their events do.
type groupState struct {
	members map[string]*groupMember
	events  []groupEvent // oldest first, at most MaxKept: of more the oldest and the newest half
	more    int          // events of those that were too many to be members, since the last run
	fresh   int          // members that no run was told of; those too many are one
	ran     bool
	last    int64 // when it ran last
}

// groupMember is one key of the form that was found and has not been cleared.
type groupMember struct {
	total int // events
	fresh bool
	last  Kept // the newest, for when those in groupState.events have left
	as    string
}

type groupEvent struct {
	kept   Kept
	as     string
	member string
}

// maxMembers bounds the members of one group. One more is told with the next
// run, and is no member: nothing clears it, and nothing repeats it.
const maxMembers = 10_000

// noMember stands for those that are too many. No key is like it: keys are
// UTF-8.
const noMember = "\xff"

// Found adds a finding to its group.
func (m *grouper) Found(env *Env, f *Finding) Outcome {
	n, s, ok := m.useKey(env, f.Ends.Group, &Input{GroupKey: f.Ends.Group, SituationKey: f.Ends.Situation})
	if !ok {
		return Full
	}
	st, g := &s.state, env.Plan.Group
	first, told := len(st.members) == 0, st.fresh == 0
	st.add(f, g)
	switch {
	case !st.ran && first:
		if g.Wait <= 0 {
			m.run(env, n, s)
			return Found
		}
		s.arm(env, n, env.Now+int64(g.Wait))
	case st.ran && told && st.fresh > 0:
		due := st.last + int64(g.Interval)
		if due <= env.Now {
			due = env.Now + int64(g.Wait) // long since: others may come with it
		}
		s.arm(env, n, due)
	}
	return Joined
}

// add makes the finding a member. What is found again under the key of a member
// is not news, as long as something could have cleared it.
func (st *groupState) add(f *Finding, g *Group) {
	if st.members == nil {
		st.members = map[string]*groupMember{}
	}
	x, key := st.members[f.Key], f.Key
	events := max(f.Total, len(f.Events))
	switch {
	case x == nil && len(st.members) >= maxMembers:
		if key = noMember; st.more == 0 {
			st.fresh++
		}
		st.more += events
	case x == nil:
		x, key = &groupMember{fresh: true}, strings.Clone(f.Key)
		st.members[key] = x
		st.fresh++
	case !g.Clears && !x.fresh:
		x.fresh = true
		st.fresh++
	}
	for i, k := range f.Events {
		as := ""
		if i < len(f.As) {
			as = f.As[i]
		}
		if x != nil {
			x.last, x.as = k, as
		}
		st.event(groupEvent{k, as, strings.Clone(key)})
	}
	if x != nil {
		x.total += events
	}
}

// event adds one; of too many the one in the middle leaves.
func (st *groupState) event(e groupEvent) {
	if len(st.events) >= MaxKept {
		st.events = slices.Delete(st.events, MaxKept/2, MaxKept/2+1)
	}
	st.events = append(st.events, e)
}

// refill adds the last events of members of which none is left, where there is
// room: others left for them, and were cleared.
func (st *groupState) refill() {
	if len(st.events) < min(MaxKept, len(st.members)) {
		there := map[string]bool{}
		for _, e := range st.events {
			there[e.member] = true
		}
		var missing []groupEvent
		for key, x := range st.members {
			if !there[key] {
				missing = append(missing, groupEvent{x.last, x.as, key})
			}
		}
		st.events = append(st.events, missing...)
	}
	slices.SortFunc(st.events, groupEvent.compare)
	if over := len(st.events) - MaxKept; over > 0 {
		st.events = slices.Delete(st.events, MaxKept/2, MaxKept/2+over)
	}
}

// compare puts events in the order in which they came.
func (e groupEvent) compare(other groupEvent) int {
	return cmp.Or(cmp.Compare(e.kept.Number(), other.kept.Number()), cmp.Compare(e.member, other.member), cmp.Compare(e.as, other.as))
}

// run hands all members on, and sets the timer to what may come next.
func (m *grouper) run(env *Env, n uint32, s *slot[groupState]) {
	st, g := &s.state, env.Plan.Group
	st.refill()
	f := Finding{Key: s.key, Ends: endsOf(s.ends), Total: st.more}
	f.Ends.Group = s.key
	named := false
	for _, e := range st.events {
		f.Events, f.As = append(f.Events, e.kept), append(f.As, e.as)
		named = named || e.as != ""
	}
	if !named {
		f.As = nil
	}
	for _, x := range st.members { // a sum, so their order is nothing
		f.Total += x.total
		x.fresh = false
	}
	f.Event = f.Events[len(f.Events)-1]
	st.fresh, st.ran, st.last = 0, true, env.Now
	if st.more > 0 {
		st.more = 0
		st.events = slices.DeleteFunc(st.events, func(e groupEvent) bool { return e.member == noMember })
	}
	switch {
	case len(st.members) == 0:
		m.drop(env, n)
	case !g.Clears:
		s.arm(env, n, env.Now+int64(g.Interval))
	case g.Repeat > 0:
		s.arm(env, n, env.Now+int64(max(g.Repeat, g.Interval)))
	}
	env.Found(f)
}

// Fire runs a group whose wait, interval or repeat is over, or ends it.
func (m *grouper) Fire(env *Env, arg uint32) {
	s := m.at(arg)
	st := &s.state
	if st.ran && st.fresh == 0 && !env.Plan.Group.Clears {
		m.drop(env, arg)
		return
	}
	m.run(env, arg, s)
}

// Clear takes the member that an event clears out. A group without members is
// over, and runs no more, not even for the first time.
func (m *grouper) Clear(env *Env, in *Input, _ *Item) bool {
	n, s := m.find(env, in.GroupKey)
	if s == nil {
		return false
	}
	st, g := &s.state, env.Plan.Group
	x := st.members[in.Key]
	if x == nil {
		return false
	}
	delete(st.members, in.Key)
	st.events = slices.DeleteFunc(st.events, func(e groupEvent) bool { return e.member == in.Key })
	if x.fresh {
		st.fresh--
	}
	switch {
	case len(st.members) == 0 && st.more == 0:
		m.drop(env, n)
	case st.ran && st.fresh == 0 && x.fresh: // what was to be told has gone
		s.disarm(env)
		if g.Repeat > 0 {
			s.arm(env, n, max(st.last+int64(max(g.Repeat, g.Interval)), env.Now))
		}
	}
	return true
}

// Save writes all groups.
func (m *grouper) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, st *groupState) {
		w.Bool(st.ran)
		w.Int(st.last)
		w.Uint(uint64(st.more))
		w.Uint(uint64(len(st.members)))
		for _, key := range slices.Sorted(maps.Keys(st.members)) {
			x := st.members[key]
			w.String(key)
			w.Uint(uint64(x.total))
			w.Bool(x.fresh)
			w.Kept(x.last)
			w.String(x.as)
		}
		w.Uint(uint64(len(st.events)))
		for _, e := range st.events {
			w.Kept(e.kept)
			w.String(e.as)
			w.String(e.member)
		}
	})
}

// Load reads them.
func (m *grouper) Load(r *StateReader) {
	m.load(r, func(r *StateReader, st *groupState) {
		st.ran, st.last = r.Bool(), r.Int()
		if st.more = int(r.Uint()); st.more > 0 {
			st.fresh = 1
		}
		st.members = map[string]*groupMember{}
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			key := r.String()
			x := &groupMember{total: int(r.Uint()), fresh: r.Bool(), last: r.Kept(), as: r.String()}
			st.members[key] = x
			if x.fresh {
				st.fresh++
			}
		}
		for n := r.Uint(); n > 0 && r.err == nil; n-- {
			st.events = append(st.events, groupEvent{r.Kept(), r.String(), r.String()})
		}
	})
}

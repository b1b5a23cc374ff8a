package explain

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/rule"
)

// Pair is a shadow rule and the active one that it is compared with, "" for none.
type Pair struct{ Shadow, Active string }

// Pairs gives each shadow rule of a set the active one that it is a trial of:
// the one whose name it has with something behind it (port-down-next,
// port-down.v2: the longest such name), or else the only active rule that
// listens to the same types.
func Pairs(set *rule.Set) []Pair {
	var out []Pair
	for _, s := range set.Rules {
		if s.Mode == "shadow" {
			out = append(out, Pair{s.Name, counterpart(set, s)})
		}
	}
	return out
}

func counterpart(set *rule.Set, s *rule.Rule) string {
	best, same := "", []string{}
	for _, r := range set.Rules {
		if r.Mode != "active" {
			continue
		}
		rest, ok := strings.CutPrefix(s.Name, r.Name)
		if ok && strings.ContainsAny(rest[:min(len(rest), 1)], "-_.") && len(r.Name) > len(best) {
			best = r.Name
		}
		if slices.Equal(sorted(r.On), sorted(s.On)) {
			same = append(same, r.Name)
		}
	}
	if best == "" && len(same) == 1 {
		return same[0]
	}
	return best
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// Compared is what a shadow rule would have done beside what the active one did.
type Compared struct {
	Shadow string `json:"shadow"`
	Active string `json:"active,omitempty"` // "": there is none to compare it with
	// Runs of each, and on the same event.
	ShadowRuns int `json:"shadow_runs"`
	ActiveRuns int `json:"active_runs"`
	Both       int `json:"both"`
	// What only one of them would have run, and did: the first few.
	OnlyShadow  []Took   `json:"only_shadow,omitempty"`
	OnlyActive  []Took   `json:"only_active,omitempty"`
	OnlyShadowN int      `json:"only_shadow_count"`
	OnlyActiveN int      `json:"only_active_count"`
	Devices     Devices  `json:"devices"`
	Held        []string `json:"shadow_outcomes,omitempty"` // what else the shadow rule did with events: "duplicate 3"
	RuleSets    int      `json:"rule_sets"`                 // that decided in this time: more than one, and the numbers mix them
}

// Devices are those that the runs were on.
type Devices struct {
	Shadow     int      `json:"shadow"`
	Active     int      `json:"active"`
	OnlyShadow []string `json:"only_shadow,omitempty"` // the first few, sorted
	OnlyActive []string `json:"only_active,omitempty"`
}

// Took is one event that a rule took.
type Took struct {
	Event  event.ID  `json:"event"`
	Type   string    `json:"type,omitempty"`
	Device string    `json:"device,omitempty"`
	Key    string    `json:"key,omitempty"`
	Time   time.Time `json:"time"`
	Run    string    `json:"run,omitempty"`
}

// Bounds of what a comparison keeps.
const (
	maxTook    = 20      // events that are listed of each
	maxHeads   = 200_000 // events whose device is remembered for what comes of them later
	maxWaiting = 500_000 // events that are not decided yet
	maxMatched = 500_000 // runs of one rule
)

// Comparison is a fold over log.events and log.decisions. Not safe for many
// goroutines at once.
type Comparison struct {
	pairs []Pair
	took  map[string]map[event.ID]Took // by rule
	other map[string]map[string]int    // by rule and outcome
	sets  map[string]bool
	first record.Position // that is compared

	waiting []waiting // events that are not decided yet, in order
	heads   map[event.ID]head
	ring    []event.ID
	next    int
}

type waiting struct {
	at record.Position
	head
}

type head struct {
	id          event.ID
	typ, device string
	time        time.Time
}

// NewComparison compares pairs.
func NewComparison(pairs []Pair) *Comparison {
	c := &Comparison{pairs: pairs, took: map[string]map[event.ID]Took{}, other: map[string]map[string]int{},
		sets: map[string]bool{}, heads: map[event.ID]head{}}
	for _, p := range pairs {
		for _, name := range []string{p.Shadow, p.Active} {
			c.took[name] = map[event.ID]Took{}
		}
		c.other[p.Shadow] = map[string]int{}
	}
	return c
}

// Apply takes a batch, in order. What it decides is about events before it, also
// where it holds events of its own.
func (c *Comparison) Apply(b *record.Batch) {
	if c.first.IsZero() {
		c.first = b.At(0)
	}
	if b.Holds(record.Decisions) {
		c.decisions(b)
	}
	for i := range b.Records {
		ev := b.Records[i].Event
		if b.Records[i].Kind != record.KindEvent {
			continue
		}
		h := head{event.ID(strings.Clone(string(ev.ID))), strings.Clone(ev.Type), strings.Clone(ev.Device), b.Time}
		if len(c.waiting) == maxWaiting {
			c.waiting = c.waiting[1:]
		}
		c.waiting = append(c.waiting, waiting{b.At(i), h})
		c.remember(h)
	}
}

func (c *Comparison) decisions(b *record.Batch) {
	if !c.sets[b.RulesVersion] && b.EventCount > 0 {
		c.sets[strings.Clone(b.RulesVersion)] = true
	}
	for i := range b.Records {
		if d := b.Records[i].Decision; d != nil && !d.Replay {
			c.decision(b, d)
		}
	}
	n := 0
	for n < len(c.waiting) && !b.Through.Less(c.waiting[n].at) {
		n++
	}
	c.waiting = c.waiting[n:]
}

// about is the event that was logged at a position. Of one that is not known any
// more, the position names it.
func (c *Comparison) about(at record.Position) head {
	i, ok := slices.BinarySearchFunc(c.waiting, at, func(w waiting, at record.Position) int {
		return cmp.Or(cmp.Compare(w.at.Seq, at.Seq), cmp.Compare(w.at.Index, at.Index))
	})
	if !ok {
		return head{id: event.ID(at.String())}
	}
	return c.waiting[i].head
}

func (c *Comparison) remember(h head) {
	if len(c.ring) < maxHeads {
		c.ring = append(c.ring, h.id)
	} else {
		delete(c.heads, c.ring[c.next])
		c.ring[c.next] = h.id
		c.next = (c.next + 1) % maxHeads
	}
	c.heads[h.id] = h
}

func (c *Comparison) decision(b *record.Batch, d *record.Decision) {
	if d.At.Less(c.first) {
		return // its event came before what is compared
	}
	own := c.about(d.At)
	if !d.OfEvent() {
		own = head{time: b.Time}
		if !d.Due.IsZero() {
			own.time = d.Due
		}
	}
	for i := range d.Notes {
		n := &d.Notes[i]
		if c.other[n.Rule] == nil {
			continue
		}
		if n.Outcome != "shadow" {
			c.other[n.Rule][strings.Clone(n.Outcome)]++
			continue
		}
		h := own
		if n.Of != "" {
			if h = c.heads[n.Of]; h.id == "" {
				h = head{id: event.ID(strings.Clone(string(n.Of)))}
			}
			h.time = own.time
		}
		c.add(n.Rule, h, n.Key, "")
	}
	for i := range d.Runs {
		r := &d.Runs[i]
		if c.took[r.Rule] == nil || r.Branch != "" {
			continue
		}
		h := own
		if ev := lastOf(d, r); ev != nil {
			h = head{event.ID(strings.Clone(string(ev.ID))), strings.Clone(ev.Type), strings.Clone(ev.Device), own.time}
		}
		c.add(r.Rule, h, r.Key, r.Run)
	}
}

func lastOf(d *record.Decision, r *record.RunStart) *event.Event {
	if d.Event == nil && len(r.Events) > 0 {
		return r.Events[len(r.Events)-1]
	}
	return d.Event
}

func (c *Comparison) add(name string, h head, key, run string) {
	m := c.took[name]
	if len(m) >= maxMatched {
		return
	}
	m[h.id] = Took{Event: h.id, Type: h.typ, Device: h.device, Key: strings.Clone(key), Time: h.time, Run: strings.Clone(run)}
}

// Result is the comparison of each pair.
func (c *Comparison) Result() []Compared {
	out := make([]Compared, 0, len(c.pairs))
	for _, p := range c.pairs {
		shadow, active := c.took[p.Shadow], c.took[p.Active]
		r := Compared{Shadow: p.Shadow, Active: p.Active, ShadowRuns: len(shadow), ActiveRuns: len(active), RuleSets: len(c.sets)}
		r.OnlyShadow, r.OnlyShadowN = only(shadow, active)
		r.OnlyActive, r.OnlyActiveN = only(active, shadow)
		r.Both = len(shadow) - r.OnlyShadowN
		r.Devices = devices(shadow, active)
		for _, outcome := range slices.Sorted(maps.Keys(c.other[p.Shadow])) {
			r.Held = append(r.Held, outcome+" "+strconv.Itoa(c.other[p.Shadow][outcome]))
		}
		out = append(out, r)
	}
	return out
}

// only lists what is in a and not in b, the first few by time, and counts all.
func only(a, b map[event.ID]Took) ([]Took, int) {
	var list []Took
	for id, t := range a {
		if _, has := b[id]; !has {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(x, y Took) int { return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.Event, y.Event)) })
	return list[:min(len(list), maxTook)], len(list)
}

func devices(shadow, active map[event.ID]Took) Devices {
	names := func(m map[event.ID]Took) map[string]bool {
		out := map[string]bool{}
		for _, t := range m {
			if t.Device != "" {
				out[t.Device] = true
			}
		}
		return out
	}
	s, a := names(shadow), names(active)
	d := Devices{Shadow: len(s), Active: len(a)}
	few := func(x, y map[string]bool) []string {
		var out []string
		for _, name := range slices.Sorted(maps.Keys(x)) {
			if !y[name] {
				out = append(out, name)
			}
		}
		return out[:min(len(out), maxTook)]
	}
	d.OnlyShadow, d.OnlyActive = few(s, a), few(a, s)
	return d
}

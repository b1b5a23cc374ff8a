package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/correlate/reference"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a generated rule set: each rule says what an event is to it by the
// event's type, and nothing else is asked.
type world struct {
	rules    []*worldRule
	topology *correlate.Topology
	global   time.Duration
	said     map[event.ID]said
	more     []string        // keys beside a and b
	senders  bool            // events may be delivered twice
	coarse   time.Duration   // what is due is compared to this
	without  map[string]bool // rules of the set before that are gone, or mean another thing
	limits   []worldLimit    // of all rules together
}

type worldRule struct {
	name   string
	plan   *correlate.Plan
	parts  map[string][]int // by event type: which parts it can be
	roles  map[string][]int // and what else
	own    time.Duration    // own dedup
	mode   mode
	limits []worldLimit
}

// worldLimit counts by the key that the events carry, or all as one.
type worldLimit struct {
	correlate.RunLimit
	most  int
	byKey bool
}

func (w *world) limitsOf(rule string) []worldLimit {
	for _, r := range w.rules {
		if r.name == rule {
			return r.limits
		}
	}
	return w.limits
}

func (w *world) Limits(rule string) (out []correlate.RunLimit) {
	for _, l := range w.limitsOf(rule) {
		out = append(out, l.RunLimit)
	}
	return out
}

func (w *world) LimitKey(rule string, n int, ev *event.Event) (string, int, error) {
	l := w.limitsOf(rule)[n]
	if l.byKey {
		return w.said[ev.ID].value, l.most, nil
	}
	return "", l.most, nil
}

// mode of a rule.
type mode int

const (
	active mode = iota
	shadow
)

// said is what an event carries beside its envelope.
type said struct {
	key    string
	value  string
	number float64
}

func (w *world) Version() string { return "w" }

func (w *world) InventoryVersion() string { return "" }
func (w *world) Windows() engine.Windows {
	return engine.Windows{Global: w.global, Redelivery: time.Minute}
}

func (w *world) Clears(typ string) []string {
	switch typ {
	case "up":
		return []string{"down"}
	case "down":
		return []string{"up"}
	}
	return nil
}

func (w *world) Keeps(rule, _ string) bool { return !w.without[rule] }

func (w *world) GlobalKey(ev *event.Event, typ string) (engine.Key, bool) {
	return engine.KeyOf([]byte(typ), []byte(ev.Device), []byte(w.said[ev.ID].value)), w.global > 0
}

func (w *world) Topology() *correlate.Topology { return w.topology }

func (w *world) Effect(typ string) correlate.Effect {
	return map[string]correlate.Effect{"device_down": correlate.DeviceDown, "device_up": correlate.DeviceUp,
		"down": correlate.LinkDown, "up": correlate.LinkUp}[typ]
}

func (w *world) Plan(name string) *correlate.Plan {
	for _, r := range w.rules {
		if r.name == name {
			return r.plan
		}
	}
	return nil
}

func (w *world) Planned() []string {
	var out []string
	for _, r := range w.rules {
		out = append(out, r.name)
	}
	return out
}

func (w *world) About(rule string) (engine.Match, bool) {
	for i, r := range w.rules {
		if r.name == rule {
			return r.match(i), true
		}
	}
	return engine.Match{}, false
}

func (r *worldRule) match(index int) engine.Match {
	return engine.Match{Rule: r.name, Index: index, Version: "1", Plan: r.plan, Within: r.own, Signature: "s", Shadow: r.mode == shadow}
}

// Binds compares the event's value with that of the first part's.
func (w *world) Binds(_ string, _ int, ev *event.Event, bound []*event.Event) (bool, error) {
	if bound[0] == nil {
		return false, fmt.Errorf("part 0 is free")
	}
	return w.said[ev.ID].value == w.said[bound[0].ID].value, nil
}

// Match looks at what waits where it is told, so that what is left out then is
// shown to change nothing.
func (w *world) Match(ev *event.Event, waits engine.Waits) []engine.Match {
	var out []engine.Match
	s := w.said[ev.ID]
	for i, r := range w.rules {
		m := r.match(i)
		waited := func(part int) bool {
			return waits == nil || !(part < 0 || part > 0 && r.plan.Form == correlate.Unless) || waits.Waits(i, part)
		}
		m.Key = engine.KeyOf([]byte(s.key))
		for _, p := range r.parts[ev.Type] {
			if !waited(p) {
				continue
			}
			in := correlate.Input{Part: p, Key: s.key, Value: s.value, Number: s.number,
				DampenKey: s.key, GroupKey: "g", SituationKey: s.key}
			if r.plan.Form == correlate.Flap {
				in.Value = ev.Type
			}
			m.Inputs = append(m.Inputs, in)
		}
		for _, role := range r.roles[ev.Type] {
			if !waited(role) {
				continue
			}
			m.Inputs = append(m.Inputs, correlate.Input{Part: role, Key: s.key, GroupKey: "g", SituationKey: s.key})
		}
		if len(m.Inputs) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// fact is one thing that was decided.
type fact struct {
	at   int // number of the record
	due  time.Time
	text string
}

// facts writes decisions so that two correlators can be compared: one line for
// each thing said, sorted within what was said at one record and time, since
// what is due at one time may be written as one decision or as many.
func facts(w *world, all []record.Decision, batches []*record.Batch) []string {
	var list []fact
	index := numbered(batches)
	for i := range all {
		n, now := index(all[i].At)
		due := all[i].Due.Round(w.coarse)
		if !due.Before(now.Round(w.coarse)) { // an event may release others: those are decisions of their own, due now
			due = time.Time{}
		}
		for _, text := range lines(w, &all[i]) {
			list = append(list, fact{n, due, text})
		}
	}
	slices.SortStableFunc(list, func(a, b fact) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.due.IsZero() && !b.due.IsZero(): // timers come before the record
			return 1
		case b.due.IsZero() && !a.due.IsZero():
			return -1
		case !a.due.Equal(b.due):
			return a.due.Compare(b.due)
		}
		return strings.Compare(a.text, b.text)
	})
	var out []string
	for _, f := range list {
		due := "now"
		if !f.due.IsZero() {
			due = f.due.Sub(start).String()
		}
		out = append(out, fmt.Sprintf("%d %s: %s", f.at, due, f.text))
	}
	return out
}

func lines(w *world, d *record.Decision) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if d.Due.IsZero() && d.Command == nil && d.Verdict != record.Unmatched {
		say("verdict %d of %s", d.Verdict, short(d.Of))
	}
	for _, r := range d.Runs {
		events := r.Events
		if len(events) == 0 && d.Event != nil {
			events = []*event.Event{d.Event}
		}
		var ids []string
		for j, ev := range events {
			text := short(ev.ID)
			if j < len(r.As) && r.As[j] != "" {
				text += "=" + r.As[j]
			}
			ids = append(ids, text)
		}
		line := fmt.Sprintf("run %s %s%v", r.Rule, r.Branch, ids)
		if p := w.Plan(r.Rule); p != nil && p.Form != correlate.Single {
			line += " " + r.Key
		}
		say("%s", line)
	}
	for _, n := range d.Notes {
		switch n.Outcome {
		case "duplicate", "released", "absorbed", "error", "loop":
			say("note %s %s %s", n.Rule, n.Outcome, short(n.Of))
		case "dampened", "upstream", "late", "full", "limited":
			say("note %s %s", n.Rule, n.Outcome)
		}
	}
	for _, s := range d.Situations {
		say("situation %s %s %s %s %s", s.Rule, s.Key, s.Change, s.State, short(s.Event))
	}
	return out
}

// short is the number in a generated id.
func short(id event.ID) string {
	if i := strings.LastIndexByte(string(id), '-'); i >= 0 {
		return "e" + strings.TrimLeft(string(id[i+1:]), "0")
	}
	return string(id)
}

func number(n int) event.ID { return event.ID(fmt.Sprintf("01900000-0000-7000-8000-%012d", n)) }

// failer is what testing.T and rapid.T have in common here.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// fast runs batches through an engine; restore says before which of them it is
// thrown away and another goes on from its snapshot. The decisions are given as
// they are written to the log, too.
func fast(t failer, w *world, batches []*record.Batch, restore func(i int) bool) (all []record.Decision, encoded []byte) {
	t.Helper()
	return fastLoaded(t, func([]byte) (engine.Rules, error) { return w, nil }, batches, restore)
}

// fastLoaded is fast with the rule sets that load knows; the first is "w".
func fastLoaded(t failer, load func([]byte) (engine.Rules, error), batches []*record.Batch, restore func(i int) bool) (all []record.Decision, encoded []byte) {
	t.Helper()
	e := engine.New(load)
	rules := &record.Batch{Seq: 1, Time: start.Add(-time.Hour), Records: []record.Record{{Kind: record.KindRules,
		Rules: &record.Rules{Version: "w", Parts: 1, Data: []byte("w")}}}}
	for i, b := range append([]*record.Batch{rules}, batches...) {
		if restore(i) {
			snap := e.Snapshot()
			e = engine.New(load)
			if err := e.Restore(snap); err != nil {
				t.Fatalf("restore before batch %d: %v", i, err)
			}
			if again := e.Snapshot(); string(again) != string(snap) {
				t.Fatalf("the snapshot before batch %d is another one once restored", i)
			}
		}
		stretches, err := e.Step(b)
		if err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		for _, s := range stretches {
			out := &record.Batch{Subject: record.Decisions, From: s.From, Through: s.Through, EventCount: s.Events, UnmatchedCount: s.Unmatched, Records: s.Records}
			encoded = append(encoded, record.Encode(out)...)
			for _, r := range s.Records {
				all = append(all, *r.Decision)
			}
		}
	}
	return all, encoded
}

func slow(w *world, batches []*record.Batch) []record.Decision {
	c := reference.New(w)
	var out []record.Decision
	for _, b := range batches {
		out = append(out, c.Step(b)...)
	}
	return out
}

func never(int) bool { return false }

// numbered gives each record its number in all batches, and its time.
func numbered(batches []*record.Batch) func(record.Position) (int, time.Time) {
	starts, times := map[uint64]int{}, map[uint64]time.Time{}
	n := 0
	for _, b := range batches {
		starts[b.Seq], times[b.Seq] = n, b.Time
		n += len(b.Records)
	}
	return func(p record.Position) (int, time.Time) { return starts[p.Seq] + int(p.Index), times[p.Seq] }
}

// agree fails the test where the engine and the reference differ.
func agree(t failer, w *world, batches []*record.Batch) {
	t.Helper()
	got, _ := fast(t, w, batches, never)
	want := facts(w, slow(w, batches), batches)
	if diff := cmp.Diff(want, facts(w, got, batches)); diff != "" {
		t.Fatalf("the engine differs (-reference +engine):\n%s\nrules:\n%s\nlog:\n%s", diff, w, story(w, batches))
	}
}

func (w *world) String() string {
	var b strings.Builder
	for _, r := range w.rules {
		fmt.Fprintf(&b, "  %s %v own %s: %+v\n", r.name, r.parts, r.own, *r.plan)
	}
	return b.String()
}

// story writes a log for people.
func story(w *world, batches []*record.Batch) string {
	var b strings.Builder
	n := 0
	for _, batch := range batches {
		for i := range batch.Records {
			r := &batch.Records[i]
			fmt.Fprintf(&b, "  %d: %s ", n, batch.Time.Sub(start))
			n++
			if r.Event == nil {
				fmt.Fprintf(&b, "kind %d\n", r.Kind)
				continue
			}
			s := w.said[r.Event.ID]
			fmt.Fprintf(&b, "%s %s %s key %s value %s number %g", short(r.Event.ID), r.Event.Type, r.Event.Interface, s.key, s.value, s.number)
			if !r.Event.Time.IsZero() {
				fmt.Fprintf(&b, " own time %s", r.Event.Time.Sub(start))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

package backtest

import (
	"slices"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// MaxPairs bounds how many pairs of rule and device are remembered of one rule
// set, about 200 bytes each. Real logs have far fewer.
const MaxPairs = 1_000_000

// side is one rule set under trial.
type side struct {
	t      *Backtest
	c      Candidate
	engine *engine.Engine

	decided []engine.Stretch // of the step under way
	err     error
	runs    []started // of the step under way, within the stretch
	rules   map[string]*ruleTally
	devices map[string]*tally
	types   map[string]*typeTally
	last    *typeTally // events of one type often come in a row
	pairs   int

	total, uncounted uint64
	verdicts         [5]uint64 // by record.Verdict
	busiest          peak
	situations       Situations
	limits           []*limitTally
}

// started is one run that would have been started.
type started struct {
	d   *record.Decision
	run *record.RunStart
	at  time.Time
}

// tally is the runs of one device.
type tally struct{ runs uint64 }

// ruleTally is what one rule would have done.
type ruleTally struct {
	RuleResult
	grouped bool
	story   bool // it has a situation
	devices map[string]*tally
	busiest peak
	line    series
}

type typeTally struct {
	name string
	TypeCount
}

func newSide(t *Backtest, c Candidate) *side {
	s := &side{t: t, c: c, engine: newEngine(c), rules: map[string]*ruleTally{}, devices: map[string]*tally{}, types: map[string]*typeTally{}}
	for _, r := range c.Rules.Set.Rules {
		x := s.rule(r.Name)
		x.Version, x.Mode, x.Form = r.Version, r.Mode, "single"
		if r.Plan != nil {
			x.Form, x.grouped, x.story = formName(r.Plan.Form), r.Plan.Group != nil, r.Plan.Situation != nil
		}
		s.limit(r.Name)
	}
	s.limit("")
	return s
}

func formName(f correlate.Form) string {
	names := [...]string{correlate.Single: "single", correlate.Count: "count", correlate.Flap: "flap", correlate.Sequence: "sequence",
		correlate.All: "all", correlate.Any: "any", correlate.Unless: "unless", correlate.Silent: "silent", correlate.Threshold: "threshold"}
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown"
}

func (s *side) rule(name string) *ruleTally {
	x := s.rules[name]
	if x == nil {
		name = strings.Clone(name)
		x = &ruleTally{devices: map[string]*tally{}}
		x.Rule = name
		s.rules[name] = x
	}
	return x
}

// decide lets the engine decide about a batch. Both sides may do so at once.
func (s *side) decide(b *record.Batch) { s.decided, s.err = s.engine.Step(b) }

// take counts what was decided about one batch.
func (s *side) take(b *record.Batch, stretches []engine.Stretch) {
	s.runs = s.runs[:0]
	within := s.t.in(b.Time)
	n := 0 // the record of b whose outcome comes next
	for i := range stretches {
		for j := range stretches[i].Records {
			d := stretches[i].Records[j].Decision
			if d == nil || d.Command != nil || d.Replay || !within {
				continue
			}
			if d.Due.IsZero() {
				s.outcomes(b, n, d)
				n = int(d.At.Index) + 1
			}
			s.decision(b, d)
		}
	}
	if within {
		s.outcomes(b, n, nil)
	}
}

// outcomes counts the events of b from the n-th record on as unmatched, up to
// the one that d decides about, and that one.
func (s *side) outcomes(b *record.Batch, n int, d *record.Decision) {
	end := len(b.Records)
	if d != nil {
		end = min(int(d.At.Index), end)
	}
	for ; n < end; n++ {
		if b.Records[n].Kind == record.KindEvent {
			s.outcome(b.Records[n].Event, record.Unmatched)
		}
	}
	if d != nil && n < len(b.Records) && b.Records[n].Kind == record.KindEvent {
		s.outcome(b.Records[n].Event, d.Verdict)
	}
}

func (s *side) outcome(ev *event.Event, v record.Verdict) {
	x := s.last
	if x == nil || x.name != ev.Type {
		if x = s.types[ev.Type]; x == nil {
			name := strings.Clone(ev.Type)
			x = &typeTally{name: name, TypeCount: TypeCount{Type: name}}
			s.types[name] = x
		}
		s.last = x
	}
	x.Events++
	if v == record.Unmatched {
		x.Unmatched++
	}
	if int(v) < len(s.verdicts) {
		s.verdicts[v]++
	}
}

// decision counts the runs and the notes of one decision.
func (s *side) decision(b *record.Batch, d *record.Decision) {
	at := b.Time
	if !d.Due.IsZero() {
		if at = d.Due; !s.t.in(at) {
			return
		}
	}
	for i := range d.Runs {
		s.run(started{d: d, run: &d.Runs[i], at: at})
	}
	for i := range d.Notes {
		s.note(&d.Notes[i], d, at)
	}
	attached := slices.ContainsFunc(d.Notes, func(n record.RuleNote) bool { return n.Outcome == "upstream" })
	for i := range d.Situations {
		s.situation(&d.Situations[i], attached)
	}
}

func (s *side) run(st started) {
	s.total++
	s.busiest.add(st.at)
	x := s.rule(st.run.Rule)
	switch st.run.Branch {
	case "updated":
		x.Updated++
	case "resolved":
		x.Resolved++
	}
	if !x.grouped && st.run.Branch != "resolved" {
		x.Findings++
	}
	if x.Runs == 0 {
		s.t.line.join(&x.line)
		x.First = s.t.sample(&st)
	}
	x.Runs++
	x.busiest.add(st.at)
	s.t.line.add(&x.line, st.at, 1)
	devices(&st, func(name string) { s.touch(x, name) })
	if s.t.diff != nil {
		s.runs = append(s.runs, st)
	}
}

// touch counts a run for a device, over all and for the rule.
func (s *side) touch(x *ruleTally, device string) {
	pair := x.devices[device]
	if pair == nil {
		if s.pairs == MaxPairs {
			s.uncounted++
			return
		}
		s.pairs++
		device = strings.Clone(device)
		pair = &tally{}
		x.devices[device] = pair
	}
	pair.runs++
	all := s.devices[device]
	if all == nil {
		all = &tally{}
		s.devices[device] = all
	}
	all.runs++
}

// devices calls fn for every device of a run, once each: those of the events
// that made it up, and the one whose turn it would wait for.
func devices(st *started, fn func(string)) {
	events := st.run.Events
	if len(events) == 0 {
		if st.d.Event != nil {
			fn(st.d.Event.Device)
		} else {
			fn(st.run.Device)
		}
		return
	}
	if len(events) == 1 {
		fn(events[0].Device)
		return
	}
	seen := make(map[string]bool, 4)
	for _, ev := range events {
		if !seen[ev.Device] {
			seen[ev.Device] = true
			fn(ev.Device)
		}
	}
}

func (s *side) note(n *record.RuleNote, d *record.Decision, at time.Time) {
	x := s.rule(n.Rule)
	held := func(c *uint64) { *c++; x.Suppressed++ }
	switch n.Outcome {
	case "duplicate":
		x.Duplicate++
	case "shadow":
		x.Shadow++
		if !x.grouped {
			x.Findings++
		}
	case "joined":
		x.Joined++
	case "held":
		x.Held++
	case "absorbed":
		x.Absorbed++
	case "released":
		x.Released++
	case "grouped":
		if x.grouped {
			x.Findings++
		}
	case "dampened":
		held(&x.Dampened)
	case "upstream":
		held(&x.Upstream)
	case "loop":
		held(&x.Loop)
	case "late":
		held(&x.Late)
	case "full":
		held(&x.Full)
	case "limited":
		s.refused(x, n, d, at)
	case "error":
		if x.Errors == 0 {
			x.Error = strings.Clone(n.Detail)
		}
		x.Errors++
	}
}

// situation counts a change. attached says that it is an event that was
// suppressed and belongs to its cause, and no finding.
func (s *side) situation(c *record.SituationChange, attached bool) {
	switch c.Change {
	case "opened":
		s.situations.Opened++
		if x := s.rule(c.Rule); c.Run == "" && !x.grouped {
			x.Findings++ // a limit refused its run
		}
	case "updated":
		s.situations.Updated++
		if x := s.rule(c.Rule); c.Run == "" && !x.grouped && !attached {
			x.Findings++ // it starts no run
		}
	case "resolved":
		s.situations.Resolved++
	}
}

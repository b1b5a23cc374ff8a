package ruletest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/inventory"
	"signalbox/internal/normalize"
	"signalbox/internal/normalize/payload"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// Env is what tests run against: everything that decisions depend on. It is not
// changed, and one Env serves many tests.
type Env struct {
	Set        *rule.Set
	Inventory  *inventory.Inventory
	Catalogue  *schema.Catalogue
	Normalizer *normalize.Normalizer
	Names      *trap.Names // nil: those in the binary
	// Mapping is the mapping that the configuration gives to a webhook's
	// source; nil where there is no configuration.
	Mapping func(source string) string
	// Emit makes the event that an emit step puts in, as the action does; nil:
	// what runs emit is not fed back.
	Emit func(Emission) (event.Event, error)
	// Coverage is told what the tests reach; nil where nobody asks.
	Coverage *Coverage
}

// Happening is one thing that came of a test's events.
type Happening struct {
	At        time.Duration // since the start
	Kind      string        // as Expectation.Kind
	Rule      string
	Device    string
	Interface string
	Key       string
	Events    int
	Branch    string // of a run: "do", "updated", "resolved"
	Situation string // the change
	Verdict   string // Kind "event"
	Detail    string

	// Number is the number of the event that it is about, from 1; 0 where time
	// made it.
	Number int
	run    *record.RunStart
	by     *record.Decision // what decided it
	about  *event.Event     // what set the run off
	walked map[int]*walk
	taken  bool // some expectation has it
	near   bool // it was told as the nearest to an expectation that nothing fits
}

// trial is one test under way.
type trial struct {
	env    *Env
	test   *Test
	eng    *engine.Engine
	seq    uint64
	events []fed
	out    []Happening
	open   []openSituation
	fails  []Failure

	emitting []emitting // by runs, and not fed to the engine yet
	emitted  int
	feeding  bool
}

// fed is one event that went in.
type fed struct {
	at  time.Duration
	ev  *event.Event
	pos rule.Pos
	why string // rejected: the reason
	by  string // the rule whose run emitted it
}

type openSituation struct{ id, rule, key string }

// spy notes which parts of a form the events of a test were.
type spy struct {
	engine.Rules
	cov *Coverage
}

// Match asks the rules, and tells the coverage about the answer.
func (s *spy) Match(ev *event.Event, waits engine.Waits) []engine.Match {
	ms := s.Rules.Match(ev, waits)
	for i := range ms {
		for _, in := range ms[i].Inputs {
			s.cov.part(ms[i].Rule, in.Part)
		}
	}
	return ms
}

// step is one thing to do at a time.
type step struct {
	at   time.Duration
	src  *Event
	turn int // of its repetitions
}

// decideAll feeds the test's events to a new engine, and time to the end of the
// windows.
func (t *trial) decideAll() error {
	rules := engine.Rules(decide.New(t.env.Set, t.env.Inventory))
	if t.env.Coverage != nil {
		rules = &spy{Rules: rules, cov: t.env.Coverage}
	}
	t.eng = engine.New(func([]byte) (engine.Rules, error) { return rules, nil })
	version := t.env.Set.Version
	if err := t.feed(0, record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: version, Parts: 1}}); err != nil {
		return err
	}
	var last time.Duration
	for _, s := range t.schedule() {
		last = s.at
		if err := t.advance(s.at); err != nil {
			return err
		}
		if err := t.one(s); err != nil {
			return err
		}
	}
	return t.finish(last)
}

// finish lets time go on to the end of the test; what runs emit meanwhile has
// its time, too.
func (t *trial) finish(last time.Duration) error {
	for {
		before := len(t.events)
		end := last + t.settle()
		if u := t.test.Until; u != nil {
			end = max(*u, last)
		}
		if err := t.advance(end); err != nil {
			return err
		}
		if err := t.feed(end, record.Record{Kind: record.KindTick}); err != nil {
			return err
		}
		if len(t.events) == before || t.test.Until != nil {
			return nil
		}
		last = t.events[len(t.events)-1].at
	}
}

func (t *trial) schedule() []step {
	var out []step
	for i := range t.test.Events {
		e := &t.test.Events[i]
		for n := range e.Times {
			out = append(out, step{at: e.At + time.Duration(n)*e.Every, src: e, turn: n})
		}
	}
	slices.SortStableFunc(out, func(a, b step) int { return int(min(max(a.at-b.at, -1), 1)) })
	return out
}

// settle is how long after the last event all windows of the rules under test
// have ended. Groups that say the same again and again are not waited for.
func (t *trial) settle() time.Duration {
	under := t.test.under(t.env.Set)
	longest := time.Duration(0)
	for _, r := range t.env.Set.Rules {
		p := r.Plan
		if p == nil || !under[r.Name] && !slices.ContainsFunc(p.Holds, func(h string) bool { return under[h] }) {
			continue
		}
		d := p.Within + p.Lateness
		if p.Upstream != nil {
			d += p.Upstream.Wait
		}
		if p.Group != nil {
			d += p.Group.Wait + p.Group.Interval
		}
		if p.Dampen != nil {
			d += p.Dampen.Max
		}
		longest = max(longest, d)
	}
	return 2*longest + time.Second
}

// under are the rules whose runs must all be expected.
func (t *Test) under(set *rule.Set) map[string]bool {
	out := map[string]bool{}
	if t.Exact {
		for _, r := range set.Rules {
			out[r.Name] = true
		}
	}
	if t.Rule != "" {
		out[t.Rule] = true
	}
	for _, list := range [][]Name{t.Rules, t.Never} {
		for _, n := range list {
			out[n.Text] = true
		}
	}
	for i := range t.Expect {
		if t.Expect[i].Rule != "" {
			out[t.Expect[i].Rule] = true
		}
	}
	return out
}

// one does one step of the schedule.
func (t *trial) one(s step) error {
	now := t.test.Start.Add(s.at)
	if c := s.src.Command; c != nil {
		return t.command(s, c)
	}
	for _, res := range t.make(s, now) {
		ev := res.Event
		if err := t.put(fed{at: s.at, ev: &ev, pos: s.src.Pos, why: res.Reject}); err != nil {
			return err
		}
	}
	return nil
}

// put gives the engine an event.
func (t *trial) put(f fed) error {
	f.ev.ID = eventID(len(t.events) + 1)
	t.events = append(t.events, f)
	rec := record.Record{Kind: record.KindEvent, Event: f.ev}
	if f.why != "" {
		rec = record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: *f.ev, Reason: f.why}}
	}
	return t.feed(f.at, rec)
}

// make turns a step into events, as a source would.
func (t *trial) make(s step, now time.Time) []normalize.Result {
	if s.src.Typed != nil {
		return []normalize.Result{t.typed(s, now)}
	}
	in := *s.src.Message
	in.Received = now
	if in.SenderID != "" && s.turn > 0 {
		in.SenderID = fmt.Sprintf("%s-%d", in.SenderID, s.turn+1)
	}
	switch in.Form {
	case normalize.SNMP:
		names := t.env.Names
		if names == nil {
			names = trap.Builtin()
		}
		parsed, err := names.ParseText(string(in.Raw))
		if err != nil {
			t.fail(s.src.Pos, "trap: %v", err)
			return nil
		}
		in.Parsed = parsed
	case normalize.Payload:
		return t.payload(in)
	}
	return []normalize.Result{t.env.Normalizer.Normalize(in)}
}

func (t *trial) typed(s step, now time.Time) normalize.Result {
	ev := *s.src.Typed
	ev.Received = now
	if known, ok := t.env.Inventory.Known(ev.Device, ev.Peer); ok {
		ev.Device = known
	}
	shift := time.Duration(s.turn) * s.src.Every
	switch {
	case s.src.Clock != nil:
		ev.Time = t.test.Start.Add(*s.src.Clock + shift)
	case !ev.Time.IsZero():
		ev.Time = ev.Time.Add(shift)
	}
	res := normalize.Result{Event: ev, Mapped: true}
	if err := t.env.Catalogue.Validate(&res.Event); err != nil {
		res.Reject = err.Error()
	}
	return res
}

// payload takes a webhook's body apart, as its source does.
func (t *trial) payload(in normalize.Input) []normalize.Result {
	if in.Mapping == "" && t.env.Mapping != nil {
		in.Mapping = t.env.Mapping(in.Source)
	}
	items, err := payload.Split(payload.Message{Body: in.Raw}, payload.Limits{})
	if err == nil {
		items, err = payload.Parts(items, payload.Limits{}, func(raw []byte) ([][]byte, error) {
			return t.env.Normalizer.SplitPayload(in.Mapping, raw)
		})
	}
	if err != nil {
		return []normalize.Result{t.env.Normalizer.Normalize(in)} // which says what is wrong
	}
	var out []normalize.Result
	for _, it := range items {
		in.Raw = it.Raw
		if it.SenderID != "" {
			in.SenderID = it.SenderID
		}
		out = append(out, t.env.Normalizer.Normalize(in))
	}
	return out
}

// command says what a person says about a situation that is open.
func (t *trial) command(s step, c *Command) error {
	var found []openSituation
	for _, o := range t.open {
		if o.rule == c.Rule && (c.Key == "" || c.Key == o.key) {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.fail(s.src.Pos, "%s: %d situations of %s are open at %s; say which with key", c.Verb, len(found), c.Rule, span(s.at))
		return nil
	}
	return t.feed(s.at, record.Record{Kind: record.KindCommand, Command: &record.Command{
		ID: fmt.Sprintf("command-%d", t.seq), Verb: c.Verb, Run: found[0].id, By: c.By}})
}

// feed gives the engine one record and reads what it decides.
func (t *trial) feed(at time.Duration, r record.Record) error {
	t.seq++
	b := &record.Batch{Seq: t.seq, Time: t.test.Start.Add(at), Subject: record.Events, Records: []record.Record{r}}
	stretches, err := t.eng.Step(b)
	if err != nil {
		return err
	}
	number := 0
	if r.Kind == record.KindEvent || r.Kind == record.KindRejected {
		number = len(t.events)
	}
	decided := false
	for _, s := range stretches {
		for i := range s.Records {
			if d := s.Records[i].Decision; d != nil {
				t.decision(d, at, number)
				decided = decided || d.Due.IsZero() && d.Command == nil
			}
		}
	}
	switch {
	case r.Kind == record.KindRejected:
		t.add(Happening{At: at, Kind: "event", Verdict: "rejected", Number: number, Detail: r.Rejected.Reason})
	case number > 0 && !decided:
		t.add(Happening{At: at, Kind: "event", Verdict: "unmatched", Number: number})
	}
	if t.feeding {
		return nil // who feeds goes on
	}
	t.feeding = true
	defer func() { t.feeding = false }()
	return t.feedBack(at)
}

// add completes what is known of a happening and keeps it.
func (t *trial) add(h Happening) {
	if h.Number > 0 {
		ev := t.events[h.Number-1].ev
		if h.Device == "" {
			h.Device = ev.Device
		}
		if h.Interface == "" {
			h.Interface = ev.Interface
		}
	}
	t.out = append(t.out, h)
}

var verdictNames = map[record.Verdict]string{record.Decided: "decided", record.Duplicate: "duplicate",
	record.Suppressed: "suppressed", record.Unmatched: "unmatched"}

// decision takes a decision apart into what happened.
func (t *trial) decision(d *record.Decision, at time.Duration, number int) {
	if !d.Due.IsZero() {
		at, number = d.Due.Sub(t.test.Start), 0
	}
	if number > 0 && d.Command == nil {
		detail := d.Reason
		if d.Of != "" {
			detail = "repeats " + t.eventName(d.Of)
		}
		t.add(Happening{At: at, Kind: "event", Verdict: verdictNames[d.Verdict], Number: number, Detail: detail})
	}
	for i := range d.Notes {
		n := &d.Notes[i]
		h := Happening{At: at, Kind: n.Outcome, Rule: n.Rule, Key: n.Key, Number: number, Detail: n.Detail}
		if of := t.find(n.Of); of > 0 {
			h.Detail = strings.TrimSpace(h.Detail + " (" + t.eventName(n.Of) + ")")
			if number == 0 {
				h.Device, h.Interface = t.events[of-1].ev.Device, t.events[of-1].ev.Interface
			}
		}
		t.add(h)
		if n.Outcome == "shadow" {
			t.env.Coverage.run(n.Rule, "")
		}
	}
	for i := range d.Runs {
		t.started(d, &d.Runs[i], at, number)
	}
	for i := range d.Situations {
		t.situation(&d.Situations[i], at, number)
	}
}

func (t *trial) started(d *record.Decision, rs *record.RunStart, at time.Duration, number int) {
	h := Happening{At: at, Kind: "run", Rule: rs.Rule, Device: rs.Device, Key: rs.Key, Branch: rs.Branch,
		Events: max(int(rs.Total), len(rs.Events), 1), Number: number, run: rs, by: d, about: d.Event}
	if h.Branch == "" {
		h.Branch = "do"
	}
	if h.about == nil && len(rs.Events) > 0 {
		h.about = rs.Events[len(rs.Events)-1]
	}
	if h.about != nil {
		if h.Device == "" {
			h.Device = h.about.Device
		}
		h.Interface = h.about.Interface
	}
	for i := range d.Situations {
		if c := &d.Situations[i]; c.Run == rs.Run || c.Run == "" && c.ID == rs.Situation {
			h.Situation = c.Change
		}
	}
	t.env.Coverage.run(rs.Rule, rs.Branch)
	t.add(h)
	t.emits(&h)
}

func (t *trial) situation(c *record.SituationChange, at time.Duration, number int) {
	key := c.Key
	t.add(Happening{At: at, Kind: "situation", Rule: c.Rule, Key: key, Situation: c.Change, Number: number, Detail: c.Note})
	t.open = slices.DeleteFunc(t.open, func(o openSituation) bool { return o.id == c.ID })
	if c.State != "resolved" {
		t.open = append(t.open, openSituation{c.ID, c.Rule, key})
	}
}

// idPrefix begins the ids of a test's events: UUIDv7 as live ones are, of the
// first moment that there is, with the number of the event at the end.
const idPrefix = "00000000-0000-7000-8000-"

func eventID(n int) event.ID { return event.ID(fmt.Sprintf("%s%012x", idPrefix, n)) }

// find gives the number of an event of the test, 0 for none.
func (t *trial) find(id event.ID) int {
	digits, ok := strings.CutPrefix(string(id), idPrefix)
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil || n < 1 || int(n) > len(t.events) {
		return 0
	}
	return int(n)
}

func (t *trial) eventName(id event.ID) string {
	if n := t.find(id); n > 0 {
		return fmt.Sprintf("event %d at %s", n, span(t.events[n-1].at))
	}
	return string(id)
}

func (t *trial) fail(p rule.Pos, format string, args ...any) {
	t.fails = append(t.fails, Failure{Pos: p, Message: fmt.Sprintf(format, args...)})
}

// span writes a time since the start as a test has it.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

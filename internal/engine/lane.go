package engine

import (
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// lane is all that is remembered of one stream of events: the log's own, or
// that of a replay, which has windows, machines and timers of its own.
type lane struct {
	rules  Rules
	now    int64  // log time in ns; of a replay the time at which its events came in
	number uint64 // of the last event that the rules looked at
	timers correlate.Timers
	saved  struct{ bytes, events int } // what the last snapshot took

	global *window
	own    map[string]*window // by rule and signature

	pipes      []*pipe                  // an owner of timers each, by index; nil where one is gone
	names      map[string]*pipe         // the same by rule
	places     []*pipe                  // the same by the rule's place in the set
	wide       []int                    // see Waits.Wide
	ended      []record.SituationChange // by the rule set that came into force last
	network    correlate.Network
	topology   bool   // there is one
	repeats    string // says why an event is a duplicate
	situations correlate.Situations
	limits     limits
	holds      holds
	swept      uint32

	replay, dryRun bool
	work
}

// work is what is used while a record is decided.
type work struct {
	at     record.Position
	due    int64 // of the timer that fires; 0: none does
	logged int64 // log time of the record, of a replay's lane only
	bounds []bound
	envs   []*correlate.Env
	depth  int // of envs in use
	room   []byte
	item   correlate.Item // of the record's own event
	inputs []correlate.Input
	taken  []taking
	quiet  bool     // an event is taken at its own time: that it joins was said before
	freed  []uint32 // holds that nobody holds any more

	// main is the decision about the record's own event, extra are those that
	// time made, or that are about other events.
	main       *record.Decision
	mainNumber uint64
	extra      []record.Record
	size       int    // of extra, in bytes of the log
	extraOf    uint64 // number of the event that the last of extra is about; 0: any
	slab       []record.Decision
	notes      []record.RuleNote
	text       []byte // room for keys as people read them
	key, read  string // the last of them
}

// pipe is one rule that keeps state, or that another holds.
type pipe struct {
	index   uint32
	wide    bool // it waits since before the inventory changed
	depth   int  // how many rules wait behind it, see Plan.Holds
	machine correlate.Machine
	heldBy  []*pipe
	gates   [2]correlate.Gate // dampen, upstream
	group   correlate.Grouper

	Match    // without an event: Rule, Version, Shadow, Lock, Plan
	buffer   buffer
	meanings [stages]string // signatures of the stages
}

// Stages of a pipe that keep state, in order.
const (
	stDampen = iota
	stUpstream
	stBuffer
	stForm
	stGroup
	stages
)

// Owners of timers are a pipe's index and its stage; those of the lane itself
// come after all pipes.
const (
	stageBits       = 3
	ownerHolds      = 1<<30 | iota
	ownerNetwork    = 1<<30 | iota
	ownerSituations = 1<<30 | iota
)

func owner(p *pipe, stage int) uint32 { return p.index<<stageBits | uint32(stage) }

func newLane() *lane {
	return &lane{own: map[string]*window{}, names: map[string]*pipe{}, network: correlate.NewNetwork(),
		situations: correlate.NewSituations(), limits: limits{}, holds: newHolds()}
}

// stage gives the stage that keeps state at a place of the pipe, nil for none.
func (p *pipe) stage(n int) correlate.Stage {
	switch {
	case n <= stUpstream && p.gates[n] != nil:
		return p.gates[n]
	case n == stBuffer && p.buffer.on:
		return &p.buffer
	case n == stForm && p.machine != nil:
		return p.machine
	case n == stGroup && p.group != nil:
		return p.group
	}
	return nil
}

// env is what is around a stage of a pipe; give it back by done.
func (l *lane) env(p *pipe, stage int) *correlate.Env {
	env := l.bareEnv()
	env.Rule, env.Plan, env.Owner = p.Rule, p.Plan, owner(p, stage)
	return env
}

// bareEnv is what is around what belongs to no rule.
func (l *lane) bareEnv() *correlate.Env {
	if l.depth == len(l.envs) {
		l.envs = append(l.envs, new(correlate.Env))
	}
	env := l.envs[l.depth]
	l.depth++
	env.Now, env.Shift = l.now, 0
	env.Rule, env.Plan, env.Rules, env.Timers = "", nil, l.rules, &l.timers
	env.At, env.Due = l.at, time.Time{}
	if l.due != 0 {
		env.Due = unixNano(l.due)
	}
	env.Network, env.Situations = l.network, l.situations
	return env
}

// done takes what a stage has handed on, and gives env back.
func (l *lane) done(p *pipe, stage int, env *correlate.Env) answer {
	best := nothing
	if len(env.Notes)+len(env.Findings)+len(env.Resumed)+len(env.Stories)+len(env.Released) > 0 {
		for i := range env.Notes {
			n := &env.Notes[i]
			l.note(0, record.RuleNote{Rule: env.Rule, Outcome: n.Outcome, Detail: n.Detail, Of: n.Of, Key: l.keyText(n.Key)})
		}
		for i := range env.Findings {
			best = max(best, l.found(p, &env.Findings[i], stage))
		}
		for i := range env.Resumed {
			r := &env.Resumed[i]
			best = max(best, l.admit(p, &r.Item, r.Inputs, stage+1))
		}
		for i := range env.Stories {
			best = max(best, l.story(&env.Stories[i]))
		}
		for _, n := range env.Released {
			l.holds.free(l, p, n)
		}
		clear(env.Notes)
		clear(env.Findings)
		clear(env.Resumed)
		clear(env.Stories)
		env.Notes, env.Findings, env.Resumed = env.Notes[:0], env.Findings[:0], env.Resumed[:0]
		env.Stories, env.Released = env.Stories[:0], env.Released[:0]
	}
	l.depth--
	return best
}

// fire brings the lane's time to a record's: the timers due by then fire, each
// at its own time.
func (l *lane) fire(to int64) {
	for {
		who, arg, due, ok := l.timers.Pop(to)
		if !ok {
			break
		}
		l.now = max(l.now, due)
		l.due, l.main, l.extraOf = due, nil, closed
		l.key, l.read = "", ""
		l.timer(who, arg)
		l.settle()
		l.due = 0
	}
	l.now = max(l.now, to)
}

// news tells what waits for news from upstream that there is some.
func (l *lane) news() {
	for _, p := range l.pipes {
		if p == nil {
			continue
		}
		if g, ok := p.gates[stUpstream].(correlate.NewsGate); ok {
			env := l.env(p, stUpstream)
			g.News(env)
			l.done(p, stUpstream, env)
		}
	}
}

func (l *lane) timer(who, arg uint32) {
	switch who {
	case ownerHolds:
		l.holds.fire(l, arg)
	case ownerNetwork, ownerSituations:
		env := l.bareEnv()
		env.Owner = who
		if who == ownerNetwork {
			l.network.Fire(env, arg)
		} else {
			l.situations.Fire(env, arg)
		}
		l.done(nil, 0, env)
	default:
		p, stage := l.pipes[who>>stageBits], int(who&(1<<stageBits-1))
		if p == nil {
			return
		}
		if stage == stBuffer {
			l.apply(p, arg)
			return
		}
		env := l.env(p, stage)
		if stage == stForm {
			env.Shift = p.shift()
			env.Now -= env.Shift
		}
		p.stage(stage).Fire(env, arg)
		l.done(p, stage, env)
	}
}

// shift is how far the form's time is behind the log's.
func (p *pipe) shift() int64 {
	if p.Plan.EventTime {
		return int64(p.Plan.Lateness)
	}
	return 0
}

// sweepEvery is after how many events one rule forgets keys whose time is over;
// rules that get new keys do so by themselves.
const sweepEvery = 16

// sweep lets one rule forget keys whose time is over, and each limit after all
// rules.
func (l *lane) sweep() {
	l.swept++
	if l.swept >= uint32(len(l.pipes)) {
		l.swept = 0
		l.limits.expire(l.clock())
	}
	if len(l.pipes) == 0 {
		return
	}
	p := l.pipes[l.swept]
	if p == nil || p.Plan == nil {
		return
	}
	for n := range stages {
		if st := p.stage(n); st != nil {
			env := l.env(p, n)
			if n == stForm {
				env.Now -= p.shift()
			}
			st.Expire(env)
			l.done(p, n, env)
		}
	}
}

// keys counts what the stages hold, in the order of the rules' names.
func (l *lane) keys() []RuleKeys {
	var out []RuleKeys
	for _, name := range sortedNames(l.names) {
		p := l.names[name]
		k := RuleKeys{Rule: name}
		for n := range stages {
			if st := p.stage(n); st != nil {
				one := st.Keys()
				k.Held += one.Held
				k.Evicted += one.Evicted
				k.Refused += one.Refused
			}
		}
		one := l.situations.KeysOf(name)
		k.Held += one.Held
		k.Evicted += one.Evicted
		k.Refused += one.Refused
		out = append(out, k)
	}
	return out
}

// learn notes what an event says about the network, and lets the rules know
// whose events wait for such news.
func (l *lane) learn(ev *event.Event, it *correlate.Item) {
	effect := l.rules.Effect(ev.Type)
	if effect == "" {
		return
	}
	env := l.bareEnv()
	env.Owner = ownerNetwork
	cut := l.network.Learn(env, effect, it)
	l.done(nil, 0, env)
	if cut {
		l.news()
	}
}

// event decides about one event: global window, what it says about the
// network, rules.
func (l *lane) event(d *record.Decision, ev *event.Event) {
	l.number++
	l.main, l.mainNumber = d, l.number
	l.key, l.read = "", "" // the memory of keys is good for one event
	l.item = correlate.NewItem(ev, l.number, &l.room)
	it := &l.item
	for _, t := range l.rules.Clears(ev.Type) {
		if key, ok := l.rules.GlobalKey(ev, t); ok {
			l.global.forget(key)
		}
	}
	dup := false
	var first uuid.UUID // that it repeats
	if key, ok := l.rules.GlobalKey(ev, ev.Type); ok {
		var of *entry
		if of, dup = l.global.check(key, it.UUID(), l.now); dup {
			d.Verdict, first = record.Duplicate, of.of
		}
	}
	if l.topology {
		l.learn(ev, it)
	}
	if !dup || len(l.names) > 0 {
		l.match(d, it, dup)
	}
	if d.Verdict == record.Duplicate {
		d.Of, d.Reason = event.ID(first.String()), l.repeats
	}
	l.settle()
	if l.number%sweepEvery == 0 {
		l.sweep()
	}
}

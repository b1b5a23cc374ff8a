package correlate

import (
	"signalbox/event"
	"signalbox/internal/record"
)

// What stands before and after the form. The engine makes each of them by the
// functions at the end of this file, and passes over the ones that are nil.

// Gate stands before the form and lets events through, or not: dampening, and
// what is suppressed behind a cause. There is one for each rule that asks for
// it.
type Gate interface {
	// Admit says what happens to an event. Its inputs with Part < 0 do not
	// come through gates.
	Admit(env *Env, p *Passage) Admission
	Stage
}

// Admission is what a gate says about an event. The zero value lets it pass.
type Admission struct {
	// Outcome is why it does not: "dampened", "upstream", "full"; see
	// record.RuleNote.
	Outcome string
	Detail  string
	Of      event.ID
	// Wait says that it may go on later (Env.Resume): then it counts as taken.
	Wait bool
}

// Network knows what is down. There is one in a lane.
type Network interface {
	// Learn is called for every event (a redelivery excepted), before any rule
	// looks at it. effect is what its type says about the topology, "" for
	// nothing. cut says that devices other than the event's own may be out of
	// reach by it.
	Learn(env *Env, effect Effect, it *Item) (cut bool)
	// Use puts a topology in force, nil for none, at the start and whenever
	// the rules change. What is known to be down stays known where the new
	// one has it, too.
	Use(t *Topology)
	Stage
}

// Grouper makes one finding of many. There is one for each rule that groups.
type Grouper interface {
	// Found takes a finding in; what is to run goes out by Env.Found, now or
	// when a timer fires. The outcome is Joined, Found or Full.
	Found(env *Env, f *Finding) Outcome
	// Clear takes out the member that an event clears (an input with
	// PartClear), and says whether there was one.
	Clear(env *Env, in *Input, it *Item) bool
	Stage
}

// Situations keeps what was found until it is resolved. There is one in a lane,
// for all rules: Env.Rule and Env.Plan say which it is called for. Its timers'
// Fire is called with Env.Plan nil.
type Situations interface {
	// Found opens a situation, or updates the one that is not resolved.
	Found(env *Env, f *Finding) Story
	// Resolve ends the one that an event resolves (an input with
	// PartResolve); the story's Change.ID is "" where there is none.
	Resolve(env *Env, in *Input, it *Item) Story
	// Command is a person's word: "acknowledge" or "resolve". The story's
	// Rule says whose steps run; Change.ID is "" where it is not known or
	// there is nothing to change, with Change.Note saying so.
	Command(env *Env, verb, id, by, note string) Story
	// Attach adds an event to the situation that another event opened, and
	// starts nothing; Change.ID is "" where there is none.
	Attach(env *Env, opener event.ID, it *Item) Story
	// Open lists those that are not resolved, by rule, and of each rule the one
	// that was quiet longest first.
	Open() []OpenSituation
	// KeysOf counts those of a rule that are not resolved, and those that were
	// one too many.
	KeysOf(rule string) Keys
	// Use resets the situations of rules that are not there any more, or mean
	// another thing by them: signature gives what a rule's is now. It calls
	// reset for each such rule, in order of their names, with what became of
	// its situations, the one that was quiet longest first.
	Use(signature func(rule string) (string, bool), reset func(rule string, ended []record.SituationChange))
	Stage
}

// Story is one step in the life of a situation.
type Story struct {
	Change record.SituationChange // Run is the engine's to fill in
	// Run says whether the branch's steps run, and Finding what they see.
	Run     bool
	Branch  string
	Finding Finding
}

// NewDampener makes the gate of a rule with Plan.Dampen.
func NewDampener() Gate { return &dampener{table: newTable[dampState]()} }

// NewUpstream makes the gate of a rule with Plan.Upstream. It asks Env.Network.
func NewUpstream() Gate { return &upstream{newTable[waiting]()} }

// NewNetwork makes what knows the topology's state.
func NewNetwork() Network { return &network{} }

// NewGrouper makes the stage of a rule with Plan.Group.
func NewGrouper() Grouper { return &grouper{newTable[groupState]()} }

// NewSituations makes what keeps the situations of all rules.
func NewSituations() Situations { return newSituations() }

// Package rule reads the rules that users write, checks them, and answers for
// an event which of them match.
//
// Rules and inventory come in as bytes, in a Bundle; Load gives a Set that
// never changes, or every mistake of all files with its place. Expressions are
// CEL, checked against the fields of the event's types and of the inventory,
// and bounded in what they cost. Nothing here reads a file, knows the time,
// starts a goroutine or depends on the order of a map: the same Set and the
// same event give the same answer on every machine.
package rule

import (
	"time"

	"signalbox/internal/correlate"
)

// Pos is a place in a file that a user wrote.
type Pos struct {
	File      string
	Line, Col int // from 1
}

// Set is a loaded rule set: everything that decisions depend on. It never
// changes; a reload makes a new one. Safe for many goroutines at once.
type Set struct {
	Version string // hex of the bundle's SHA-256, 16 digits
	Rules   []*Rule

	// Redelivery is how long a source and a sender's id are remembered.
	Redelivery time.Duration
	Tests      []*Test // kept as written

	global    globalDedup
	limits    limitList // of all rules together
	catalogue Catalogue
	types     map[string]*typeFacts // of the catalogue
	guards    *guards
	index     *index      // of all rules
	live      *index      // the same, where what only ends something is narrowed
	questions []questions // by the rule's place
	byName    map[string]*Rule
}

// Rule is one rule, compiled.
type Rule struct {
	Name        string
	Description string
	Version     string // hash of the rule's meaning, 12 hex digits: the same text, the same version
	Pos         Pos
	// On are all types that the rule must see: of its parts, of what ends a wait,
	// resolves a situation and clears a member of a group. "bgp_*" is a prefix,
	// "*" is all. Roles says which type is asked for what.
	On []string
	// When is the rule's own condition, nil for always. Every part must meet
	// it; what ends, resolves or clears need not.
	When    *Expr
	Dedup   *Dedup // nil: no window of its own
	Mode    string // "active", "shadow", "off"
	Timeout time.Duration
	Retry   Retry
	Lock    string // "device" or "none"
	Do      []*Step
	limits  limitList

	// Plan is nil where each event stands for itself and nothing is held,
	// grouped, dampened or suppressed.
	Plan    *correlate.Plan
	pattern *pattern // the expressions of Plan
	// Updated and Resolved are the steps of a situation's changes.
	Updated, Resolved []*Step

	onPos map[string]Pos // where its types are written
	does  string         // hash of its steps

	guard []condition // equalities that When needs, see guard.go
	// questions are in Set.questions.
	questions *questions
	// late says that its form may take an event later than it matched: what the
	// inventory said then need not be so any more.
	late  bool
	order int // in Set.Rules
}

// Steps gives the steps of a branch of the rule (see record.RunStart): do, or
// those of a change of its situation.
func (r *Rule) Steps(branch string) []*Step {
	switch branch {
	case "updated":
		return r.Updated
	case "resolved":
		return r.Resolved
	}
	return r.Do
}

// Dedup is a window in which the same key is news only once.
type Dedup struct {
	By     []*Expr // empty: the default key
	Within time.Duration
	// Signature names the meaning of the window: while it stays the same, so
	// does what the window remembers.
	Signature string
}

// Retry says how recoverable errors are tried again. Attempts counts the first.
type Retry struct {
	Attempts int
	Backoff  time.Duration
	Factor   float64
	Max      time.Duration
	Jitter   bool
}

// Step is one entry of a do list. Exactly one of Action, Parallel and Block is
// set.
type Step struct {
	Path         string // "1", "2.parallel.0", "3.rescue.1": names the step in the journal
	Name         string
	Pos          Pos
	When         *Expr
	Register     string
	Loop         *Value // a list; "item" is its element
	Until        *Expr
	Retries      int // of Until
	Delay        time.Duration
	Timeout      time.Duration // 0: the rule's
	Retry        *Retry        // nil: the rule's
	IgnoreErrors bool
	Idempotent   *bool // the user's word on whether it may be repeated; nil: the action's

	Action string
	Args   *Value // an object: argument name → value

	Parallel []*Step
	Block    []*Step
	Rescue   []*Step
	Always   []*Step
}

// ActionSpec describes an action to the type checker.
type ActionSpec struct {
	Name       string `json:"name"`
	Doc        string `json:"doc"`
	Args       []Arg  `json:"args"`
	Output     []Arg  `json:"output,omitempty"` // what register gives; empty: an object of any fields
	Idempotent bool   `json:"idempotent"`       // as built; arguments may say more (see action.Action)
	Example    string `json:"example,omitempty"`
}

// AnyArg as the name of an argument says that the action takes arguments of any
// other name, too.
const AnyArg = "*"

// Arg is one argument (or output field) of an action.
type Arg struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // string, int, number, bool, duration, map, list, any
	Required bool     `json:"required,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Doc      string   `json:"doc"`
}

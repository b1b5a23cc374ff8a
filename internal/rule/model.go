package rule

import (
	"time"

	"signalbox/event"
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
}

// Rule is one rule, compiled.
type Rule struct {
	Name        string
	Description string
	Version     string // hash of the rule's meaning, 12 hex digits: the same text, the same version
	Pos         Pos
	On          []string // types; "bgp_*" is a prefix; "*" is all
	When        *Expr    // nil: always
	Dedup       *Dedup   // nil: no window of its own
	Mode        string   // "active", "shadow", "off"
	Timeout     time.Duration
	Retry       Retry
	Lock        string // "device" or "none"
	Do          []*Step
}

// Dedup is a window in which the same key is news only once.
type Dedup struct {
	By     []*Expr
	Within time.Duration
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

// Scope is what an expression can see. The zero values of what is not there are
// fine.
type Scope struct {
	Event     *event.Event
	Events    []*event.Event
	Device    map[string]any // the inventory's record; name and address at least
	Interface map[string]any
	Site      map[string]any
	Rule      map[string]any // name, version
	Run       map[string]any // id, attempt, replay, dry_run
	Registers map[string]any // register name → output
	Item      any            // inside loop
	HasItem   bool
	// Secret resolves secret("name"); only set where action arguments are
	// evaluated.
	Secret func(name string) (string, error)
}

// ActionSpec describes an action to the type checker.
type ActionSpec struct {
	Name       string
	Doc        string
	Args       []Arg
	Output     []Arg // what register gives; empty: an object of any fields
	Idempotent bool  // as built; arguments may say more (see action.Action)
	Example    string
}

// Arg is one argument (or output field) of an action.
type Arg struct {
	Name     string
	Type     string // string, int, number, bool, duration, map, list, any
	Required bool
	Enum     []string
	Doc      string
}

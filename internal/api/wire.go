package api

import (
	"encoding/json"
	"time"

	"signalbox/event"
	"signalbox/internal/ledger"
)

// What the API speaks is JSON; lists are one object a line (NDJSON), so that a
// long list needs no memory on either side.

// Entry is an event as the log has it.
type Entry struct {
	Position string    `json:"position"` // seq/index
	LogTime  time.Time `json:"log_time"`
	Status   string    `json:"status"` // decided, duplicate, suppressed, unmatched, rejected, pending
	Reason   string    `json:"reason,omitempty"`
	Of       event.ID  `json:"of,omitempty"` // duplicate: the event that it repeats
	Runs     []string  `json:"runs,omitempty"`
	Notes    []Note    `json:"notes,omitempty"` // rules that took part and started nothing
	// Situations are those that it opened, updated or resolved.
	Situations []Change `json:"situations,omitempty"`
	// Later is what came of it afterwards, by other events or by time. Only
	// where one event is asked for.
	Later []Later     `json:"later,omitempty"`
	Event event.Event `json:"event"`
}

// Note says what a rule did other than start a run: its own window held the
// event back (duplicate), it is in shadow mode, the chain of runs was stopped
// (loop), or its condition has no answer (error), as where an attribute is
// absent. Of rules that ask for more than one event: it counts (joined), waits
// for one of them (held, released, absorbed, grouped), or is not taken (dampened,
// upstream, late, limited, full).
type Note struct {
	Rule    string   `json:"rule"`
	Outcome string   `json:"outcome"`
	Detail  string   `json:"detail,omitempty"`
	Of      event.ID `json:"of,omitempty"`
	Key     string   `json:"key,omitempty"`
}

// Change is what became of a situation.
type Change struct {
	ID     string `json:"id"`
	Rule   string `json:"rule"`
	Change string `json:"change"` // opened, updated, acknowledged, resolved
	State  string `json:"state"`  // after it
}

// Later is what came of an event after it was decided.
type Later struct {
	Position string    `json:"position"` // of the record that brought it
	LogTime  time.Time `json:"log_time"` // of the decision
	Due      time.Time `json:"due,omitzero"`
	Rule     string    `json:"rule"`
	// Outcome is "found" (it is part of what the rule found), or that of a note.
	Outcome   string `json:"outcome"`
	Detail    string `json:"detail,omitempty"`
	Run       string `json:"run,omitempty"`
	Situation string `json:"situation,omitempty"`
}

// RuleInfo is one rule in force.
type RuleInfo struct {
	Name        string   `json:"rule"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	Mode        string   `json:"mode"` // active, shadow, off
	On          []string `json:"on"`
	Form        string   `json:"form,omitempty"` // count, flap, …; "" for single events
	Holds       []string `json:"holds,omitempty"`
	Limits      []string `json:"limits,omitempty"` // in words; those of all rules are not among them
	With        string   `json:"with,omitempty"`   // shadow: the active rule that it is compared with
	Place       string   `json:"place"`            // file:line
}

// Status is how the process is.
type Status struct {
	Version   string            `json:"version"`
	Started   time.Time         `json:"started"`
	Ready     bool              `json:"ready"`
	Problems  []string          `json:"problems"`
	Listening map[string]string `json:"listening"` // what → address
	Rules     int               `json:"rules"`
	Devices   int               `json:"devices"`
	RuleSet   string            `json:"rule_set"`
	Reload    string            `json:"reload,omitempty"` // why the last reload was not taken
	// Resets and Kept are what a reload did to the rules' state: for people, what
	// was forgotten since it means another thing now, and the keys of each rule
	// that go on. Only in the answer to a reload.
	Resets  []string       `json:"resets,omitempty"`
	Kept    map[string]int `json:"kept,omitempty"`
	Sources []SourceStatus `json:"sources"`
	Log     LogStatus      `json:"log"`
}

// SourceStatus is one source's state and what it counted since start.
type SourceStatus struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Error       string            `json:"error,omitempty"`
	Received    uint64            `json:"received"`
	Logged      uint64            `json:"logged"`
	Rejected    uint64            `json:"rejected"`
	Refused     map[string]uint64 `json:"refused"`
	InFlight    int64             `json:"in_flight"`
	KernelDrops uint64            `json:"kernel_drops"`
	Unparsed    map[string]uint64 `json:"unparsed,omitempty"`
}

// LogStatus is the state of the event log.
type LogStatus struct {
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	Bytes     uint64    `json:"bytes"`
	Error     string    `json:"error,omitempty"`
}

// Ledger is the books: what came in since the process started, and all that the
// log says.
type Ledger struct {
	Started  time.Time      `json:"started"`
	Intake   []SourceStatus `json:"intake"`
	Log      *ledger.Books  `json:"log"`
	Balanced bool           `json:"balanced"`
	Open     int64          `json:"open_runs"`
	Pending  int64          `json:"undecided"`
	Problems []string       `json:"problems"`
	Verified bool           `json:"verified"` // the whole log was read and checked
	Took     string         `json:"took,omitempty"`
}

// ReplayRequest says which stretch of the log to feed through the rules again.
type ReplayRequest struct {
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Type    string    `json:"type,omitempty"`
	Device  string    `json:"device,omitempty"`
	Effects bool      `json:"effects"` // false: a dry run
	By      string    `json:"by,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// ReplayResult says what was fed.
type ReplayResult struct {
	ID     string `json:"id"`
	Events int    `json:"events"`
	DryRun bool   `json:"dry_run"`
}

// CommandRequest is a person's word about a run.
type CommandRequest struct {
	By   string `json:"by,omitempty"`
	Note string `json:"note,omitempty"`
}

// Problem is an error in the form of RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Raw is one line of a list that is passed on as it is.
type Raw = json.RawMessage

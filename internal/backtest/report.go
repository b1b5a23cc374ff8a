package backtest

import (
	"encoding/json"
	"time"

	"signalbox/event"
)

// Report is what would have happened. Its JSON form is documented in
// docs/backtest.md; fields are only ever added to it. Lists are sorted, so that
// the same trial gives the same bytes.
type Report struct {
	// Made says how: it is filled in by who reads the log.
	Made Made `json:"made"`

	// Since and Until are the stretch that is counted, Warm what was read
	// before it so that windows are as they would have been.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`

	Log     LogCounts `json:"log"`
	Rules   Result    `json:"result"`
	Against *Result   `json:"against,omitempty"`
	Diff    *Diff     `json:"diff,omitempty"`

	Timeline Timeline `json:"timeline"`
}

// Made says how a report was made, so that it can be made again. There is no
// clock in it.
type Made struct {
	Version string    `json:"version,omitempty"` // of Signalbox
	Command string    `json:"command,omitempty"`
	Log     string    `json:"log"`              // where the events came from
	Config  string    `json:"config,omitempty"` // inventory, types and mappings
	Notes   []string  `json:"notes,omitempty"`  // what a reader should know: lines that were no events, a log that begins late
	Remap   *Remapped `json:"remap,omitempty"`
	// WarmUp is how long before Since the windows of the rules reach.
	WarmUp Span `json:"warm_up"`
}

// Span is a duration that JSON has in seconds.
type Span time.Duration

// MarshalJSON writes seconds.
func (s Span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON reads seconds.
func (s *Span) UnmarshalJSON(b []byte) error {
	var sec float64
	if err := json.Unmarshal(b, &sec); err != nil {
		return err
	}
	*s = Span(sec * float64(time.Second))
	return nil
}

// LogCounts is what the log has, whatever the rules say.
type LogCounts struct {
	Events   uint64    `json:"events"`
	Rejected uint64    `json:"rejected"` // no rule sees them
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	WarmUp   uint64    `json:"warm_up_events"` // before Since
	WarmFrom time.Time `json:"warm_up_from,omitzero"`
}

// Result is what one rule set would have done.
type Result struct {
	Name    string `json:"name"`
	Version string `json:"version"` // of the rule set

	Runs    uint64  `json:"runs"`
	Devices int     `json:"devices"` // that runs would have touched
	Busiest *Minute `json:"busiest_minute,omitempty"`

	// Every event has one of four outcomes.
	Decided    uint64 `json:"decided"`
	Duplicate  uint64 `json:"duplicate"`
	Suppressed uint64 `json:"suppressed"`
	Unmatched  uint64 `json:"unmatched"`

	PerRule    []RuleResult  `json:"rules"`
	TopDevices []DeviceCount `json:"top_devices"`
	Types      []TypeCount   `json:"types"`
	Situations Situations    `json:"situations"`
	// Limits are what each limit would have refused; those that refused nothing
	// are in it, too. Refused is the sum.
	Limits  []LimitResult `json:"limits,omitempty"`
	Refused uint64        `json:"refused"`
	// Uncounted is how many runs touched a device after more pairs of rule
	// and device had been seen than are remembered (MaxPairs): their devices
	// are missing in the lists, and in nothing else.
	Uncounted uint64 `json:"uncounted_devices,omitempty"`
}

// LimitResult is what one limit would have refused. A run that several limits have
// no room for counts for the first of them.
type LimitResult struct {
	Rule    string     `json:"rule,omitempty"` // whose limit it is; "" for all rules together
	Limit   string     `json:"limit"`          // as in "5 runs in 1h by device"
	Refused uint64     `json:"refused"`
	First   *Refusal   `json:"first,omitempty"`
	Keys    int        `json:"keys,omitempty"` // different ones under which it refused
	Top     []KeyCount `json:"top_keys,omitempty"`
	// Uncounted is how many refusals were under keys beyond those that are
	// remembered (MaxPairs).
	Uncounted uint64 `json:"uncounted_keys,omitempty"`
}

// Refusal is one run that a limit had no room for.
type Refusal struct {
	Time     time.Time `json:"time"`     // log time
	Position string    `json:"position"` // of the record that set it off, or brought the time
	Rule     string    `json:"rule"`     // whose run it would have been
	Key      string    `json:"key,omitempty"`
	Detail   string    `json:"detail"`
}

// KeyCount is a key and the runs that were refused under it.
type KeyCount struct {
	Key     string `json:"key"`
	Refused uint64 `json:"refused"`
}

// Minute is a minute of log time and how many runs it would have started.
type Minute struct {
	Start time.Time `json:"start"`
	Runs  uint64    `json:"runs"`
}

// RuleResult is what one rule would have done. The counts below Runs are of
// events, except Findings.
type RuleResult struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Mode    string `json:"mode"`
	Form    string `json:"form"` // single, count, flap, …
	Runs    uint64 `json:"runs"`
	// Of Runs, those of the steps "updated" and "resolved" of a situation.
	Updated  uint64 `json:"updated_runs,omitempty"`
	Resolved uint64 `json:"resolved_runs,omitempty"`
	// Findings is how often the rule found what it looks for; with a group or
	// a situation many of them are one run.
	Findings uint64 `json:"findings"`
	Shadow   uint64 `json:"shadow,omitempty"` // runs that it did not start because its mode is shadow

	Joined     uint64 `json:"joined,omitempty"` // counted towards a finding
	Held       uint64 `json:"held,omitempty"`   // waited for another rule, and then were
	Absorbed   uint64 `json:"absorbed,omitempty"`
	Released   uint64 `json:"released,omitempty"`
	Duplicate  uint64 `json:"deduplicated,omitempty"` // by the rule's own window
	Refused    uint64 `json:"refused,omitempty"`      // runs for which a limit had no room
	Suppressed uint64 `json:"suppressed,omitempty"`   // the sum of the five below
	Dampened   uint64 `json:"dampened,omitempty"`
	Upstream   uint64 `json:"upstream,omitempty"`
	Loop       uint64 `json:"loop,omitempty"`
	Late       uint64 `json:"late,omitempty"`
	Full       uint64 `json:"full,omitempty"`
	Errors     uint64 `json:"errors,omitempty"` // the condition had no answer
	Error      string `json:"error,omitempty"`  // the first

	Devices int           `json:"devices"`
	Top     []DeviceCount `json:"top_devices,omitempty"`
	Busiest *Minute       `json:"busiest_minute,omitempty"`
	First   *Sample       `json:"first,omitempty"`
	// Timeline is runs per bucket of Report.Timeline; buckets that are not
	// there are 0.
	Timeline []uint32 `json:"timeline,omitempty"`
}

// DeviceCount is a device and the runs that touched it.
type DeviceCount struct {
	Device string `json:"device"` // "" for events of no device
	Runs   uint64 `json:"runs"`
}

// TypeCount is an event type and what became of its events.
type TypeCount struct {
	Type      string `json:"type"`
	Events    uint64 `json:"events"`
	Unmatched uint64 `json:"unmatched"`
}

// Situations is how often situations changed.
type Situations struct {
	Opened   uint64 `json:"opened"`
	Updated  uint64 `json:"updated"`
	Resolved uint64 `json:"resolved"`
}

// Sample is one run: what set it off, and when.
type Sample struct {
	Time      time.Time `json:"time"`     // log time
	Position  string    `json:"position"` // of the record that set it off, or brought the time
	Timer     bool      `json:"timer,omitempty"`
	Branch    string    `json:"branch,omitempty"`
	Key       string    `json:"key,omitempty"`
	Events    uint32    `json:"events"` // that made it up
	Event     event.ID  `json:"event,omitempty"`
	Type      string    `json:"type,omitempty"`
	Device    string    `json:"device,omitempty"`
	Interface string    `json:"interface,omitempty"`
	Message   string    `json:"message,omitempty"` // what the device said, shortened; or the data
}

// Timeline says what the buckets of the timelines are.
type Timeline struct {
	Start  time.Time `json:"start,omitzero"`
	Width  Span      `json:"width"`
	Events []uint32  `json:"events,omitempty"`
}

// Diff compares the runs of two rule sets. A run is the same in both where a
// rule of the same name was set off by the same record, for the same key.
type Diff struct {
	Same    uint64     `json:"same"`
	More    uint64     `json:"more"`    // only the candidate would start
	Fewer   uint64     `json:"fewer"`   // only the other would have started
	Devices int        `json:"devices"` // that the difference touches
	PerRule []RuleDiff `json:"rules"`
	// PerDevice are the devices with the largest differences; all of them
	// where they are no more than Options.Top times ten.
	PerDevice []DeviceDiff `json:"per_device"`
	// Uncounted is as in Result.
	Uncounted uint64 `json:"uncounted_devices,omitempty"`
}

// RuleDiff is what is different in one rule. Change is "added", "removed",
// "changed" (its meaning is another), or "same" (its meaning is the same, and
// yet what holds or clears its events may not be).
type RuleDiff struct {
	Rule   string     `json:"rule"`
	Change string     `json:"change"`
	Before uint64     `json:"before"`
	After  uint64     `json:"after"`
	Same   uint64     `json:"same"`
	More   *Direction `json:"more,omitempty"`
	Fewer  *Direction `json:"fewer,omitempty"`
}

// Direction is the runs that are there in one set only.
type Direction struct {
	Runs    uint64         `json:"runs"`
	Total   int            `json:"devices"` // how many
	First   *Sample        `json:"first"`
	Devices []DeviceSample `json:"per_device"` // those with the most runs
}

// DeviceSample is a device's runs and the first of them.
type DeviceSample struct {
	Device string  `json:"device"`
	Runs   uint64  `json:"runs"`
	First  *Sample `json:"first,omitempty"`
}

// DeviceDiff is what is different for one device, over all rules.
type DeviceDiff struct {
	Device     string  `json:"device"`
	More       uint64  `json:"more"`
	Fewer      uint64  `json:"fewer"`
	FirstMore  *Sample `json:"first_more,omitempty"`
	MoreRule   string  `json:"first_more_rule,omitempty"`
	FirstFewer *Sample `json:"first_fewer,omitempty"`
	FewerRule  string  `json:"first_fewer_rule,omitempty"`
}

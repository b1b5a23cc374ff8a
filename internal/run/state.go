package run

import (
	"strings"
	"time"

	"signalbox/internal/record"
)

// Bounds of what is kept of one run in memory. All of it is in the log.
const (
	maxAttempts = 64 // of one step; the oldest go first, except the very first
	maxEnds     = 32 // times that a run was ended and put back
)

// Status of a step.
type Status uint8

const (
	None     Status = iota // nothing is known of it
	Begun                  // an attempt is under way, or was when we stopped
	Waiting                // an attempt ended; the next is due at RetryAt
	Done                   // it succeeded
	Skipped                // its condition was false
	StepFail               // it failed for good
)

// String is the word that people see.
func (s Status) String() string {
	switch s {
	case Begun:
		return "running"
	case Waiting:
		return "waiting"
	case Done:
		return "done"
	case Skipped:
		return "skipped"
	case StepFail:
		return "failed"
	default:
		return "pending"
	}
}

// Attempt is one try of a step, for people.
type Attempt struct {
	N           uint32        `json:"attempt"`
	Begun       time.Time     `json:"begun,omitzero"`
	Ended       time.Time     `json:"ended,omitzero"`
	Took        time.Duration `json:"took_ns,omitempty"`
	OK          bool          `json:"ok"`
	Error       string        `json:"error,omitempty"`
	Recoverable bool          `json:"recoverable,omitempty"`
	RetryAt     time.Time     `json:"retry_at,omitzero"`
}

// Step is what the journal says of one step of a run.
type Step struct {
	Path       string    `json:"step"`
	Action     string    `json:"action,omitempty"`
	Status     Status    `json:"status"`
	Idempotent bool      `json:"idempotent,omitempty"` // of the attempt under way
	Number     uint32    `json:"number,omitempty"`     // of the last attempt
	Output     []byte    `json:"output,omitempty"`
	Error      string    `json:"error,omitempty"`
	RetryAt    time.Time `json:"retry_at,omitzero"` // Waiting: when the next attempt is due

	// Gen is the run's generation when the step last changed. A step that
	// failed in an earlier generation may be tried anew.
	Gen uint32 `json:"gen,omitempty"`
	// Budgets of this generation: failed attempts, attempts that went well and
	// left "until" false, and attempts whose end nobody saw.
	Tries       int `json:"tries,omitempty"`
	Untils      int `json:"untils,omitempty"`
	Interrupted int `json:"interrupted,omitempty"`

	Attempts []Attempt `json:"attempts,omitempty"`
}

// End is one time that a run was ended, left to a person, or put back.
type End struct {
	Time    time.Time      `json:"time"`
	Outcome record.Outcome `json:"outcome"`
	Error   string         `json:"error,omitempty"`
	By      string         `json:"by,omitempty"`
}

// State is the state of one run: a fold over its journal. The zero State is a
// run of which nothing was done. It is not safe for concurrent use.
type State struct {
	Steps   []*Step         `json:"steps,omitempty"` // in the order in which they were first seen
	Outcome record.Outcome  `json:"outcome,omitempty"`
	Error   string          `json:"error,omitempty"`
	Ends    []End           `json:"ends,omitempty"`
	Gen     uint32          `json:"gen,omitempty"` // how often it was put back
	Begun   time.Time       `json:"begun,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Last    record.Position `json:"last,omitzero"` // of the last RunEnd applied

	index map[string]*Step // of Steps, once they are many
}

// fewSteps is up to how many steps a search from the front beats a map.
const fewSteps = 8

// Step finds what is known of a step; nil when that is nothing.
func (s *State) Step(path string) *Step {
	if len(s.Steps) <= fewSteps {
		for _, st := range s.Steps {
			if st.Path == path {
				return st
			}
		}
		return nil
	}
	if len(s.index) != len(s.Steps) {
		s.index = make(map[string]*Step, len(s.Steps))
		for _, st := range s.Steps {
			s.index[st.Path] = st
		}
	}
	return s.index[path]
}

// Within says whether anything is known of a step below path: then the
// conditions of path were true.
func (s *State) Within(path string) bool {
	for _, st := range s.Steps {
		if len(st.Path) > len(path) && strings.HasPrefix(st.Path, path) &&
			(st.Path[len(path)] == '.' || st.Path[len(path)] == '#') {
			return true
		}
	}
	return false
}

// Open says whether the run has steps to do: it did not end, or was put back.
func (s *State) Open() bool { return s.Outcome == 0 }

// Waits says whether a person must say what happens to the run.
func (s *State) Waits() bool { return s.Outcome == record.Failed || s.Outcome == record.InDoubt }

// Apply folds one record of the run's journal into the state. at is its
// position and when its log time. A record that was applied before changes
// nothing, also when the writer, unsure of an answer, wrote it twice.
//
// Branches of a run journal at once, so records of different steps may come in
// another order than the log's: each step knows its own by the attempt's
// number. The ends of a run come one after another, and are known by position.
func (s *State) Apply(at record.Position, when time.Time, r *record.Record) {
	switch r.Kind {
	case record.KindStepBegin:
		s.begin(when, r.Begin)
	case record.KindStepEnd:
		s.end(when, r.End)
	case record.KindRunEnd:
		if !at.IsZero() {
			if !s.Last.Less(at) {
				return
			}
			s.Last = at
		}
		s.runEnd(when, r.RunEnd)
	}
}

// touch finds or adds a step, with the budgets of the present generation.
func (s *State) touch(path string) *Step {
	st := s.Step(path)
	if st == nil {
		st = &Step{Path: path, Gen: s.Gen}
		s.Steps = append(s.Steps, st)
		if s.index != nil {
			s.index[path] = st
		}
	}
	if st.Gen != s.Gen {
		st.Gen = s.Gen
		st.Tries, st.Untils, st.Interrupted = 0, 0, 0
		if st.Status == Begun {
			// A person said: do it again. It is not in doubt any more.
			st.Status = None
		}
	}
	return st
}

func (s *State) begin(when time.Time, b *record.StepBegin) {
	if old := s.Step(b.Step); old != nil && b.Attempt <= old.Number {
		return // written or read twice
	}
	st := s.touch(b.Step)
	if st.Status == Begun {
		st.Interrupted++
	}
	if s.Begun.IsZero() {
		s.Begun = when
	}
	st.Status, st.Number, st.Action, st.Idempotent = Begun, b.Attempt, b.Action, b.Idempotent
	st.RetryAt = time.Time{}
	st.add(Attempt{N: b.Attempt, Begun: when})
}

func (s *State) end(when time.Time, e *record.StepEnd) {
	if e.Skipped {
		s.touch(e.Step).Status = Skipped
		return
	}
	if old := s.Step(e.Step); old != nil &&
		(e.Attempt < old.Number || e.Attempt == old.Number && old.Status != Begun) {
		return // written or read twice
	}
	st := s.touch(e.Step)
	if s.Begun.IsZero() {
		s.Begun = when
	}
	if e.Attempt > st.Number { // failed before it could begin
		st.Number = e.Attempt
		st.add(Attempt{N: e.Attempt, Begun: when})
	}
	if a := st.last(); a != nil {
		a.Ended, a.Took, a.OK, a.Error = when, e.Took, e.OK, e.Error
		a.Recoverable, a.RetryAt = e.Recoverable, e.RetryAt
	}
	st.Output, st.Error, st.RetryAt, st.Interrupted = e.Output, e.Error, e.RetryAt, 0
	switch {
	case e.RetryAt.IsZero() && e.OK:
		st.Status = Done
	case e.RetryAt.IsZero():
		st.Status = StepFail
	case e.OK:
		st.Status = Waiting
		st.Untils++
	default:
		st.Status = Waiting
		st.Tries++
	}
}

func (s *State) runEnd(when time.Time, e *record.RunEnd) {
	if e.Outcome == record.Requeued {
		if s.Open() {
			return // written twice
		}
		s.Outcome, s.Error, s.Ended = 0, "", time.Time{}
		s.Gen++
	} else {
		if s.Outcome == e.Outcome {
			return
		}
		s.Outcome, s.Error, s.Ended = e.Outcome, e.Error, when
	}
	if len(s.Ends) == maxEnds {
		s.Ends = append(s.Ends[:1], s.Ends[2:]...)
	}
	s.Ends = append(s.Ends, End{Time: when, Outcome: e.Outcome, Error: e.Error, By: e.By})
}

func (st *Step) add(a Attempt) {
	if len(st.Attempts) == maxAttempts {
		st.Attempts = append(st.Attempts[:1], st.Attempts[2:]...)
	}
	st.Attempts = append(st.Attempts, a)
}

func (st *Step) last() *Attempt {
	if len(st.Attempts) == 0 {
		return nil
	}
	return &st.Attempts[len(st.Attempts)-1]
}

// Clone copies the state, so that the copy can be read while the state goes on.
func (s *State) Clone() *State {
	c := *s
	c.index = nil
	c.Steps = make([]*Step, len(s.Steps))
	for i, st := range s.Steps {
		cp := *st
		cp.Attempts = append([]Attempt(nil), st.Attempts...)
		c.Steps[i] = &cp
	}
	c.Ends = append([]End(nil), s.Ends...)
	return &c
}

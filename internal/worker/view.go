package worker

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/run"
)

// RunView is what people see of a run. It is a copy.
type RunView struct {
	ID          string    `json:"run"`
	Rule        string    `json:"rule"`
	RuleVersion string    `json:"rule_version"`
	Device      string    `json:"device,omitempty"`
	Status      string    `json:"status"` // pending, running, waiting, succeeded, failed, in_doubt, discarded, refused
	Error       string    `json:"error,omitempty"`
	DryRun      bool      `json:"dry_run,omitempty"`
	Replay      bool      `json:"replay,omitempty"`
	Decided     string    `json:"decided"` // position of the decision in the log
	EventID     event.ID  `json:"event_id,omitempty"`
	EventType   string    `json:"event_type,omitempty"`
	Begun       time.Time `json:"begun,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	RetryAt     time.Time `json:"retry_at,omitzero"` // waiting: the earliest next attempt

	// Only where one run is asked for, and in dead letters.
	Event *event.Event `json:"event,omitempty"`
	Steps []StepView   `json:"steps,omitempty"`
	Ends  []EndView    `json:"ends,omitempty"` // how it ended so far, and who put it back

	// Of rules that ask for more than one event, and of situations.
	Key       string      `json:"key,omitempty"`          // what the events share
	Due       time.Time   `json:"due,omitzero"`           // when time decided it, and not an event
	Total     int         `json:"events_total,omitempty"` // how many events made it up; Events has at most the oldest and the newest
	Events    []EventView `json:"events,omitempty"`       // only where one run is asked for
	Branch    string      `json:"branch,omitempty"`       // "updated", "resolved": which steps of the rule
	Situation string      `json:"situation,omitempty"`    // the situation that it belongs to

	decided record.Position
}

// EventView is one of the events that made up what a rule found.
type EventView struct {
	ID        event.ID        `json:"id"`
	As        string          `json:"as,omitempty"` // the name that the rule has for it
	Type      string          `json:"type"`
	Device    string          `json:"device,omitempty"`
	Interface string          `json:"interface,omitempty"`
	Received  time.Time       `json:"received,omitzero"`
	Time      time.Time       `json:"time,omitzero"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// StepView is one step of a run.
type StepView struct {
	Step     string          `json:"step"`
	Action   string          `json:"action,omitempty"`
	Status   string          `json:"status"`
	Error    string          `json:"error,omitempty"`
	Output   json.RawMessage `json:"output,omitempty"`
	Attempts []run.Attempt   `json:"attempts,omitempty"`
}

// EndView is one time that a run was ended, left to a person, or put back.
type EndView struct {
	Time    time.Time `json:"time"`
	Outcome string    `json:"outcome"`
	Error   string    `json:"error,omitempty"`
	By      string    `json:"by,omitempty"`
}

// OutcomeName is the word for an outcome; "" for an open run.
func OutcomeName(o record.Outcome) string {
	switch o {
	case record.Succeeded:
		return "succeeded"
	case record.Failed:
		return "failed"
	case record.InDoubt:
		return "in_doubt"
	case record.Discarded:
		return "discarded"
	case record.Refused:
		return "refused"
	case record.Requeued:
		return "requeued"
	default:
		return ""
	}
}

// viewOf makes a view. st must not change meanwhile.
func viewOf(start *record.RunStart, dec *record.Decision, at record.Position, st *run.State, whole bool) RunView {
	v := RunView{ID: start.Run, Rule: start.Rule, RuleVersion: start.RuleVersion, Device: start.Device,
		Decided: at.String(), decided: at, Status: OutcomeName(st.Outcome), Error: st.Error,
		Begun: st.Begun, Ended: st.Ended}
	v.Key, v.Total, v.Branch, v.Situation = start.Key, int(start.Total), start.Branch, start.Situation
	v.Total = max(v.Total, len(start.Events))
	if dec != nil {
		v.DryRun, v.Replay, v.Due = dec.DryRun, dec.Replay, dec.Due
	}
	if ev := run.EventOf(dec, start); ev != nil {
		v.EventID, v.EventType = ev.ID, ev.Type
		if whole {
			v.Event = ev
		}
	}
	if whole {
		v.Events = eventViews(start)
	}
	if v.Status == "" {
		v.Status = "pending"
		for _, s := range st.Steps {
			if s.Status == run.Waiting && (v.RetryAt.IsZero() || s.RetryAt.Before(v.RetryAt)) {
				v.Status, v.RetryAt = "waiting", s.RetryAt
			}
		}
	}
	if whole {
		for _, s := range st.Steps {
			v.Steps = append(v.Steps, StepView{Step: s.Path, Action: s.Action, Status: s.Status.String(),
				Error: s.Error, Output: s.Output, Attempts: slices.Clone(s.Attempts)})
		}
		for _, e := range st.Ends {
			v.Ends = append(v.Ends, EndView{e.Time, OutcomeName(e.Outcome), e.Error, e.By})
		}
	}
	return v
}

// eventViews lists the events that made up what a rule found.
func eventViews(start *record.RunStart) []EventView {
	var out []EventView
	for i, ev := range start.Events {
		v := EventView{ID: ev.ID, Type: ev.Type, Device: ev.Device, Interface: ev.Interface,
			Received: ev.Received, Time: ev.Time, Data: ev.Data}
		if i < len(start.As) {
			v.As = start.As[i]
		}
		out = append(out, v)
	}
	return out
}

// view makes a view of a run that is or was open.
func (it *item) view(whole bool) RunView {
	it.mu.Lock()
	defer it.mu.Unlock()
	v := viewOf(it.start, it.dec, it.at, it.st, whole)
	if v.Status == "pending" && it.started {
		v.Status = "running"
	}
	return v
}

// view of a dead letter; it has no steps where only the log has them.
func (d *deadLetter) view(whole bool) RunView {
	if d.st != nil {
		return viewOf(d.start, d.dec, d.at, d.st, whole)
	}
	return viewOf(d.start, nil, d.at, &run.State{Outcome: d.outcome, Error: d.reason, Ended: d.when}, false)
}

// Filter chooses runs.
type Filter struct {
	Status string              // "": any
	Fits   func(*RunView) bool // nil: all
	Limit  int                 // 0: 100
}

func (f *Filter) match(v *RunView) bool {
	return (f.Status == "" || f.Status == v.Status) && (f.Fits == nil || f.Fits(v))
}

// Runs lists the runs that memory holds, newest first, without their steps:
// all that are open, those that wait for a person, and the last that ended.
func (w *Worker) Runs(f Filter) []RunView {
	w.mu.Lock()
	items := make([]*item, 0, len(w.open)+len(w.recent.items))
	for _, it := range w.open {
		items = append(items, it)
	}
	items = append(items, w.recent.items...)
	w.mu.Unlock()
	var out []RunView
	for _, it := range items {
		if v := it.view(false); f.match(&v) {
			out = append(out, v)
		}
	}
	out = append(out, w.farViews(f)...)
	out = append(out, w.waitingForPeople(f, false)...)
	return newest(out, f.Limit)
}

// DeadLetters lists the runs that wait for a person, newest first, with the
// event and every attempt where memory holds them; Find gives those of one from
// the log.
func (w *Worker) DeadLetters(f Filter) []RunView {
	return newest(w.waitingForPeople(f, true), f.Limit)
}

func (w *Worker) waitingForPeople(f Filter, whole bool) []RunView {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []RunView
	// The newest are at the back; beyond the limit they need no copy.
	for e := w.dead.order.Back(); e != nil && len(out) < f.limit(); e = e.Prev() {
		if v := e.Value.(*deadLetter).view(whole); f.match(&v) {
			out = append(out, v)
		}
	}
	return out
}

func (f *Filter) limit() int {
	if f.Limit <= 0 {
		return 100
	}
	return f.Limit
}

func newest(vs []RunView, limit int) []RunView {
	slices.SortStableFunc(vs, func(a, b RunView) int {
		switch {
		case b.decided.Less(a.decided):
			return -1
		case a.decided.Less(b.decided):
			return 1
		default:
			return 0
		}
	})
	f := Filter{Limit: limit}
	return vs[:min(len(vs), f.limit())]
}

// ring holds the last runs that ended. It is guarded by Worker.mu.
type ring struct {
	limit int
	items []*item
	next  int
	ids   map[string]*item
}

// recentOutput is the largest output that is kept of a step of an ended run.
const recentOutput = 1 << 10

func (r *ring) add(it *item) {
	it.mu.Lock()
	for _, s := range it.st.Steps {
		if len(s.Output) > recentOutput {
			s.Output = []byte(`{"omitted":"see the log"}`)
		}
	}
	it.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]*item{}
	}
	if len(r.items) < r.limit {
		r.items = append(r.items, it)
	} else {
		if old := r.items[r.next]; r.ids[old.start.Run] == old {
			delete(r.ids, old.start.Run)
		}
		r.items[r.next] = it
		r.next = (r.next + 1) % r.limit
	}
	r.ids[it.start.Run] = it
}

func (r *ring) find(id string) *item { return r.ids[id] }
func (r *ring) has(id string) bool   { return r.ids[id] != nil }

// watchers are told of every change of a run.
type watchers struct {
	n  atomic.Int32 // so that a change that nobody watches costs nothing
	mu sync.Mutex
	fs map[int]func(RunView)
	id int
}

// Watch calls f with a run's view, without its steps, whenever the run changes, until stop is
// called. f must not block: the run waits for it. The changes of one run come
// in order.
func (w *Worker) Watch(f func(RunView)) (stop func()) {
	ws := &w.watch
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.fs == nil {
		ws.fs = map[int]func(RunView){}
	}
	id := ws.id
	ws.id++
	ws.fs[id] = f
	ws.n.Add(1)
	return func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if _, ok := ws.fs[id]; ok {
			delete(ws.fs, id)
			ws.n.Add(-1)
		}
	}
}

func (w *Worker) changed(it *item) {
	if w.watch.n.Load() == 0 {
		return
	}
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	// Looked at when it is its turn to be told: what was seen before could be
	// told after what came later.
	v := it.view(false)
	for _, f := range w.watch.fs {
		f(v)
	}
}

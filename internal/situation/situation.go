// Package situation keeps the situations that rules have opened: what they are
// about, their state, and the events and runs that belong to them. It is a fold
// over log.decisions, and pure: it can be thrown away and is built again.
package situation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
)

// The states of a situation.
const (
	Open         = "open"
	Acknowledged = "acknowledged" // a person has seen it
	Resolved     = "resolved"
)

// Bounds of what is kept. All of it is in the log.
const (
	MaxOpen     = 100_000 // that are not resolved; beyond, those that were quiet longest go
	MaxResolved = 1000    // and none for longer than KeepResolved
	MaxLines    = 100     // events, runs and changes of one situation: the oldest and the newest half
)

// KeepResolved is for how long a resolved situation is listed, in log time.
const KeepResolved = 24 * time.Hour

// Situation is one of them. Times are log times.
type Situation struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Key      string    `json:"key,omitempty"` // what its events share, for people
	State    string    `json:"state"`
	Opened   time.Time `json:"opened"`
	Changed  time.Time `json:"changed"`
	Resolved time.Time `json:"resolved,omitzero"`
	By       string    `json:"by,omitempty"`   // who acknowledged or resolved it; "" for nobody, an event did
	Note     string    `json:"note,omitempty"` // what that person wrote, or why it ended without an event

	// EventCount and ChangeCount say how many there were; the lists keep the
	// oldest and the newest.
	EventCount  int      `json:"event_count"`
	Events      []Event  `json:"events,omitempty"`
	RunCount    int      `json:"run_count"`
	Runs        []Run    `json:"runs,omitempty"`
	ChangeCount int      `json:"change_count"`
	Changes     []Change `json:"changes,omitempty"`
}

// Event is one event of a situation. Of those that started no run the log's
// decision has no more than the id.
type Event struct {
	ID        event.ID `json:"id"`
	Type      string   `json:"type,omitempty"`
	Device    string   `json:"device,omitempty"`
	Interface string   `json:"interface,omitempty"`
}

// Run is one run of a situation.
type Run struct {
	ID     string `json:"run"`
	Branch string `json:"branch,omitempty"` // "updated", "resolved"; "" for do
}

// Change is one step in the life of a situation.
type Change struct {
	Time   time.Time `json:"time"`
	Change string    `json:"change"` // opened, updated, acknowledged, resolved
	Event  event.ID  `json:"event,omitempty"`
	Run    string    `json:"run,omitempty"`
	By     string    `json:"by,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// Book holds them. The zero value is empty. Not safe for many goroutines at
// once; what it gives are copies.
type Book struct {
	Through  record.Position // the last batch taken
	byID     map[string]*Situation
	resolved int       // of them
	eldest   time.Time // no resolved one is older; zero: there is none
}

func (b *Book) resolvedAt(t time.Time) {
	if b.eldest.IsZero() || t.Before(b.eldest) {
		b.eldest = t
	}
}

// Apply takes a batch of the log, in order; batches that are not of
// log.decisions, and those taken before, change nothing. It gives the situations
// that have changed, each once.
func (b *Book) Apply(batch *record.Batch) []Situation {
	if batch.Seq <= b.Through.Seq {
		return nil
	}
	b.Through = record.Position{Seq: batch.Seq}
	if batch.Subject != record.Decisions {
		return nil
	}
	if b.byID == nil {
		b.byID = map[string]*Situation{}
	}
	var ids []string
	for i := range batch.Records {
		d := batch.Records[i].Decision
		if d == nil || d.Replay {
			continue
		}
		for j := range d.Situations {
			b.change(batch.Time, d, &d.Situations[j])
			ids = append(ids, d.Situations[j].ID)
		}
		if id := b.person(batch.Time, d); id != "" {
			ids = append(ids, id)
		}
	}
	b.forget(batch.Time)
	slices.Sort(ids)
	var out []Situation
	for _, id := range slices.Compact(ids) {
		if s := b.byID[id]; s != nil {
			out = append(out, s.clone())
		}
	}
	return out
}

// person carries out a command on a situation that the engine does not know any
// more, since its rule has changed: nothing else would ever end it. It gives its
// id; "" where there is nothing to do.
func (b *Book) person(now time.Time, d *record.Decision) string {
	c := d.Command
	if c == nil || len(d.Situations) > 0 || c.Verb != "acknowledge" && c.Verb != "resolve" {
		return ""
	}
	s := b.byID[c.Run]
	if s == nil || s.State == Resolved {
		return ""
	}
	change := record.SituationChange{ID: s.ID, Rule: s.Rule, Key: s.Key, By: c.By, Note: c.Note, Change: Acknowledged, State: Acknowledged}
	if c.Verb == "resolve" {
		change.Change, change.State = Resolved, Resolved
	}
	b.change(now, d, &change)
	return s.ID
}

func (b *Book) change(now time.Time, d *record.Decision, c *record.SituationChange) {
	s := b.byID[c.ID]
	if s == nil {
		s = &Situation{ID: strings.Clone(c.ID), Rule: strings.Clone(c.Rule), Key: strings.Clone(c.Key), Opened: now}
		b.byID[s.ID] = s
	}
	if was := s.State == Resolved; was != (c.State == Resolved) {
		b.resolved++
		s.Resolved = now
		b.resolvedAt(now)
		if was {
			b.resolved -= 2
			s.Resolved = time.Time{}
		}
	}
	s.State, s.Changed = strings.Clone(c.State), now
	if c.By != "" || c.Note != "" {
		s.By, s.Note = strings.Clone(c.By), strings.Clone(c.Note)
	}
	s.ChangeCount++
	s.Changes = keep(s.Changes, Change{Time: now, Change: strings.Clone(c.Change), Event: event.ID(strings.Clone(string(c.Event))),
		Run: strings.Clone(c.Run), By: strings.Clone(c.By), Note: strings.Clone(c.Note)})
	var run *record.RunStart
	if c.Run != "" {
		if i := slices.IndexFunc(d.Runs, func(r record.RunStart) bool { return r.Run == c.Run }); i >= 0 {
			run = &d.Runs[i]
		}
		r := Run{ID: strings.Clone(c.Run)}
		switch {
		case run != nil:
			r.Branch = strings.Clone(run.Branch)
		case c.Change != "opened": // a person's word: its run is in a decision of its own
			r.Branch = strings.Clone(c.Change)
		}
		s.RunCount++
		s.Runs = keep(s.Runs, r)
	}
	s.add(d, c.Event, run)
	s.EventCount = max(s.EventCount, int(c.Count))
}

// add adds the events of a change: all that made up what was found.
func (s *Situation) add(d *record.Decision, id event.ID, run *record.RunStart) {
	var found []*event.Event
	total := 1
	if run != nil {
		found, total = run.Events, max(int(run.Total), len(run.Events), 1)
	}
	switch {
	case len(found) > 0:
	case d.Event != nil && d.Event.ID == id:
		found = []*event.Event{d.Event}
	case id != "":
		found = []*event.Event{{ID: id}}
	default:
		return // a person
	}
	s.EventCount += total
	for _, ev := range found {
		s.Events = keep(s.Events, Event{ID: event.ID(strings.Clone(string(ev.ID))), Type: strings.Clone(ev.Type),
			Device: strings.Clone(ev.Device), Interface: strings.Clone(ev.Interface)})
	}
}

// keep appends, and takes one from the middle where the list is full.
func keep[T any](list []T, v T) []T {
	if len(list) == MaxLines {
		list = slices.Delete(list, MaxLines/2, MaxLines/2+1)
	}
	return append(list, v)
}

// forget keeps the bounds. Most batches change nothing of it.
func (b *Book) forget(now time.Time) {
	// A quarter more is let gather, so that not every change looks at all.
	over := b.resolved > MaxResolved*5/4 || len(b.byID)-b.resolved > MaxOpen*5/4
	old := now.Add(-KeepResolved)
	if !over && (b.resolved == 0 || b.eldest.After(old)) {
		return
	}
	b.eldest = time.Time{}
	var done, open []*Situation
	for id, s := range b.byID {
		switch {
		case s.State != Resolved:
			open = append(open, s)
		case !s.Resolved.After(old):
			delete(b.byID, id)
			b.resolved--
		default:
			done = append(done, s)
			b.resolvedAt(s.Resolved)
		}
	}
	if !over {
		return
	}
	drop := func(list []*Situation, most int) {
		if len(list) <= most {
			return
		}
		slices.SortFunc(list, newestFirst)
		for _, s := range list[most:] {
			delete(b.byID, s.ID)
		}
	}
	drop(done, MaxResolved)
	drop(open, MaxOpen)
	b.resolved = min(len(done), MaxResolved)
}

func newestFirst(a, b *Situation) int {
	return cmp.Or(b.Changed.Compare(a.Changed), cmp.Compare(a.ID, b.ID))
}

// Filter chooses situations; empty fields choose all.
type Filter struct {
	State, Rule string
	Limit       int // the newest so many; 0: all
}

// Fits says whether f chooses s.
func (f Filter) Fits(s *Situation) bool {
	return (f.State == "" || f.State == s.State) && (f.Rule == "" || f.Rule == s.Rule)
}

// List gives those that f chooses, by their last change, the newest last.
func (b *Book) List(f Filter) []Situation {
	var found []*Situation
	for _, s := range b.byID {
		if f.Fits(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, newestFirst)
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	out := make([]Situation, 0, len(found))
	for _, s := range slices.Backward(found) {
		out = append(out, s.clone())
	}
	return out
}

// Find gives one.
func (b *Book) Find(id string) (Situation, bool) {
	s := b.byID[id]
	if s == nil {
		return Situation{}, false
	}
	return s.clone(), true
}

// Count says how many there are of each state.
func (b *Book) Count() (open, acknowledged, resolved int) {
	for _, s := range b.byID {
		switch s.State {
		case Resolved:
			resolved++
		case Acknowledged:
			acknowledged++
		default:
			open++
		}
	}
	return open, acknowledged, resolved
}

func (s *Situation) clone() Situation {
	c := *s
	c.Events, c.Runs, c.Changes = slices.Clone(s.Events), slices.Clone(s.Runs), slices.Clone(s.Changes)
	return c
}

// saved is a book as a snapshot has it.
type saved struct {
	Version    int             `json:"version"`
	Through    record.Position `json:"through"`
	Situations []Situation     `json:"situations"`
}

const savedVersion = 1

// Marshal writes a snapshot.
func (b *Book) Marshal() ([]byte, error) {
	return json.Marshal(saved{savedVersion, b.Through, b.List(Filter{})})
}

// Restore reads what Marshal wrote.
func Restore(data []byte) (*Book, error) {
	var s saved
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("situations: %w", err)
	}
	if s.Version != savedVersion {
		return nil, fmt.Errorf("situations: version %d, this binary reads %d", s.Version, savedVersion)
	}
	b := &Book{Through: s.Through, byID: make(map[string]*Situation, len(s.Situations))}
	for i := range s.Situations {
		b.byID[s.Situations[i].ID] = &s.Situations[i]
		if s.Situations[i].State == Resolved {
			b.resolved++
			b.resolvedAt(s.Situations[i].Resolved)
		}
	}
	return b, nil
}

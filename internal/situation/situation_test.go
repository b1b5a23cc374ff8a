package situation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/record"
)

var t0 = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// book is a log of decisions, one a batch and a second.
type book struct {
	*Book
	seq uint64
	now time.Time
}

func newBook() *book { return &book{Book: &Book{}, now: t0} }

func (b *book) decide(d *record.Decision) []Situation {
	b.seq++
	b.now = b.now.Add(time.Second)
	return b.Apply(&record.Batch{Seq: b.seq, Time: b.now, Subject: record.Decisions,
		Records: []record.Record{{Kind: record.KindDecision, Decision: d}}})
}

func change(id, what, state, ev, run string) record.SituationChange {
	return record.SituationChange{ID: id, Rule: "link", Key: "sw1 Gi0/1", Change: what, State: state, Event: event.ID(ev), Run: run}
}

// line is a situation in short.
func line(s *Situation) string {
	var events, runs []string
	for _, e := range s.Events {
		events = append(events, string(e.ID)+"/"+e.Type)
	}
	for _, r := range s.Runs {
		runs = append(runs, r.ID+"/"+r.Branch)
	}
	return fmt.Sprintf("%s %s %s events %d %v runs %d %v by %q", s.ID, s.Key, s.State, s.EventCount, events, s.RunCount, runs, s.By)
}

func TestLife(t *testing.T) {
	b := newBook()
	down := &event.Event{ID: "e2", Type: "interface_down"}
	b.decide(&record.Decision{Event: down,
		Runs: []record.RunStart{{Run: "r1", Rule: "link", Total: 9, Situation: "s1",
			Events: []*event.Event{{ID: "e1", Type: "config_change"}, down}}},
		Situations: []record.SituationChange{change("s1", "opened", Open, "e2", "r1")}})
	b.decide(&record.Decision{Situations: []record.SituationChange{change("s1", "updated", Open, "e3", "")}})
	b.decide(&record.Decision{Replay: true, Situations: []record.SituationChange{change("s1", "resolved", Resolved, "e3", "")}})
	ack := change("s1", "acknowledged", Acknowledged, "", "")
	ack.By, ack.Note = "ann", "on it"
	if got := b.decide(&record.Decision{Command: &record.Command{Verb: "acknowledge", Run: "s1"}, Situations: []record.SituationChange{ack}}); len(got) != 1 {
		t.Errorf("changed: %v", got)
	}
	up := &event.Event{ID: "e4", Type: "interface_up"}
	b.decide(&record.Decision{Event: up, Runs: []record.RunStart{{Run: "r2", Rule: "link", Branch: "resolved"}},
		Situations: []record.SituationChange{change("s1", "resolved", Resolved, "e4", "r2")}})
	s, ok := b.Find("s1")
	want := `s1 sw1 Gi0/1 resolved events 11 [e1/config_change e2/interface_down e3/ e4/interface_up] runs 2 [r1/ r2/resolved] by "ann"`
	if got := line(&s); !ok || got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s.Opened != t0.Add(time.Second) || s.Resolved != t0.Add(5*time.Second) || s.ChangeCount != 4 {
		t.Errorf("%+v", s)
	}
	data, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Restore(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.List(Filter{}), again.List(Filter{})); diff != "" || again.Through != b.Through {
		t.Error(diff, again.Through)
	}
	// A day later it is not listed any more, whatever brings the time.
	b.now = b.now.Add(KeepResolved)
	b.decide(&record.Decision{})
	if _, ok := b.Find("s1"); ok || b.resolved != 0 {
		t.Error("it is still there")
	}
}

// TestWhatTheEngineForgot: a person can still end what a changed rule has left.
func TestWhatTheEngineForgot(t *testing.T) {
	b := newBook()
	b.decide(&record.Decision{Situations: []record.SituationChange{change("s1", "opened", Open, "e1", "")}})
	for _, c := range []struct{ verb, run, want string }{
		{"acknowledge", "s1", Acknowledged}, {"discard", "s1", Acknowledged}, {"resolve", "unknown", Acknowledged}, {"resolve", "s1", Resolved}, {"acknowledge", "s1", Resolved},
	} {
		b.decide(&record.Decision{Command: &record.Command{Verb: c.verb, Run: c.run, By: "bob", Note: "gone"}})
		if s, _ := b.Find("s1"); s.State != c.want {
			t.Errorf("after %s %s: %s", c.verb, c.run, s.State)
		}
	}
}

func TestBounds(t *testing.T) {
	b := newBook()
	for i := range 2 * MaxResolved {
		id := fmt.Sprint("s", i)
		b.decide(&record.Decision{Situations: []record.SituationChange{change(id, "opened", Open, "e", ""), change(id, "resolved", Resolved, "f", "")}})
	}
	for i := range 300 {
		b.decide(&record.Decision{Situations: []record.SituationChange{change("busy", "updated", Open, fmt.Sprint("e", i), fmt.Sprint("r", i))}})
	}
	open, acked, resolved := b.Count()
	if open != 1 || acked != 0 || resolved < MaxResolved || resolved > MaxResolved*5/4 {
		t.Errorf("%d open, %d acknowledged, %d resolved", open, acked, resolved)
	}
	s, _ := b.Find("busy")
	if len(s.Events) != MaxLines || len(s.Runs) != MaxLines || len(s.Changes) != MaxLines || s.EventCount != 300 ||
		s.Events[0].ID != "e0" || s.Events[MaxLines-1].ID != "e299" {
		t.Errorf("%d events, %d runs, %d changes", len(s.Events), len(s.Runs), len(s.Changes))
	}
	list := b.List(Filter{State: Resolved, Rule: "link", Limit: 2})
	if len(list) != 2 || list[1].ID != fmt.Sprint("s", 2*MaxResolved-1) {
		t.Errorf("%v", list)
	}
	if list := b.List(Filter{Rule: "other"}); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if _, err := Restore([]byte(`{"version":9}`)); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Error(err)
	}
}

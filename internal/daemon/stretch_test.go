package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// TestCut: what is too large for one batch is cut between records, nothing is
// lost, and every part counts its own events.
func TestCut(t *testing.T) {
	big := make([]byte, cutBytes/3)
	b := &record.Batch{Seq: 7, Subject: record.Events}
	s := engine.Stretch{From: record.Position{Seq: 6}, Through: record.Position{Seq: 7, Index: 7}, RulesVersion: "v", Resets: []string{"r"}}
	for i := range uint32(8) {
		at := record.Position{Seq: 7, Index: i}
		if i == 4 {
			b.Records = append(b.Records, record.Record{Kind: record.KindTick})
		} else {
			b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: &event.Event{}})
			s.Events++
		}
		own := &record.Decision{At: at, Verdict: record.Decided, Event: &event.Event{Data: big}}
		timed := &record.Decision{At: at, Verdict: record.Decided, Due: time.Unix(1, 0)}
		switch i {
		case 1:
			s.Unmatched++
		case 2: // unmatched, with something to say
			own = &record.Decision{At: at, Verdict: record.Unmatched}
			s.Unmatched++
			fallthrough
		default:
			s.Records = append(s.Records, record.Record{Kind: record.KindDecision, Decision: timed})
			if i != 4 {
				s.Records = append(s.Records, record.Record{Kind: record.KindDecision, Decision: own})
			}
		}
	}
	show := func(ss []engine.Stretch) string {
		var b strings.Builder
		for _, s := range ss {
			fmt.Fprintf(&b, "%s–%s: %d records, %d events, %d unmatched, %s %v\n", s.From, s.Through, len(s.Records), s.Events, s.Unmatched, s.RulesVersion, s.Resets)
		}
		return b.String()
	}
	d := &decider{}
	want := "6/0–7/4: 7 records, 4 events, 2 unmatched, v [r]\n7/4–7/6: 4 records, 2 events, 0 unmatched, v []\n7/6–7/7: 2 records, 1 events, 0 unmatched, v []\n"
	if diff := cmp.Diff(want, show(d.cut(b, []engine.Stretch{s}))); diff != "" {
		t.Error(diff)
	}
	// What the log has decided before the start ends a part, whatever the size.
	d.logged = record.Position{Seq: 7, Index: 1}
	got := d.cut(b, []engine.Stretch{s})
	if len(got) < 2 || got[0].Through != d.logged || got[1].From != d.logged {
		t.Error(show(got))
	}
	small := engine.Stretch{From: record.Position{Seq: 7}, Through: record.Position{Seq: 7, Index: 7}}
	d.logged = record.Position{Seq: 5}
	if diff := cmp.Diff([]engine.Stretch{small}, d.cut(b, []engine.Stretch{small})); diff != "" {
		t.Error(diff)
	}
}

package ledger

import (
	"testing"

	"signalbox/internal/record"
)

// The first stretch may begin before the log does: the events that left are no
// problem, and neither are runs whose beginning has left.
func TestAStretchOfWhichSomeHasLeft(t *testing.T) {
	a := NewAudit()
	a.Apply(&record.Batch{Seq: 10, Time: t0, Subject: record.Events, Records: []record.Record{ev("e1")}})
	a.Apply(&record.Batch{Seq: 11, Time: t0, Subject: record.Journal, Records: []record.Record{
		{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "old", Outcome: record.Succeeded}}}})
	a.Apply(&record.Batch{Seq: 12, Time: t0, Subject: record.Decisions, From: at(7, 0), Through: at(10, 0),
		EventCount: 5, UnmatchedCount: 5})
	a.Apply(&record.Batch{Seq: 13, Time: t0, Subject: record.Journal, Records: []record.Record{
		{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "older", Outcome: record.Succeeded}}}})
	if len(a.Problems) > 0 {
		t.Errorf("problems: %q", a.Problems)
	}
	if !a.Books.Partial {
		t.Error("the books do not say that their beginning is missing")
	}
}

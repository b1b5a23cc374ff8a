package record

import (
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
)

// What is cloned is equal, and shares nothing with the buffer that it came from.
func TestClonesShareNothing(t *testing.T) {
	ev := &event.Event{ID: "e1", SenderID: "s1", Source: "src", Peer: "192.0.2.1:5", Type: "interface_down", Device: "sw1", Interface: "Gi0/1",
		TraceParent: "00-x", Mapping: "m@1", Data: []byte(`{"a":1}`), Raw: []byte("raw"), Meta: map[string]string{"k": "v"}, Resubmits: "e0",
		Received: time.Unix(7, 0).UTC(), Cause: &event.Cause{Run: "r1", Rule: "x", Event: "e9", Rules: []string{"x", "y"}}}
	batch := &Batch{Seq: 1, Subject: Decisions, Writer: "w", Number: 1, Records: []Record{
		{Kind: KindDecision, Decision: &Decision{At: Position{Seq: 3}, Verdict: Decided, Event: ev, Of: "e5", Reason: "why",
			Runs: []RunStart{{Run: "r1", Rule: "x", RuleVersion: "v", Device: "sw1", Partition: 3,
				Events: []*event.Event{ev}, As: []string{"down"}, Total: 1, Key: "sw1 Gi0/1", Branch: "updated", Situation: "s1"}},
			Due:        time.Unix(9, 0).UTC(),
			Situations: []SituationChange{{ID: "s1", Rule: "x", Key: "sw1", Change: "opened", State: "open", Event: "e1", Run: "r1", By: "me", Note: "n", Count: 3}},
			Command:    &Command{ID: "c", Verb: "requeue", Run: "r0", By: "me", Note: "n"}}},
		{Kind: KindStepBegin, Begin: &StepBegin{Run: "r1", Step: "0", Attempt: 1, Action: "log"}},
		{Kind: KindStepEnd, End: &StepEnd{Run: "r1", Step: "0", Attempt: 1, OK: true, Output: []byte(`{}`), Error: "no"}},
		{Kind: KindRunEnd, RunEnd: &RunEnd{Run: "r1", Outcome: Succeeded, Error: "e", By: "b"}},
	}}
	data := Encode(batch)
	got, err := DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	d := CloneDecision(got.Records[0].Decision)
	if diff := cmp.Diff(got.Records[0].Decision, d); diff != "" {
		t.Error(diff)
	}
	for i := 1; i < len(got.Records); i++ {
		if diff := cmp.Diff(&got.Records[i], CloneJournal(&got.Records[i])); diff != "" {
			t.Error(diff)
		}
	}
	inBatch := func(s string) bool {
		p := uintptr(unsafe.Pointer(unsafe.StringData(s)))
		from := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
		return len(s) > 0 && p >= from && p < from+uintptr(len(data))
	}
	if !inBatch(got.Records[0].Decision.Event.Device) {
		t.Skip("decoding copies strings: there is nothing to share")
	}
	for _, s := range []string{string(d.Event.ID), d.Event.Device, d.Event.Cause.Rules[1], d.Runs[0].Run, d.Command.Note, d.Reason,
		d.Runs[0].Key, d.Runs[0].As[0], d.Runs[0].Events[0].Device, d.Situations[0].Note} {
		if inBatch(s) {
			t.Errorf("%q still lies in the batch", s)
		}
	}
}

package backtest_test

import (
	"testing"

	"signalbox/event"
	"signalbox/internal/backtest"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
)

func TestRemap(t *testing.T) {
	down := []byte("<189>Nov 24 10:00:00 sw1 45: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to down")
	hook := []byte(`{"event_type":"interface_up","device":"sw1","interface":"Gi0/1"}`)
	b := &record.Batch{Seq: 7, Time: t0, Subject: record.Events, Records: []record.Record{
		{Kind: record.KindEvent, Event: &event.Event{ID: "1", Source: "campus", Type: "syslog_message", Received: wrote, Raw: down, TraceParent: "tp",
			Cause: &event.Cause{Rule: "r"}}},
		{Kind: record.KindEvent, Event: &event.Event{ID: "2", Source: "gone", Type: "interface_up", Raw: hook}},
		{Kind: record.KindEvent, Event: &event.Event{ID: "3", Type: "custom", Device: "sw1"}},
		{Kind: record.KindRejected, Rejected: &record.Rejected{Event: event.Event{ID: "4", Source: "tools", Raw: hook,
			Meta: map[string]string{"signalbox-form": "payload", "X-Kind": "a"}}}},
		{Kind: record.KindEvent, Event: &event.Event{ID: "5", Source: "tools", Type: "interface_up", Raw: []byte(`{"event_type":"bgp_neighbor_down","device":"r1"}`)}},
		{Kind: record.KindTick},
	}}
	m := &backtest.Remapper{Normalizer: normalizer(), Sources: map[string]backtest.Source{"campus": {Form: normalize.Syslog}, "tools": {Form: normalize.Payload}}}
	out := m.Batch(b)
	want := backtest.Remapped{Events: 4, Retyped: 1, Accepted: 1, Rejected: 1, Kept: 1}
	if m.Counts != want {
		t.Errorf("counted %+v, want %+v", m.Counts, want)
	}
	kinds := []record.Kind{record.KindEvent, record.KindEvent, record.KindEvent, record.KindEvent, record.KindRejected, record.KindTick}
	for i, k := range kinds {
		if out.Records[i].Kind != k {
			t.Errorf("record %d is of kind %d, want %d", i, out.Records[i].Kind, k)
		}
	}
	ev := out.Records[0].Event
	if ev.Type != "interface_down" || ev.ID != "1" || ev.TraceParent != "tp" || ev.Cause == nil || !ev.Received.Equal(wrote) || ev.Interface != "GigabitEthernet1/0/1" {
		t.Errorf("mapped again it is %+v", ev)
	}
	if b.Records[0].Event.Type != "syslog_message" || b.Records[3].Kind != record.KindRejected {
		t.Error("the batch was changed")
	}
	if meta := out.Records[3].Event.Meta; meta["X-Kind"] != "a" || meta["signalbox-form"] != "" {
		t.Errorf("meta is %v", meta)
	}
}

package decide_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
)

// What is remembered of an event is a copy: a part of its batch would keep all of
// the batch in memory. So it makes no difference when a batch's bytes are
// overwritten once it is decided about.
func TestNothingOfABatchIsKept(t *testing.T) {
	net := newNetwork(400)
	text := siteRules(300, 0, len(net.devices)/devicesOf+1)
	run := func(overwrite bool) (decided, state []byte, noted int) {
		e := begin(t, loadSite(t, net, text))
		for n := range 4000 {
			b := &record.Batch{Subject: record.Events, Writer: "w", Number: uint64(n + 1)}
			for i := range 3 {
				at := 3*n + i
				ev := siteEvent(at)
				x := int(mixed(uint64(at)) % uint64(net.ports+net.ports/8))
				ev.ID, ev.Raw = event.ID(fmt.Sprintf("019360aa-0000-7000-8000-%012x", at)), nil
				if x < net.ports {
					ev.Device = net.devices[x/portsOf]
				} else { // unknown to the inventory
					ev.Device = fmt.Sprintf("host%d-%s", x, net.devices[0])
				}
				if ev.Type == "interface_utilisation" || ev.Type == "interface_up" || ev.Type == "interface_down" {
					ev.Interface = net.names[x%portsOf]
				}
				b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: ev})
			}
			code := record.Encode(b) // too small to be compressed: what is decoded are parts of it
			b, err := record.DecodeBatch(code)
			if err != nil {
				t.Fatal(err)
			}
			b.Seq, b.Time = uint64(n+2), t0.Add(time.Duration(n)*20*time.Millisecond)
			stretches, err := e.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			more := 0
			decided, more = appendDecisions(decided, stretches)
			noted += more
			if overwrite {
				for i := range code {
					code[i] = '?'
				}
				if b.Records[0].Event.Source != "??????" {
					t.Fatal("the batch has memory of its own: this test shows nothing")
				}
			}
		}
		return decided, e.Snapshot(), noted
	}
	decided, state, noted := run(false)
	if noted < 1000 {
		t.Fatalf("only %d things were decided", noted)
	}
	again, stateAgain, _ := run(true)
	if !bytes.Equal(decided, again) {
		t.Error("other decisions")
	}
	if !bytes.Equal(state, stateAgain) {
		t.Error("another state")
	}
}

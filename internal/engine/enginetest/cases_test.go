package enginetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

// TestCases are logs on which the engine and the reference differed once, with
// what is right. An event is "seconds type device interface", and its device is
// its key.
func TestCases(t *testing.T) {
	tests := []struct {
		name string
		w    world
		log  string
		want []string
	}{
		{
			name: "the first run of a group is not put off by the same key again",
			w: world{rules: []*worldRule{{name: "mail", parts: map[string][]int{"down": {0}},
				plan: &correlate.Plan{Group: &correlate.Group{Wait: 3 * unit, Interval: time.Minute, Signature: "g"}}}}},
			log:  "0 down a, 2 down a, 4 down a",
			want: []string{"0 now: verdict 1 of ", "1 now: verdict 1 of ", "2 3s: run mail [e1 e2]", "2 now: verdict 1 of ", "3 1m3s: run mail [e1 e2 e3]"},
		},
		{
			name: "what is released when a window ends is not in that window",
			w: world{rules: []*worldRule{
				{name: "flap", parts: map[string][]int{"down": {0}}, plan: &correlate.Plan{Form: correlate.Flap, Changes: 9, Within: 2 * unit, Holds: []string{"count"}}},
				{name: "unless", parts: map[string][]int{"down": {0}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 2 * unit, Parts: make([]correlate.Part, 2)}},
				{name: "count", parts: map[string][]int{"down": {0}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 2 * unit, Parts: make([]correlate.Part, 2)}},
			}},
			log: "0 down a, 2 down a",
			want: []string{"0 now: verdict 1 of ", "1 now: note count released e1", "1 now: run unless [e1] a", "1 now: verdict 1 of ",
				"2 4s: note count released e2", "2 4s: run count [e1] a", "2 4s: run unless [e2] a", "2 6s: run count [e2] a"},
		},
		{
			name: "what waits is behind a link once its own device is up",
			w: world{topology: &correlate.Topology{Roots: []string{"root"}, Links: []correlate.Link{
				{A: "root", B: "a", BInterface: "up"}, {A: "a", AInterface: "b1", B: "b"}}},
				rules: []*worldRule{{name: "port", parts: map[string][]int{"down": {0}}, plan: &correlate.Plan{Upstream: &correlate.Upstream{Wait: 5 * unit}}}}},
			log:  "0 device_down a, 1 down a up, 7 down a b1, 8 device_up a",
			want: []string{"1 now: verdict 1 of ", "2 6s: note port released e2", "2 6s: run port [e2]", "2 now: verdict 1 of ", "3 now: note port upstream"},
		},
		{
			name: "what waits for news from upstream is absorbed by a flap meanwhile",
			w: world{topology: &correlate.Topology{Roots: []string{"root"}, Links: []correlate.Link{{A: "root", B: "a"}}},
				rules: []*worldRule{
					{name: "port", parts: map[string][]int{"down": {0}}, plan: &correlate.Plan{Upstream: &correlate.Upstream{Wait: 5 * unit}}},
					{name: "flap", parts: map[string][]int{"down": {0}, "up": {0}}, plan: &correlate.Plan{Form: correlate.Flap, Changes: 3, Within: 4 * unit, Holds: []string{"port"}}},
				}},
			log: "0 down a, 1 up a, 2 down a, 20 down a",
			want: []string{"0 now: verdict 1 of ", "1 now: verdict 1 of ", "2 now: run flap [e1 e2 e3] a", "2 now: verdict 1 of ",
				"3 5s: note port absorbed e1", "3 5s: note port released e1", "3 7s: note port absorbed e3", "3 7s: note port released e3", "3 now: verdict 1 of ",
				// It waits, and then it is held no longer than the flap's window.
				"4 25s: note port released e4", "4 25s: run port [e4]"},
		},
		{
			name: "what is let go at once comes in the order in which it was logged",
			w: world{rules: []*worldRule{
				{name: "hold", parts: map[string][]int{"down": {0}, "up": {1}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 3 * unit, Parts: make([]correlate.Part, 2), Holds: []string{"after"}, EventTime: true, Lateness: 2 * unit}},
				{name: "after", parts: map[string][]int{"down": {0}, "up": {1}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 2 * unit, Parts: make([]correlate.Part, 2)}},
			}},
			log:  "2 up a, 2 down a -1",
			want: []string{"0 now: verdict 1 of ", "1 now: verdict 1 of ", "2 4s: note after released e1", "2 4s: note after released e2", "2 6s: run after [e2] a"},
		},
		{
			name: "what time lets go comes in order, whoever else had let it go before",
			w: world{rules: []*worldRule{
				{name: "unless", parts: map[string][]int{"down": {0}, "up": {1}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 2 * unit, Parts: make([]correlate.Part, 2), Holds: []string{"plain"}}},
				{name: "all", parts: map[string][]int{"down": {0}, "up": {1}, "other": {2}}, plan: &correlate.Plan{Form: correlate.All, Within: 2 * unit, Parts: make([]correlate.Part, 3), Holds: []string{"plain"}}},
				{name: "plain", parts: map[string][]int{"down": {0}, "up": {1}}, plan: &correlate.Plan{Form: correlate.Unless, Within: 2 * unit, Parts: make([]correlate.Part, 2)}},
			}},
			// e5 ends the wait of unless for e3, so that all has it longest, as it has e2: e2 comes first and stops nothing of e3.
			log: "0 down a, 0 up a, 0 down a, 1 down a, 1 up a, 2 other a",
			want: []string{"0 now: verdict 1 of ", "1 now: verdict 1 of ", "2 now: verdict 1 of ", "3 now: verdict 1 of ", "4 now: verdict 1 of ",
				"5 now: note plain absorbed e4", "5 now: note plain absorbed e5", "5 now: note plain released e1", "5 now: note plain released e2",
				"5 now: note plain released e3", "5 now: run all [e4 e5 e6] a", "5 now: verdict 1 of ", "6 4s: run plain [e3] a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := written(t, &tt.w, tt.log)
			agree(t, &tt.w, log)
			got, _ := fast(t, &tt.w, log, never)
			if diff := cmp.Diff(tt.want, facts(&tt.w, got, log)); diff != "" {
				t.Errorf("decided (-want +got):\n%s", diff)
			}
		})
	}
}

func written(t *testing.T, w *world, text string) []*record.Batch {
	t.Helper()
	w.said = map[event.ID]said{}
	var out []*record.Batch
	for i, line := range strings.Split(text, ", ") {
		f := append(strings.Fields(line), "", "")
		own := 0 // a number in the place of the interface is how much earlier its own time is
		var at int
		if _, err := fmt.Sscan(f[0], &at); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ev := &event.Event{ID: number(i + 1), Source: "s", Type: f[1], Device: f[2], Interface: f[3], Received: start.Add(time.Duration(at) * unit)}
		if _, err := fmt.Sscan(f[3], &own); err == nil {
			ev.Interface, ev.Time = "", ev.Received.Add(time.Duration(own)*unit)
		}
		w.said[ev.ID] = said{key: ev.Device, value: "x"}
		out = append(out, &record.Batch{Time: ev.Received, Records: []record.Record{{Kind: record.KindEvent, Event: ev}}})
	}
	out = append(out, tick(start.Add(time.Hour)))
	for i, b := range out {
		b.Seq, b.Subject = uint64(i+2), record.Events
	}
	return out
}

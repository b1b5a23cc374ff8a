package reference

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/correlate"
)

func limit(f float64) *float64 { return &f }

// TestForms says for each form, by hand, what is found in a list of events. An
// event is "second type", and its type is the parts that it can be ("0", "01"),
// the state, the value or the number.
func TestForms(t *testing.T) {
	w := 10 * time.Second
	tests := []struct {
		name   string
		plan   correlate.Plan
		events string
		until  int
		want   []string
	}{
		{"count: three inside", correlate.Plan{Form: correlate.Count, AtLeast: 3}, "0 x, 5 x, 9 x", 9, []string{"9: 0 1 2"}},
		{"count: the far edge is outside", correlate.Plan{Form: correlate.Count, AtLeast: 3}, "0 x, 5 x, 10 x", 10, nil},
		{"count: what was found is used up", correlate.Plan{Form: correlate.Count, AtLeast: 2}, "0 x, 1 x, 2 x, 3 x", 3, []string{"1: 0 1", "3: 2 3"}},
		{"count: distinct values", correlate.Plan{Form: correlate.Count, AtLeast: 2, Distinct: true}, "0 x, 1 x, 2 y", 2, []string{"2: 0 1 2"}},
		{"count: tumbling windows share nothing", correlate.Plan{Form: correlate.Count, AtLeast: 2, Tumbling: true}, "9 x, 10 x, 19 x", 19, []string{"19: 1 2"}},
		{"flap: down, up, down", correlate.Plan{Form: correlate.Flap, Changes: 3}, "0 d, 1 u, 2 d, 3 u, 12 d, 22 u, 23 d, 24 u", 30, []string{"2: 0 1 2", "24: 5 6 7"}},
		{"flap: a repeated state is no change", correlate.Plan{Form: correlate.Flap, Changes: 3}, "0 d, 1 d, 2 u, 3 d", 9, []string{"3: 0 2 3"}},
		{"sequence: in order", correlate.Plan{Form: correlate.Sequence, Parts: make([]correlate.Part, 2)}, "0 1, 1 0, 2 1, 3 1", 9, []string{"2: 1 2"}},
		{"sequence: the oldest beginning goes on", correlate.Plan{Form: correlate.Sequence, Parts: make([]correlate.Part, 2)}, "0 0, 1 0, 2 1, 3 1", 9, []string{"2: 0 2", "3: 1 3"}},
		{"sequence: from first to last", correlate.Plan{Form: correlate.Sequence, Parts: make([]correlate.Part, 3)}, "0 0, 5 1, 10 2", 20, nil},
		{"all: any order, all kept", correlate.Plan{Form: correlate.All, Parts: make([]correlate.Part, 2)}, "0 1, 1 1, 2 0", 9, []string{"2: 0 1 2"}},
		{"all: a kept one takes the place of one that left", correlate.Plan{Form: correlate.All, Parts: make([]correlate.Part, 2)}, "0 1, 5 1, 12 0", 12, []string{"12: 1 2"}},
		{"all: one event is one part", correlate.Plan{Form: correlate.All, Parts: make([]correlate.Part, 2)}, "0 01, 1 01", 9, []string{"1: 0 1"}},
		{"any", correlate.Plan{Form: correlate.Any, Parts: make([]correlate.Part, 2)}, "0 1, 1 0", 9, []string{"0: 0", "1: 1"}},
		{"unless: nothing came", correlate.Plan{Form: correlate.Unless, Parts: make([]correlate.Part, 2)}, "0 0, 4 0", 10, []string{"10: 0 1"}},
		{"unless: it came", correlate.Plan{Form: correlate.Unless, Parts: make([]correlate.Part, 2)}, "0 0, 9 1", 30, nil},
		{"unless: it came when time was up", correlate.Plan{Form: correlate.Unless, Parts: make([]correlate.Part, 2)}, "0 0, 10 1", 30, []string{"10: 0"}},
		{"silent: once for each silence", correlate.Plan{Form: correlate.Silent}, "0 x, 9 x, 40 x", 60, []string{"19: 1", "50: 2"}},
		{"threshold: for its time", correlate.Plan{Form: correlate.Threshold, Limit: correlate.Limit{Above: limit(5)}}, "0 6, 4 5, 5 6, 9 7", 15, []string{"15: 2 3"}},
		{"threshold: hysteresis", correlate.Plan{Form: correlate.Threshold, Limit: correlate.Limit{Above: limit(5), Clear: limit(3)}}, "0 6, 11 4, 12 6, 13 2, 14 6", 40, []string{"10: 0", "24: 4"}},
		{"threshold: the last sample was not over", correlate.Plan{Form: correlate.Threshold, Limit: correlate.Limit{Above: limit(5)}}, "0 6, 9 1", 40, nil},
		{"threshold: rate of a counter that wraps", correlate.Plan{Form: correlate.Threshold, Limit: correlate.Limit{Above: limit(99), Rate: true, Counter: true}}, "0 4294967196, 1 50, 11 2000", 11, []string{"11: 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.plan.Within = w
			h := &history{plan: &tt.plan}
			for i, text := range strings.Split(tt.events, ", ") {
				h.list = append(h.list, parse(t, i, text, len(tt.plan.Parts) > 0))
			}
			var got []string
			for _, f := range h.at(second(tt.until)).found {
				got = append(got, fmt.Sprintf("%d: %s", f.at.Unix(), strings.Trim(fmt.Sprint(f.events), "[]")))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func second(n int) time.Time { return time.Unix(int64(n), 0).UTC() }

func parse(t *testing.T, i int, text string, parts bool) taken {
	t.Helper()
	var at int
	var what string
	if _, err := fmt.Sscanf(text, "%d %s", &at, &what); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	e := taken{ev: &event.Event{ID: event.ID(fmt.Sprint(i))}, at: second(at), order: i}
	if parts {
		for _, c := range what {
			e.ins = append(e.ins, correlate.Input{Part: int(c - '0')})
		}
		return e
	}
	in := correlate.Input{Value: what}
	_, _ = fmt.Sscanf(what, "%g", &in.Number)
	e.ins = []correlate.Input{in}
	return e
}

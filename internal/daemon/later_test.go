package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/record"
)

func cause(id event.ID) *event.Event { return &event.Event{ID: id, Type: "interface_down"} }

// TestWhatCameLater: an event shows what it became a part of, and what time made
// of it; a listing shows its own outcome only.
func TestWhatCameLater(t *testing.T) {
	l := newLogged(t)
	for _, d := range []string{"first", "single", "second", "alone"} {
		l.event(d, "interface_down", "")
	}
	due := time.Now().UTC().Add(-time.Second)
	l.decide("alone", 4, 1,
		&record.Decision{At: l.at["first"], Verdict: record.Decided, Notes: []record.RuleNote{
			{Rule: "flap", Outcome: "joined", Detail: "1 of 2", Key: "sw1"}, {Rule: "port-down", Outcome: "held", Detail: "by flap"}}},
		&record.Decision{At: l.at["single"], Verdict: record.Decided, Notes: []record.RuleNote{{Rule: "port-down", Outcome: "held", Detail: "by flap"}}},
		&record.Decision{At: l.at["second"], Verdict: record.Decided, Due: due, Event: cause(l.ids["single"]),
			Runs:  []record.RunStart{{Run: "r3-0-0123456789ab", Rule: "port-down"}},
			Notes: []record.RuleNote{{Rule: "port-down", Outcome: "released", Of: l.ids["single"]}, {Rule: "stays-down", Outcome: "limited", Detail: "2 runs in 1h", Of: l.ids["single"]}}},
		&record.Decision{At: l.at["second"], Verdict: record.Decided, Event: cause(l.ids["second"]),
			Runs: []record.RunStart{{Run: "r3-0-ba9876543210", Rule: "flap", Key: "sw1", Total: 2, As: []string{"a", ""}, Situation: "s1",
				Events: []*event.Event{cause(l.ids["first"]), cause(l.ids["second"])}}},
			Notes:      []record.RuleNote{{Rule: "port-down", Outcome: "absorbed", Of: l.ids["first"]}},
			Situations: []record.SituationChange{{ID: "s1", Rule: "flap", Change: "opened", State: "open", Event: l.ids["second"], Run: "r3-0-ba9876543210"}}},
	)
	h := history{l.log}
	show := func(device string) string {
		e, err := h.find(t.Context(), l.ids[device])
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %v\n", e.Status, e.Runs)
		for _, n := range e.Notes {
			fmt.Fprintf(&b, "%s %s %s %s\n", n.Rule, n.Outcome, n.Detail, n.Key)
		}
		for _, s := range e.Situations {
			fmt.Fprintf(&b, "situation %s %s\n", s.ID, s.State)
		}
		for _, x := range e.Later {
			fmt.Fprintf(&b, "later %s %s %s %s %s timed=%v\n", x.Rule, x.Outcome, x.Detail, x.Run, x.Situation, !x.Due.IsZero())
		}
		return b.String()
	}
	for device, want := range map[string]string{
		"first": "decided []\nflap joined 1 of 2 sw1\nport-down held by flap \n" +
			"later flap found one of 2 events, as a r3-0-ba9876543210 s1 timed=false\n" +
			"later port-down absorbed  r3-0-ba9876543210  timed=false\n",
		"single": "decided []\nport-down held by flap \nlater port-down released run as a single event r3-0-0123456789ab  timed=true\n" +
			"later stays-down limited 2 runs in 1h   timed=true\n",
		"second": "decided [r3-0-ba9876543210]\nport-down absorbed  \nsituation s1 open\n",
		"alone":  "unmatched []\n",
	} {
		if diff := cmp.Diff(want, show(device)); diff != "" {
			t.Errorf("%s: %s", device, diff)
		}
	}
	for status, want := range map[string]string{"decided": "first,single,second", "unmatched": "alone", "": "first,single,second,alone"} {
		if got := strings.Join(devices(l, api.EventQuery{Status: status, Limit: 10}), ","); got != want {
			t.Errorf("status %q: %s, want %s", status, got, want)
		}
	}
}

// devices lists the devices of what a query gives.
func devices(l *logged, q api.EventQuery) []string {
	var out []string
	if err := (history{l.log}).list(l.t.Context(), q, func(e *api.Entry) error {
		out = append(out, e.Event.Device)
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	return out
}

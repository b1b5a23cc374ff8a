package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// A rule set that ends situations says so: no list shows as open what nothing
// will ever resolve.
func TestSituationsThatAreResetAreTold(t *testing.T) {
	const ticket = `
rules:
  - name: ticket
    on: interface_down
    mode: MODE
    situation: {key: [device, interface], resolved_by: interface_up}
    do: [{log: {message: x}}]
`
	const quiet = `
  - name: quiet
    on: heartbeat
    silent: {by: [device], for: 1s}
    do: [{log: {message: x}}]
`
	active := strings.Replace(ticket, "MODE", "active", 1)
	tests := []struct {
		name, before, after string
		events              int
		want                int // changes that are told at the switch
	}{
		{"the rule is gone", active, "rules: []\n", 3, 3},
		{"the key is another one", active, strings.Replace(active, "[device, interface]", "[device]", 1), 3, 3},
		{"the same", active, active + quiet, 3, 0},
		{"many", active, "rules: []\n", 1000, 1000},
		{"nobody was told of those of a shadow rule", strings.Replace(ticket, "MODE", "shadow", 1), "rules: []\n", 3, 0},
		{"while time decides something, too", active + quiet, "rules: []\n", 3, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stepper{t: t, e: engine.New(loader(t))}
			s.rules(tt.before, "ber1")
			for i := range tt.events {
				s.n++
				s.step(record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(fmt.Sprintf("019360aa-0000-7000-8000-%012x", s.n)),
					Type: "interface_down", Device: "sw1", Interface: fmt.Sprint("Gi0/", i), Received: t0, Data: []byte(`{}`)}})
			}
			if strings.Contains(tt.before, "quiet") {
				s.event("heartbeat")
				s.at += time.Minute
			}
			s.told, s.due = nil, nil
			s.rules(tt.after, "ber1")
			resolved := 0
			for _, line := range s.told {
				if strings.HasSuffix(line, "ticket resolved") {
					resolved++
				}
			}
			if resolved != tt.want {
				t.Errorf("%d are told, %d should be: %v", resolved, tt.want, s.told)
			}
			for _, d := range s.due {
				if d.IsZero() {
					t.Error("what is told counts as the outcome of an event")
				}
			}
		})
	}
}

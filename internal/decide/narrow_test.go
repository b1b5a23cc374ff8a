package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// What ends something is looked up by what it could end. That must change
// nothing where the inventory changes between the two: the switch has moved to
// another site, and its port comes up again.
func TestWhatEndsSomethingFindsItWhateverMoved(t *testing.T) {
	const link = `
rules:
  - name: link-stays-down
    on: interface_down
    when: device.site == "ber1"
    unless: {on: interface_up, by: [device, interface], within: 60s}
    do: [{log: {message: x}}]
`
	const ticket = `
rules:
  - name: ticket
    on: interface_down
    when: device.site == "ber1"
    situation: {key: [device, interface], resolved_by: interface_up, resolved: [{log: {message: closed}}]}
    do: [{log: {message: x}}]
`
	tests := []struct {
		name, rules string
		from, to    string // the site of the switch
		restart     bool
		want        string
	}{
		{"it stays", link, "ber1", "ber1", false, "1:link-stays-down joined, 2:link-stays-down joined"},
		{"it moves", link, "ber1", "ham2", false, "1:link-stays-down joined, 2:link-stays-down joined"},
		{"it moves, and there is a restart", link, "ber1", "ham2", true, "1:link-stays-down joined, 2:link-stays-down joined"},
		{"it comes from elsewhere", link, "ham2", "ber1", false, ""},
		{"a situation", ticket, "ber1", "ber1", false, "1:ticket opened, 2:ticket resolved"},
		{"a situation moves", ticket, "ber1", "ham2", false, "1:ticket opened, 2:ticket resolved"},
		{"a situation moves, and there is a restart", ticket, "ber1", "ham2", true, "1:ticket opened, 2:ticket resolved"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stepper{t: t, e: engine.New(loader(t))}
			s.rules(tt.rules, tt.from)
			s.event("interface_down")
			s.rules(tt.rules, tt.to)
			if tt.restart {
				again := engine.New(loader(t))
				if err := again.Restore(s.e.Snapshot()); err != nil {
					t.Fatal(err)
				}
				s.e = again
			}
			s.event("interface_up")
			s.event("interface_up") // nothing waits any more
			s.time(2 * time.Minute)
			if got := strings.Join(s.told, ", "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// stepper feeds an engine one record after the other.
type stepper struct {
	t    *testing.T
	e    *engine.Engine
	seq  uint64
	at   time.Duration
	n    int // of events
	told []string
	due  []time.Time // of all decisions
}

func (s *stepper) step(r record.Record) {
	s.t.Helper()
	s.seq++
	s.at += time.Second
	out, err := s.e.Step(&record.Batch{Seq: s.seq, Time: t0.Add(s.at), Records: []record.Record{r}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, st := range out {
		for _, r := range st.Records {
			s.due = append(s.due, r.Decision.Due)
			for _, n := range r.Decision.Notes {
				s.told = append(s.told, fmt.Sprintf("%d:%s %s", s.n, n.Rule, n.Outcome))
			}
			for _, c := range r.Decision.Situations {
				s.told = append(s.told, fmt.Sprintf("%d:%s %s", s.n, c.Rule, c.Change))
			}
			if !r.Decision.Due.IsZero() {
				s.told = append(s.told, fmt.Sprintf("%d:time", s.n))
			}
		}
	}
}

func (s *stepper) event(typ string) {
	s.n++
	s.step(record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(fmt.Sprintf("019360aa-0000-7000-8000-%012x", s.n)),
		Type: typ, Device: "sw1", Interface: "Gi0/1", Received: t0.Add(s.at), Data: []byte(`{}`)}})
}

func (s *stepper) time(d time.Duration) {
	s.at += d
	s.step(record.Record{Kind: record.KindTick})
}

func (s *stepper) rules(text, site string) {
	b := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(text)}},
		Inventory: []rule.File{{Name: "i.yaml", Data: fmt.Appendf(nil, "devices:\n  - {name: sw1, address: 192.0.2.1, site: %s}\n", site)}}}
	cat, err := schema.Load()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, typ := range cat.Types() {
		b.Types = append(b.Types, rule.File{Name: typ.Name, Data: typ.Source})
	}
	b.Catalogue = cat.Version
	s.step(record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: b.Version(), Parts: 1, Data: b.Encode()}})
}

func loader(t *testing.T) func([]byte) (engine.Rules, error) {
	return func(bundle []byte) (engine.Rules, error) {
		t.Helper()
		return decide.Load(bundle, []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}, Idempotent: true}})
	}
}

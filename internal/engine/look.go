package engine

import (
	"time"

	"signalbox/internal/correlate"
)

// Look says for people what a rule's windows hold under the keys of an event's
// inputs, at a log time. It changes nothing; an Engine of its own that was
// brought to just before the event tells what the event met.
func (e *Engine) Look(rule string, inputs []correlate.Input, at time.Time) []string {
	p := e.live.names[rule]
	if p == nil {
		return nil
	}
	var out []string
	told := map[string]bool{}
	add := func(lines []string) {
		for _, line := range lines {
			if !told[line] { // several inputs of one event have the same keys
				told[line] = true
				out = append(out, line)
			}
		}
	}
	for i := range inputs {
		for n := range stages {
			s := p.stage(n)
			if s == nil {
				continue
			}
			now := at.UnixNano()
			if n == stForm {
				now -= p.shift()
			}
			add(correlate.Look(s, p.Plan, &inputs[i], now))
		}
		if e.live.situations != nil && inputs[i].SituationKey != "" {
			add(correlate.LookSituation(e.live.situations, rule, &inputs[i], at.UnixNano()))
		}
	}
	return out
}

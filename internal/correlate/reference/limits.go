package reference

import (
	"time"

	"signalbox/event"
	"signalbox/internal/engine"
)

// begun is one run that was started, as a limit counts it.
type begun struct {
	rule, signature, key, device string
	at                           time.Time
}

// limited says whether a limit has no room for a run, and notes it then.
// Otherwise the run is counted by all of them.
func (c *Correlator) limited(m engine.Match, ev *event.Event) bool {
	var all []begun
	for _, rule := range []string{m.Rule, ""} {
		for i, l := range c.rules.Limits(rule) {
			key, most, err := c.rules.LimitKey(rule, i, ev)
			if l.Devices && ev.Device == "" {
				continue
			}
			b := begun{rule, l.Signature, key, ev.Device, c.now}
			runs, devices := 0, map[string]bool{}
			for _, other := range c.begun {
				if other.rule == b.rule && other.signature == b.signature && other.key == b.key && other.at.Add(l.Within).After(c.now) {
					runs++
					devices[other.device] = true
				}
			}
			if err != nil || !l.Devices && runs >= most || l.Devices && !devices[ev.Device] && len(devices) >= most {
				c.note(m.Rule, "limited", "")
				return true
			}
			all = append(all, b)
		}
	}
	c.begun = append(c.begun, all...)
	return false
}

package reference

import (
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/engine"
)

// begun is one run that was started, as a limit counts it.
type begun struct {
	rule, signature, key, device string
	at                           time.Time
}

// limited says whether a limit has no room for a run, and notes it then.
// Otherwise the run is counted by all of them: as a run under the key of the
// event that it is about, and as devices under the keys of all its events.
func (c *Correlator) limited(m engine.Match, n *news) bool {
	var all []begun
	for _, rule := range []string{m.Rule, ""} {
		for i, l := range c.rules.Limits(rule) {
			events := []*event.Event{n.last()}
			if l.Devices {
				events = n.events
			}
			var mine []begun
			for _, ev := range events {
				key, most, err := c.rules.LimitKey(rule, i, ev)
				if l.Devices && ev.Device == "" {
					continue
				}
				mine = append(mine, begun{rule, l.Signature, key, ev.Device, c.now})
				if err != nil || c.counted(append(slices.Clone(c.begun), mine...), mine[len(mine)-1], l) > most {
					c.note(m.Rule, "limited", "")
					return true
				}
			}
			all = append(all, mine...)
		}
	}
	c.begun = append(c.begun, all...)
	return false
}

// counted is how many runs, or devices, there are under the key of one.
func (c *Correlator) counted(list []begun, b begun, l correlate.RunLimit) int {
	runs, devices := 0, map[string]bool{}
	for _, other := range list {
		if other.rule == b.rule && other.signature == b.signature && other.key == b.key && other.at.Add(l.Within).After(c.now) {
			runs++
			devices[other.device] = true
		}
	}
	if l.Devices {
		return len(devices)
	}
	return runs
}

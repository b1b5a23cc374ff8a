package reference

import (
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// holders lists who holds an event: rules that name p and whose form has just
// taken it.
func (c *Correlator) holders(p *pipe, ev *event.Event, ins []correlate.Input) *held {
	h := &held{p: p, ev: ev, ins: ins}
	for _, name := range c.names {
		o := c.pipes[name]
		if o == p || !slices.Contains(o.plan.Holds, p.m.Rule) {
			continue
		}
		for _, key := range o.keys {
			f := o.forms[key]
			r := f.at(c.now)
			for i, t := range f.list {
				x := r.fates[i]
				if t.ev == ev && (x.absorbed || x.took && !x.free.IsZero()) { // what stops something is held by nobody
					h.by = append(h.by, hold{h: f, p: o, i: i})
				}
			}
		}
	}
	if len(h.by) == 0 {
		return nil
	}
	c.order++
	h.order = c.order
	return h
}

// due is when all let the event go, if nothing more comes; ok is false where
// one will absorb it.
func (h *held) due() (due time.Time, ok bool) {
	for _, b := range h.by {
		f := b.h.at(forever).fates[b.i]
		if f.absorbed {
			return due, false
		}
		if f.free.After(due) {
			due = f.free
		}
	}
	return due, true
}

// settle ends what is held and known now.
func (c *Correlator) settle() {
	for again := true; again; {
		again = false
		for _, h := range slices.Clone(c.held) {
			if slices.Contains(c.held, h) && c.settled(h) {
				again = true
			}
		}
	}
}

// settled ends one held event if it is absorbed, or if what held it was stopped
// by an event.
func (c *Correlator) settled(h *held) bool {
	free, stopped := true, false
	for _, b := range h.by {
		f := b.h.at(c.now).fates[b.i]
		if f.absorbed {
			c.drop(h)
			c.note(h.p.m.Rule, "absorbed", h.ev.ID)
			return true
		}
		free = free && !f.free.After(c.now)
		stopped = stopped || !f.timer // else it has a time of its own
	}
	if free && stopped {
		c.release(h)
	}
	return free && stopped
}

func (c *Correlator) release(h *held) {
	c.drop(h)
	c.note(h.p.m.Rule, "released", h.ev.ID)
	c.give(h.p, h.ev, h.ins)
}

func (c *Correlator) drop(h *held) {
	c.held = slices.DeleteFunc(c.held, func(x *held) bool { return x == h })
}

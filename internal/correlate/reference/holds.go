package reference

import (
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// held is an event that waits for other rules to say what it is.
type held struct {
	p     *pipe
	ev    *event.Event
	ins   []correlate.Input
	by    []*pipe
	order int
}

// standing is what a rule makes of an event that it was given.
type standing struct {
	here     bool // it has it: in its form, or waiting for its time
	absorbed bool
	open     bool      // it can be part of a finding until free
	timer    bool      // time makes it free, not an event
	free     time.Time // by the log
}

// stands says what p makes of an event, as of a time of the log.
func (p *pipe) stands(ev *event.Event, now time.Time) standing {
	if slices.ContainsFunc(p.buffer, func(l *late) bool { return l.ev == ev }) {
		return standing{here: true, open: true, free: forever}
	}
	all := standing{}
	for _, key := range p.keys {
		h := p.forms[key]
		r := h.at(now.Add(-p.lateness()))
		for i, t := range h.list {
			if t.ev != ev {
				continue
			}
			f := r.fates[i]
			all.here = true
			all.absorbed = all.absorbed || f.absorbed
			if !f.took || f.free.IsZero() { // it waits for nothing
				continue
			}
			free := f.free.Add(p.lateness())
			all.open, all.timer = true, f.timer
			if free.After(all.free) {
				all.free = free
			}
		}
	}
	return all
}

// holders lists who holds an event: rules that name p and whose form has just
// taken it, or will when its time comes.
func (c *Correlator) holders(p *pipe, ev *event.Event, ins []correlate.Input) *held {
	h := &held{p: p, ev: ev, ins: ins}
	for _, name := range c.names {
		o := c.pipes[name]
		if o == p || !slices.Contains(o.plan.Holds, p.m.Rule) {
			continue
		}
		if s := o.stands(ev, c.now); s.here && (s.absorbed || s.open && s.free.After(c.now)) {
			h.by = append(h.by, o)
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
// one will absorb it, or nobody knows yet.
func (h *held) due() (due time.Time, ok bool) {
	for _, p := range h.by {
		s := p.stands(h.ev, forever)
		if s.absorbed || s.free.Equal(forever) {
			return due, false
		}
		if s.free.After(due) {
			due = s.free
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
	var last time.Time
	for _, p := range h.by {
		s := p.stands(h.ev, c.now)
		if s.absorbed {
			c.drop(h)
			c.note(h.p.m.Rule, "absorbed", h.ev.ID)
			return true
		}
		free = free && !s.free.After(c.now)
		// Where the last one lets it go because its time is over, the held event
		// has that time: then it comes in order with all that is due.
		if s.free.After(last) {
			last, stopped = s.free, !s.timer
		} else if s.free.Equal(last) {
			stopped = stopped || !s.timer
		}
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

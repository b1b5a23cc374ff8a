package reference

import (
	"maps"
	"math"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// damper is the history of one dampening key.
type damper struct {
	list       []damped
	suppressed bool
	order      int
}

type damped struct {
	ev  *event.Event
	ins []correlate.Input
	at  time.Time
	// through says that it was let through, or given on at the reuse.
	through bool
}

// penalty is the figure of merit at a time, from the whole list.
func (d *damper) penalty(plan *correlate.Dampen, now time.Time) float64 {
	ceiling := float64(plan.Reuse) * math.Exp2(float64(plan.Max)/float64(plan.HalfLife))
	p, last := 0.0, now
	for i, e := range d.list {
		if i > 0 {
			p *= math.Exp2(-float64(e.at.Sub(last)) / float64(plan.HalfLife))
		}
		p = math.Min(p+float64(plan.Penalty), ceiling)
		last = e.at
	}
	return p * math.Exp2(-float64(now.Sub(last))/float64(plan.HalfLife))
}

// dampened adds an event and says whether it is suppressed.
func (c *Correlator) dampened(p *pipe, ev *event.Event, ins []correlate.Input) bool {
	key := ins[0].DampenKey
	d := p.damp[key]
	if d == nil {
		d = &damper{}
		p.damp[key] = d
		p.damps = append(p.damps, key)
	}
	c.order++
	d.order = c.order
	d.list = append(d.list, damped{ev: ev, ins: ins, at: c.now})
	if d.penalty(p.plan.Dampen, c.now) > float64(p.plan.Dampen.Suppress) {
		d.suppressed = true
	}
	if !d.suppressed {
		d.list[len(d.list)-1].through = true
	}
	return d.suppressed
}

// dampTimers are the times at which the penalties of what is suppressed have
// fallen to the reuse limit.
func (c *Correlator) dampTimers(p *pipe) []timer {
	var out []timer
	for _, key := range p.damps {
		d := p.damp[key]
		if !d.suppressed {
			continue
		}
		last := d.list[len(d.list)-1].at
		halves := math.Log2(d.penalty(p.plan.Dampen, last) / float64(p.plan.Dampen.Reuse))
		due := last.Add(time.Duration(halves * float64(p.plan.Dampen.HalfLife)))
		out = append(out, timer{due, true, d.order, func() { c.reuse(p, d) }})
	}
	return out
}

// reuse lets a key through again; its last event is given on if the world would
// otherwise be left with another state.
func (c *Correlator) reuse(p *pipe, d *damper) {
	d.suppressed = false
	last := &d.list[len(d.list)-1]
	for _, e := range slices.Backward(d.list) {
		if e.through {
			if e.ev.Type == last.ev.Type {
				return
			}
			break
		}
	}
	last.through = true
	c.note(p.m.Rule, "released", last.ev.ID)
	c.reused[last.ev] = true
	c.upstream(p, last.ev, last.ins)
}

// topology is what is known to be down, with the event that said so.
type topology struct {
	t       *correlate.Topology
	devices map[string]event.ID
	links   map[correlate.Link]event.ID
}

func newTopology(t *correlate.Topology) *topology {
	if t == nil {
		return nil
	}
	return &topology{t: t, devices: map[string]event.ID{}, links: map[correlate.Link]event.ID{}}
}

// ends are the links at an interface of a device.
func (t *topology) ends(device, iface string) []correlate.Link {
	var out []correlate.Link
	for _, l := range t.t.Links {
		if l.A == device && l.AInterface == iface || l.B == device && l.BInterface == iface {
			out = append(out, l)
		}
	}
	return out
}

// reached are the devices that can be reached from a root.
func (t *topology) reached() map[string]bool {
	got := map[string]bool{}
	for _, r := range t.t.Roots {
		if t.devices[r] == "" {
			got[r] = true
		}
	}
	for grew := true; grew; {
		grew = false
		for _, l := range t.t.Links {
			if t.links[l] != "" || got[l.A] == got[l.B] {
				continue
			}
			far := l.A
			if got[l.A] {
				far = l.B
			}
			if t.devices[far] == "" {
				got[far], grew = true, true
			}
		}
	}
	return got
}

// known says whether a device can be cut off: roots reach it when nothing is
// down.
func (t *topology) known(device string) bool {
	return newTopology(t.t).reached()[device]
}

// isCause says whether a device is down beside what is reached, or a root that is.
func (t *topology) isCause(device string, got map[string]bool) bool {
	if t.devices[device] == "" {
		return false
	}
	return slices.Contains(t.t.Roots, device) || slices.ContainsFunc(t.t.Links, func(l correlate.Link) bool {
		return l.A == device && got[l.B] || l.B == device && got[l.A]
	})
}

// causes are the events that could be named for a device that is not reached:
// all that is down at the border of what is reached. Empty: the device is
// reached, or is itself a cause.
func (t *topology) causes(device string) []event.ID {
	if t == nil || !t.known(device) {
		return nil
	}
	got := t.reached()
	if got[device] || t.isCause(device, got) {
		return nil
	}
	var out []event.ID
	for _, d := range slices.Sorted(maps.Keys(t.devices)) {
		if t.isCause(d, got) {
			out = append(out, t.devices[d])
		}
	}
	for _, l := range t.t.Links {
		if id := t.links[l]; id != "" && got[l.A] != got[l.B] {
			out = append(out, id)
		}
	}
	return out
}

// own says whether ev is what made a cause known that is not itself behind
// another.
func (t *topology) own(ev *event.Event, effect correlate.Effect, iface string) bool {
	if effect != correlate.LinkDown && effect != correlate.LinkUp {
		return false
	}
	got := t.reached()
	return slices.ContainsFunc(t.ends(ev.Device, iface), func(l correlate.Link) bool { return got[l.A] || got[l.B] })
}

// news tells the topology what an event says about it.
func (c *Correlator) news(ev *event.Event) {
	t := c.topo
	if t == nil {
		return
	}
	switch c.rules.Effect(ev.Type) {
	case correlate.DeviceDown:
		if t.devices[ev.Device] == "" {
			t.devices[ev.Device] = ev.ID
		}
	case correlate.DeviceUp:
		delete(t.devices, ev.Device)
	case correlate.LinkDown:
		for _, l := range t.ends(ev.Device, ev.Interface) {
			if t.links[l] == "" {
				t.links[l] = ev.ID
			}
		}
	case correlate.LinkUp:
		for _, l := range t.ends(ev.Device, ev.Interface) {
			delete(t.links, l)
		}
	}
	for _, w := range slices.Clone(c.waits) {
		if c.behind(w.p, w.ev) {
			c.waits = slices.DeleteFunc(c.waits, func(x *wait) bool { return x == w })
		}
	}
}

// wait is an event that waits for news of a cause.
type wait struct {
	p     *pipe
	ev    *event.Event
	ins   []correlate.Input
	at    time.Time
	order int
}

// behind says whether an event is suppressed by a cause, and notes it.
func (c *Correlator) behind(p *pipe, ev *event.Event) bool {
	causes := c.topo.causes(ev.Device)
	if len(causes) == 0 || slices.Contains(causes, ev.ID) || c.topo.own(ev, c.rules.Effect(ev.Type), ev.Interface) {
		return false
	}
	c.note(p.m.Rule, "upstream", ev.ID)
	for _, s := range c.states {
		if s.state != "resolved" && slices.Contains(s.events, causes[0]) {
			c.change(s, "updated", ev.ID, "")
		}
	}
	return true
}

// upstream is the pipe from the topology on.
func (c *Correlator) upstream(p *pipe, ev *event.Event, ins []correlate.Input) answer {
	u := p.plan.Upstream
	if u == nil {
		return c.form(p, ev, ins)
	}
	late := u.Wait > 0 && c.late(p, ev)
	if !late && c.behind(p, ev) {
		return back
	}
	if u.Wait > 0 && !late {
		c.order++
		c.waits = append(c.waits, &wait{p: p, ev: ev, ins: ins, at: c.now, order: c.order})
		c.note(p.m.Rule, "held", "")
		return took
	}
	return c.form(p, ev, ins)
}

func (c *Correlator) waited(w *wait) {
	c.waits = slices.DeleteFunc(c.waits, func(x *wait) bool { return x == w })
	c.note(w.p.m.Rule, "released", w.ev.ID)
	c.form(w.p, w.ev, w.ins)
}

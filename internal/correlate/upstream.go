package correlate

import (
	"encoding/binary"

	"signalbox/event"
)

// upstream is the gate of a rule that does not look at what happens behind a
// device or link that is down. Its table holds the events that wait for such
// news, by their numbers.
type upstream struct{ table[waiting] }

// waiting is one event that waits.
type waiting struct {
	kept   Kept
	inputs []Input
	effect Effect
}

// Admit suppresses the event if its device is cut off, or lets it wait.
func (m *upstream) Admit(env *Env, p *Passage) Admission {
	net, ok := env.Network.(*network)
	if !ok {
		return Admission{}
	}
	ev := p.Item.Event()
	eff := env.Rules.Effect(ev.Type)
	if c, ok := net.cutOff(eff, ev); ok {
		return Admission{Outcome: "upstream", Detail: c.name, Of: c.event}
	}
	wait := env.Plan.Upstream.Wait
	if wait <= 0 || !net.knows(ev.Device) || m.places.Len() >= env.Plan.maxKeys() {
		return Admission{} // too many wait: nothing is lost if one more does not
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], p.Item.Number())
	n, s, ok := m.useKey(env, string(number[:]), nil)
	if !ok {
		return Admission{}
	}
	s.state = waiting{p.Item.Keep(), OwnInputs(p.Inputs), eff}
	env.SetTimerLast(&s.timer, n, env.Now+int64(wait))
	return Admission{Outcome: "held", Detail: "waits " + wait.String() + " for news of what is upstream", Wait: true}
}

// Fire lets an event go on that no news came for.
func (m *upstream) Fire(env *Env, arg uint32) {
	w := m.at(arg).state
	m.drop(env, arg)
	env.Note(Note{Outcome: "released", Of: w.kept.ID(), Key: w.inputs[0].Key, Detail: "nothing upstream is known to be down"})
	env.Resume(Passage{Item: ItemOf(w.kept), Inputs: w.inputs})
}

// NewsGate is a gate that wants to know when Network.Learn may have cut off
// devices other than the event's own.
type NewsGate interface{ News(env *Env) }

// News suppresses what waits and is cut off now.
func (m *upstream) News(env *Env) {
	net, ok := env.Network.(*network)
	if !ok {
		return
	}
	for n := m.oldest; n != 0; {
		s := m.at(n)
		this := n
		n = s.next
		c, ok := net.cutOff(s.state.effect, s.state.kept.Event())
		if !ok {
			continue
		}
		it, key := ItemOf(s.state.kept), s.state.inputs[0].Key
		m.drop(env, this)
		env.Note(Note{Outcome: "upstream", Detail: c.name, Of: c.event, Key: key})
		if env.Situations == nil {
			continue
		}
		if story := env.Situations.Attach(env, c.event, &it); story.Change.ID != "" {
			env.Stories = append(env.Stories, story)
		}
	}
}

// Save writes what waits.
func (m *upstream) Save(w *StateWriter) {
	m.save(w, func(w *StateWriter, x *waiting) {
		w.Kept(x.kept)
		w.Inputs(x.inputs)
		w.String(string(x.effect))
	})
}

// Load reads it.
func (m *upstream) Load(r *StateReader) {
	m.load(r, func(r *StateReader, x *waiting) {
		*x = waiting{r.Kept(), r.Inputs(), Effect(r.String())}
	})
}

// network is what the log says of the topology. All rules share it.
type network struct {
	g      *graph
	before []known // what was known before Use, or read from a snapshot
}

// known is one thing that is down.
type known struct {
	device string
	link   Link // where device is ""
	news   *news
}

// Use takes another topology. What is known to be down stays known, as far as
// it is a part of it.
func (n *network) Use(t *Topology) {
	list := append(n.before, n.known()...)
	n.before = nil
	n.g = newGraph(t)
	n.tell(list)
}

// known lists what is down, by name.
func (n *network) known() (list []known) {
	if n.g == nil {
		return nil
	}
	for d, x := range n.g.deviceNews {
		if x != nil {
			list = append(list, known{device: n.g.names[d], news: x})
		}
	}
	for l, x := range n.g.linkNews {
		if x != nil {
			list = append(list, known{link: n.g.wires[l], news: x})
		}
	}
	return list
}

func (n *network) tell(list []known) {
	if n.g == nil {
		return
	}
	for _, k := range list {
		if k.device != "" {
			if d, ok := n.g.device(k.device); ok {
				n.g.deviceNews[d] = k.news
			}
		} else if l, ok := n.g.wire(k.link); ok {
			n.g.linkNews[l] = k.news
		}
	}
	n.g.walk()
}

// Learn takes what an event says about the topology.
func (n *network) Learn(env *Env, eff Effect, it *Item) (cut bool) {
	if n.g == nil || eff == "" {
		return false
	}
	ev := it.Event()
	_, cut = n.g.learn(eff, ev.Device, event.CanonicalInterface(ev.Interface), news{event: ev.ID, at: env.Now})
	if eff == DeviceUp {
		n.g.answered(ev.Device, env.Now)
	}
	return cut
}

// knows says whether a device can be cut off at all.
func (n *network) knows(device string) bool {
	if n.g == nil {
		return false
	}
	_, ok := n.g.device(device)
	return ok
}

// cause is what cuts a device off.
type cause struct {
	event event.ID // made it known
	name  string   // for people: "core1 is down"
}

func (n *network) cutOff(eff Effect, ev *event.Event) (cause, bool) {
	if n.g == nil {
		return cause{}, false
	}
	x, name, ok := n.g.upstream(eff, ev.Device, event.CanonicalInterface(ev.Interface))
	if !ok {
		return cause{}, false
	}
	return cause{x.event, name}, true
}

// Fire is never called: nothing here is due.
func (n *network) Fire(*Env, uint32) {}

// Expire has nothing to forget: what is known is bounded by the topology.
func (n *network) Expire(*Env) {}

// Keys counts the devices and links that are known to be down.
func (n *network) Keys() Keys { return Keys{Held: len(n.known())} }

// Save writes what is known to be down.
func (n *network) Save(w *StateWriter) {
	list := append(n.before, n.known()...)
	w.Uint(uint64(len(list)))
	for _, k := range list {
		w.String(k.device)
		for _, s := range []string{k.link.A, k.link.AInterface, k.link.B, k.link.BInterface} {
			w.String(s)
		}
		w.String(string(k.news.event))
		w.Int(k.news.at)
	}
}

// Load reads it; it holds from the next Use on, or at once where there is a
// topology.
func (n *network) Load(r *StateReader) {
	var list []known
	for c := r.Uint(); c > 0 && r.err == nil; c-- {
		k := known{device: r.String()}
		for _, s := range []*string{&k.link.A, &k.link.AInterface, &k.link.B, &k.link.BInterface} {
			*s = r.String()
		}
		k.news = &news{event: event.ID(r.String()), at: r.Int()}
		list = append(list, k)
	}
	if n.g == nil {
		n.before = list
		return
	}
	n.tell(list)
}

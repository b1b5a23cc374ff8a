package rule

import (
	"time"

	"fmt"
	"reflect"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"signalbox/event"
	"signalbox/internal/inventory"
	"signalbox/internal/schema/scan"
)

// Scope is what an expression can see. The zero values of what is not there are
// fine. One Scope serves one goroutine at a time; a Scope that NewScope made
// may be copied for others.
type Scope struct {
	Event     *event.Event
	Events    []*event.Event
	Device    map[string]any // the inventory's record; name and address at least
	Interface map[string]any
	Site      map[string]any
	Rule      map[string]any // name, version
	Run       map[string]any // id, attempt, replay, dry_run
	Registers map[string]any // register name → output
	// Named are the events that the rule has named with as (record.RunStart: As
	// beside Events). One that is not there is nil or left out: its fields are
	// absent.
	Named map[string]*event.Event
	// Situation is id, state ("open", "acknowledged", "resolved"), change
	// ("opened", "updated", "resolved"), key (for people) and count (of its
	// events, an int64), for rules that have one; nil otherwise.
	Situation map[string]any
	Item      any // inside loop
	HasItem   bool
	// Secret resolves secret("name"); only set where action arguments are
	// evaluated.
	Secret func(name string) (string, error)

	view   *eventView   // of Event
	events []any        // views of Events
	named  []*eventView // of Named
	// bind is set while a part is asked with the parts before it.
	bind   *binding
	memory *memory // nil: of a scope that somebody made for himself
	facts  *deviceFacts
	keys   *keyRoom
	// inv is set where the device and site are still to be looked up, and
	// ports where the interface is: most events match no rule that asks.
	inv, ports *inventory.Inventory
}

// NewScope is the scope of an event: the device, interface and site that it is
// about as the inventory knows them. The data is decoded when an expression
// first reads it, and once.
func NewScope(ev *event.Event, inv *inventory.Inventory) *Scope {
	s := newLazyScope(ev, inv)
	s.lookUp()
	s.lookUpPort()
	return s
}

// newLazyScope is NewScope with the look-ups put off until an expression asks.
func newLazyScope(ev *event.Event, inv *inventory.Inventory) *Scope {
	if inv == nil {
		inv = noInventory
	}
	return &Scope{Event: ev, Events: []*event.Event{ev}, view: newView(ev), inv: inv, ports: inv}
}

var noInventory = &inventory.Inventory{}

// lookUp asks the inventory for the device and its site, once.
func (s *Scope) lookUp() {
	if s.inv == nil {
		return
	}
	inv := s.inv
	s.inv = nil
	if s.memory != nil {
		d := s.deviceFacts()
		s.Device, s.Site = d.device, d.site
		return
	}
	s.Device, _ = inv.Device(s.Event.Device)
	site, _ := s.Device["site"].(string)
	s.Site, _ = inv.Site(site)
}

// deviceFacts is what the memory has of the event's device.
func (s *Scope) deviceFacts() *deviceFacts {
	if s.facts == nil {
		s.facts = s.memory.device(s.Event.Device)
	}
	return s.facts
}

// lookUpPort asks the inventory for the interface, once.
func (s *Scope) lookUpPort() {
	if s.ports == nil {
		return
	}
	inv := s.ports
	s.ports = nil
	s.Interface, _ = inv.Interface(s.Event.Device, s.Event.Interface)
}

// Deciding holds one event while the engine asks a set several things about it.
// It serves one goroutine.
type Deciding struct {
	set   *Set
	scope *Scope
}

// Decide begins to ask about ev. again is what an earlier Decide gave, whose
// memory is used again; its answers must not be asked for any more, nor used.
// The zero Deciding will do.
func (s *Set) Decide(ev *event.Event, inv *inventory.Inventory, again Deciding) Deciding {
	if inv == nil {
		inv = noInventory
	}
	scope := again.scope
	if scope == nil {
		m := newMemory()
		scope = &Scope{view: new(eventView), Events: make([]*event.Event, 1), memory: m, keys: &m.keys}
	}
	// What was found out about the event before is taken out, one field after the
	// other: the rest of a scope is never set here.
	scope.Event, scope.Events[0] = ev, ev
	scope.Device, scope.Interface, scope.Site, scope.facts = nil, nil, nil, nil
	scope.events, scope.named, scope.bind = nil, nil, nil
	scope.inv, scope.ports = inv, inv
	scope.view.reset(ev)
	scope.view.single = true
	m := scope.memory
	m.about(s, inv)
	m.keys.about(ev)
	m.inputs = m.inputs[:0]
	return Deciding{s, scope}
}

// Match is Set.Match. nil waits says that anything may be waited for. The slice
// is good until the next call.
func (d Deciding) Match(waits Waits) []Match {
	m := d.scope.memory
	m.matches = d.set.match(m.matches[:0], d.scope, &m.asked, waits)
	return m.matches
}

// GlobalKey is Set.GlobalKey.
func (d Deciding) GlobalKey(typ string) (Key, bool) { return d.set.GlobalKey(d.scope, typ) }

// Dedup is Set.Dedup by the own window of a rule that Match gave. An event that only ends a wait,
// resolves a situation or clears a member of a group is no repetition of
// anything, so there is no window for it.
func (d Deciding) Dedup(m Match) (Key, time.Duration, bool, error) {
	if p := m.Rule.pattern; m.Rule.Dedup == nil || p != nil && !p.begins(m.roles) {
		return Key{}, 0, false, nil
	}
	return d.set.Dedup(m.Rule, d.scope)
}

func (s *Scope) eventView() *eventView {
	if s.view == nil || s.view.ev != s.Event {
		s.view = newView(s.Event)
	}
	return s.view
}

var emptyRecord = map[string]any{}

func record(m map[string]any) any {
	if m == nil {
		return emptyRecord
	}
	return m
}

// activation shows a Scope to the interpreter.
type activation struct{ s *Scope }

// Parent has nothing to say.
func (activation) Parent() interpreter.Activation { return nil }

// ResolveName gives the variable of that name.
func (a activation) ResolveName(name string) (any, bool) {
	s := a.s
	switch name {
	case "event":
		if s.Event == nil {
			return nil, false
		}
		return s.eventView(), true
	case "device":
		s.lookUp()
		return record(s.Device), true
	case "interface":
		s.lookUpPort()
		return record(s.Interface), true
	case "site":
		s.lookUp()
		return record(s.Site), true
	case "rule":
		return record(s.Rule), true
	case "run":
		return record(s.Run), true
	case "situation":
		if s.Situation != nil {
			return s.Situation, true
		}
	case "events":
		return s.eventList(), true
	case "item":
		if s.HasItem {
			return s.Item, true
		}
		return nil, false
	case scopeVariable:
		return scopeVal{s: s}, true
	}
	if v, ok := s.namedView(name); ok {
		return v, true
	}
	if v, ok := s.Registers[name]; ok {
		if v == nil {
			return emptyRecord, true
		}
		return v, true
	}
	// A step that was skipped gave nothing back: all fields are absent.
	return emptyRecord, true
}

// namedView finds an event that the rule has named.
func (s *Scope) namedView(name string) (*eventView, bool) {
	if s.bind != nil {
		return s.bind.view(s, name)
	}
	ev := s.Named[name]
	if ev == nil {
		return nil, false
	}
	if ev == s.Event {
		return s.eventView(), true
	}
	for _, v := range s.named {
		if v.ev == ev {
			return v, true
		}
	}
	v := newView(ev)
	// Copies of a scope share what is in the list: never write into it.
	s.named = append(s.named[:len(s.named):len(s.named)], v)
	return v, true
}

func (s *Scope) eventList() []any {
	if len(s.events) != len(s.Events) {
		s.events = make([]any, len(s.Events))
		for i, ev := range s.Events {
			if ev == s.Event {
				s.events[i] = s.eventView()
				continue
			}
			s.events[i] = newView(ev)
		}
	}
	return s.events
}

// eventView is one event as expressions see it.
type eventView struct {
	ev       *event.Event
	dataOnly dataView

	once   sync.Once
	fields map[string]any
	err    error

	// single says that one goroutine has the view, so that it may decode one
	// field after the other.
	single, scanned, isFlat bool
	flat                    []scan.Member
}

func newView(ev *event.Event) *eventView {
	v := &eventView{}
	v.reset(ev)
	return v
}

// reset makes the view one of ev.
func (v *eventView) reset(ev *event.Event) {
	v.ev, v.once, v.fields, v.err = ev, sync.Once{}, nil, nil
	v.dataOnly.view = v
	v.single, v.scanned, v.isFlat = false, false, false
}

// data decodes the event's data, once.
func (v *eventView) data() (map[string]any, error) {
	v.once.Do(func() { v.fields, v.err = decodeData(v.ev.Data) })
	return v.fields, v.err
}

// plain is the event as a Go value, for ${event}.
func (v *eventView) plain() (map[string]any, error) {
	data, err := v.data()
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"id": string(v.ev.ID), "type": v.ev.Type, "device": v.ev.Device, "source": v.ev.Source,
		"received": v.ev.Received.UTC(), "data": data,
	}
	if v.ev.Interface != "" {
		out["interface"] = v.ev.Interface
	}
	if !v.ev.Time.IsZero() {
		out["time"] = v.ev.Time.UTC()
	}
	return out, nil
}

// adapter makes CEL values of what fields give.
type adapter struct{ types.Adapter }

// NativeToValue wraps events; all else is as CEL has it.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case *eventView:
		return objectVal{typ: eventType, value: v}
	case *dataView:
		m, err := v.view.data()
		if err != nil {
			return types.WrapErr(err)
		}
		return a.Adapter.NativeToValue(m)
	case nil:
		return types.NullValue
	}
	return a.Adapter.NativeToValue(v)
}

var eventType = types.NewObjectType("@event")

// objectVal is an event as a CEL value. Field access goes through its Value.
type objectVal struct {
	typ   *types.Type
	value any
}

func (o objectVal) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot become %v", o.typ.TypeName(), t)
}

func (o objectVal) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.typ
	}
	return types.NewErr("%s cannot become %s", o.typ.TypeName(), t.TypeName())
}

func (o objectVal) Equal(other ref.Val) ref.Val {
	x, ok := other.(objectVal)
	return types.Bool(ok && x.value == o.value)
}
func (o objectVal) Type() ref.Type { return o.typ }
func (o objectVal) Value() any     { return o.value }

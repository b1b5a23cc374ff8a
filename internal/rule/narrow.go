package rule

import (
	"slices"
	"strconv"
	"strings"

	"signalbox/internal/correlate"
)

// What ends a wait, resolves a situation or clears a member of a group mostly
// has no condition of its own: `unless: {on: interface_up}` looks at every
// interface_up of the network. But it can only end what has the same key, and
// what has that key began with an event that met the rule's condition. Where
// the key says which device it is, the two events agree in all that the
// inventory says of the device; so a rule about one site has nothing to end at
// another, and need not be looked at.
//
// This holds as long as the inventory is the one that the wait began with. When
// another comes into force the engine says which rules still wait (Waits.Wide);
// those are looked at without it.

// narrowed is the guard of a role that only ends something, with the equalities
// that the beginning must have met and that the key hands on.
func (p *pattern) narrowed(r *Rule, x *role) []condition {
	found := equalities(x.as, r.whenOf(x), x.own)
	key := p.endKey(r, x)
	first := true
	var began []condition
	for i := range p.roles {
		b := &p.roles[i]
		if b.follows {
			continue
		}
		own := b.own
		if b.bound {
			own = nil
		}
		met := equalities(b.as, r.whenOf(b), own)
		if first {
			began, first = met, false
			continue
		}
		began = slices.DeleteFunc(began, func(c condition) bool { return !slices.ContainsFunc(met, c.same) })
	}
	for _, c := range began {
		if handsOn(key, c) {
			found = append(found, c)
		}
	}
	return guardFrom(found)
}

// endKey is what the event that ends something has in common with what began
// it.
func (p *pattern) endKey(r *Rule, x *role) []keyPart {
	switch {
	case x.part == correlate.PartResolve:
		return p.situation
	case x.part == correlate.PartClear && p.member:
		return append(slices.Clip(p.group), keyPart{attr: attribute{"event", "device"}})
	case x.part == correlate.PartClear:
		return append(slices.Clip(p.group), p.key...)
	}
	return p.key
}

// handsOn says whether two events of one key both meet an equality if one does.
func handsOn(key []keyPart, c condition) bool {
	device := attribute{"event", "device"}
	return slices.ContainsFunc(key, func(k keyPart) bool {
		if k.attr == device && (c.attr == device || c.attr.owner == "device" || c.attr.owner == "site") {
			return true
		}
		return k.attr == c.attr && !slices.ContainsFunc(c.values, likeNoText)
	})
}

// likeNoText says whether a key would write another value than this one in the
// same way: a number 5 and a text "5" are the same there.
func likeNoText(value string) bool {
	if value == "" || value[0] != 's' {
		return true
	}
	text := textOfKey(value)
	if _, err := strconv.ParseFloat(text, 64); err == nil || text == "" || text == "true" || text == "false" {
		return true
	}
	return strings.ContainsAny(text[:1], `[{\"`)
}

// wide gives what a rule wants of an event where it cannot be narrowed.
func (r *Rule) wide(scope *Scope) wanted {
	w := wanted{rule: int32(r.order)}
	if r.pattern == nil || r.Mode == "off" {
		return w
	}
	for i := range r.pattern.roles {
		if x := &r.pattern.roles[i]; x.follows && fits(x.on, scope.Event.Type) && holds(x.guard, scope) {
			w.roles |= 1 << i
		}
	}
	return w
}

package rule

import (
	"strings"

	"signalbox/event"
	"signalbox/internal/inventory"
)

// Match is what a rule says about an event.
type Match struct {
	Rule *Rule
	// Err is why the condition has no answer. The rule does not take the
	// event then; Absent(Err) says that an attribute that it needs is not
	// there, which is worth a note and no alarm.
	Err error

	roles uint32 // that the event has
}

// Waits says what is waited for, so that an event that could end something is
// only looked at where there is something to end.
type Waits interface {
	// Waits is asked of a rule by its place among Set.Rules, and of one of the
	// parts that only end what began before: correlate.PartResolve, PartClear,
	// or what unless waits for. False says that such an event means nothing to
	// the rule now; its condition is not asked then.
	Waits(rule, part int) bool
	// Wide lists the rules that wait for something since before the inventory
	// became what it is, by their place.
	Wide() []int
}

// Match gives the rules that take an event, in the order of the files, and
// those whose condition could not be answered. Rules whose mode is off are left
// out. A nil inventory is an empty one.
func (s *Set) Match(ev *event.Event, inv *inventory.Inventory) []Match {
	return s.MatchScope(NewScope(ev, inv))
}

// MatchScope is Match for who needs the scope afterwards.
func (s *Set) MatchScope(scope *Scope) []Match {
	return s.match(nil, scope, new(asked), nil)
}

func (s *Set) match(out []Match, scope *Scope, a *asked, waits Waits) []Match {
	var room [64]wanted
	for _, w := range s.candidates(room[:0], scope, a, waits) {
		roles, err := s.questions[w.rule].take(w, scope, waits)
		if roles != 0 {
			out = append(out, Match{s.Rules[w.rule], nil, roles})
		} else if err != nil {
			out = append(out, Match{s.Rules[w.rule], err, 0})
		}
	}
	return out
}

// candidates are the rules to look at, with the roles whose guards hold.
func (s *Set) candidates(out []wanted, scope *Scope, a *asked, waits Waits) []wanted {
	var room [8]*bucket
	if waits == nil {
		return s.index.find(s.index.ofType(scope.Event.Type, room[:0]), scope, a, out)
	}
	if m := scope.memory; m != nil {
		out = s.live.find(m.typeOf(scope.Event.Type).live, scope, a, out)
	} else {
		out = s.live.find(s.live.ofType(scope.Event.Type, room[:0]), scope, a, out)
	}
	wide := waits.Wide()
	for _, i := range wide {
		if w := s.Rules[i].wide(scope); w.roles != 0 {
			out = append(out, w)
		}
	}
	if len(wide) > 0 && len(out) > 1 {
		out = inOrder(out)
	}
	return out
}

// Index is the rule's place among Set.Rules.
func (r *Rule) Index() int { return r.order }

// Takes says whether the rule takes the event of scope, without an index. It
// gives the same answer as Match.
func (r *Rule) Takes(scope *Scope) (bool, error) {
	if r.Mode == "off" {
		return false, nil
	}
	roles, err := r.take(scope)
	if roles != 0 {
		return true, nil
	}
	return false, err
}

func (r *Rule) listens(typ string) bool { return fits(r.On, typ) }

// fits says whether a type is one of what on names.
func fits(on []string, typ string) bool {
	for _, on := range on {
		if prefix, ok := strings.CutSuffix(on, "*"); ok && strings.HasPrefix(typ, prefix) || on == typ {
			return true
		}
	}
	return false
}

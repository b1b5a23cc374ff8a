package rule

import "math/bits"

// question is what is left to ask of an event that could have a role, where its
// guard holds.
type question struct {
	when    rest     // of the rule's condition
	own     rest     // of the role's
	alias   *binding // lets the part's name stand for event in own
	part    int      // correlate.Input.Part
	follows bool     // see role
}

// questions are those of one rule. They lie side by side for all rules of a set,
// since most candidates are asked and passed over, and nothing else of them is
// looked at. A rule without a plan has one.
type questions struct {
	first question
	more  []question
}

func newQuestions(all []question) questions {
	if len(all) == 0 {
		return questions{}
	}
	return questions{all[0], all[1:]}
}

// at gives the question of a role.
func (q *questions) at(role int) *question {
	if role == 0 {
		return &q.first
	}
	return &q.more[role-1]
}

// take says which of the wanted roles the event of scope can have, where their
// guards hold. The error is for a condition without an answer; it means
// something only where there is no role.
func (q *questions) take(w wanted, scope *Scope, waits Waits) (roles uint32, err error) {
	for left := w.roles; left != 0; left &= left - 1 {
		i := bits.TrailingZeros32(left)
		x := q.at(i)
		if x.follows && waits != nil && !waits.Waits(int(w.rule), x.part) {
			continue
		}
		ok, e := x.met(scope)
		if e != nil && err == nil {
			err = e
		}
		if ok {
			roles |= 1 << i
		}
	}
	return roles, err
}

func (x *question) met(scope *Scope) (bool, error) {
	if x.when.expr != nil {
		if ok, err := x.when.met(scope); !ok || err != nil {
			return false, wrap("when", err)
		}
	}
	if x.own.expr == nil {
		return true, nil
	}
	scope.bind = x.alias
	ok, err := x.own.met(scope)
	scope.bind = nil
	return ok, wrap("when", err)
}

// take is questions.take without an index.
func (r *Rule) take(scope *Scope) (uint32, error) {
	w := wanted{rule: int32(r.order)}
	if r.pattern == nil {
		if r.listens(scope.Event.Type) && holds(r.guard, scope) {
			w.roles = 1
		}
		return r.questions.take(w, scope, nil)
	}
	for i := range r.pattern.roles {
		x := &r.pattern.roles[i]
		if fits(x.on, scope.Event.Type) && holds(x.guard, scope) {
			w.roles |= 1 << i
		}
	}
	return r.questions.take(w, scope, nil)
}

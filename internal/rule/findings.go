package rule

import (
	"slices"

	"signalbox/event"
)

// WithEvents is the scope where several events made up what a rule found: the
// names `events` and `event` (the one that set it off) see them. It shares
// nothing that changes with s.
func (s Scope) WithEvents(events []*event.Event) Scope {
	s.Events, s.events = slices.Clone(events), nil
	return s
}

// EventValue is an event as a register of a Scope may hold it: an expression
// sees it by its register's name (the `as` of a part) as it sees `event`.
func EventValue(ev *event.Event) any { return newView(ev) }

// Package reference correlates slowly and obviously.
//
// It is written from what the rules mean, not from the engine's code, and it
// exists so that a test can hold the two against each other. It keeps every
// event for ever; what a form has found is worked out from the whole list of a
// key's events each time that anybody asks, and the next timer is found by
// looking at everything that is pending. Nothing here is bounded or fast, and
// nothing but tests and benchmarks may import it.
//
// # Where the meaning leaves room
//
// These readings are taken here. The engine must agree with them.
//
//   - Two events exactly a window apart are not in one window. So what time
//     does comes before an event of the same time: a port that is up again
//     exactly when its time is over was down for that time.
//   - A tumbling window is [n·Within, (n+1)·Within) since 1970. Within one, too,
//     a key starts anew after a finding.
//   - flap: an event changes the state where the key's event before it, less
//     than a window ago, had another state, or where there is none: what is
//     longer ago is forgotten. An event that repeats the state is no change and
//     no part of the finding, and yet it is held, and absorbed with the others,
//     since it happened in the course of the flap.
//   - sequence: an event does one thing. It goes to the oldest partial match
//     that it fits; one that fits none, and may be first, begins a new one.
//   - all: the events of the window are dealt out in their order, each to the
//     first free part that it fits, anew at every event: where the event that
//     had a part has left the window, a kept one takes its place.
//   - unless: an event that is both parts stops what runs and then begins anew.
//   - threshold without a clear limit is cleared by a number that is not over
//     the limit; with one, by a number beyond it. A number that cannot be had
//     (the first of a rate, a counter that began anew) says nothing, and
//     changes nothing.
//   - A key takes up room as long as something that came may still be part of a
//     finding; to be used is to be given an event (an absence: one that begins it).
//     Sequence and threshold are not compared here: of what they keep, an older
//     key may mean something longer than one that was used after it.
//   - An event that can be no part of a finding any more is released then: when
//     its window has passed, or when what it waited for was stopped.
//   - An event is held even where the rule that holds it stands later in the
//     file, and if more than one holds it, it waits for all of them; one that
//     absorbs it is enough.
//   - What a gate keeps back (upstream with a wait) and is held by another rule is
//     absorbed when that rule found something with it meanwhile. What dampening
//     gives on at its end is not held: it tells the state that the world is left
//     in.
//   - An event that repeats another within the global window resolves and clears
//     all the same: nothing is left open because a word came twice.
//   - An event that comes in time and is kept, by a gate or by a rule that holds it,
//     is not late when it is let go: a rule by event time takes it at the time at
//     which its form is then. One that is late on arrival waits for nothing.
//   - event time: before an event is taken at its time, what is due at that time
//     happens, as in log time. A rule of single events has no time of its own to
//     go by, so nothing waits there.
//   - silent: what it finds is the last event that came.
//   - upstream with a wait: news of a cause suppresses what waits at once, even
//     if the cause is gone again before the wait is over.
//   - What only stops an absence is no duplicate of the rule's own, no loop, not
//     dampened and not suppressed as upstream: there would be a run because it did
//     not come.
//   - What can be cut off is what the roots reach when nothing is down. A device
//     that is down beside what is reached is a cause, even where the link
//     between them is known down as well.
//   - A group's member that comes when the last run is longer ago than the
//     interval waits for Wait, as the first did: others may come with it. What is
//     found again under the key of a member is news only where nothing can clear
//     it. A group of which the last member is cleared is over, and runs no more,
//     not even for the first time.
package reference

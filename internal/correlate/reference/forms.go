package reference

import (
	"math"
	"slices"
	"time"

	"signalbox/event"
	"signalbox/internal/correlate"
)

// maxPartials is how many beginnings of a sequence a key keeps.
const maxPartials = 16

// forever is after all timers.
var forever = time.Unix(1<<40, 0)

// taken is one event as a form sees it: what it is to the rule, and when, by
// the form's time.
type taken struct {
	ev    *event.Event
	ins   []correlate.Input // of one key
	at    time.Time         // the form's time
	order int
}

// is says whether the event can be a part.
func (t taken) is(part int) bool {
	return slices.ContainsFunc(t.ins, func(in correlate.Input) bool { return in.Part == part })
}

// finding is what a form found.
type finding struct {
	at     time.Time // by the form's time
	timer  bool      // time found it, not an event
	order  int       // of a timer: when it was set
	events []int     // of the list, oldest first
	as     map[int]string
}

// fate is what became of one event of a list.
type fate struct {
	took     bool      // the form took it
	absorbed bool      // into a finding
	free     time.Time // else: when it was clear that it is part of none
	timer    bool      // time made it free
}

// history is all that a form was ever given for one key.
type history struct {
	plan  *correlate.Plan
	binds func(part int, ev *event.Event, bound []*event.Event) bool
	list  []taken
}

// result is what is known of a history at a time.
type result struct {
	found []finding
	fates []fate
}

// at works out everything from the beginning up to and including a time of the
// form, as if nothing more came.
func (h *history) at(until time.Time) result {
	r := result{fates: make([]fate, len(h.list))}
	switch h.plan.Form {
	case correlate.Single, correlate.Any:
		h.each(&r)
	case correlate.Count:
		h.count(&r)
	case correlate.Flap:
		h.flap(&r)
	case correlate.Sequence:
		h.sequence(&r)
	case correlate.All:
		h.all(&r)
	case correlate.Unless:
		h.unless(&r, until)
	case correlate.Silent:
		h.silent(&r, until)
	case correlate.Threshold:
		h.threshold(&r, until)
	}
	return r
}

func (r *result) find(f finding) {
	r.found = append(r.found, f)
	for _, i := range f.events {
		r.fates[i].absorbed = true
	}
}

// open takes an event that can be part of a finding until a time.
func (r *result) open(i int, free time.Time, timer bool) {
	r.fates[i] = fate{took: true, free: free, timer: timer}
}

// within leaves those of a window that are less than Within before now.
func (h *history) within(window []int, now time.Time) []int {
	return slices.DeleteFunc(slices.Clone(window), func(i int) bool { return !h.list[i].at.After(now.Add(-h.plan.Within)) })
}

func (h *history) each(r *result) {
	for i, e := range h.list {
		r.open(i, forever, false)
		as := ""
		if p := e.ins[0].Part; p >= 0 && p < len(h.plan.Parts) {
			as = h.plan.Parts[p].As
		}
		r.find(finding{at: e.at, events: []int{i}, as: map[int]string{i: as}})
	}
}

func (h *history) count(r *result) {
	var window []int
	for i, e := range h.list {
		end := e.at.Add(h.plan.Within)
		if h.plan.Tumbling {
			w := int64(h.plan.Within)
			start := floor(e.at.UnixNano(), w) * w
			end = time.Unix(0, start+w).UTC()
			window = slices.DeleteFunc(window, func(j int) bool { return h.list[j].at.UnixNano() < start })
		} else {
			window = h.within(window, e.at)
		}
		r.open(i, end, true)
		window = append(window, i)
		n := len(window)
		if h.plan.Distinct {
			values := map[string]bool{}
			for _, j := range window {
				values[h.list[j].ins[0].Value] = true
			}
			n = len(values)
		}
		if n >= h.plan.AtLeast {
			r.find(finding{at: e.at, events: window})
			window = nil
		}
	}
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (h *history) flap(r *result) {
	var changes, repeats []int
	going, last := false, time.Time{}
	for i, e := range h.list {
		r.open(i, e.at.Add(h.plan.Within), true)
		if going && !e.at.Before(last.Add(h.plan.Within)) {
			going = false
		}
		change := true
		if before := h.within(upTo(i), e.at); len(before) > 0 && e.ins[0].Value != "" {
			change = h.list[before[len(before)-1]].ins[0].Value != e.ins[0].Value
		}
		if going {
			r.fates[i].absorbed = true
			if change {
				last = e.at
			}
			continue
		}
		changes, repeats = h.within(changes, e.at), h.within(repeats, e.at)
		if !change {
			repeats = append(repeats, i)
			continue
		}
		changes = append(changes, i)
		if len(changes) >= h.plan.Changes {
			r.find(finding{at: e.at, events: changes})
			for _, j := range repeats {
				r.fates[j].absorbed = true
			}
			going, last, changes, repeats = true, e.at, nil, nil
		}
	}
}

// upTo is 0 to n-1.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (h *history) sequence(r *result) {
	var partials [][]int // each the events of its first parts
	parts := h.plan.Parts
	for i, e := range h.list {
		partials = slices.DeleteFunc(partials, func(p []int) bool { return !e.at.Before(h.list[p[0]].at.Add(h.plan.Within)) })
		at := slices.IndexFunc(partials, func(p []int) bool { return h.fits(e, len(p), p) })
		switch {
		case at >= 0:
			partials[at] = append(slices.Clone(partials[at]), i)
		case h.fits(e, 0, nil):
			at = len(partials)
			partials = append(partials, []int{i})
		default:
			continue
		}
		p := partials[at]
		r.open(i, h.list[p[0]].at.Add(h.plan.Within), true)
		if len(p) == len(parts) {
			as := map[int]string{}
			for n, j := range p {
				as[j] = parts[n].As
			}
			r.find(finding{at: e.at, events: p, as: as})
			partials = slices.Delete(partials, at, at+1)
		}
		if len(partials) > maxPartials {
			for _, j := range partials[0] {
				r.open(j, e.at, false)
			}
			partials = partials[1:]
		}
	}
}

// fits says whether an event can be a part beside what took parts 0 to
// len(have)-1.
func (h *history) fits(e taken, part int, have []int) bool {
	if !e.is(part) {
		return false
	}
	bound := make([]*event.Event, len(h.plan.Parts))
	for n, j := range have {
		bound[n] = h.list[j].ev
	}
	return !h.plan.Parts[part].Bound || h.binds(part, e.ev, bound)
}

func (h *history) all(r *result) {
	var window []int
	for i, e := range h.list {
		window = append(h.within(window, e.at), i)
		r.open(i, e.at.Add(h.plan.Within), true)
		as, full := h.deal(window)
		if full {
			r.find(finding{at: e.at, events: window, as: as})
			window = nil
		}
	}
}

// deal gives each event of a window, in order, the first free part that it
// fits; what fits none is tried again once others have theirs, as its condition
// may speak of them.
func (h *history) deal(window []int) (as map[int]string, full bool) {
	bound := make([]*event.Event, len(h.plan.Parts))
	as = map[int]string{}
	placed := map[int]bool{}
	for again := true; again; {
		again = false
		for _, i := range window {
			if placed[i] {
				continue
			}
			for _, in := range h.list[i].ins {
				if bound[in.Part] != nil || h.plan.Parts[in.Part].Bound && !h.binds(in.Part, h.list[i].ev, bound) {
					continue
				}
				bound[in.Part], as[i] = h.list[i].ev, h.plan.Parts[in.Part].As
				placed[i], again = true, true
				break
			}
		}
	}
	return as, !slices.Contains(bound, nil)
}

func (h *history) unless(r *result, until time.Time) {
	var run []int // part 0 and all like it since
	fire := func(now time.Time) {
		if len(run) == 0 {
			return
		}
		first := h.list[run[0]]
		if end := first.at.Add(h.plan.Within); !end.After(now) {
			r.find(finding{at: end, timer: true, order: first.order, events: run, as: map[int]string{run[0]: h.plan.Parts[0].As}})
			run = nil
		}
	}
	for i, e := range h.list {
		fire(e.at)
		if e.is(1) && len(run) > 0 && h.fits(e, 1, run[:1]) {
			r.fates[i].took = true
			for _, j := range run {
				r.open(j, e.at, false)
			}
			run = nil
		}
		if e.is(0) {
			run = append(run, i)
			r.open(i, forever, false)
		}
	}
	fire(until)
}

func (h *history) silent(r *result, until time.Time) {
	for i, e := range h.list {
		end := e.at.Add(h.plan.Within)
		next := until
		if i+1 < len(h.list) {
			next = h.list[i+1].at
		}
		r.open(i, end, true)
		if !end.After(next) {
			r.find(finding{at: end, timer: true, order: e.order, events: []int{i}})
		}
	}
}

func (h *history) threshold(r *result, until time.Time) {
	var over []int // since the first over the limit
	found := false
	fire := func(now time.Time) {
		if found || len(over) == 0 || h.plan.Within == 0 {
			return
		}
		first := h.list[over[0]]
		if end := first.at.Add(h.plan.Within); !end.After(now) {
			r.find(finding{at: end, timer: true, order: first.order, events: over})
			found = true
		}
	}
	for i, e := range h.list {
		fire(e.at)
		n, ok := h.number(i)
		if !ok {
			continue
		}
		switch l := h.plan.Limit; {
		case isOver(l, n) && !found:
			r.open(i, forever, false)
			over = append(over, i)
			if h.plan.Within == 0 {
				r.find(finding{at: e.at, events: over})
				found = true
			}
		case !found:
			over = nil
		case clears(l, n):
			found, over = false, nil
		default: // it belongs to what was found
			r.fates[i] = fate{took: true, absorbed: true}
		}
	}
	fire(until)
}

func isOver(l correlate.Limit, n float64) bool {
	if l.Above != nil {
		return n > *l.Above
	}
	return n < *l.Below
}

func clears(l correlate.Limit, n float64) bool {
	if l.Clear == nil {
		return !isOver(l, n)
	}
	if l.Above != nil {
		return n < *l.Clear
	}
	return n > *l.Clear
}

// number is what is compared with the limit: the i-th number, or its rate since
// the one before.
func (h *history) number(i int) (float64, bool) {
	e := h.list[i]
	if !h.plan.Limit.Rate {
		return e.ins[0].Number, true
	}
	if i == 0 {
		return 0, false
	}
	p := h.list[i-1]
	step, ok := e.ins[0].Number-p.ins[0].Number, true
	if h.plan.Limit.Counter && step < 0 {
		step, ok = wrapped(p.ins[0].Number, e.ins[0].Number)
	}
	seconds := e.at.Sub(p.at).Seconds()
	if !e.ev.Time.IsZero() && !p.ev.Time.IsZero() {
		seconds = e.ev.Time.Sub(p.ev.Time).Seconds()
	}
	if !ok || seconds <= 0 {
		return 0, false
	}
	return step / seconds, true
}

// wrapped is how far a counter went that is smaller than before.
func wrapped(from, to float64) (float64, bool) {
	size := math.Pow(2, 64)
	if from < math.Pow(2, 32) {
		size = math.Pow(2, 32)
	}
	step := size - from + to
	return step, step <= size/2
}

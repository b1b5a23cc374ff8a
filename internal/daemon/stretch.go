package daemon

import (
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// cutBytes is how large the decisions of one stretch may become before it is cut:
// well below what one message of the log takes, though each run carries the
// events that made it up.
const cutBytes = 2 << 20

// cut divides stretches whose decisions are too large for one batch. It cuts
// between records of log.events, so that each part is a stretch of its own. It
// also cuts where the log's decisions ended at start: what is before that is
// decided already, however it was cut then.
func (d *decider) cut(b *record.Batch, stretches []engine.Stretch) []engine.Stretch {
	var out []engine.Stretch
	for i := range stretches {
		s := &stretches[i]
		if size(s.Records) <= cutBytes && !(s.From.Less(d.logged) && d.logged.Less(s.Through)) {
			out = append(out, *s)
			continue
		}
		out = append(out, d.divide(b, s)...)
	}
	return out
}

func (d *decider) divide(b *record.Batch, s *engine.Stretch) []engine.Stretch {
	var out []engine.Stretch
	cur := engine.Stretch{From: s.From, RulesVersion: s.RulesVersion, Resets: s.Resets}
	bytes, next := 0, 0
	for i := range b.Records {
		at := b.At(i)
		if !s.From.Less(at) || s.Through.Less(at) {
			continue
		}
		first, weight := next, 0
		for next < len(s.Records) && !at.Less(s.Records[next].Decision.At) {
			weight += sizeOf(&s.Records[next])
			next++
		}
		if len(cur.Records) > 0 && bytes+weight > cutBytes || cur.Through == d.logged && !cur.Through.IsZero() {
			out = append(out, cur)
			cur, bytes = engine.Stretch{From: cur.Through, RulesVersion: s.RulesVersion}, 0
		}
		cur.Through = at
		cur.Records = append(cur.Records, s.Records[first:next]...)
		bytes += weight
		if b.Records[i].Kind == record.KindEvent {
			cur.Events++
			if unmatched(s.Records[first:next]) {
				cur.Unmatched++
			}
		}
	}
	return append(out, cur)
}

// unmatched says whether an event with these decisions was matched by no rule.
func unmatched(recs []record.Record) bool {
	for i := range recs {
		if d := recs[i].Decision; d.OfEvent() {
			return d.Verdict == record.Unmatched
		}
	}
	return true
}

func size(recs []record.Record) int {
	n := 0
	for i := range recs {
		n += sizeOf(&recs[i])
	}
	return n
}

// sizeOf is about what a decision takes in the log.
func sizeOf(r *record.Record) int {
	const fixed = 200 // of an event or a run beside its texts
	d := r.Decision
	n := fixed
	if d.Event != nil {
		n += fixed + len(d.Event.Data) + len(d.Event.Raw)
	}
	for i := range d.Runs {
		n += fixed
		for _, ev := range d.Runs[i].Events {
			n += fixed + len(ev.Data)
		}
	}
	return n + fixed*(len(d.Notes)+len(d.Situations))
}

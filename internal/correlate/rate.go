package correlate

import "math"

// over says whether a number is over the limit.
func (l *Limit) over(v float64) bool {
	if l.Above != nil {
		return v > *l.Above
	}
	return l.Below != nil && v < *l.Below
}

// clears says whether a number ends what was found: it has passed Clear, or is
// no longer over the limit where there is none.
func (l *Limit) clears(v float64) bool {
	switch {
	case l.Clear == nil:
		return !l.over(v)
	case l.Above != nil:
		return v < *l.Clear
	}
	return v > *l.Clear
}

// sample is a number and its time in ns.
type sample struct {
	v  float64
	at int64
}

// rate gives the change per second between two samples of one key; ok is false
// where there is none: they are not one after the other, or the counter was
// reset.
//
// Only differences and quotients are taken, which IEEE 754 rounds the same way
// on every machine. The numbers of JSON are doubles, so a 64-bit counter above
// 2^53 is known to within 2,048 only, and so is its step.
func (l *Limit) rate(from, to sample) (perSecond float64, ok bool) {
	elapsed := to.at - from.at
	if elapsed <= 0 {
		return 0, false
	}
	step := to.v - from.v
	if l.Counter {
		if step, ok = counterStep(from.v, to.v); !ok {
			return 0, false
		}
	}
	return step / (float64(elapsed) / 1e9), true
}

// counterStep is how far a counter went between two readings. A smaller one
// than before has wrapped at 32 bits, or at 64 where the earlier was more than
// 32 bits can hold. That would be a step of over half the range: then the
// counter was reset, and how far it went nobody knows. So the polling must be
// quick enough for less than half of the range: 17 s for a 32-bit octet counter
// of a full 1 Gbit/s link.
func counterStep(from, to float64) (step float64, ok bool) {
	if from < 0 || to < 0 {
		return 0, false
	}
	size := float64(1 << 32)
	if from >= size {
		size = math.MaxUint64 // as a double, 2^64
	}
	step = to - from
	if step < 0 {
		step = size - from + to
	}
	if step < 0 || step > size/2 && to < from {
		return 0, false
	}
	return step, true
}

// usable says whether a number can be compared.
func usable(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
